"""Fixed pairs of held-out views: how good a model is while it trains, and whether it learns at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from enr.errors import EnrError
from enr.model.renderer import Renderer
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import Indices, Scene, ViewSet, composite
from enr.pipelines.metrics import psnr, shows_something
from enr.pipelines.pictures import PAPER, Picture, image_grid, to_uint8
from enr.pipelines.training.loader import MIN_VIEWS
from enr.shards import Split
from enr.words import count_of

CHUNK = 32
BLANK_SHARE = 0.1
"""A model has collapsed to the background when it shows less than this share of what there is to show."""

SAME_SHARE = 0.1
"""A model's output is constant when its pictures differ from each other by less than this share."""

CELLS = 4
"""For that, pictures are compared as means over so many by so many cells."""

SHOWN_PX = 192
"""Pictures that are shown are enlarged to about so many pixels."""

FEWEST_SCENES = 8
"""Of fewer held-out objects the best validation is a matter of luck: no checkpoint is chosen by it."""

POSE_DB = 0.2
"""A model ignores the pose when another view's pose costs it less than this."""


@dataclass(frozen=True)
class Scores:
    """Means over pictures of held-out scenes.

    Attributes:
        psnr_db: of the predictions.
        swapped_db: of the predictions that were given another view's pose.
        background_db: of the bare background.
        painted_share: how far the predictions depart from the background, beside how far the true pictures do.
        varied_share: how far the predictions differ from each other, beside how far the true pictures do.
        group_db: PSNR of each group.
    """

    psnr_db: float
    swapped_db: float
    background_db: float
    painted_share: float
    varied_share: float
    group_db: dict[str, float]

    @property
    def is_blank(self) -> bool:
        """Whether the model has collapsed to the background."""
        return self.painted_share < BLANK_SHARE

    @property
    def is_same(self) -> bool:
        """Whether the model paints one picture, whatever it is given: another colour than the background's, too."""
        return self.varied_share < SAME_SHARE

    @property
    def ignores_pose(self) -> bool:
        """Whether another view's pose is as good as the right one."""
        return self.psnr_db - self.swapped_db < POSE_DB

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Triples:
    """Views by threes: a source, its target, and another view of the scene whose pose is the wrong one.

    Attributes:
        source, target, other: (n,) views of one scene in each row; target differs from both others.
    """

    source: Indices
    target: Indices
    other: Indices

    def __len__(self) -> int:
        return len(self.target)

    def with_something_to_see(self, view_set: ViewSet) -> Triples:
        """Those whose targets show something: blank ones are 100 dB for whoever paints nothing."""
        seen = shows_something(view_set.images(self.target))
        return Triples(self.source[seen], self.target[seen], self.other[seen])


