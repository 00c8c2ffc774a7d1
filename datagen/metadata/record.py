"""After a run: the manifest of what lies on the disk now, and the dataset card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from enr.datagen.failures import Failure
from enr.datagen.metadata.beside import forget_times, noted_times
from enr.datagen.metadata.card import card_path, write_card
from enr.datagen.metadata.manifest import (
    TIMES,
    FailedMesh,
    Manifest,
    Records,
    build_manifest,
    manifest_path,
    read_manifest,
    write_manifest,
)
from enr.datagen.plan import PlannedShard
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError

SAME_DATA_SET = ("group", "picture_px", "seed", "background", "versions", "config")
"""Entries of a manifest in which two runs that add to one data set agree."""


def record_run(
    settings: GenerateSettings, planned: Sequence[PlannedShard], new: Records, failures: Mapping[str, Failure]
) -> tuple[Path | None, Path | None]:
    """Write the manifest, and the card unless this is a part of a data set.

    Args:
        settings: those of the run.
        planned: the shards of the data set, or of the part.
        new: the run and the times of the meshes that it rendered; what an earlier manifest knows of others is kept.
        failures: why scenes failed, by id, in all planned shards.

    Returns:
        paths of the manifest and of the card; None for what is not written. Without a single shard there is a
        manifest only of a part, for `enr merge`.

    Raises:
        EnrError: a file cannot be written.
    """
    shards = [shard.path for shard in planned if shard.path.exists()]
    paths = [shard.path for shard in planned]
    if not planned or not (shards or settings.part):
        forget_times(paths)
        return None, None
    records = dataclasses.replace(
        new,
        times={**noted_times(paths), **new.times},
        failures=_failures(planned, failures),
        empty_shards=tuple(shard.path.name for shard in planned if not shard.path.exists()),
        part=settings.part,
    )
    path = manifest_path(settings.out, settings.poses.group, settings.part)
    manifest = with_earlier_runs(build_manifest(settings.poses.group, shards, records), path)
    try:
        write_manifest(path, manifest)
        forget_times(paths)
        card = card_path(settings.out, settings.poses.group)
        return path, None if settings.part else write_card(card, manifest)
    except OSError as error:
        raise EnrError(
            f"{path} cannot be written ({error.strerror or error}); make room and run the same command again."
        ) from error


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
        before = known.get(mesh["scene_id"], {})
        times = {name: before.get(name) if mesh[name] is None else mesh[name] for name in TIMES}
        is_same = before.get("mesh_sha256") == mesh["mesh_sha256"]
        meshes.append({**mesh, **times} if is_same else mesh)
    return {**manifest, "meshes": meshes, "runs": [*earlier["runs"], *manifest["runs"]]}


def _failures(planned: Sequence[PlannedShard], failures: Mapping[str, Failure]) -> tuple[FailedMesh, ...]:
    """The meshes that failed, with what the plan knows of them."""
    scenes = [scene for shard in planned for scene in shard.scenes if scene.source.scene_id in failures]
    return tuple(
        FailedMesh(
            scene_id=scene.source.scene_id,
            mesh_path=str(scene.source.place),
            mesh_sha256=scene.sha256,
            split=scene.split,
            reason=failures[scene.source.scene_id].reason,
            kind=failures[scene.source.scene_id].kind,
        )
        for scene in scenes
    )
