"""A checkpoint as a predictor: where it comes from, whether it fits the data, and all that it alone can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from enr.camera import GROUPS, Group
from enr.errors import EnrError
from enr.model.checkpoint import load_model, read_metadata
from enr.model.config import RendererConfig
from enr.model.description import CheckpointMetadata
from enr.model.renderer import Renderer
from enr.model.warp import invert_rigid
from enr.pipelines.data.views import Scene, ViewSet, repeated_meshes
from enr.pipelines.evaluation.distance import measure_distances
from enr.pipelines.evaluation.equivariance import PosedPictures, measure_equivariance
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.predictor import SceneMeasures
from enr.pipelines.evaluation.report import FEWER_SOURCES, UNTRAINED, WRONG_POSE
from enr.pipelines.evaluation.report_content import Facts
from enr.pipelines.evaluation.scene_choice import PartPlan
from enr.pipelines.evaluation.scene_pictures import ScenePictures
from enr.pipelines.training.initial import earlier_groups
from enr.pipelines.training.runs import Run, check_folder, checkpoint_of, find_checkpoint, latest_run, open_run
from enr.shards import SPLITS
from enr.words import count_of

OFF_CENTRE_PX = 0.05
"""A principal point that is farther off moves the picture by what can be measured."""
LENS_TOLERANCE = 0.01
"""Share by which the data's focal length and distance may depart from the checkpoint's before it is worth a word."""


@dataclass(frozen=True)
class CheckpointPredictor:
    """A trained renderer.

    Attributes:
        settings: how it is measured.
        origin: where it comes from.
        shards: those named, or the run's.
        home: the run's folder, or the current one.
        model: the renderer, in eval mode.
        config: the renderer's.
        metadata: what its checkpoint says of it.
        learned: the groups that it learned.
        untrained: the same architecture with random weights, where it is to be measured, too.
    """

    settings: EvalSettings
    origin: Origin
    shards: tuple[Path, ...]
    home: Path
    model: Renderer
    config: RendererConfig
    metadata: CheckpointMetadata
    learned: tuple[Group, ...]
    untrained: Renderer | None = None

    @classmethod
    def open(cls, settings: EvalSettings, device: torch.device) -> CheckpointPredictor:
        """Find and load the checkpoint.

        Raises:
            EnrError: there is none, it cannot be read, its shards are not known, or the report cannot be written.
        """
        origin = find_origin(settings)
        metadata, model = read_metadata(origin.checkpoint), load_model(origin.checkpoint, device)
        learned, home = learned_groups(metadata), origin.run.folder if origin.run else Path()
        check_folder(settings.out or home / "eval", "--out")
        untrained = make_untrained(model, settings.seed) if settings.untrained else None
        return cls(
            settings=settings,
            origin=origin,
            shards=origin.shards,
            home=home,
            model=model,
            config=model.config,
            metadata=metadata,
            learned=learned,
            untrained=untrained,
        )

    def check_data(self, view_set: ViewSet) -> list[str]:
        """What there is to say about it on these shards.

        Raises:
            EnrError: the pictures are of another size or lens, or it cannot be told a distance and is to be.
        """
        return check_fit(self.model, view_set) + check_known_distance(self.settings, self.model)

    def check_parts(self, view_set: ViewSet, parts: Sequence[PartPlan]) -> list[str]:
        """What there is to say about it on these scenes: forgotten groups, scenes that it was trained on."""
        said = forgotten_note(self.metadata, [part.group for part in parts])
        said += _seen_note(self.metadata, view_set, parts)
        return said + left_out_note(self.settings, self.origin, view_set, parts)

    @torch.inference_mode()
    def predict(self, pictures: ScenePictures) -> Tensor:
        """Its pictures (n, 3, height, width) of a scene's target views; the sources are encoded once."""
        return self._paint(self.model, pictures)

    def _paint(self, model: Renderer, pictures: ScenePictures) -> Tensor:
        motions = pictures.target_from_sources
        return model.generate_from_sources(
            pictures.sources, motions, self.settings.batch_size, distance=self._told(pictures)
        )

    def _told(self, pictures: ScenePictures) -> Tensor | None:
        """(s,) distances of the object in the sources, where the model is told them."""
        return pictures.distances[: len(pictures.sources)] if self.settings.known_distance else None

    @torch.inference_mode()
    def predict_rows(self, pictures: ScenePictures, predictions: Tensor) -> dict[str, Tensor]:
        """What it predicts from fewer sources and with wrong poses, and what it would untrained.

        The wrong pose needs no further predictions: told the pose of view j, the model paints what it paints for view
        j, so the predictions are compared with the targets in another order, in which none stays in its place.
        """
        given = len(pictures.sources)
        rows = {
            name: self.predict(pictures.from_first(number)) for number, name in FEWER_SOURCES.items() if number < given
        }
        rows[WRONG_POSE] = self.predict_wrong_pose(pictures, predictions)
        return rows if self.untrained is None else {**rows, UNTRAINED: self._paint(self.untrained, pictures)}

    @torch.inference_mode()
    def predict_wrong_pose(self, pictures: ScenePictures, predictions: Tensor) -> Tensor:
        """What it predicts for each target (n, 3, height, width) when it is told another target's pose.

        A scene with a single target has no other: there it is told the (first) source's own pose.
        """
        if pictures.other is not None:
            return predictions[pictures.other]
        to_first = invert_rigid(pictures.target_from_source)[:, None] @ pictures.target_from_sources
        return self.model.generate_from_sources(pictures.sources, to_first, distance=self._told(pictures))

    def measure_scenes(self, pictures: ScenePictures) -> SceneMeasures:
        """How well it knows the distance of the object and, if asked for, how equivariant it is."""
        shown, motions = (pictures.sources, pictures.targets), pictures.target_from_sources[0]
        estimated, triangulated = measure_distances(self.model, shown, motions, pictures.distances)
        if not self.settings.equivariance:
            return SceneMeasures(None, estimated, triangulated)
        views = PosedPictures(pictures.source, pictures.targets, pictures.target_from_source, pictures.other)
        return SceneMeasures(measure_equivariance(self.model, views, self.settings.batch_size), estimated, triangulated)

    def facts(self) -> Facts:
        """Which checkpoint this is; the list of thousands of ids that it was trained on stays in it."""
        data = self.metadata.get("data", {}).copy()
        data.pop("trained_scene_ids", None)
        return {
            "checkpoint": str(self.origin.checkpoint),
            "checkpoint_metadata": {**self.metadata, "data": data} if data else self.metadata,
            "untrained": self.settings.untrained,
            "equivariance": self.settings.equivariance,
            "known_distance": self.settings.known_distance,
        }


