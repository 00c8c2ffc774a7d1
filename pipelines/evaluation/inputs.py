"""What an evaluation works on: which checkpoint, which shards, which scenes, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from enr.camera import GROUPS, Group
from enr.errors import EnrError
from enr.pipelines.data.views import Indices, Scene, ViewSet
from enr.pipelines.metrics import shows_something
from enr.pipelines.training.initial import earlier_groups
from enr.pipelines.training.runs import RUNS, Run, checkpoint_of, find_checkpoint, latest_run, open_run
from enr.shards import SPLITS, Split
from enr.words import count_of

if TYPE_CHECKING:
    from enr.model.renderer import Renderer

APPLE_SOURCE = 64
APPLE_VIEWS = 251
Part = tuple[Group, Split, tuple[Scene, ...]]
"""A group, a split and its scenes that are measured."""

OFF_CENTRE_PX = 0.05
"""A principal point that is farther off moves the picture by what can be measured."""
LENS_TOLERANCE = 0.01
"""Share by which the data's focal length and distance may depart from the checkpoint's before it is worth a word."""


@dataclass(frozen=True)
class EvalSettings:
    """Everything that decides an evaluation.

    Attributes:
        checkpoint: a run folder, a checkpoint folder or file, or a published `.pt`; the latest run's best if None.
        predictions: a folder of pictures that another method predicted, in place of a checkpoint.
        shards: .h5 files or folders; the run's own if empty.
        splits: splits to measure; test, or val where a group has no test scene, if empty.
        groups: groups to measure; all that the shards hold if empty.
        any_group: measure groups that the checkpoint never learned, too.
        source: the view that the model is given; 0, or the protocol's, if None.
        sources: how many views it is given: `source` and the following ones.
        known_distance: whether the model is told the distance of the object in each source.
        protocol: `apple`: source view 64 of 251, all others as targets (Dupont et al. 2020).
        with_ssim: measure SSIM beside PSNR.
        untrained: measure the same architecture with random weights, too; doubles the time.
        equivariance: measure how far moved scenes are from the scenes of the pictures there; takes a few times as long.
        max_scenes: at most so many scenes of each group and split, drawn by the seed.
        seed: decides which other view's pose the model is told, and the draw of `max_scenes`.
        batch_size: pictures rendered at a time.
        device: `auto`, or a torch device.
        out: folder of the JSON file and the pictures; a new one in the run folder if None.
        runs: where runs lie.
    """

    checkpoint: Path | None = None
    predictions: Path | None = None
    shards: tuple[Path, ...] = ()
    splits: tuple[Split, ...] = ()
    groups: tuple[Group, ...] = ()
    any_group: bool = False
    source: int | None = None
    sources: int = 1
    known_distance: bool = False
    protocol: Literal["apple"] | None = None
    with_ssim: bool = False
    untrained: bool = False
    equivariance: bool = False
    max_scenes: int | None = None
    seed: int = 0
    batch_size: int = 16
    device: str = "auto"
    out: Path | None = None
    runs: Path = RUNS

    @property
    def source_view(self) -> int:
        """The view that the model is given.

        Raises:
            EnrError: the protocol names another one.
        """
        if self.protocol is None:
            return self.source or 0
        if self.source not in (None, APPLE_SOURCE):
            raise EnrError(
                f"--source {self.source} and --protocol apple (source view {APPLE_SOURCE}) contradict each other; "
                "give one of them."
            )
        return APPLE_SOURCE

    @property
    def source_views(self) -> tuple[int, ...]:
        """The views that the model is given.

        Raises:
            EnrError: the protocol has a single one, or names another one.
        """
        if self.protocol is not None and self.sources > 1:
            raise EnrError(
                f"--sources {self.sources} and --protocol apple (a single source view) contradict each other; "
                "give one of them: --source N is the first of several sources."
            )
        return tuple(range(self.source_view, self.source_view + self.sources))


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
    checkpoint, run = _find_checkpoint(settings)
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


def _find_checkpoint(settings: EvalSettings) -> tuple[Path, Run | None]:
    if settings.checkpoint is None:
        run = open_run(latest_run(settings.runs))
        return checkpoint_of(run), run
    return find_checkpoint(settings.checkpoint)


def learned_groups(metadata: dict[str, Any]) -> tuple[Group, ...]:
    """The groups that a checkpoint learned, as its metadata says; all of them where it does not.

    Those that it learned before it was fine-tuned belong to them.
    """
    stated = metadata.get("groups", metadata.get("group", GROUPS))
    names = [stated] if isinstance(stated, str) else list(stated)
    return tuple(group for group in GROUPS if group in names or group in earlier_groups(metadata))


def forgotten_note(metadata: dict[str, Any], groups: Iterable[Group]) -> list[str]:
    """A word about groups that a checkpoint learned before it was fine-tuned, but not since."""
    earlier = set(earlier_groups(metadata)) - {*metadata.get("group", ())}
    return [
        f"{group}: learned before the fine-tuning, not in it; the model may have forgotten some of it."
        for group in dict.fromkeys(groups)
        if group in earlier
    ]


def choose_groups(settings: EvalSettings, view_set: ViewSet, learned: Sequence[Group]) -> tuple[Group, ...]:
    """The groups to measure.

    Raises:
        EnrError: one is not in the shards, or the checkpoint never learned it and `any_group` is off.
    """
    wanted = settings.groups or view_set.groups
    for group in wanted:
        if group not in view_set.groups:
            raise EnrError(f"The shards hold {', '.join(view_set.groups)} and no {group}; give shards of that group.")
        if group not in learned and not settings.any_group:
            here = [name for name in learned if name in view_set.groups]
            choice = f"choose --groups {' --groups '.join(here)}" if here else "give shards of what it learned"
            raise EnrError(
                f"The checkpoint learned {', '.join(learned)} and never saw {group}; {choice}, or give --any-group to "
                "measure it all the same."
            )
    return tuple(dict.fromkeys(wanted))


def choose_scenes(
    settings: EvalSettings, view_set: ViewSet, group: Group
) -> tuple[dict[Split, tuple[Scene, ...]], list[str]]:
    """The scenes of each wanted split of a group, and what there is to say about the choice.

    Raises:
        EnrError: the group has no scene in a wanted split.
    """
    notes: list[str] = []
    splits = settings.splits
    if not splits:
        splits = ("test",) if view_set.scenes("test", group) else ("val",)
        if splits == ("val",):
            notes.append(f"{group}: there are no test scenes; these are validation scenes, which training selects on.")
    chosen: dict[Split, tuple[Scene, ...]] = {}
    for split in dict.fromkeys(splits):
        scenes = view_set.scenes(split, group)
        if not scenes:
            held = [name for name in SPLITS if view_set.scenes(name, group)]
            raise EnrError(
                f"The shards hold no {split} scene of {group} (they hold {', '.join(held)}); choose another --split, "
                "or make shards of more meshes."
            )
        held_out = sum(scene.is_held_out for scene in scenes)
        if held_out:
            notes.append(
                f"{group} {split}: {held_out} of {len(scenes)} entries are held-out views of meshes that are trained "
                "on; their source is a view that is trained on."
            )
        chosen[split] = _draw(scenes, settings, notes)
    return chosen, notes


def left_out_note(settings: EvalSettings, origin: Origin, view_set: ViewSet, parts: Sequence[Part]) -> list[str]:
    """A word where shards that are not the run's own hold scenes of splits that nobody chose or refused."""
    own = {path.resolve() for path in origin.run.shards} if origin.run else set()
    if settings.splits or own.issuperset(view_set.paths):
        return []
    measured = {(group, split) for group, split, _ in parts}
    groups = {group for group, _ in measured}
    left_out = [s.split for s in view_set.all_scenes if s.group in groups and (s.group, s.split) not in measured]
    if not left_out:
        return []
    options = " ".join(f"--split {split}" for split in SPLITS if split in left_out)
    return [f"{count_of(len(left_out), 'scene')} of other splits were left out ({options})."]


