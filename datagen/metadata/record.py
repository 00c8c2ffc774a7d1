"""After a run: the manifest of what lies on the disk now, and the dataset card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from enr.datagen.failures import Failure
from enr.datagen.metadata.beside import forget_times, noted_times
from enr.datagen.metadata.card import card_path, write_card
from enr.datagen.metadata.manifest import (
    FailedMesh,
    Records,
    build_manifest,
    manifest_path,
    with_earlier_runs,
    write_manifest,
)
from enr.datagen.plan import PlannedShard
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError


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
        failures=tuple(
            FailedMesh(
                scene_id=scene.source.scene_id,
                mesh_path=str(scene.source.place),
                mesh_sha256=scene.sha256,
                split=scene.split,
                reason=failures[scene.source.scene_id].reason,
                kind=failures[scene.source.scene_id].kind,
            )
            for shard in planned
            for scene in shard.scenes
            if scene.source.scene_id in failures
        ),
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
