"""SHA-256 of a shard: of each data set, of the attributes, and the seal at the file's end over all bytes before it.

HDF5 ignores what follows its own end. The seal is looked at before HDF5 is, because the library cannot be trusted with
damaged files: a single flipped bit in their structure can end the process that opens them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MAGIC = b"\nenr-shard-sha256 "
LENGTH = len(MAGIC) + 64 + 1
CHUNK_BYTES = 2**22


def seal(content: bytes) -> bytes:
    """What to write behind the bytes of a finished HDF5 file."""
    return MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n"


def is_sealed(path: Path) -> bool:
    """Whether there is a seal at a file's end, right or wrong; reads nothing else.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - LENGTH))
        return handle.read(LENGTH).startswith(MAGIC)


def is_intact(path: Path) -> bool | None:
    """Whether a file is what was sealed, by reading all of it; None if it carries no seal (or has lost its end).

    Raises:
        OSError: it cannot be read.
    """
    left = max(0, path.stat().st_size - LENGTH)
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while left:
            piece = handle.read(min(left, CHUNK_BYTES))
            if not piece:
                return None  # it shrinks while it is read
            digest.update(piece)
            left -= len(piece)
        end = handle.read(LENGTH)
    if not end.startswith(MAGIC):
        return None
    return end == MAGIC + digest.hexdigest().encode() + b"\n"


def values_sha256(values: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes in row order, little-endian; of text in UTF-8, each entry ended by a NUL."""
    if values.dtype.kind in "OU":
        return hashlib.sha256(b"".join(str(text).encode() + b"\0" for text in values.tolist())).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def data_sets(file: h5py.File) -> list[str]:
    """Names of all data sets in a file."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def attributes_sha256(file: h5py.File) -> str:
    """SHA-256 of the attributes of the file and of its data sets, but for the hashes themselves, as sorted JSON."""
    held = {f"{name}.{key}": value for name in data_sets(file) for key, value in file[name].attrs.items()}
    held = {key: np.asarray(value).tolist() for key, value in {**held, **file.attrs}.items()}
    facts = {key: value for key, value in held.items() if key.split(".")[-1] != "sha256"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
