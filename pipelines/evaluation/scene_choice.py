"""Which scenes are measured, and which of their views are given and which are asked for; decided before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from enr.camera import Group
from enr.errors import EnrError
from enr.pipelines.data.views import Indices, Scene, ViewSet
from enr.pipelines.evaluation.inputs import APPLE_VIEWS, EvalSettings
from enr.pipelines.metrics import shows_something
from enr.shards import SPLITS, Split
from enr.words import count_of


@dataclass(frozen=True)
class ScenePlan:
    """A scene and those of its views that are measured, as indices into the view set.

    Attributes:
        scene: which.
        sources: (s,) the views that are given.
        targets: (n,) the views that are asked for; all of them show something.
    """

    scene: Scene
    sources: Indices
    targets: Indices

    @property
    def blank(self) -> int:
        """How many views are left out because they show nothing."""
        return len(np.setdiff1d(self.scene.view_indices, self.sources)) - len(self.targets)


@dataclass(frozen=True)
class PartPlan:
    """The scenes of one group and split that are measured together."""

    group: Group
    split: Split
    scenes: tuple[ScenePlan, ...]


def plan_parts(
    settings: EvalSettings, view_set: ViewSet, learned: Sequence[Group]
) -> tuple[tuple[PartPlan, ...], list[str]]:
    """Every group and split with its scenes, and what there is to say about the choice.

    Everything that can be wrong with them is found here. Blank targets are left out, and so are scenes that have no
    other; both are counted. Whether a picture is blank is looked at here alone.

    Raises:
        EnrError: groups, splits or views do not fit the settings, or nothing is left of a part.
    """
    chosen: list[tuple[Group, Split, tuple[Scene, ...]]] = []
    notes: list[str] = []
    for group in choose_groups(settings, view_set, learned):
        by_split, said = choose_scenes(settings, view_set, group)
        chosen += [(group, split, scenes) for split, scenes in by_split.items()]
        notes += said
    parts = tuple(PartPlan(group, split, _plan_scenes(settings, view_set, scenes)) for group, split, scenes in chosen)
    for part in parts:
        if not part.scenes:
            raise EnrError(
                f"Nothing is seen in any target view of {part.group}, {part.split}; make shards with a smaller --box."
            )
    blank_targets = sum(plan.blank for part in parts for plan in part.scenes)
    blank_scenes = sum(len(scenes) for _, _, scenes in chosen) - sum(len(part.scenes) for part in parts)
    if blank_targets or blank_scenes:
        scenes_too = f" and {count_of(blank_scenes, 'scene')} with no other" if blank_scenes else ""
        notes.append(f"left out of every row: {count_of(blank_targets, 'target view')} that shows nothing{scenes_too}.")
    return parts, notes


def _plan_scenes(settings: EvalSettings, view_set: ViewSet, scenes: Sequence[Scene]) -> tuple[ScenePlan, ...]:
    """The scenes that show something in some target."""
    plans = []
    for scene in scenes:
        try:
            plans.append(ScenePlan(scene, *split_views(settings, view_set, scene)))
        except BlankScene:
            continue
    return tuple(plans)


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
        fewer = f", or give --sources {len(wanted) - 1} at most" if len(wanted) > 1 else ""
        raise EnrError(
            f"Scene {scene.scene_id} has {_in_words(len(views))}, so there is no target; "
            f"make shards with --views {len(wanted) + 1} or more{fewer}."
        )
    return given, targets


def _way_out(settings: EvalSettings, missing: int, views: int) -> str:
    """What to ask for instead of a view that is missing: another first source, or fewer from there on."""
    if missing > settings.source_view:
        return f"give --sources {min(missing - settings.source_view, views - 1)} at most"
    return "choose --source among them"


def _in_words(views: int) -> str:
    return "a single view" if views == 1 else f"{views} views, all of them sources"
