"""A Dask scheduler and workers, each a process of its own, as on a cluster."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE_SECONDS = 120
QUIET = ("--no-dashboard", "--host", "127.0.0.1")


class Cluster:
    """A scheduler and its workers; `preload` is a script that each worker runs at its start."""

    def __init__(self, folder: Path, preload: Path | None = None) -> None:
        self._folder, self._preload = folder, preload
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler_file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--scheduler-file", str(self.scheduler_file))
        wait_for(self.scheduler_file.exists)

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker that makes one shard at a time and is not started again when it dies."""
        preload = ("--preload", str(self._preload)) if self._preload else ()
        scratch = ("--local-directory", str(self._folder))
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *scratch, *preload)

    def stop(self) -> None:
        """Kill all of it."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(timeout=PATIENCE_SECONDS)

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{kind}-{len(self._processes)}.log").open("wb")
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *QUIET, *arguments]
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        self._processes.append(process)
        return process


@contextlib.contextmanager
def running_cluster(folder: Path, preload: Path | None = None) -> Iterator[Cluster]:
    """A cluster that is gone afterwards."""
    folder.mkdir(exist_ok=True)
    cluster = Cluster(folder, preload)
    try:
        yield cluster
    finally:
        cluster.stop()


def wait_for(condition) -> None:
    """Wait until something is so; how long is the machine's affair."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
