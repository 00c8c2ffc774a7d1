"""What a data set will consist of, fixed before anything is rendered: which mesh, split and pose goes where."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enr.datagen.meshes.discovery import MeshSource, draw_meshes, find_meshes, hash_meshes
from enr.datagen.settings import GenerateSettings
from enr.datagen.splits import assign_splits
from enr.shards import Split
from enr.shards.config import PlannedMesh, ShardConfig


@dataclass(frozen=True)
class PlannedScene:
    """One mesh of the data set."""

    source: MeshSource
    split: Split
    sha256: str = ""

    def hashed(self, sha256: str) -> PlannedScene:
        """The scene with the hash of its mesh; empty for one that cannot be read."""
        return dataclasses.replace(self, sha256=sha256)


@dataclass(frozen=True)
class PlannedShard:
    """One file of the data set, with the settings that make it."""

    path: Path
    scenes: tuple[PlannedScene, ...]
    config: ShardConfig
    blender_version: str


def plan_shards(settings: GenerateSettings, blender_version: str) -> tuple[PlannedShard, ...]:
    """Find the meshes and fix shards and splits; a shard holds about `settings.shard_bytes` of pictures.

    Of a part (`settings.part`) only its own shards are returned, and only their meshes are read.

    Args:
        settings: what to make.
        blender_version: of the Blender that will render, see `enr.datagen.workers.installed_blender`.

    Raises:
        EnrError: there are no meshes.
    """
    layout = _layout(settings)
    hashes = iter(hash_meshes([scene.source for scenes in layout.values() for scene in scenes]))
    return tuple(
        plan_shard(settings, path, [scene.hashed(next(hashes)) for scene in scenes], blender_version)
        for path, scenes in layout.items()
    )


def plan_scenes(settings: GenerateSettings) -> tuple[PlannedScene, ...]:
    """The scenes of all shards, or of the part's, without the hashes of their meshes, which nothing reads yet.

    Raises:
        EnrError: there are no meshes.
    """
    return tuple(scene for scenes in _layout(settings).values() for scene in scenes)


def plan_shard(settings: GenerateSettings, path: Path, scenes: Sequence[PlannedScene], version: str) -> PlannedShard:
    """A shard of some scenes that have their hashes, with everything needed to make its file again.

    `version` is that of Blender.
    """
    meshes: list[PlannedMesh] = [
        {"scene_id": scene.source.scene_id, "sha256": scene.sha256, "split": scene.split} for scene in scenes
    ]
    return PlannedShard(path, tuple(scenes), {**settings.config(), "meshes": meshes}, version)


def _layout(settings: GenerateSettings) -> dict[Path, tuple[PlannedScene, ...]]:
    """The scenes of each shard, `<out>/<group>-00003-of-00042.h5`, or of each that is the part's; no mesh is read."""
    sources = draw_meshes(find_meshes(settings.meshes), settings.max_meshes)
    splits = assign_splits([source.scene_id for source in sources], settings.split_shares)
    scenes = [PlannedScene(source, splits[source.scene_id]) for source in sources]
    picture_bytes = settings.render.width_px * settings.render.height_px * 4
    size = max(1, settings.shard_bytes // (settings.views * picture_bytes))
    chunks = [tuple(scenes[start : start + size]) for start in range(0, len(scenes), size)]
    number, count = settings.part or (1, 1)
    return {
        settings.out / f"{settings.poses.group}-{index:05d}-of-{len(chunks):05d}.h5": chunk
        for index, chunk in enumerate(chunks)
        if index % count == number - 1
    }
