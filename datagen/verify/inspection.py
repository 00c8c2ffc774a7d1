"""What shards hold, as numbers: counts, pictures, lens, poses, flags, passes, versions, failures, size on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from enr.datagen import failures
from enr.errors import EnrError
from enr.shards import FLAGS, PASS_SHAPES, SPLITS, ShardMeta, Table, open_shard, read_tables
from enr.shards.checks import check_intact
from enr.shards.hashes import is_sealed

POSE_COLUMNS = ("azimuth_deg", "elevation_deg", "radius", "roll_deg")
Limits = list[float | None]
"""The smallest and the largest number; None where there is none."""


@dataclass(frozen=True)
class Inspected:
    """One shard without its pictures."""

    path: Path
    meta: ShardMeta
    views: Table
    scenes: Table
    size_px: tuple[int, int]
    """Width and height."""
    passes: tuple[str, ...]


def open_shards(paths: Sequence[Path]) -> tuple[tuple[Inspected, ...], dict[Path, str]]:
    """The tables of those shards that are what was written; of the others, what is wrong in a sentence.

    Raises:
        EnrError: not a single one is whole.
    """
    whole, damaged = [], {}
    for path in paths:
        try:
            check_intact([path])
            meta, views, scenes = read_tables(path)
            with open_shard(path) as file:
                _, height, width, _ = file["images"].shape
                passes = tuple(name for name in PASS_SHAPES if name in file)
            whole.append(Inspected(path, meta, views, scenes, (width, height), passes))
        except EnrError as error:
            damaged[path] = str(error)
    if not whole:
        raise EnrError(next(iter(damaged.values()), "There are no shards; give .h5 files made by `enr datagen`."))
    return tuple(whole), damaged


class GroupSummary(TypedDict):
    """What the shards of one group hold; counts are by split, name or kind, and of what differs each value stands once.

    Attributes:
        shards: how many.
        scenes, images: by split.
        size_px: as `WIDTHxHEIGHT`.
        focal_px, fov_deg: the least and the most.
        background: sRGB in [0, 1].
        materials: scenes by what they are painted with.
        poses: the least and the most of each parameter.
        flags: views by flag.
        passes: pictures beside the colour.
        versions: of enr, Blender and the schema.
        seed: of the data set.
    """

    shards: int
    scenes: dict[str, int]
    images: dict[str, int]
    size_px: list[str]
    focal_px: Limits
    fov_deg: Limits
    background: list[str]
    materials: dict[str, int]
    poses: dict[str, Limits]
    flags: dict[str, int]
    passes: list[str]
    versions: dict[str, list[str]]
    seed: list[str]


class ShardsSummary(TypedDict):
    """What shards hold, ready for JSON.

    Attributes:
        shards, scenes, images: how many.
        without_seal: shards whose bytes no manifest vouches for.
        damaged: by path, what is wrong with shards that are left out.
        bytes: of all files.
        groups: by group.
        failures: by scene id, why a mesh has no pictures.
    """

    shards: int
    without_seal: int
    damaged: dict[str, str]
    bytes: int
    scenes: int
    images: int
    groups: dict[str, GroupSummary]
    failures: dict[str, str]


def summarise(shards: Sequence[Inspected], damaged: Mapping[Path, str]) -> ShardsSummary:
    """Everything about the shards that fits on a page, ready for JSON; one entry of `groups` for each group."""
    groups = sorted({shard.meta.group for shard in shards})
    return {
        "shards": len(shards),
        "without_seal": sum(not is_sealed(shard.path) for shard in shards),
        "damaged": {str(path): problem for path, problem in damaged.items()},
        "bytes": sum(shard.path.stat().st_size for shard in shards),
        "scenes": sum(len(shard.scenes["scene_id"]) for shard in shards),
        "images": sum(len(shard.views["scene_id"]) for shard in shards),
        "groups": {group: _group([shard for shard in shards if shard.meta.group == group]) for group in groups},
        "failures": {
            scene_id: failure.reason
            for shard in shards
            for scene_id, failure in sorted(failures.from_config(shard.meta.config).items())
        },
    }


def flagged_rows(shards: Sequence[Inspected], flag: str) -> dict[Path, list[int]]:
    """Rows of the views that carry a flag, by shard; shards without any are left out."""
    bit = 1 << FLAGS.index(flag)
    rows = {shard.path: np.flatnonzero(shard.views["flags"] & bit).tolist() for shard in shards}
    return {path: numbers for path, numbers in rows.items() if numbers}


def _group(shards: Sequence[Inspected]) -> GroupSummary:
    """The shards of one group."""
    views = {name: np.concatenate([shard.views[name] for shard in shards]) for name in shards[0].views}
    scenes = {name: np.concatenate([shard.scenes[name] for shard in shards]) for name in shards[0].scenes}
    width_of_view = np.concatenate([np.full(len(shard.views["K"]), shard.size_px[0]) for shard in shards])
    focal_px = views["K"][:, 0, 0]
    return {
        "shards": len(shards),
        "scenes": {split: int((scenes["split"] == split).sum()) for split in SPLITS},
        "images": {split: int((views["split"] == split).sum()) for split in SPLITS},
        "size_px": _distinct(f"{shard.size_px[0]}x{shard.size_px[1]}" for shard in shards),
        "focal_px": _limits(focal_px),
        "fov_deg": _limits(np.rad2deg(2 * np.arctan(width_of_view / (2 * focal_px)))),
        "background": _distinct(str(list(shard.meta.background)) for shard in shards),
        "materials": dict(sorted(Counter(scenes["materials"].tolist()).items())),
        "poses": {name: _limits(views[name]) for name in POSE_COLUMNS}
        | {f"target_{axis}": _limits(views["target_point"][:, place]) for place, axis in enumerate("xyz")},
        "flags": {name: int(np.count_nonzero(views["flags"] & (1 << bit))) for bit, name in enumerate(FLAGS)},
        "passes": sorted({name for shard in shards for name in shard.passes}),
        "versions": {
            "enr": _distinct(shard.meta.enr_version for shard in shards),
            "blender": _distinct(shard.meta.blender_version for shard in shards),
            "schema": _distinct(str(shard.meta.schema_version) for shard in shards),
        },
        "seed": _distinct(str(shard.meta.seed) for shard in shards),
    }


def _limits(values: ArrayLike) -> Limits:
    finite = np.asarray(values)[np.isfinite(values)]
    return [float(finite.min()) + 0.0, float(finite.max()) + 0.0] if len(finite) else [None, None]


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
