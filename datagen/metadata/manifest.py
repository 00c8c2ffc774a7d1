"""What a data set consists of, mesh by mesh, in one JSON file beside its shards.

Everything but the times is taken from the shards themselves, so the manifest of a resumed or merged run is whole.
Times live here alone: they are what two runs of the same command differ in.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.datagen.metadata.content import Counts, Head, Manifest, MeshEntry, ShardEntry
from enr.errors import EnrError
from enr.files import write_text
from enr.shards import FLAGS, PASS_SHAPES, SPLITS, ShardMeta, Table, open_shard, read_meta, read_tables
from enr.shards.config import ShardConfig

FORMAT = "enr-manifest"
VERSION = 1
NOT_CONFIG = ("meshes", "failures")
"""Entries of a shard's config that belong to this shard alone."""
TIMES: tuple[Literal["seconds", "worker_memory_mb"], ...] = ("seconds", "worker_memory_mb")
"""Entries of a mesh that another run of the same command gives differently."""

SAME_DATA_SET = ("group", "picture_px", "seed", "background", "versions", "config")
"""Entries of a manifest in which two runs that add to one data set agree."""


@dataclass(frozen=True)
class MeshTimes:
    """What rendering a mesh took: seconds in its worker, and the worker's peak resident memory after it, in MB."""

    seconds: float | None = None
    worker_memory_mb: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run of a command that added to a data set.

    Attributes:
        command: the command line.
        started_at: ISO 8601 with its time zone.
        seconds: wall time.
        images_made: pictures rendered.
        workers: render processes (over all machines).
        worker_peak_memory_mb: the largest resident memory of one of them.
        python: version of the Python that ran it.
        platform: operating system and processor.
    """

    command: str = ""
    started_at: str = ""
    seconds: float = 0.0
    images_made: int = 0
    workers: int = 1
    worker_peak_memory_mb: float = 0.0
    python: str = field(default_factory=platform.python_version)
    platform: str = field(default_factory=platform.platform)


@dataclass(frozen=True)
class FailedMesh:
    """A mesh without pictures: why, in words and as a kind that can be counted."""

    scene_id: str
    mesh_path: str
    mesh_sha256: str
    split: str
    reason: str
    kind: str


@dataclass(frozen=True)
class Records:
    """What the shards do not say.

    Attributes:
        runs: the runs that made the data set, oldest first.
        times: by scene id, of the meshes whose times are known.
        failures: of all shards, those without a single picture included.
        empty_shards: names of planned shards that were not written because all of their meshes failed.
        part: (i, n) where this is part i of n, from 1.
    """

    runs: tuple[RunRecord, ...] = ()
    times: Mapping[str, MeshTimes] = field(default_factory=dict)
    failures: tuple[FailedMesh, ...] = ()
    empty_shards: tuple[str, ...] = ()
    part: tuple[int, int] | None = None


def manifest_path(folder: Path, name: str, part: tuple[int, int] | None = None) -> Path:
    """`<folder>/rototrans-manifest.json`, or `<folder>/rototrans-manifest-part-00003-of-00010.json`."""
    suffix = "" if part is None else f"-part-{part[0]:05d}-of-{part[1]:05d}"
    return folder / f"{name}-manifest{suffix}.json"


def build_manifest(name: str, shards: Sequence[Path], records: Records) -> Manifest:
    """The manifest of some shards of one group and config.

    Args:
        name: what their file names begin with; `enr datagen` takes the group.
        shards: in order; only their tables are read. None in a part of which every mesh failed.
        records: what they do not say.

    Raises:
        EnrError: a shard cannot be read.
    """
    entries: list[ShardEntry] = []
    meshes: list[MeshEntry] = []
    views = Counter[str]()
    for shard in records.empty_shards:
        entries.append({"name": shard, "scenes": 0, "images": 0, "bytes": 0, "sha256": None})
    for path in shards:
        _, table, scenes = read_tables(path)
        size, sha256 = path.stat().st_size, contents_sha256(path)
        count, images = len(scenes["scene_id"]), len(table["scene_id"])
        entries.append({"name": path.name, "scenes": count, "images": images, "bytes": size, "sha256": sha256})
        meshes += list(_mesh_entries(table, scenes, records.times))
        views.update(_flag_counts(table["flags"]))
    head: Head = _head(shards[0]) if shards else {}
    return {
        "format": FORMAT,
        "manifest_version": VERSION,
        "name": name,
        **head,
        "part": None if records.part is None else {"index": records.part[0], "of": records.part[1]},
        "counts": _counts([entry for entry in entries if entry["scenes"]], meshes, records.failures, views),
        "shards": sorted(entries, key=lambda entry: entry["name"]),
        "meshes": meshes,
        "failures": [asdict(failure) for failure in sorted(records.failures, key=lambda item: item.scene_id)],
        "runs": [asdict(run) for run in records.runs],
    }


def write_manifest(path: Path, manifest: Manifest) -> Path:
    """Write a manifest as JSON with a line for each entry of its lists, complete or not at all; returns `path`."""
    write_text(path, dumps(manifest))
    return path


def read_manifest(path: Path) -> Manifest:
    """A manifest as it was written.

    Raises:
        EnrError: it is missing, damaged, or of another version.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and manifest["manifest_version"] == VERSION
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise EnrError(
            f"{path} is not a manifest that this version of enr reads; run `enr datagen` or `enr merge` again."
        )
    return cast(Manifest, manifest)


