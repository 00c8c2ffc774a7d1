"""Whether shards are whole: layout, hashes, counts, cameras, and the set of files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enr.camera import Array, check_rigid
from enr.datagen.metadata.content import Manifest
from enr.datagen.metadata.manifest import contents_sha256, read_manifest
from enr.errors import EnrError
from enr.shards import PASS_SHAPES, ShardMeta, Table, check_hashes, read_tables
from enr.words import count_of

SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.h5")
FAILED_SUFFIX = ".failed.json"
"""`enr datagen` puts this in the place of a shard of which every mesh failed."""
RIGID_TOLERANCE = 1e-6
PICTURES = {"images", *PASS_SHAPES}
"""Data sets whose damage leaves the tables as they were."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file."""

    path: Path
    problem: str

    def __str__(self) -> str:
        """One line that names the file."""
        return self.problem if str(self.path) in self.problem else f"{self.path}: {self.problem}"


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what was found.

    Attributes:
        shards: files looked at.
        damaged: those of which nothing could be read.
        scenes, images: rows of the others.
        without_hashes: shards of schema 1, which carry no hashes.
        findings: what is wrong; empty if all is well.
    """

    shards: int
    damaged: int
    scenes: int
    images: int
    without_hashes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Contents:
    """The tables of a shard that could be read."""

    path: Path
    meta: ShardMeta
    views: Table
    scenes: Table


def verify_shards(paths: Sequence[Path]) -> Verified:
    """Check every shard by itself, then all of them as a set.

    Args:
        paths: shard files.

    Raises:
        EnrError: one is not there.
    """
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise EnrError(f"{absent[0]} is not a file; give .h5 shards made by `enr datagen`, or their folder.")
    findings: list[Finding] = []
    contents: list[_Contents] = []
    for path in paths:
        try:
            damaged = check_hashes(path)
            for name in damaged:
                what = {"attributes": "the attributes are", "file": "the file is"}.get(name, f"the data set {name} is")
                again = "make the shard again with `enr datagen`"
                findings.append(Finding(path, f"{what} not what was written (SHA-256); {again}"))
            if not PICTURES.issuperset(damaged):  # HDF5 can crash on what is left
                continue
            shard = _Contents(path, *read_tables(path))
            problems = (
                *_scene_problems(shard.views, shard.scenes),
                *_view_counts(shard),
                *_planned_scenes(shard),
                *_camera_problems(shard.views),
                *_facts_problems(shard.scenes),
            )
            findings += [Finding(path, problem) for problem in problems]
            contents.append(shard)
        except EnrError as error:
            findings.append(Finding(path, str(error)))
        except Exception as error:  # HDF5, JSON and Unicode refuse damaged bytes in too many ways to name
            findings.append(Finding(path, f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())})"))
    findings += [*_set_problems(paths), *_twice(contents)]
    return Verified(
        shards=len(paths),
        damaged=len(paths) - len(contents),
        scenes=sum(len(shard.scenes["scene_id"]) for shard in contents),
        images=sum(len(shard.views["scene_id"]) for shard in contents),
        without_hashes=sum(shard.meta.schema_version < 2 for shard in contents),
        findings=tuple(findings),
    )


def _scene_problems(views: Table, scenes: Table) -> Iterator[str]:
    """Scenes and views name each other, in the same order, with splits that fit."""
    ids = views["scene_id"]
    order = ids[np.concatenate([[True], ids[1:] != ids[:-1]])] if len(ids) else ids
    if order.tolist() != scenes["scene_id"].tolist():
        yield "the views' scene_id do not follow the scenes' (adjacent views, the same order, each scene once)"
        return
    split_of = dict(zip(scenes["scene_id"].tolist(), scenes["split"].tolist(), strict=True))
    own = np.array([split_of[scene_id] for scene_id in ids.tolist()], dtype=str)
    for row in np.flatnonzero((views["split"] != own) & (views["split"] != "test")):
        yield f"view {row} is in the split {views['split'][row]}, its scene in {own[row]}"


def _view_counts(shard: _Contents) -> Iterator[str]:
    """Every scene has the views that were asked for, numbered from 0."""
    planned = shard.meta.config.get("views")
    for scene_id in dict.fromkeys(shard.views["scene_id"].tolist()):
        index = shard.views["view_index"][shard.views["scene_id"] == scene_id]
        count = planned if isinstance(planned, int) else len(index)
        if index.tolist() != list(range(count)):
            yield f"scene {scene_id} has {count_of(len(index), 'view')}; {count} are expected, numbered from 0"


def _planned_scenes(shard: _Contents) -> Iterator[str]:
    """Every mesh of the shard's config is a scene or a named failure."""
    planned = shard.meta.config.get("meshes")
    if not isinstance(planned, list):
        return
    failed = set(shard.meta.config.get("failures", {}))
    expected = [mesh["scene_id"] for mesh in planned if mesh["scene_id"] not in failed]
    found = shard.scenes["scene_id"].tolist()
    for scene_id in sorted(set(expected) ^ set(found)):
        yield f"scene {scene_id} is {'missing' if scene_id in expected else 'not planned, by the shard config'}"


