"""Locks that end with their holder: the system lets go of them when a process dies, however it dies.

They rest on `flock`, which the file systems of clusters pass on between machines. Where one does not know it, work goes
on without a lock.
"""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import TextIO

UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What `flock` says where the file system knows no locks."""


def take(path: Path) -> TextIO | None:
    """Lock a file, which is made if need be, until the handle is closed; None if somebody else holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            handle.close()
            return None
    return handle