@dataclass(frozen=True)
class Origin:
    """Where the model and the data come from: a checkpoint, the run that made it (if any) and the shards."""

    checkpoint: Path
    run: Run | None
    shards: tuple[Path, ...]


def find_origin(settings: EvalSettings) -> Origin:
    """Resolve the checkpoint and the shards.

    Raises:
        EnrError: no earlier run, no such checkpoint, or a checkpoint outside a run and no shards.
    """
    run: Run | None
    if settings.checkpoint is None:
        run = open_run(latest_run(settings.runs))
        checkpoint = checkpoint_of(run)
    else:
        checkpoint, run = find_checkpoint(settings.checkpoint, settings.runs)
    if settings.shards:
        return Origin(checkpoint, run, settings.shards)
    if run is None:
        raise EnrError(
            f"{checkpoint} does not lie in a run, so its shards are unknown; name them: enr eval shards/*.h5"
        )
    gone = [path for path in run.shards if not path.is_file()]
    if gone:
        raise EnrError(
            f"The run {run.folder} was trained on {gone[0]}, which is no longer there; "
            "name its shards: enr eval shards/*.h5"
        )
    return Origin(checkpoint, run, run.shards)


def make_untrained(model: Renderer, seed: int) -> Renderer:
    """A renderer like `model` as it was before any training, in eval mode; torch's global generator is left alone.

    It tells what the architecture does by itself: carried colours ride on rays that the pose moves.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = Renderer(model.config)
    return untrained.to(next(model.parameters()).device).eval()


def learned_groups(metadata: CheckpointMetadata) -> tuple[Group, ...]:
    """The groups that a checkpoint learned, as its metadata says; all of them where it does not.

    Those that it learned before it was fine-tuned belong to them.
    """
    stated = metadata.get("groups", metadata.get("group", GROUPS))
    names = [stated] if isinstance(stated, str) else list(stated)
    return tuple(group for group in GROUPS if group in names or group in earlier_groups(metadata))


def forgotten_note(metadata: CheckpointMetadata, groups: Iterable[Group]) -> list[str]:
    """A word about groups that a checkpoint learned before it was fine-tuned, but not since."""
    earlier = set(earlier_groups(metadata)) - {*metadata.get("group", ())}
    return [
        f"{group}: learned before the fine-tuning, not in it; the model may have forgotten some of it."
        for group in dict.fromkeys(groups)
        if group in earlier
    ]


def _seen_note(metadata: CheckpointMetadata, view_set: ViewSet, parts: Sequence[PartPlan]) -> list[str]:
    """A word where these scenes are not unseen: another --split share held them out, or a mesh has two ids."""
    held_out = [plan.scene for part in parts if part.split != "train" for plan in part.scenes]
    seen, twice = seen_scenes(metadata, held_out), repeated_meshes(view_set.scenes("train"), held_out)
    notes = [f"the checkpoint was TRAINED on {len(seen)} of these scenes (first: {seen[0]})."] if seen else []
    if twice:
        trained, other = twice[0]
        notes.append(
            f"the meshes of {count_of(len(twice), 'scene')} are in train, too, under another id (such as {other}, "
            f"which is {trained}): these are NOT unseen."
        )
    return notes


def left_out_note(settings: EvalSettings, origin: Origin, view_set: ViewSet, parts: Sequence[PartPlan]) -> list[str]:
    """A word where shards that are not the run's own hold scenes of splits that nobody chose or refused."""
    own = {path.resolve() for path in origin.run.shards} if origin.run else set()
    if settings.splits or own.issuperset(view_set.paths):
        return []
    measured = {(part.group, part.split) for part in parts}
    groups = {group for group, _ in measured}
    left_out = [s.split for s in view_set.all_scenes if s.group in groups and (s.group, s.split) not in measured]
    if not left_out:
        return []
    options = " ".join(f"--split {split}" for split in SPLITS if split in left_out)
    return [f"{count_of(len(left_out), 'scene')} of other splits were left out ({options})."]


