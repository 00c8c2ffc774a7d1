"""Reads pictures out of shards: from a memory map where they lie in one piece, else through HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.shards import image_offset, open_shard

Images = NDArray[np.uint8]


class ImageSource(Protocol):
    """The pictures of one shard."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, row: int, /) -> Images:
        """Picture `row`, (height, width, 4) uint8 RGBA with straight alpha."""


class GzipImages:
    """Pictures that are compressed one by one; the file stays open in this process."""

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "r")
        self._images = self._file["images"]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int, /) -> Images:
        picture: Images = self._images[int(row)]
        return picture


def open_images(path: Path) -> ImageSource:
    """The pictures of the shard `path`.

    Contiguous ones are memory-mapped, which reads from the disk cache without a copy or a call into HDF5.

    Raises:
        EnrError: as `enr.shards.open_shard`.
    """
    with open_shard(path) as file:
        offset, shape = image_offset(file), file["images"].shape
    if offset is None:
        return GzipImages(path)
    # A plain array over the map: indexing np.memmap itself costs several microseconds a picture.
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape))