def _camera_problems(views: Table) -> Iterator[str]:
    """Cameras that are no rotation and translation, intrinsics that are no pinhole."""
    if not _is_rigid(views["world_from_camera"]):
        for row, camera in enumerate(views["world_from_camera"]):
            if not _is_rigid(camera):
                yield f"world_from_camera of view {row} is not a rotation and a translation"
    K = views["K"]
    is_pinhole = (K[:, 0, 0] > 0) & (K[:, 1, 1] > 0) & (K[:, 1, 0] == 0) & (K[:, 2] == [0, 0, 1]).all(axis=1)
    for row in np.flatnonzero(~is_pinhole):
        yield f"K of view {row} is not an intrinsics matrix (positive focal lengths, last row 0 0 1)"


def _is_rigid(cameras: Array) -> bool:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            check_rigid(cameras, RIGID_TOLERANCE)
    except EnrError:
        return False
    return True


def _facts_problems(scenes: Table) -> Iterator[str]:
    for scene_id, facts in zip(scenes["scene_id"].tolist(), scenes["facts"].tolist(), strict=True):
        try:
            json.loads(facts)
        except ValueError:
            yield f"scenes/facts of scene {scene_id} is not JSON"


def _set_problems(paths: Sequence[Path]) -> Iterator[Finding]:
    """What a folder's shards lack as a set, and what its manifests say otherwise."""
    for folder in sorted({path.parent for path in paths}):
        manifests: list[Manifest] = []
        for path in sorted(folder.glob("*-manifest*.json")):
            try:
                manifests.append(read_manifest(path))
            except EnrError as error:
                yield Finding(path, str(error))
        entries = [entry for manifest in manifests for entry in manifest["shards"]]
        inside = [path for path in paths if path.parent == folder]
        yield from _missing_files(inside, {entry["name"] for entry in entries if not entry["scenes"]})
        known = {entry["name"]: entry["sha256"] for entry in entries if entry["sha256"]}
        for path in inside:
            with suppress(Exception):  # as in `verify_shards`, which has named the trouble
                if path.name in known and contents_sha256(path) != known[path.name]:
                    yield Finding(path, "is not the shard that its manifest names (SHA-256 of its contents)")


def _missing_files(paths: Sequence[Path], empty: set[str]) -> Iterator[Finding]:
    """Of sets `<name>-00000-of-00042.h5`, the files that are neither there nor `empty` (all of their meshes failed)."""
    matches = [match for path in paths if (match := SHARD_NAME.fullmatch(path.name))]
    for stem, count in sorted({(match["stem"], int(match["count"])) for match in matches}):
        for index in range(count):
            path = paths[0].with_name(f"{stem}-{index:05d}-of-{count:05d}.h5")
            if not (path.exists() or path.with_suffix(FAILED_SUFFIX).exists() or path.name in empty):
                yield Finding(path, "is missing from its set; run the same `enr datagen` again")


def _twice(contents: Sequence[_Contents]) -> Iterator[Finding]:
    """Scenes of one group that lie in more than one shard, or whose split differs between shards."""
    times = Counter((shard.meta.group, scene) for shard in contents for scene in shard.scenes["scene_id"].tolist())
    splits: dict[str, str] = {}
    for shard in contents:
        for scene_id, split in zip(shard.scenes["scene_id"].tolist(), shard.scenes["split"].tolist(), strict=True):
            if times[shard.meta.group, scene_id] > 1:
                yield Finding(shard.path, f"scene {scene_id} of group {shard.meta.group} is in several shards")
            if splits.setdefault(scene_id, split) != split:
                yield Finding(shard.path, f"scene {scene_id} is {split} here and {splits[scene_id]} in another shard")