def _draw(scenes: tuple[Scene, ...], settings: EvalSettings, notes: list[str]) -> tuple[Scene, ...]:
    limit = settings.max_scenes
    if limit is None or limit >= len(scenes):
        return scenes
    kept = np.sort(np.random.default_rng(settings.seed).choice(len(scenes), limit, replace=False))
    notes.append(f"{scenes[0].group} {scenes[0].split}: {limit} of {len(scenes)} scenes, drawn by the seed.")
    return tuple(scenes[index] for index in kept)


class BlankScene(EnrError):
    """Nothing is seen in any target view of a scene."""


def split_views(settings: EvalSettings, view_set: ViewSet, scene: Scene) -> tuple[Indices, Indices]:
    """The source views (s,) of a scene and its target views (n,) that show anything, as indices into the view set.

    A blank target would be 100 dB for whoever paints the bare background, and a few of them would decide every mean.
    The sources of held-out views are some of the same object's views that are trained on.

    Raises:
        EnrError: the scene has no such view, no other view, or not the protocol's number of views.
    """
    views, sources, wanted = scene.view_indices, scene.source_indices, np.array(settings.source_views)
    if settings.protocol == "apple" and len(views) != APPLE_VIEWS:
        raise EnrError(
            f"Scene {scene.scene_id} has {len(views)} views, --protocol apple needs {APPLE_VIEWS}; "
            "choose the source with --source N."
        )
    numbers = view_set.views["view_index"][sources]
    missing = wanted[~np.isin(wanted, numbers)]
    if len(missing):
        raise EnrError(
            f"Scene {scene.scene_id} has no view {missing[0]} (its views are {numbers.min()} to {numbers.max()}); "
            f"{_way_out(settings, int(missing[0]), len(numbers))}."
        )
    given = sources[[np.flatnonzero(numbers == number)[0] for number in wanted]]
    targets = views[~np.isin(views, given)]
    shown = targets[shows_something(view_set.images(targets))] if len(targets) else targets
    if len(targets) and not len(shown):
        raise BlankScene(f"Scene {scene.scene_id} is blank in all its target views; make shards with a smaller --box.")
    targets = shown
    if not len(targets):
        raise EnrError(
            f"Scene {scene.scene_id} has {_in_words(len(views))}, so there is no target; "
            f"make shards with --views {len(wanted) + 1} or more."
        )
    return given, targets


