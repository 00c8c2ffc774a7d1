"""A seat for render workers: one Blender process for many meshes at a time, and nothing one of them does is fatal.

Seen from outside: a process that is asked, watched and, if it must be, killed. A crash, a hang, too much memory or an
unexpected error costs a mesh one retry in a fresh worker, then it is a named failure with the tail of Blender's own
words. Blender is never imported in this process.
"""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import psutil
from numpy.typing import NDArray

from enr.datagen.failures import BAD_MESH, CRASH, ERROR, MEMORY, TIME, Failure
from enr.datagen.messages import Answer, Job
from enr.datagen.settings import PoolSettings
from enr.errors import EnrError

WORKER = Path(__file__).resolve().parents[1] / "blender/worker.py"
START_PAUSES_S = (2.0, 10.0, 30.0)
TRIES = 2
LEAST_FREE_BYTES = 2**20
START_SECONDS = 180.0
POLL_SECONDS = 0.1
KILL_SECONDS = 10.0
PIPE_BYTES = 2**16
TAIL_LINES = 3
WORST_LINE_CHARACTERS = 300


@dataclass(frozen=True)
class RenderedMesh:
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

    job: Job
    images: NDArray[np.uint8] | None = None
    facts: Answer = field(default_factory=lambda: Answer())
    reason: str = ""
    passes: dict[str, NDArray[Any]] = field(default_factory=dict)
    kind: str = ""


_READING = threading.Lock()
"""One thread at a time reads what a worker wrote: NumPy parses headers as Python, and of several threads that do so at
once CPython 3.11.7's parser now and then says `SystemError: AST constructor recursion depth mismatch`."""


