"""Meshes to render jobs; one that Blender cannot import as it lies is staged first (`enr.datagen.meshes.staging`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from enr.datagen.jobs import render_job
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.staging import stage
from enr.datagen.plan import GenerateSettings
from enr.datagen.run.assemble import scene_poses
from enr.errors import EnrError


def make_jobs(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Iterator[dict[str, Any]]:
    """Render jobs of some meshes, ready for `enr.datagen.workers.pool.render_all`; `unstage` each once it is done."""
    for source in sources:
        yield _job(settings, source, scratch)


def _job(settings: GenerateSettings, source: MeshSource, scratch: Path) -> dict[str, Any]:
    poses = scene_poses(settings, source.scene_id)
    try:
        staged = stage(source, scratch, settings.render.up_axis)
    except EnrError as error:
        return {**render_job(settings.render, source, poses), "refused": str(error)}
    job = render_job(settings.render, source, poses, staged)
    return job if staged.folder is None else {**job, "staged_in": str(staged.folder)}
