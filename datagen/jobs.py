"""Render jobs as plain data: finished matrices, seeds and colours. Knows no renderer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from enr.datagen.appearance.palette import linear_palette
from enr.datagen.cameras.lens import view_intrinsics
from enr.datagen.cameras.poses import Poses, noise_seed, sample_poses
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.staging import StagedMesh, stage
from enr.datagen.messages import Job
from enr.datagen.settings import GenerateSettings, RenderSettings
from enr.errors import EnrError


def make_jobs(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Iterator[Job]:
    """Render jobs of some meshes, ready for `enr.datagen.workers.pool.render_all`; `unstage` each once it is done.

    A mesh that Blender cannot import as it lies is staged in `scratch` first; one that cannot be read is `refused`.
    """
    for source in sources:
        poses = sample_poses(settings.poses, settings.render.seed, source.scene_id, settings.views)
        try:
            staged = stage(source, scratch, settings.render.up_axis, settings.pool.checks)
            if any(staged.offset) and settings.render.normalise == "none":
                shutil.rmtree(staged.folder or "", ignore_errors=True)
                raise EnrError(
                    f"{source.place} lies around ({', '.join(f'{value:.6g}' for value in staged.offset)}), so far from "
                    "the origin that single precision moves its vertices; normalise it, or move it to the origin."
                )
        except EnrError as error:
            yield {**render_job(settings.render, source, poses, StagedMesh(source.place, None)), "refused": str(error)}
            continue
        job: Job = {**render_job(settings.render, source, poses, staged), "checks": settings.pool.checks}
        yield job if staged.folder is None else {**job, "staged_in": str(staged.folder)}


def render_job(settings: RenderSettings, source: MeshSource, poses: Poses, staged: StagedMesh) -> Job:
    """The job of one mesh, ready for JSON; the pool adds its number, threads and output file.

    Args:
        settings: how to render.
        source: the scene.
        poses: its views.
        staged: the file to import (see `enr.datagen.meshes.staging.stage`).
    """
    scene_id, lens = source.scene_id, settings.lens
    palette = linear_palette(settings.seed, scene_id)
    lenses = view_intrinsics(lens, settings.seed, scene_id, poses)
    seeds = [noise_seed(settings.seed, scene_id, index) for index in range(len(poses))]
    return {
        "scene_id": scene_id,
        "mesh": os.path.realpath(staged.path),
        "up_axis": staged.up_axis,
        "taken_off": list(staged.offset),
        "width_px": settings.width_px,
        "height_px": settings.height_px,
        "focal_px": lens.focal_px,
        "samples": settings.samples,
        "normalise": settings.normalise,
        "materials": settings.materials,
        "palette": palette,
        **settings.look.job(),
        "views": [
            {"world_from_camera": camera.tolist(), "K": K.tolist(), "seed": seed}
            for camera, K, seed in zip(poses.world_from_camera, lenses, seeds, strict=True)
        ],
    }
