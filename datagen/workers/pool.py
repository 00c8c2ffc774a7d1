"""Many render workers at once: threads that each feed one, and the folder where their pictures wait."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from enr.datagen.failures import BAD_MESH
from enr.datagen.messages import Job
from enr.datagen.settings import PoolSettings
from enr.datagen.workers.worker import RenderedMesh, WorkerSeat
from enr.files import lock

PREFIX = "enr-datagen-"
LOCK = "in-use.lock"
RAM_DISK = Path("/dev/shm")
RAM_DISK_FREE_BYTES = 512 * 2**20
YOUNG_SECONDS = 600.0
"""A folder without a lock may be about to get one while it is younger than this."""


def scratch_root() -> Path:
    """The RAM disk where there is one with room, else the system's folder for temporary files."""
    try:
        stats = os.statvfs(RAM_DISK)
    except OSError:
        return Path(tempfile.gettempdir())
    free = stats.f_bavail * stats.f_frsize
    return RAM_DISK if os.access(RAM_DISK, os.W_OK) and free > RAM_DISK_FREE_BYTES else Path(tempfile.gettempdir())


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder below `root`, removed in the end, or by a later run if this one is killed."""
    for left in root.glob(f"{PREFIX}*"):  # those whose run is dead: nobody holds their lock
        try:
            if not (left / LOCK).exists() and time.time() - left.stat().st_mtime < YOUNG_SECONDS:
                continue
            held = lock(left / LOCK)
        except OSError:  # somebody else's, or just gone
            continue
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            held.close()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=root, ignore_cleanup_errors=True) as folder:
        held = lock(Path(folder) / LOCK)
        try:
            yield Path(folder)
        finally:
            if held is not None:
                held.close()


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_all(jobs: Iterable[Job], settings: PoolSettings) -> Iterator[RenderedMesh]:
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

    def __init__(self, jobs: Iterator[Job], settings: PoolSettings, scratch: Path) -> None:
        self._jobs = enumerate(jobs)
        self._lock = threading.Lock()
        self._settings = settings
        self._ready: queue.Queue[RenderedMesh | BaseException | None] = queue.Queue(maxsize=2 * settings.workers)
        self._stopping = threading.Event()
        self._scratch = scratch
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), daemon=True) for number in range(settings.workers)
        ]

    def outcomes(self) -> Iterator[RenderedMesh]:
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

    def _serve(self, seat_number: int) -> None:
        seat = WorkerSeat(seat_number, self._settings, self._scratch, self._stopping)
        try:
            while not self._stopping.is_set():
                with self._lock:
                    numbered = next(self._jobs, None)
                if numbered is None:
                    break
                number, job = numbered
                if "refused" in job:
                    kind = job.get("refused_kind", BAD_MESH)
                    self._ready.put(RenderedMesh(job, reason=job["refused"], kind=kind))
                else:
                    self._ready.put(seat.render(number, job))
        except BaseException as error:  # hand it to the caller's thread
            self._ready.put(error)
        finally:
            seat.dismiss()
            self._ready.put(None)