def records_of(manifest: Manifest) -> Records:
    """What a manifest knows beyond its shards."""
    part = manifest["part"]
    return Records(
        runs=tuple(RunRecord(**run) for run in manifest["runs"]),
        times={
            mesh["scene_id"]: MeshTimes(mesh["seconds"], mesh["worker_memory_mb"])
            for mesh in manifest["meshes"]
            if any(mesh.get(name) is not None for name in TIMES)
        },
        failures=tuple(FailedMesh(**failure) for failure in manifest["failures"]),
        empty_shards=tuple(shard["name"] for shard in manifest["shards"] if not shard["scenes"]),
        part=None if part is None else (part["index"], part["of"]),
    )


def join_records(records: Iterable[Records]) -> Records:
    """The records of several runs or parts as those of one data set; of a mesh given twice, the last one counts."""
    given = list(records)
    failures = {failure.scene_id: failure for record in given for failure in record.failures}
    return Records(
        runs=tuple(dict.fromkeys(run for record in given for run in record.runs)),
        times={scene_id: times for record in given for scene_id, times in record.times.items()},
        failures=tuple(failures.values()),
        empty_shards=tuple(sorted({name for record in given for name in record.empty_shards})),
    )


def with_earlier_runs(manifest: Manifest, path: Path) -> Manifest:
    """A manifest with the runs, and the times of meshes that stayed as they were, of the one that lies at `path`."""
    try:
        earlier = read_manifest(path)
    except EnrError:
        return manifest
    if any(earlier.get(name) != manifest.get(name) for name in SAME_DATA_SET):
        return manifest
    known = {mesh["scene_id"]: mesh for mesh in earlier["meshes"]}
    meshes = []
    for mesh in manifest["meshes"]:
        before = known.get(mesh["scene_id"])
        if before and before["mesh_sha256"] == mesh["mesh_sha256"]:
            mesh = mesh.copy()
            for name in TIMES:
                mesh[name] = before[name] if mesh[name] is None else mesh[name]
        meshes.append(mesh)
    return {**manifest, "meshes": meshes, "runs": [*earlier["runs"], *manifest["runs"]]}


def without_times(manifest: Manifest) -> Mapping[str, object]:
    """What two runs of the same command have in common."""
    meshes = [{key: value for key, value in mesh.items() if key not in TIMES} for mesh in manifest["meshes"]]
    return {**manifest, "meshes": meshes, "runs": []}


def common_config(meta: ShardMeta) -> ShardConfig:
    """A shard's config without what belongs to this shard alone: equal in all shards of a data set."""
    return cast(ShardConfig, {key: value for key, value in meta.config.items() if key not in NOT_CONFIG})