class FixedViews:
    """The same views of some scenes, given to a model again and again.

    Attributes:
        source_views: (n,) the sources' places in the set of views.
    """

    def __init__(self, view_set: ViewSet, triples: Triples, device: torch.device) -> None:
        """Read the views' pictures, and keep them on `device`."""
        self.source_views = triples.source
        self._background = view_set.background
        self._groups: NDArray[np.str_] = view_set.views["group"][triples.target]
        self._source = torch.from_numpy(view_set.images(triples.source)).to(device)
        self._target = torch.from_numpy(view_set.images(triples.target)).to(device)
        motions = view_set.target_from_source(triples.source, np.stack([triples.target, triples.other]))
        self._motion, self._wrong_motion = torch.from_numpy(motions)

    def __len__(self) -> int:
        return len(self._target)

    def sources(self) -> Iterator[Tensor]:
        """The sources' pictures (n, 3, h, w), in a few pieces."""
        for rgba in self._source.split(CHUNK):
            yield composite(rgba, self._background)

    def score(self, model: Renderer) -> Scores:
        """Measure a model; it is left in training mode."""
        starts = range(0, len(self._source), CHUNK)
        columns = [self.score_rows(model, slice(start, start + CHUNK)) for start in starts]
        right, wrong, blank, *compared = (torch.cat(column).cpu() for column in zip(*columns, strict=True))
        painted, present, coarse, true_coarse = compared
        groups = sorted(set(self._groups.tolist()))
        return Scores(
            psnr_db=float(right.mean()),
            swapped_db=float(wrong.mean()),
            background_db=float(blank.mean()),
            painted_share=float(painted.mean() / present.mean().clamp_min(1e-9)),
            varied_share=_spread(coarse) / max(_spread(true_coarse), 1e-9) if len(coarse) > 1 else 1.0,
            group_db={group: float(right[torch.from_numpy(self._groups == group)].mean()) for group in groups},
        )

    def picture(self, model: Renderer, words: str) -> Image.Image:
        """A grid of sources, predictions and truths, a column a row of the triples.

        Args:
            model: a renderer; it is left in training mode.
            words: what stands above the grid, before the predictions' mean PSNR.
        """
        (predicted,) = self._predict(model, slice(None), self._motion)
        source, truth = (composite(rgba, self._background) for rgba in (self._source, self._target))
        cells: list[list[Picture | None]] = [list(to_uint8(images.cpu())) for images in (source, predicted, truth)]
        zoom = max(1, round(SHOWN_PX / max(self._source.shape[1:3])))
        grid = image_grid(cells, row_labels=("source", "prediction", "truth"), zoom=zoom)
        return _under_caption(grid, f"{words}, {float(psnr(predicted, truth).mean()):.1f} dB")

    def score_rows(self, model: Renderer, rows: slice) -> tuple[Tensor, ...]:
        """What `score` takes the means of, for some rows: tensors of that many rows on the device."""
        truth = composite(self._target[rows], self._background)
        blank = torch.tensor(self._background, device=truth.device).view(1, 3, 1, 1).expand_as(truth)
        right, wrong = self._predict(model, rows, self._motion, self._wrong_motion)
        painted, present = ((images - blank).abs().mean(dim=(1, 2, 3)) for images in (right, truth))
        coarse = [functional.adaptive_avg_pool2d(images, CELLS).flatten(1) for images in (right, truth)]
        return psnr(right, truth), psnr(wrong, truth), psnr(blank, truth), painted, present, *coarse

    def _predict(self, model: Renderer, rows: slice, *motions: Tensor) -> list[Tensor]:
        """Predictions (n, 3, h, w) by each of the motions; the sources are encoded once."""
        model.eval()
        images = composite(self._source[rows], self._background)
        predicted = model.predict_moved(images, [motion[rows] for motion in motions])
        model.train()
        return [pictures.float().clamp(0, 1) for pictures in predicted]


@dataclass(frozen=True)
class Validation:
    """What a training measures and shows, over and over.

    Attributes:
        views: that are measured.
        album: that are shown.
        is_validation: whether they are of scenes that are held out; else of scenes that are trained on.
        chooses: whether they are enough to choose the best checkpoint by; else the last one is taken for the best.
        notes: lines about what is left out.
    """

    views: FixedViews
    album: FixedViews
    is_validation: bool
    chooses: bool
    notes: tuple[str, ...]

    @classmethod
    def choose(cls, view_set: ViewSet, config: TrainConfig, device: torch.device) -> Validation:
        """The views of a training's held-out scenes, or of its own where none are held out.

        Raises:
            EnrError: none of them shows anything.
        """
        held_out = view_set.scenes("val")
        usable = [scene for scene in held_out if scene.count >= MIN_VIEWS]
        split: Split = "val" if usable else "train"
        views, album = (
            choose_triples(view_set, split, pictures, config.seed).with_something_to_see(view_set)
            for pictures in (config.validation_pictures, config.frame_scenes)
        )
        if not len(views):
            raise EnrError(
                f"No chosen view of the scenes of the split '{split}' shows anything of its object, so nothing can be "
                "measured; look at the pictures with `enr inspect`."
            )
        chooses = len({scene.scene_id for scene in usable}) >= FEWEST_SCENES
        notes = (
            *_said_of_left_out(len(held_out) - len(usable), config.validation_pictures - len(views), config),
            *_said_of_choice(bool(usable), chooses),
        )
        shown = FixedViews(view_set, album if len(album) else views, device)
        return cls(FixedViews(view_set, views, device), shown, bool(usable), chooses, notes)


