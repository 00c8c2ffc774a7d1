"""How fast data is generated, where the time goes, and how that compares with a plain loop over the same meshes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enr.datagen.generate import Summary, generate
from enr.datagen.mesh_jobs import make_jobs
from enr.datagen.meshes import find_meshes
from enr.datagen.plan import GenerateSettings
from enr.errors import EnrError

BARE_LOOP = "enr.datagen.blender_bare_loop"
BLENDER_CALL = "render"
"""The kind of work in the workers' timings that is Blender's own render call; everything else is overhead."""


@dataclass(frozen=True)
class BareLoop:
    """What the plain loop did.

    Attributes:
        images: pictures rendered.
        seconds: wall time of its slowest process, without what a plain loop would not do (normalise and paint).
        peak_memory_mb: the largest resident memory of a process.
        timings: seconds by kind of work, summed over the processes.
    """

    images: int
    seconds: float
    peak_memory_mb: float
    timings: dict[str, float]


def benchmark_datagen(settings: GenerateSettings) -> dict[str, Any]:
    """Render the same views twice, by `enr datagen`'s own code and by a plain loop, one after the other.

    Args:
        settings: what to render; its `out` is not used.

    Returns:
        rates, shares and memory, ready for JSON. Rates count from the start of the first process to the last written
        file. `overhead_share` is everything outside Blender's render call, of workers x wall time;
        `overhead_share_while_serving` leaves out the start of the workers and their wait for the last one.
    """
    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        scratch = Path(folder)
        bare = run_bare_loop(settings, scratch)
        started = time.perf_counter()
        summary = generate(dataclasses.replace(settings, out=scratch / "shards"))
        seconds = time.perf_counter() - started
    if not summary.images:
        raise EnrError(f"None of the meshes could be rendered ({next(iter(summary.failures.values()))}).")
    return _report(settings, summary, seconds, bare)


def _report(settings: GenerateSettings, summary: Summary, seconds: float, bare: BareLoop) -> dict[str, Any]:
    workers, images, render = settings.pool.workers, summary.images, settings.render
    blender_seconds, serving = summary.timings[BLENDER_CALL], sum(summary.timings.values())
    parts = {**summary.timings, "other": max(0.0, workers * seconds - serving)}
    rate, bare_rate = images / seconds, bare.images / bare.seconds
    return {
        "images": images,
        "meshes": summary.scenes,
        "failed_meshes": len(summary.failures),
        "resolution_px": [render.width_px, render.height_px],
        "samples": render.samples,
        "workers": workers,
        "seconds": seconds,
        "images_per_second": rate,
        "worker_ms_per_image": {kind: 1000 * value / images for kind, value in parts.items()},
        "overhead_share": 1 - blender_seconds / (workers * seconds),
        "overhead_share_while_serving": 1 - blender_seconds / serving,
        "peak_memory_mb": summary.worker_peak_memory_mb,
        "bare_loop": {
            "images": bare.images,
            "images_per_second": bare_rate,
            "worker_ms_per_image": {kind: 1000 * value / bare.images for kind, value in bare.timings.items()},
            "peak_memory_mb": bare.peak_memory_mb,
        },
        "rate_over_bare_loop": rate / bare_rate,
    }


def run_bare_loop(settings: GenerateSettings, scratch: Path) -> BareLoop:
    """The plain loop over the settings' meshes, dealt out to as many Blender processes as there are workers.

    Raises:
        EnrError: Blender does not start, or no mesh could be rendered.
    """
    jobs = [job for job in make_jobs(settings, find_meshes(settings.meshes), scratch) if "refused" not in job]
    jobs = [{**job, "threads": settings.pool.threads} for job in jobs]
    hands = [jobs[first :: settings.pool.workers] for first in range(settings.pool.workers)]
    processes = [_start(hand, scratch / f"hand-{number}") for number, hand in enumerate(hands) if hand]
    answers = [_finish(process) for process in processes]
    images = sum(answer["images"] for answer in answers)
    if not images:
        raise EnrError("The plain loop rendered nothing; run `enr doctor` to see what is missing.")
    return BareLoop(
        images=images,
        seconds=max(answer["seconds"] - answer["timings"].get("prepare", 0.0) for answer in answers),
        peak_memory_mb=max(answer["peak_memory_mb"] for answer in answers),
        timings=_add_up([answer["timings"] for answer in answers]),
    )


def _start(jobs: Sequence[dict[str, Any]], stem: Path) -> subprocess.Popen[str]:
    """A Blender process that renders `jobs`, each picture over the last one."""
    picture = str(stem.with_suffix(".tga"))
    stem.with_suffix(".json").write_text(json.dumps([{**job, "out": picture} for job in jobs]), encoding="utf-8")
    arguments = [sys.executable, "-m", BARE_LOOP, str(stem.with_suffix(".json")), str(time.time())]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """A process's answer.

    Raises:
        EnrError: it ended without one; with Blender's last words.
    """
    said, words = process.communicate()
    if not said.strip():
        last = (words.strip().splitlines() or ["no words"])[-1]
        raise EnrError(f"Blender ended with status {process.returncode} ({last}); run `enr doctor`.")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _add_up(timings: Sequence[dict[str, float]]) -> dict[str, float]:
    kinds = dict.fromkeys(kind for timing in timings for kind in timing)
    return {kind: sum(timing.get(kind, 0.0) for timing in timings) for kind in kinds}
