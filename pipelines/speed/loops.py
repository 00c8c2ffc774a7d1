"""What `enr bench datagen` compares with: a bare loop in one Blender a worker, and the plain way of published scripts.

Both run `enr.datagen.blender.bare_loop`: light, samples and cameras are those of `enr datagen`, and nothing of what
makes it fast is in there. The plain way starts a new Blender for each mesh and writes a PNG for each view.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from enr.datagen.jobs import make_jobs
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.messages import Answer, Job
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError

BARE_LOOP = "enr.datagen.blender.bare_loop"


@dataclass(frozen=True)
class Loop:
    """What a comparison did.

    Attributes:
        images: pictures rendered.
        seconds: wall time.
        cpu_seconds: processor time of all processes together.
        peak_memory_mb: the largest resident memory of a process.
        timings: seconds by kind of work, summed over the processes.
    """

    images: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    timings: dict[str, float]


def run_bare_loop(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Loop:
    """The bare loop over the meshes, dealt out to as many Blender processes as there are workers.

    Its time is that of the slowest process, without what a bare loop would not do (normalise and paint).

    Raises:
        EnrError: Blender does not start, or no mesh could be rendered.
    """
    jobs = plain_jobs(settings, sources, scratch)
    hands = [jobs[first :: settings.pool.workers] for first in range(settings.pool.workers)]
    stems = [scratch / f"hand-{number}" for number, hand in enumerate(hands) if hand]
    jobs_of_hand: list[list[Job]] = [
        [{**job, "out": f"{stem}.tga"} for job in hand] for stem, hand in zip(stems, hands, strict=False)
    ]
    cpu_before = children_cpu_seconds()
    processes = [_start(hand, stem) for stem, hand in zip(stems, jobs_of_hand, strict=True)]
    answers = [_finish(process) for process in processes]
    seconds = max(answer["seconds"] - answer["timings"].get("prepare", 0.0) for answer in answers)
    return _add_up(answers, seconds, children_cpu_seconds() - cpu_before)


def run_plain_way(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Loop:
    """A new Blender for each mesh, as many at a time as there are workers; `picture_path` says where the PNGs are.

    Raises:
        EnrError: Blender does not start, or no mesh could be rendered.
    """

    def render(job: Job) -> Answer:
        out = str(picture_path(scratch, job["scene_id"], "{view}"))
        return _finish(_start([{**job, "file_format": "PNG", "out": out}], scratch / f"plain-{job['scene_id']}"))

    jobs = plain_jobs(settings, sources, scratch)
    started, cpu_before = time.perf_counter(), children_cpu_seconds()
    with ThreadPoolExecutor(settings.pool.workers) as threads:
        answers = list(threads.map(render, jobs))
    return _add_up(answers, time.perf_counter() - started, children_cpu_seconds() - cpu_before)


def children_cpu_seconds() -> float:
    """Processor time of this process's children that have ended: unlike wall time, other work hardly changes it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def picture_path(scratch: Path, scene_id: str, view: int | str) -> Path:
    """Where the plain way puts a view's PNG."""
    return scratch / f"plain-{scene_id}-{view}.png"


def plain_jobs(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> list[Job]:
    """The render jobs of the meshes that Blender may be given."""
    jobs = (job for job in make_jobs(settings, sources, scratch) if "refused" not in job)
    return [{**job, "threads": settings.pool.threads} for job in jobs]


def _start(jobs: Sequence[Job], stem: Path) -> subprocess.Popen[str]:
    """A Blender process that renders `jobs`."""
    stem.with_suffix(".json").write_text(json.dumps(jobs), encoding="utf-8")
    arguments = [sys.executable, "-m", BARE_LOOP, str(stem.with_suffix(".json")), str(time.time())]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> Answer:
    """A process's answer.

    Raises:
        EnrError: it ended without one; with Blender's last words.
    """
    said, words = process.communicate()
    if not said.strip():
        last = (words.strip().splitlines() or ["no words"])[-1]
        raise EnrError(f"Blender ended with status {process.returncode} ({last}); run `enr doctor`.")
    answer: Answer = json.loads(said)
    return answer


def _add_up(answers: Sequence[Answer], seconds: float, cpu_seconds: float) -> Loop:
    images = sum(answer["images"] for answer in answers)
    if not images:
        raise EnrError("The plain loops rendered nothing; run `enr doctor` to see what is missing.")
    kinds = dict.fromkeys(kind for answer in answers for kind in answer["timings"])
    return Loop(
        images=images,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_memory_mb=max(answer["peak_memory_mb"] for answer in answers),
        timings={kind: sum(answer["timings"].get(kind, 0.0) for answer in answers) for kind in kinds},
    )
