"""A thin supervisor of render workers: one Blender process for many meshes, and nothing one of them does is fatal.

A crash, a hang, too much memory or an unexpected error costs a mesh one retry in a fresh worker, then it is a named
failure with the tail of Blender's own words. Blender is never imported in this process.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.failures import BAD_MESH, ERROR
from enr.datagen.workers.installed_blender import worker_command
from enr.datagen.workers.scratch import scratch_folder, scratch_root
from enr.datagen.workers.worker_process import Limits, WorkerError, WorkerProcess, start_worker
from enr.errors import EnrError

WORKER = Path(__file__).resolve().parents[1] / "blender/worker.py"
START_PAUSES_S = (2.0, 10.0, 30.0)
TRIES = 2
LEAST_FREE_BYTES = 2**20


@dataclass(frozen=True)
class PoolSettings:
    """How the workers are run.

    Attributes:
        workers: processes.
        threads: threads of each; changes no pixel.
        mesh_timeout_s: seconds after which a mesh's worker is killed.
        mesh_memory_mb: a worker that holds more than this is killed; one that has grown half-way there is replaced
            after its mesh.
        meshes_per_worker: a worker is replaced after so many meshes.
        blender: an installed Blender's executable that the workers are; None for the `bpy` package.
    """

    workers: int = 1
    threads: int = 1
    mesh_timeout_s: float = 300.0
    mesh_memory_mb: float = 2048.0
    meshes_per_worker: int = 500
    blender: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        job: the job as it was given.
        images: RGBA (views, height, width, 4) uint8, straight alpha; None if the mesh failed.
        facts: the worker's answer (normalisation, materials, clipped views, timings, memory).
        reason: why there are no images, in words; empty on success.
        kind: the same as a word (see `enr.datagen.failures`); empty on success.
        passes: further pictures by name, `views` rows each: those that the answer lists under `passes`, which the
            worker saved beside the images as `<stem of out>.<name>.npy`.
    """

    job: dict[str, Any]
    images: NDArray[np.uint8] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    passes: dict[str, NDArray[Any]] = field(default_factory=dict)
    kind: str = ""


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_all(jobs: Iterable[dict[str, Any]], settings: PoolSettings) -> Iterator[Outcome]:
    """Render jobs (see `enr.datagen.jobs.render_job`) in worker processes; outcomes as they are ready, in any order.

    A job with an entry `refused` is not rendered: that entry is its outcome's reason, and `refused_kind` its kind
    where it is not a bad mesh.

    Raises:
        EnrError: no worker can be started at all, with Blender's words.
    """
    with scratch_folder(scratch_root()) as scratch:
        crew = _Crew(iter(jobs), settings, scratch)
        try:
            yield from crew.outcomes()
        finally:
            crew.stop()


class _Crew:
    """Threads that each feed one worker process; outcomes wait in a short queue, so that memory stays bounded."""

    def __init__(self, jobs: Iterator[dict[str, Any]], settings: PoolSettings, scratch: Path) -> None:
        self._jobs = enumerate(jobs)
        self._lock = threading.Lock()
        self._settings = settings
        self._ready: queue.Queue[Outcome | BaseException | None] = queue.Queue(maxsize=2 * settings.workers)
        self._stopping = threading.Event()
        self._seats = [_Seat(number, settings, scratch, self._stopping) for number in range(settings.workers)]
        self._threads = [threading.Thread(target=self._serve, args=(seat,), daemon=True) for seat in self._seats]

    def outcomes(self) -> Iterator[Outcome]:
        """Start the threads and hand out what they bring."""
        for thread in self._threads:
            thread.start()
        finished = 0
        while finished < len(self._threads):
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                finished += 1
            else:
                yield item

    def stop(self) -> None:
        """Have the threads kill what still runs, and wait for them."""
        self._stopping.set()
        while any(thread.is_alive() for thread in self._threads):
            while not self._ready.empty():
                self._ready.get_nowait()
            time.sleep(0.01)

    def _serve(self, seat: _Seat) -> None:
        try:
            while not self._stopping.is_set():
                with self._lock:
                    numbered = next(self._jobs, None)
                if numbered is None:
                    break
                number, job = numbered
                self._ready.put(_refusal(job) if "refused" in job else seat.render(number, job))
        except BaseException as error:  # hand it to the caller's thread
            self._ready.put(error)
        finally:
            seat.dismiss()
            self._ready.put(None)


def _refusal(job: dict[str, Any]) -> Outcome:
    return Outcome(job, reason=job["refused"], kind=job.get("refused_kind", BAD_MESH))


