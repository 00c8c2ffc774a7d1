"""One render worker as seen from outside: a process that is asked, watched and, if it must be, killed."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from enr.datagen.failures import CRASH, ERROR, MEMORY, TIME, Failure
from enr.errors import EnrError

START_SECONDS = 180.0
POLL_SECONDS = 0.1
KILL_SECONDS = 10.0
PIPE_BYTES = 2**16
TAIL_LINES = 3
WORST_LINE_CHARACTERS = 300


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

    def __init__(self, command: list[str], log_path: Path, stopping: Event) -> None:
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
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
            )
        self._status = psutil.Process(self._process.pid)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)

    def ask(self, job: dict[str, Any] | None, limits: Limits) -> dict[str, Any]:
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
            raise WorkerError(self._with_words(error.failure, log_start)) from error

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

    def _exchange(self, question: bytes, limits: Limits) -> dict[str, Any]:
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
        return self._parse(line)

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

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise WorkerError(Failure(ERROR, f"the worker answered {line[:80]!r}"))
        return answer

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

    def _with_words(self, failure: Failure, log_start: int) -> Failure:
        """The failure with the tail of what Blender wrote since `log_start`, in brackets."""
        text = self._log_path.read_bytes()[log_start:].decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Saved: ")]
        words = " | ".join(line[:WORST_LINE_CHARACTERS] for line in lines[-TAIL_LINES:])
        return Failure(failure.kind, f"{failure.reason} ({words})" if words else failure.reason)


def start_worker(command: list[str], log_path: Path, stopping: Event, seconds: float = START_SECONDS) -> WorkerProcess:
    """A worker that has said that it is ready.

    Raises:
        EnrError: it did not, with Blender's words.
    """
    try:
        worker = WorkerProcess(command, log_path, stopping)
        worker.ask(None, Limits(seconds, math.inf))
    except (OSError, WorkerError) as error:
        raise EnrError(f"A render worker did not start: {error}; run `enr doctor` to see what is missing.") from error
    return worker