class WorkerSeat:
    """One place at which worker processes succeed each other."""

    def __init__(self, number: int, settings: PoolSettings, scratch: Path, stopping: Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._scratch = scratch
        self._log_path = scratch / f"worker-{number}.log"
        pin = settings.pins[number % len(settings.pins)] if settings.pins else ""
        self._environment = {**os.environ, **dict([pin.split("=", 1)] if pin else [])}
        self._limits = Limits(settings.mesh_timeout_s, settings.mesh_memory_mb)
        self._process: WorkerProcess | None = None
        self._memory_at_start_mb = 0.0
        self._meshes_done = 0
        self._has_started = False

    def render(self, number: int, job: Job) -> RenderedMesh:
        """The outcome of a job, after a second try in a fresh worker where the first one failed unexpectedly."""
        outcome = RenderedMesh(job, reason="it was not tried", kind=ERROR)
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

    def _try(self, number: int, job: Job) -> RenderedMesh:
        process = self._worker()
        out = self._scratch / f"{number}.npy"
        self._meshes_done += 1
        try:
            question: Job = {**job, "job": number, "out": str(out), "threads": self._settings.threads}
            answer = process.ask(question, self._limits)
            return read_result(job, answer, out)
        except WorkerError as error:
            return RenderedMesh(job, reason=error.failure.reason, kind=error.failure.kind)
        finally:
            for left in self._scratch.glob(f"{number}.*"):
                left.unlink(missing_ok=True)

    def _worker(self) -> WorkerProcess:
        """The worker at this seat, a fresh one if there is none or it has served long enough."""
        half_way_mb = (self._memory_at_start_mb + self._limits.memory_mb) / 2
        if self._process is not None and (
            self._meshes_done >= self._settings.meshes_per_worker or self._process.memory_mb() > half_way_mb
        ):
            self.dismiss()
        if self._process is None:
            self._process = self._start()
            self._meshes_done = 0
        return self._process

    def _start(self) -> WorkerProcess:
        """A new worker. The first may fail once; after one has started, others for a while (too little memory)."""
        command = worker_command(WORKER, (str(self._settings.threads),), self._settings.threads, self._settings.blender)
        pauses = list(START_PAUSES_S) if self._has_started else [0.0]
        while True:
            try:
                process = start_worker(command, self._log_path, self._stopping, self._environment)
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


def read_result(job: Job, answer: Answer, out: Path) -> RenderedMesh:
    """What a worker's answer and the files that it left come to; a result counts only if it is whole."""
    if not answer.get("ok"):
        kind = BAD_MESH if answer.get("bad_mesh") else ERROR
        return RenderedMesh(job, facts=answer, reason=str(answer.get("reason", "no reason was given")), kind=kind)
    try:
        with _READING:
            images = np.load(out)
            passes = {name: np.load(out.with_suffix(f".{name}.npy")) for name in answer.get("passes", ())}
    except (OSError, ValueError, EOFError) as error:
        return RenderedMesh(job, facts=answer, reason=f"its pictures could not be read back ({error})", kind=ERROR)
    shape = (len(job["views"]), job["height_px"], job["width_px"])
    wrong = [name for name, array in passes.items() if array.shape[:3] != shape]
    if images.dtype != np.uint8 or images.shape != (*shape, 4) or wrong:
        reason = f"its pictures came back with the wrong shape ({images.dtype} {images.shape} {' '.join(wrong)})"
        return RenderedMesh(job, facts=answer, reason=reason, kind=ERROR)
    return RenderedMesh(job, images, answer, passes=passes)


@dataclass(frozen=True)
class Limits:
    """What a worker may take for one answer: seconds, and MB of resident memory."""

    seconds: float
    memory_mb: float


class WorkerError(Exception):
    """A worker gave no answer and is of no use any more; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class WorkerProcess:
    """A process that reads one JSON line for each job and answers with one.

    It is watched while it works: the answer must come in time, and its resident memory must stay below a limit. Neither
    a worker that stops reading nor one that cannot be killed (stuck in a file system) makes this process wait for ever.
    Setting the event `stopping` ends the wait.
    """

    def __init__(
        self, command: list[str], log_path: Path, stopping: Event, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log_path = log_path
        self._stopping = stopping
        self._left = b""
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
            )
        self._status = psutil.Process(self._process.pid)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)

    def ask(self, job: Job | None, limits: Limits) -> Answer:
        """The answer to a job, or the worker's greeting if `job` is None.

        Raises:
            WorkerError: there is none; the process has been killed.
        """
        log_start = 0 if job is None else self._log_path.stat().st_size
        question = b"" if job is None else json.dumps(job).encode() + b"\n"
        try:
            return self._exchange(question, limits)
        except WorkerError as error:
            self.end()
            # With the tail of what Blender wrote since, in brackets.
            text = self._log_path.read_bytes()[log_start:].decode("utf-8", "replace")
            lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Saved: ")]
            words = " | ".join(line[:WORST_LINE_CHARACTERS] for line in lines[-TAIL_LINES:])
            reason = f"{error.failure.reason} ({words})" if words else error.failure.reason
            raise WorkerError(Failure(error.failure.kind, reason)) from error

    def memory_mb(self) -> float:
        """Resident memory now; 0 if the process is gone."""
        try:
            return float(self._status.memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def end(self) -> None:
        """Kill it, and what it may have started (an installed Blender can be a script), and let go of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=KILL_SECONDS)
        self._stdin.close()
        self._stdout.close()

    def _exchange(self, question: bytes, limits: Limits) -> Answer:
        """Write the question and read a line, looking after the limits all the while."""
        deadline, is_greeting = time.monotonic() + limits.seconds, not question
        while b"\n" not in self._left:
            if self._stopping.is_set():
                raise WorkerError(Failure(ERROR, "the run was stopped"))
            writers = [self._stdin] if question else []
            readable, writable, _ = select.select([self._stdout], writers, [], POLL_SECONDS)
            if writable:
                question = question[self._write(question) :]
            if readable:
                self._left += self._read()
            elif time.monotonic() > deadline:
                raise WorkerError(Failure(TIME, f"no result within {limits.seconds:g} s"))
            elif self.memory_mb() > limits.memory_mb:
                raise WorkerError(Failure(MEMORY, f"it needed more than {limits.memory_mb:g} MB"))
        line, self._left = self._left.split(b"\n", 1)
        if is_greeting and not line.startswith(b"{"):  # what an installed Blender says before it runs the script
            return self._exchange(b"", limits)
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise WorkerError(Failure(ERROR, f"the worker answered {line[:80]!r}"))
        return cast(Answer, said)

    def _write(self, question: bytes) -> int:
        try:
            return os.write(self._stdin.fileno(), question[:PIPE_BYTES])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise WorkerError(self._ending()) from error

    def _read(self) -> bytes:
        piece = os.read(self._stdout.fileno(), PIPE_BYTES)
        if not piece:
            raise WorkerError(self._ending())
        return piece

    def _ending(self) -> Failure:
        """How the process ended."""
        try:
            status = self._process.wait(timeout=KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return Failure(CRASH, "the worker closed its connection")
        if status == -signal.SIGKILL:
            return Failure(CRASH, "Blender was killed (SIGKILL: by hand, or because the machine had no memory left)")
        if status < 0:
            return Failure(CRASH, f"Blender crashed ({signal.Signals(-status).name})")
        return Failure(CRASH, f"Blender ended with status {status}")


def start_worker(
    command: list[str], log_path: Path, stopping: Event, environment: Mapping[str, str] | None = None
) -> WorkerProcess:
    """A worker that has said that it is ready.

    Args:
        command: what to run.
        log_path: where its words go.
        stopping: ends the wait.
        environment: its variables; None for those of this process.

    Raises:
        EnrError: it did not, with Blender's words.
    """
    try:
        worker = WorkerProcess(command, log_path, stopping, environment)
        worker.ask(None, Limits(START_SECONDS, math.inf))
    except (OSError, WorkerError) as error:
        raise EnrError(f"A render worker did not start: {error}; run `enr doctor` to see what is missing.") from error
    return worker


def worker_command(script: Path, arguments: tuple[str, ...], threads: int, executable: Path | None = None) -> list[str]:
    """The command that runs a Python script in which `bpy` can be imported.

    Args:
        script: the file.
        arguments: what it finds at the end of `sys.argv`.
        threads: how many an installed Blender may use; in the wheel the script sees to that itself.
        executable: an installed Blender; None for the wheel.
    """
    if executable is None:
        # `-P`: the script's own folder holds modules that must not hide others.
        safe_path = ["-P"] if sys.version_info >= (3, 11) else []
        return [sys.executable, *safe_path, str(script), *arguments]
    quiet = ["--background", "--factory-startup", "-noaudio", "--threads", str(threads)]
    return [str(executable), *quiet, "--python-exit-code", "1", "--python", str(script), "--", *arguments]
