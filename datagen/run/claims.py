"""Two runs do not make the same shards: each claims its own in the output folder, for as long as it lives."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO, TypedDict
from uuid import uuid4

from enr import __version__
from enr.datagen.plan import PlannedShard
from enr.errors import EnrError
from enr.files import lock


class _Claim(TypedDict):
    """What a lock file says: whose it is, since when, a hash of the settings, and the names of the shards."""

    host: str
    pid: int
    since: str
    settings: str
    shards: list[str]


@contextmanager
def claim(folder: Path, shards: Sequence[PlannedShard]) -> Iterator[None]:
    """Keep other runs from making the same shards, or shards of other settings, in `folder` meanwhile.

    Runs of the same settings may share a folder if their shards differ (parts, workers of a cluster).

    Args:
        folder: where the shards go; made if need be, and removed again if nothing was put there.
        shards: those that the caller is about to make; at least one.

    Raises:
        EnrError: another run makes them, or the folder cannot be written to.
    """
    is_new = not folder.exists()
    group = shards[0].path.name.split("-")[0]
    config = {key: value for key, value in shards[0].config.items() if key != "meshes"}
    sizes = sorted({shard.path.name.rpartition("-of-")[2] for shard in shards})
    made_how = json.dumps([config, sizes, __version__], sort_keys=True)
    claimed: _Claim = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": hashlib.sha256(made_how.encode()).hexdigest(),
        "shards": [shard.path.name for shard in shards],
    }
    path = folder / f".{group}-{uuid4().hex}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _publish(path, claimed)
    except OSError as error:
        raise EnrError(
            f"{folder} cannot be written to ({error.strerror or error}); give another folder as --out."
        ) from error
    try:
        for other in sorted(folder.glob(f".{group}-*.lock")):
            rival = None if other == path else _living_claim(other)
            if rival and (rival["settings"] != claimed["settings"] or set(rival["shards"]) & set(claimed["shards"])):
                raise EnrError(
                    f"Another run makes {group} shards in {folder} (process {rival['pid']} on {rival['host']}, since "
                    f"{rival['since']}); wait for its end, or give another folder as --out."
                )
        yield
    finally:
        path.unlink(missing_ok=True)
        handle.close()
        if is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _publish(path: Path, claimed: _Claim) -> TextIO:
    """Lock a file and write a claim into it before anybody can find it under its name."""
    hidden = path.with_suffix(".new")
    handle = lock(hidden)
    assert handle is not None
    try:
        json.dump(claimed, handle)
        handle.flush()
        hidden.replace(path)
    except BaseException:
        handle.close()
        hidden.unlink(missing_ok=True)
        raise
    return handle


def _living_claim(path: Path) -> _Claim | None:
    """The claim in a lock file whose holder lives; the file of a dead one is removed."""
    try:
        handle = lock(path)
        if handle is not None:
            path.unlink(missing_ok=True)
            handle.close()
            return None
        claimed: _Claim = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it has just ended
        return None
    return claimed
