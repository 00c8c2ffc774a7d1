"""Files that are complete or as they were, and locks: the one place that makes anything last.

The promise of `replacing`, and of all that writes through it: whoever reads `path`, at whatever moment this process or
the machine stops, finds the old content or the new one, whole. What was begun lies beside it under a name that ends in
`PARTIAL_SUFFIX`, and is removed where an error is met.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

PARTIAL_SUFFIX = ".partial"
WITHOUT_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What `flock` says where the file system knows no locks."""


def partial_of(path: Path) -> Path:
    """Where this process writes what shall become `path`."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")


def publish(partial: Path, path: Path) -> None:
    """Give a file that was written under another name its own, once its bytes are on the disk.

    Raises:
        OSError: it cannot be done; `path` is as it was.
    """
    sync(partial)
    partial.replace(path)
    with suppress(OSError):  # the name is there; not every file system syncs folders
        sync(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what shall become `path`; it does so at the end, unless there is an error.

    Several processes may do so for one path at once: the last one wins. Folders on the way are made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `folder` at the end, unless there is an error.

    A folder cannot be replaced in one step: if the machine stops between two, there is none for a moment.

    Raises:
        OSError: it cannot be written.
    """
    partial = partial_of(folder)
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.is_dir():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, complete or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON with its own line for each entry, complete or not at all; NaN, which JSON does not know, becomes null.

    Raises:
        OSError: it cannot be written.
    """
    write_text(path, json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n")


def lock(path: Path) -> TextIO | None:
    """Lock a file, which is made if need be, until the handle is closed; None if somebody else holds it.

    The system lets go of the lock when its holder dies, however it dies. It rests on `flock`, which the file systems of
    clusters pass on between machines; where one does not know it, work goes on without a lock.

    Raises:
        OSError: the file cannot be opened.
    """
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            handle.close()
            return None
    return handle


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