def check_fit(model: Renderer, view_set: ViewSet) -> list[str]:
    """What there is to say about a checkpoint on these shards.

    Raises:
        EnrError: the pictures are of another size than the checkpoint's.
    """
    config = model.config
    _, height, width = config.image_shape
    if (height, width) != (view_set.height_px, view_set.width_px):
        raise EnrError(
            f"The checkpoint is for pictures of {width}x{height} px, the shards hold {view_set.width_px}x"
            f"{view_set.height_px} px; give shards made with --resolution {width}x{height}, or another checkpoint."
        )
    _check_lens(view_set)
    notes = []
    focal_px = view_set.views["K"][:, 0, 0]
    if np.abs(focal_px / config.focal_px - 1).max(initial=0.0) > LENS_TOLERANCE:
        notes.append(
            f"the lens differs: the data's focal length is {focal_px.min():.2f} to {focal_px.max():.2f} px, "
            f"the checkpoint's {config.focal_px:.2f} px."
        )
    radius = view_set.views["radius"][np.isfinite(view_set.views["radius"])]
    if np.abs(radius / config.radius - 1).max(initial=0.0) > LENS_TOLERANCE:
        notes.append(
            f"the distance differs: the data's cameras are {radius.min():.2f} to {radius.max():.2f} from the point "
            f"looked at, the checkpoint's {config.radius:.2f}."
        )
    if not np.allclose(config.background, view_set.background, atol=1 / 255):
        notes.append(
            f"the background differs: the data's is {view_set.background}, the checkpoint's {config.background}."
        )
    return notes


def _check_lens(view_set: ViewSet) -> None:
    """Refuse lenses that no model of this project has: it would be compared with pictures of another camera.

    Raises:
        EnrError: a principal point is not the picture's centre, or pixels are not square.
    """
    K = view_set.views["K"]
    middle = np.array([view_set.width_px, view_set.height_px]) / 2
    off_px = np.abs(K[:, :2, 2] - middle).max(initial=0.0)
    if off_px > OFF_CENTRE_PX:
        raise EnrError(
            f"The principal points of these shards are up to {off_px:.2f} px off the picture's centre; models are of "
            "centred pictures, so give shards made without --centre-jitter-px."
        )
    if np.abs(K[:, 1, 1] / K[:, 0, 0] - 1).max(initial=0.0) > LENS_TOLERANCE:
        raise EnrError("The pixels of these shards are not square (fx and fy differ); give shards whose fx is fy.")


def check_known_distance(settings: EvalSettings, model: Renderer) -> list[str]:
    """A word about what the model was told beside its pictures.

    Raises:
        EnrError: it takes no distance.
    """
    if not settings.known_distance:
        return []
    if not model.config.has_travelling_range:
        raise EnrError("This checkpoint's depth range stands still and takes no distance; leave out --known-distance.")
    return ["the model was told the distance of the object in each source (--known-distance)."]


def seen_scenes(metadata: CheckpointMetadata, scenes: Sequence[Scene]) -> list[str]:
    """Ids of the scenes that a checkpoint was trained on, as far as its metadata lists them; held-out views are not."""
    trained = set(metadata.get("data", {}).get("trained_scene_ids", ()))
    return sorted({scene.scene_id for scene in scenes if not scene.is_held_out} & trained)
