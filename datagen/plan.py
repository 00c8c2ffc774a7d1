"""What a data set will consist of, fixed before anything is rendered: which mesh, split and pose goes where."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from enr.datagen.cameras.pose_settings import PoseSettings, pose_config
from enr.datagen.flags import KEEP, OnBad
from enr.datagen.jobs import RenderSettings, render_config
from enr.datagen.meshes.discovery import MeshSource, draw_meshes, find_meshes, mesh_sha256
from enr.datagen.splits import assign_splits
from enr.datagen.workers.installed_blender import blender_version
from enr.datagen.workers.pool import PoolSettings
from enr.errors import EnrError
from enr.shards import Split

SHARD_BYTES = 64 * 2**20
READERS = 8
"""Meshes that are read at once for their hashes."""
WHITE = (1.0, 1.0, 1.0)
Compression = Literal["none", "gzip"]


@dataclass(frozen=True)
class GenerateSettings:
    """Everything that `enr datagen` is told.

    Attributes:
        meshes: files and folders to search for meshes.
        max_meshes: at most so many of them, drawn by a hash of their ids; None for all.
        views: pictures of each mesh.
        poses: the group and its ranges.
        render: picture size, lens, samples, materials, seed.
        split_shares: shares of scenes for train, val and test.
        on_bad: what becomes of a mesh with a bad view.
        background: sRGB in [0, 1] that readers put behind the RGBA pictures.
        compression: `none` or `gzip`.
        out: folder of the shards.
        overwrite: make everything again, and replace shards of the same group that were made with other settings.
        retry_failed: of finished shards, render the meshes again whose failure may pass; nothing else.
        retry_bad: together with it, the other failed ones too.
        part: (i, n) to make only part i of n, from 1: every n-th shard; all parts agree on shards and splits.
        command: the command line, for the manifest; changes nothing in the data.
        pool: how the workers are run; changes nothing in the data.
    """

    meshes: tuple[Path, ...]
    views: int = 50
    poses: PoseSettings = field(default_factory=lambda: PoseSettings("rototrans"))
    render: RenderSettings = field(default_factory=RenderSettings)
    split_shares: tuple[float, float, float] = (0.86, 0.12, 0.02)
    on_bad: OnBad = KEEP
    background: tuple[float, float, float] = WHITE
    compression: Compression = "none"
    out: Path = Path("shards")
    overwrite: bool = False
    retry_failed: bool = False
    retry_bad: bool = False
    part: tuple[int, int] | None = None
    command: str = ""
    pool: PoolSettings = field(default_factory=PoolSettings)
    max_meshes: int | None = None


@dataclass(frozen=True)
class PlannedScene:
    """One mesh of the data set."""

    source: MeshSource
    split: Split
    sha256: str


@dataclass(frozen=True)
class PlannedShard:
    """One file of the data set, with the settings that make it."""

    path: Path
    scenes: tuple[PlannedScene, ...]
    config: dict[str, Any]
    blender_version: str


def plan_shards(settings: GenerateSettings) -> tuple[PlannedShard, ...]:
    """Find the meshes and fix shards and splits; a shard holds about 64 MB of pictures.

    Of a part (`settings.part`) only its own shards are returned, and only their meshes are read.

    Raises:
        EnrError: there is no Blender, or there are no meshes.
    """
    version, layout = blender_version(settings.pool.blender), _layout(settings)
    hashed = iter(with_hashes([scene for scenes in layout.values() for scene in scenes]))
    return tuple(
        plan_shard(settings, path, tuple(itertools.islice(hashed, len(scenes))), version)
        for path, scenes in layout.items()
    )


def plan_scenes(settings: GenerateSettings) -> tuple[PlannedScene, ...]:
    """The scenes of all shards, or of the part's, without the hashes of their meshes, which nothing reads yet.

    Raises:
        EnrError: there are no meshes.
    """
    return tuple(scene for scenes in _layout(settings).values() for scene in scenes)


def _layout(settings: GenerateSettings) -> dict[Path, tuple[PlannedScene, ...]]:
    """The scenes of each shard, or of each that is the part's, before their meshes are read."""
    sources = draw_meshes(find_meshes(settings.meshes), settings.max_meshes)
    splits = assign_splits([source.scene_id for source in sources], settings.split_shares)
    scenes = [PlannedScene(source, splits[source.scene_id], sha256="") for source in sources]
    picture_bytes = settings.render.width_px * settings.render.height_px * 4
    size = max(1, SHARD_BYTES // (settings.views * picture_bytes))
    chunks = [tuple(scenes[start : start + size]) for start in range(0, len(scenes), size)]
    number, count = settings.part or (1, 1)
    return {
        shard_path(settings, index, len(chunks)): chunk
        for index, chunk in enumerate(chunks)
        if index % count == number - 1
    }


def plan_shard(settings: GenerateSettings, path: Path, scenes: Sequence[PlannedScene], version: str) -> PlannedShard:
    """A shard of some scenes that have their hashes; `version` is that of Blender."""
    return PlannedShard(path, tuple(scenes), shard_config(settings, scenes), version)


def with_hashes(scenes: Sequence[PlannedScene]) -> tuple[PlannedScene, ...]:
    """The scenes with the hashes of their meshes, of which several are read at once: they may lie far away."""
    with ThreadPoolExecutor(READERS) as pool:
        hashes = pool.map(_sha256_or_nothing, [scene.source for scene in scenes])
        return tuple(dataclasses.replace(scene, sha256=sha256) for scene, sha256 in zip(scenes, hashes, strict=True))


def _sha256_or_nothing(source: MeshSource) -> str:
    """A mesh's hash; empty for one that cannot be read, which becomes a named failure when its turn comes."""
    try:
        return mesh_sha256(source)
    except (OSError, EnrError):
        return ""


def shard_path(settings: GenerateSettings, index: int, shards: int) -> Path:
    """`<out>/<group>-00003-of-00042.h5`."""
    return settings.out / f"{settings.poses.group}-{index:05d}-of-{shards:05d}.h5"


def shard_config(settings: GenerateSettings, scenes: Sequence[PlannedScene]) -> dict[str, Any]:
    """Everything needed to make a shard's file again, as JSON: all that its pixels and tables depend on."""
    return {
        "views": settings.views,
        "poses": pose_config(settings.poses),
        "render": render_config(settings.render),
        "on_bad": settings.on_bad.config,
        "split_shares": list(settings.split_shares),
        "compression": settings.compression,
        "background": list(settings.background),
        "meshes": [
            {"scene_id": scene.source.scene_id, "sha256": scene.sha256, "split": scene.split} for scene in scenes
        ],
    }