class _Seat:
    """One place at which worker processes succeed each other."""

    def __init__(self, number: int, settings: PoolSettings, scratch: Path, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._scratch = scratch
        self._log_path = scratch / f"worker-{number}.log"
        self._limits = Limits(settings.mesh_timeout_s, settings.mesh_memory_mb)
        self._process: WorkerProcess | None = None
        self._memory_at_start_mb = 0.0
        self._meshes_done = 0
        self._has_started = False

    def render(self, number: int, job: dict[str, Any]) -> Outcome:
        """The outcome of a job, after a second try in a fresh worker where the first one failed unexpectedly."""
        outcome = Outcome(job, reason="it was not tried", kind=ERROR)
        for _ in range(TRIES):
            outcome = self._try(number, job)
            if outcome.kind in ("", BAD_MESH) or self._stopping.is_set():
                break
            self.dismiss()
            self._check_room()
        return outcome

    def dismiss(self) -> None:
        """End the worker process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _try(self, number: int, job: dict[str, Any]) -> Outcome:
        process = self._worker()
        out = self._scratch / f"{number}.npy"
        self._meshes_done += 1
        try:
            question = {**job, "job": number, "out": str(out), "threads": self._settings.threads}
            answer = process.ask(question, self._limits)
            return read_result(job, answer, out)
        except WorkerError as error:
            return Outcome(job, reason=error.failure.reason, kind=error.failure.kind)
        finally:
            for left in self._scratch.glob(f"{number}.*"):
                left.unlink(missing_ok=True)

    def _worker(self) -> WorkerProcess:
        """The worker at this seat, a fresh one if there is none or it has served long enough."""
        if self._process is not None and self._is_used_up(self._process):
            self.dismiss()
        if self._process is None:
            self._process = self._start()
            self._meshes_done = 0
        return self._process

    def _is_used_up(self, process: WorkerProcess) -> bool:
        """Whether a worker has rendered its number of meshes, or grown by half of what one may grow by."""
        half_way_mb = (self._memory_at_start_mb + self._limits.memory_mb) / 2
        return self._meshes_done >= self._settings.meshes_per_worker or process.memory_mb() > half_way_mb

    def _start(self) -> WorkerProcess:
        """A new worker. The first may fail once; after one has started, others for a while (too little memory)."""
        command = worker_command(WORKER, (str(self._settings.threads),), self._settings.threads, self._settings.blender)
        pauses = list(START_PAUSES_S) if self._has_started else [0.0]
        while True:
            try:
                process = start_worker(command, self._log_path, self._stopping)
                break
            except EnrError:
                if not pauses or self._stopping.wait(pauses.pop(0)):
                    raise
        self._has_started = True
        self._memory_at_start_mb = process.memory_mb()
        if self._memory_at_start_mb > self._limits.memory_mb:
            process.end()
            raise EnrError(
                f"A worker may hold {self._limits.memory_mb:g} MB, but Blender alone takes "
                f"{self._memory_at_start_mb:.0f} MB; give a larger --mesh-memory."
            )
        return process

    def _check_room(self) -> None:
        """End the run where no mesh can succeed, for want of room for its pictures.

        Raises:
            EnrError: the scratch folder's disk is full.
        """
        if shutil.disk_usage(self._scratch).free < LEAST_FREE_BYTES:
            raise EnrError(
                f"{self._scratch.parent}, where pictures wait to be stored, is full; make room there and run the same "
                "command again, finished shards are kept."
            )


def read_result(job: dict[str, Any], answer: dict[str, Any], out: Path) -> Outcome:
    """What a worker's answer and the files that it left come to; a result counts only if it is whole."""
    if not answer.get("ok"):
        kind = BAD_MESH if answer.get("bad_mesh") else ERROR
        return Outcome(job, facts=answer, reason=str(answer.get("reason", "no reason was given")), kind=kind)
    try:
        images = np.load(out)
        passes = {name: np.load(out.with_suffix(f".{name}.npy")) for name in answer.get("passes", ())}
    except (OSError, ValueError, EOFError) as error:
        return Outcome(job, facts=answer, reason=f"its pictures could not be read back ({error})", kind=ERROR)
    shape = (len(job["views"]), job["height_px"], job["width_px"])
    wrong = [name for name, array in passes.items() if array.shape[:3] != shape]
    if images.dtype != np.uint8 or images.shape != (*shape, 4) or wrong:
        reason = f"its pictures came back with the wrong shape ({images.dtype} {images.shape} {' '.join(wrong)})"
        return Outcome(job, facts=answer, reason=reason, kind=ERROR)
    return Outcome(job, images, answer, passes=passes)
