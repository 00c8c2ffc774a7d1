"""Scenes out of folders: views that a split has scattered come together, and every scene gets a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enr.datagen.convert.cameras import HeldOutDirections, OrbitCameras
from enr.datagen.convert.scene_folders import PARAMS, SceneFolder
from enr.errors import EnrError
from enr.shards import SPLITS, Split


@dataclass(frozen=True)
class PosedScene:
    """One object with all its views.

    Attributes:
        scene_id: the folder's name, qualified by the folders above where others share it.
        folders: where it lies; several where its views are split over folders.
        split: the scene's; None where no folder says.
        view_splits: the views', as their folders say; None where none does.
        names: the views' names in the layout, by which their pictures are numbered.
        pictures: the views' pictures.
        cameras: the views' cameras.
        patches: held-out directions.
    """

    scene_id: str
    folders: tuple[Path, ...]
    split: Split | None
    view_splits: tuple[Split | None, ...]
    names: tuple[str, ...]
    pictures: tuple[Path, ...]
    cameras: OrbitCameras
    patches: tuple[HeldOutDirections, ...]


def gather_scenes(folders: Sequence[SceneFolder]) -> tuple[PosedScene, ...]:
    """One scene for each family of folders, sorted by id.

    The report moved the views of a scene from `train` to `test`; together they are one scene with held-out views.

    Raises:
        EnrError: a listed picture is in none of the family's folders.
    """
    families: dict[str, list[SceneFolder]] = {}
    for folder in folders:
        families.setdefault(folder.family, []).append(folder)
    times = Counter(family.rsplit("/", 1)[-1] for family in families)
    names = {}  # its last folder, with all folders above it where others share that
    for family in families:
        parts = [part.strip("*_- ") for part in family.split("/")]
        is_alone = times[family.rsplit("/", 1)[-1]] == 1
        names[family] = parts[-1] if is_alone else "-".join(part for part in parts if part)
    clashes = Counter(names.values())
    names = {family: name if clashes[name] == 1 else family for family, name in names.items()}
    scenes = [_gather(names[family], members) for family, members in families.items()]
    return tuple(sorted(scenes, key=lambda scene: scene.scene_id))


def _gather(scene_id: str, members: list[SceneFolder]) -> PosedScene:
    order = sorted(members, key=lambda member: SPLITS.index(member.split) if member.split else 0)
    there = {name for member in order for name in member.names}
    for member in order:  # a listed picture may have moved to the folder of another split, but not have gone
        gone = [name for name in member.absent if name not in there]
        if gone:
            raise EnrError(
                f"{member.path} lacks {len(gone)} of the pictures that its {PARAMS} lists, the first {gone[0]}.png; "
                "unpack it again."
            )
    cameras = [member.cameras for member in order]
    return PosedScene(
        scene_id=scene_id,
        folders=tuple(member.path for member in order),
        split=order[0].split,
        names=tuple(name for member in order for name in member.names),
        view_splits=tuple(member.split for member in order for _ in member.pictures),
        pictures=tuple(picture for member in order for picture in member.pictures),
        cameras=OrbitCameras(
            np.concatenate([some.azimuth_deg for some in cameras]),
            np.concatenate([some.elevation_deg for some in cameras]),
            np.concatenate([some.target_point for some in cameras]),
        ),
        patches=tuple(patch for member in order for patch in member.patches),
    )
