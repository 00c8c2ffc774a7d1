"""A thin supervisor of render workers: one Blender process for many meshes, and nothing one of them does is fatal.

A crash, a hang or an unexpected error costs a mesh one retry in a fresh worker, then it is a named failure with the
tail of Blender's own words. Blender is never imported in this process.
"""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from enr.errors import EnrError

WORKER = Path(__file__).resolve().with_name("worker.py")
START_SECONDS = 180.0
TAIL_LINES = 3
TRIES = 2
SCRATCH_PREFIX = "enr-datagen-"
RAM_DISK = Path("/dev/shm")
RAM_DISK_FREE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class PoolSettings:
    """How the workers are run.

    Attributes:
        workers: processes.
        threads: threads of each; changes no pixel.
        mesh_timeout_s: seconds after which a mesh's worker is killed.
        meshes_per_worker: a worker is replaced after so many meshes, before its memory grows.
    """

    workers: int = 1
    threads: int = 1
    mesh_timeout_s: float = 300.0
    meshes_per_worker: int = 500


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        job: the job as it was given.
        images: RGBA (views, height, width, 4) uint8, straight alpha; None if the mesh failed.
        facts: the worker's answer (normalisation, materials, clipped views, timings, memory).
        reason: why there are no images, in words; empty on success.
        passes: further pictures by name, `views` rows each: those that the answer lists under `passes`, which the
            worker saved beside the images as `<stem of out>.<name>.npy`.
    """

    job: dict[str, Any]
    images: NDArray[np.uint8] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    passes: dict[str, NDArray[Any]] = field(default_factory=dict)


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_all(jobs: Iterable[dict[str, Any]], settings: PoolSettings) -> Iterator[Outcome]:
    """Render jobs (see `enr.datagen.jobs.render_job`) in worker processes; outcomes as they are ready, in any order.

    A job with an entry `refused` is not rendered: that entry is its outcome's reason.

    Raises:
        EnrError: no worker can be started at all, with Blender's words.
    """
    root = _scratch_root()
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-", dir=root) as scratch:
        crew = _Crew(iter(jobs), settings, Path(scratch))
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
        """Kill what still runs and wait for the threads."""
        self._stopping.set()
        while any(thread.is_alive() for thread in self._threads):
            for seat in self._seats:
                seat.kill()
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
                refused = job.get("refused", "")
                self._ready.put(Outcome(job, reason=refused) if refused else seat.render(number, job))
        except BaseException as error:  # hand it to the caller's thread
            self._ready.put(error)
        finally:
            seat.dismiss()
            self._ready.put(None)


class _Seat:
    """One place at which worker processes succeed each other."""

    def __init__(self, number: int, settings: PoolSettings, scratch: Path, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._scratch = scratch
        self._log_path = scratch / f"worker-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._meshes_done = 0

    def render(self, number: int, job: dict[str, Any]) -> Outcome:
        """The outcome of a job, after a second try in a fresh worker where the first one failed unexpectedly."""
        outcome = Outcome(job, reason="it was not tried")
        for _ in range(TRIES):
            outcome = self._try(number, job)
            if not outcome.reason or outcome.facts.get("bad_mesh") or self._stopping.is_set():
                break
            self.dismiss()
        return outcome

    def kill(self) -> None:
        """Kill the worker process from another thread; the seat's own thread notices and tidies up."""
        process = self._process
        if process is not None:
            process.kill()

    def dismiss(self) -> None:
        """End the worker process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _try(self, number: int, job: dict[str, Any]) -> Outcome:
        process = self._worker()
        log_start = self._log_path.stat().st_size
        out = self._scratch / f"{number}.npy"
        out.unlink(missing_ok=True)
        answer, problem = _ask(
            process,
            {**job, "job": number, "out": str(out), "threads": self._settings.threads},
            self._settings.mesh_timeout_s,
        )
        self._meshes_done += 1
        if answer is None:
            return Outcome(job, reason=f"{problem}{self._words(log_start)}")
        if not answer["ok"]:
            return Outcome(job, facts=answer, reason=answer["reason"])
        passes = {name: _take(out.with_suffix(f".{name}.npy")) for name in answer.get("passes", ())}
        return Outcome(job, _take(out), answer, passes=passes)

    def _worker(self) -> subprocess.Popen[bytes]:
        """The worker at this seat, a fresh one if there is none or it has served long enough."""
        if self._process is not None and self._meshes_done >= self._settings.meshes_per_worker:
            self.dismiss()
        if self._process is None:
            self._process = self._start()
            self._meshes_done = 0
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", str(WORKER), str(self._settings.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
            )
        hello, problem = _read(process, START_SECONDS)
        if hello is None:
            process.kill()
            process.communicate()
            raise EnrError(
                f"A render worker did not start: {problem}{self._words(0)}; run `enr doctor` to see what is missing."
            )
        return process

    def _words(self, log_start: int) -> str:
        """The tail of what Blender wrote since `log_start`, in brackets, or nothing."""
        text = self._log_path.read_bytes()[log_start:].decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Saved: ")]
        return f" ({' | '.join(lines[-TAIL_LINES:])})" if lines else ""


def _take(path: Path) -> NDArray[Any]:
    """The array in a file, which is removed."""
    array: NDArray[Any] = np.load(path)
    path.unlink()
    return array


def _ask(process: subprocess.Popen[bytes], job: dict[str, Any], seconds: float) -> tuple[dict[str, Any] | None, str]:
    """The worker's answer to a job, or None and what went wrong."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None, _ending(process)
    return _read(process, seconds)


def _read(process: subprocess.Popen[bytes], seconds: float) -> tuple[dict[str, Any] | None, str]:
    """The next line of a worker, or None and what went wrong. A worker writes each line in one piece."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], seconds)
    if not readable:
        return None, f"no result within {seconds:g} s"
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        return None, _ending(process)
    answer: dict[str, Any] = json.loads(line)
    return answer, ""


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a worker process ended, in words."""
    try:
        status = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return "the worker closed its connection"
    if status < 0:
        return f"Blender crashed ({signal.Signals(-status).name})"
    return f"Blender ended with status {status}"


def _scratch_root() -> Path:
    """The RAM disk where there is one with room, else the system's folder for temporary files."""
    try:
        stats = os.statvfs(RAM_DISK)
    except OSError:
        return Path(tempfile.gettempdir())
    free = stats.f_bavail * stats.f_frsize
    return RAM_DISK if os.access(RAM_DISK, os.W_OK) and free > RAM_DISK_FREE_BYTES else Path(tempfile.gettempdir())


def _sweep(root: Path) -> None:
    """Remove the scratch folders of runs that were killed: on a RAM disk they hold memory."""
    for folder in root.glob(f"{SCRATCH_PREFIX}*-*"):
        pid = folder.name.removeprefix(SCRATCH_PREFIX).split("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