def _said_of_left_out(single: int, blank: int, config: TrainConfig) -> Iterator[str]:
    if single:
        yield (
            f"{count_of(single, 'scene')} held out for validation {'has' if single == 1 else 'have'} a single view: "
            "left out."
        )
    if blank:
        yield f"{blank} of the validation's {count_of(config.validation_pictures, 'target')} show nothing: left out."


def _said_of_choice(is_validation: bool, chooses: bool) -> Iterator[str]:
    if not is_validation:
        yield "No scene is held out for validation: the best checkpoint is the last one."
    elif not chooses:
        yield (
            f"Fewer than {FEWEST_SCENES} objects are held out for validation, too few to choose a checkpoint by: the "
            "best checkpoint is the last one."
        )


def choose_triples(view_set: ViewSet, split: Split, pictures: int, seed: int) -> Triples:
    """Fixed views of a split's scenes, spread evenly over its groups and scenes.

    Args:
        view_set: where they are taken from.
        split: whose scenes.
        pictures: how many rows.
        seed: of the choice.
    """
    rng = np.random.default_rng([seed, 2])
    by_group = [_shuffled(rng, view_set.scenes(split, group)) for group in view_set.groups]
    by_group = [scenes for scenes in by_group if scenes]
    rows = []
    for number in range(pictures):
        scenes = by_group[number % len(by_group)]
        rows.append(_draw(rng, scenes[number // len(by_group) % len(scenes)]))
    source, target, other = np.array(rows, dtype=np.int64).T
    return Triples(source, target, other)


def find_faults(scores: Scores) -> tuple[str, ...]:
    """What is wrong with a model that does not learn, in words a user can act on; of several faults the worst."""
    if scores.is_blank:
        return (
            f"it has collapsed to the background: it shows {scores.painted_share:.0%} of what there is to show "
            f"({scores.psnr_db:.2f} dB, the bare background has {scores.background_db:.2f} dB). "
            "Try output=linear, a smaller learning_rate, or loss.l2=1.",
        )
    if scores.is_same:
        return (
            "its output is constant, whatever it is given: its pictures differ from each other by "
            f"{scores.varied_share:.0%} of what the true ones do. Its output or its layers are saturated; start anew "
            "with output=linear or a smaller learning_rate.",
        )
    if scores.ignores_pose:
        return (
            f"it ignores the pose: {scores.psnr_db:.2f} dB with the right pose, {scores.swapped_db:.2f} dB with "
            "another view's. Train longer, or look whether the shards' cameras fit their pictures.",
        )
    return ()


def _under_caption(grid: Image.Image, caption: str) -> Image.Image:
    """The grid under a line of text; wide enough for any caption, so that all frames are of one size."""
    line = image_grid([], column_labels=[caption])
    sheet = Image.new("RGB", (max(grid.width, SHOWN_PX + line.height), grid.height + line.height), PAPER)
    sheet.paste(line, (0, 0))
    sheet.paste(grid, (0, line.height))
    return sheet


def _spread(rows: Tensor) -> float:
    """Mean absolute difference of rows (n, k) from their mean."""
    return float((rows - rows.mean(dim=0)).abs().mean())


def _shuffled(rng: np.random.Generator, scenes: Sequence[Scene]) -> list[Scene]:
    usable = [scene for scene in scenes if scene.count >= 2]
    return [usable[index] for index in rng.permutation(len(usable))]


def _draw(rng: np.random.Generator, scene: Scene) -> tuple[int, int, int]:
    """Source, target and another view; of two views only, the source serves as the other one."""
    views = [int(view) for view in rng.permutation(scene.view_indices)[:3]]
    return views[0], views[1], views[2] if len(views) > 2 else views[0]
