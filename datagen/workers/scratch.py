"""Folders for what a run holds for a moment. Those of killed runs are swept: on a RAM disk they hold memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enr.datagen.workers.filelock import take

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
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=root, ignore_cleanup_errors=True) as folder:
        lock = take(Path(folder) / LOCK)
        try:
            yield Path(folder)
        finally:
            if lock is not None:
                lock.close()


def _sweep(root: Path) -> None:
    """Remove the folders whose run is dead: nobody holds their lock."""
    for folder in root.glob(f"{PREFIX}*"):
        try:
            if not (folder / LOCK).exists() and time.time() - folder.stat().st_mtime < YOUNG_SECONDS:
                continue
            lock = take(folder / LOCK)
        except OSError:  # somebody else's, or just gone
            continue
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()
