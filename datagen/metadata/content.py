"""What a manifest holds, as JSON has it: see `enr.datagen.metadata.manifest`."""

from __future__ import annotations

from typing import Any, TypedDict

from enr.camera import Group
from enr.shards.config import ShardConfig


class PartEntry(TypedDict):
    """Which part, from 1, of how many."""

    index: int
    of: int


class ShardEntry(TypedDict):
    """A shard: its file's name, rows and size; without a hash in schema 1, and where every mesh failed."""

    name: str
    scenes: int
    images: int
    bytes: int
    sha256: str | None


class MeshEntry(TypedDict):
    """What became of a mesh.

    Attributes:
        scene_id, mesh_path, mesh_sha256, licence, split: which it is.
        normalise_scale, normalise_offset: a vertex became scale (vertex + offset).
        materials: `original`, `grey` or `palette`.
        facts: of its file.
        views: how many, by split.
        flags: how many views have each, of those that any has.
        seconds, worker_memory_mb: what it took, where that is known.
    """

    scene_id: str
    mesh_path: str
    mesh_sha256: str
    licence: str | None
    split: str
    normalise_scale: float
    normalise_offset: list[float]
    materials: str
    facts: dict[str, object]
    views: dict[str, int]
    flags: dict[str, int]
    seconds: float | None
    worker_memory_mb: float | None


class Counts(TypedDict):
    """Totals over a data set."""

    shards: int
    scenes: int
    images: int
    bytes: int
    failures: int
    failure_kinds: dict[str, int]
    scenes_by_split: dict[str, int]
    images_by_split: dict[str, int]
    images_by_flag: dict[str, int]
    materials: dict[str, int]
    meshes_with_missing_textures: int
    meshes_with_hidden_colours: int
    licences: dict[str, int]


class Versions(TypedDict):
    """Of what made the shards."""

    enr: str
    blender: str
    shard_schema: int


class Head(TypedDict, total=False):
    """What all shards of a data set share; a part without a single shard lacks it."""

    group: Group
    picture_px: list[int]
    passes: list[str]
    seed: int
    background: list[float]
    versions: Versions
    config: ShardConfig


class Manifest(Head):
    """The whole file; `runs` and `failures` hold entries of `RunRecord` and `FailedMesh`."""

    format: str
    manifest_version: int
    name: str
    part: PartEntry | None
    counts: Counts
    shards: list[ShardEntry]
    meshes: list[MeshEntry]
    failures: list[dict[str, Any]]
    runs: list[dict[str, Any]]
