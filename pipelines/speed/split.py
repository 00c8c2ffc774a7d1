"""Where Blender's render call spends its time, and how noisy its pictures are: from a few extra renders.

The worker renders each mesh three more times, as it always does: all views with one sample, all views with all samples
and other noise, and its first view alone with one sample. Every further sample of a view costs the same, and only the
first render of a mesh builds what rays are traced through, so the three times tell the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.messages import Job, JobView
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.pool import render_all
from enr.datagen.workers.worker import RenderedMesh
from enr.errors import EnrError
from enr.pipelines.speed.loops import plain_jobs

ONE_SAMPLE, OTHER_NOISE, FIRST_VIEW, WARM_UP = "one sample", "other noise", "first view", "warm-up"


@dataclass(frozen=True)
class Probe:
    """What the extra renders told.

    Attributes:
        build_ms: of a mesh: building what rays are traced through, at its first render.
        sync_ms: of a view: handing scene and camera to the engine, starting it, handing the picture back.
        sample_ms: of a view: one sample of all its pixels.
        images: by scene id, the views (views, height, width, 4) with other noise.
    """

    build_ms: float
    sync_ms: float
    sample_ms: float
    images: dict[str, NDArray[np.uint8]]

    def split(self, views: int, samples: int) -> dict[str, float]:
        """Milliseconds of a picture inside Blender's render call, by part."""
        return {"sync": self.sync_ms, "bvh": self.build_ms / views, "sampling": samples * self.sample_ms}


def probe_render(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Probe:
    """Render the meshes a few times more, on one worker.

    Raises:
        EnrError: none of them could be rendered.
    """
    jobs: list[Job] = [
        {**variant, "job_kind": kind} for kind, variant in _variants(plain_jobs(settings, sources, scratch))
    ]
    outcomes = list(render_all(jobs, replace(settings.pool, workers=1)))
    seconds = {kind: _render_seconds(outcomes, kind) for kind in (ONE_SAMPLE, OTHER_NOISE, FIRST_VIEW)}
    whole = [scene for scene in seconds[ONE_SAMPLE] if all(scene in seconds[kind] for kind in seconds)]
    if not whole:
        raise EnrError(f"None of the meshes could be rendered ({outcomes[0].reason}).")
    one, many, first = (1000 * float(np.mean([seconds[kind][scene] for scene in whole])) for kind in seconds)
    images = {o.job["scene_id"]: o.images for o in outcomes if o.images is not None and _kind(o) == OTHER_NOISE}
    return Probe(**solve(one, many, first, settings.views, settings.render.samples), images=images)


def solve(one: float, many: float, first: float, views: int, samples: int) -> dict[str, float]:
    """The parts of a mesh's render time, from three measurements in milliseconds.

    Args:
        one: all views with one sample.
        many: all views with all samples.
        first: the first view with one sample.
        views: how many, above 1.
        samples: how many; of a single one the sampling cannot be told from the rest and counts as 0.
    """
    sample = max(0.0, (many - one) / (views * (samples - 1))) if samples > 1 else 0.0
    view = (one - first) / (views - 1)
    return {"build_ms": max(0.0, first - view), "sync_ms": max(0.0, view - sample), "sample_ms": sample}


def _variants(jobs: Sequence[Job]) -> list[tuple[str, Job]]:
    """The extra renders of each mesh, after one that only warms the worker up."""
    variants = [(WARM_UP, job) for job in jobs[:1]]
    for job in jobs:
        noisy: list[JobView] = [{**view, "seed": view["seed"] // 2 + 1} for view in job["views"]]
        variants.append((ONE_SAMPLE, {**job, "samples": 1}))
        variants.append((OTHER_NOISE, {**job, "views": noisy}))
        variants.append((FIRST_VIEW, {**job, "samples": 1, "views": job["views"][:1]}))
    return variants


def _render_seconds(outcomes: Sequence[RenderedMesh], kind: str) -> dict[str, float]:
    """By scene id, the time inside Blender's render call."""
    done = (outcome for outcome in outcomes if outcome.images is not None and _kind(outcome) == kind)
    return {outcome.job["scene_id"]: outcome.facts["timings"].get("render", 0.0) for outcome in done}


def _kind(outcome: RenderedMesh) -> str:
    return str(outcome.job["job_kind"])