def leave_out_blank(settings: EvalSettings, view_set: ViewSet, parts: Sequence[Part], notes: list[str]) -> list[Part]:
    """The parts without scenes that show nothing in any target; what is left out is counted in a note.

    Raises:
        EnrError: a scene's views do not fit the settings, or nothing is left of a part.
    """
    blank_targets, blank_scenes, kept = 0, 0, []
    for group, split, scenes in parts:
        seen = []
        for scene in scenes:
            try:
                sources, targets = split_views(settings, view_set, scene)
            except BlankScene:
                blank_scenes += 1
                continue
            blank_targets += len(np.setdiff1d(scene.view_indices, sources)) - len(targets)
            seen.append(scene)
        if not seen:
            raise EnrError(f"Nothing is seen in any target view of {group}, {split}; make shards with a smaller --box.")
        kept.append((group, split, tuple(seen)))
    if blank_targets or blank_scenes:
        scenes_too = f" and {count_of(blank_scenes, 'scene')} with no other" if blank_scenes else ""
        notes.append(f"left out of every row: {count_of(blank_targets, 'target view')} that shows nothing{scenes_too}.")
    return kept


def _way_out(settings: EvalSettings, missing: int, views: int) -> str:
    """What to ask for instead of a view that is missing: another first source, or fewer from there on."""
    if missing > settings.source_view:
        return f"give --sources {min(missing - settings.source_view, views - 1)} at most"
    return "choose --source among them"


def _in_words(views: int) -> str:
    return "a single view" if views == 1 else f"{views} views, all of them sources"


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


def seen_scenes(metadata: dict[str, Any], scenes: Sequence[Scene]) -> list[str]:
    """Ids of the scenes that a checkpoint was trained on, as far as its metadata lists them; held-out views are not."""
    trained = set(metadata.get("data", {}).get("trained_scene_ids", ()))
    return sorted({scene.scene_id for scene in scenes if not scene.is_held_out} & trained)