def contents_sha256(path: Path) -> str | None:
    """One SHA-256 for a shard: of the names and stored hashes of its data sets. None in schema 1, which has none.

    Raises:
        EnrError: the shard cannot be read.
    """
    hashes: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            hashes.append(f"{name} {item.attrs.get('sha256', '')}")

    with open_shard(path) as file:
        file.visititems(note)
    if any(line.endswith(" ") for line in hashes):
        return None
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def dumps(manifest: Manifest) -> str:
    """JSON with each entry of a list or a table on a line of its own, so that `grep` and `diff` help."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in manifest.items()) + "\n}\n"


def _lines(value: Any) -> str:
    """JSON of a top-level value."""
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
        return "{\n  " + ",\n  ".join(lines) + "\n }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
    return json.dumps(value)


def _head(shard: Path) -> Head:
    """What all shards share."""
    meta = read_meta(shard)
    with open_shard(shard) as file:
        height_px, width_px = file["images"].shape[1:3]
        passes = [name for name in PASS_SHAPES if name in file]
    return {
        "group": meta.group,
        "picture_px": [width_px, height_px],
        "passes": passes,
        "seed": meta.seed,
        "background": list(meta.background),
        "versions": {"enr": meta.enr_version, "blender": meta.blender_version, "shard_schema": meta.schema_version},
        "config": common_config(meta),
    }


def _mesh_entries(views: Table, scenes: Table, times: Mapping[str, MeshTimes]) -> Iterator[MeshEntry]:
    """One entry for each scene of a shard, in its order."""
    for row, scene_id in enumerate(scenes["scene_id"].tolist()):
        own = views["scene_id"] == scene_id
        facts, took = json.loads(scenes["facts"][row]), times.get(scene_id, MeshTimes())
        yield {
            "scene_id": scene_id,
            "mesh_path": str(scenes["mesh_path"][row]),
            "mesh_sha256": str(scenes["mesh_sha256"][row]),
            "licence": facts.pop("licence", None),
            "split": str(scenes["split"][row]),
            "normalise_scale": float(scenes["normalise_scale"][row]),
            "normalise_offset": scenes["normalise_offset"][row].tolist(),
            "materials": str(scenes["materials"][row]),
            "facts": facts,
            "views": dict(sorted(Counter(views["split"][own].tolist()).items())),
            "flags": {name: count for name, count in _flag_counts(views["flags"][own]).items() if count},
            "seconds": took.seconds,
            "worker_memory_mb": took.worker_memory_mb,
        }


def _flag_counts(flags: NDArray[Any]) -> dict[str, int]:
    """How many views have each flag, by name."""
    return {name: int(np.count_nonzero(flags & (1 << bit))) for bit, name in enumerate(FLAGS)}


def _counts(
    shards: Sequence[ShardEntry],
    meshes: Sequence[MeshEntry],
    failures: Sequence[FailedMesh],
    flags: Mapping[str, int],
) -> Counts:
    """Totals over the data set."""
    scenes = Counter(mesh["split"] for mesh in meshes)
    views = Counter[str]()
    for mesh in meshes:
        views.update(mesh["views"])
    return {
        "shards": len(shards),
        "scenes": len(meshes),
        "images": sum(shard["images"] for shard in shards),
        "bytes": sum(shard["bytes"] for shard in shards),
        "failures": len(failures),
        "failure_kinds": dict(sorted(Counter(failure.kind for failure in failures).items())),
        "scenes_by_split": {split: scenes[split] for split in SPLITS},
        "images_by_split": {split: views[split] for split in SPLITS},
        "images_by_flag": {name: flags[name] for name in FLAGS},
        "materials": dict(sorted(Counter(mesh["materials"] for mesh in meshes).items())),
        "meshes_with_missing_textures": sum(bool(mesh["facts"].get("textures_missing")) for mesh in meshes),
        "meshes_with_hidden_colours": sum(bool(mesh["facts"].get("colours_hidden")) for mesh in meshes),
        "licences": dict(sorted(Counter(mesh["licence"] or "unknown" for mesh in meshes).items())),
    }
