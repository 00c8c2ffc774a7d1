"""Reads pictures out of shards: from their place in the file where they lie in one piece, else through HDF5."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.errors import EnrError
from enr.shards import image_offset, open_shard

Images = NDArray[np.uint8]


class ImageSource(Protocol):
    """The pictures of one shard."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, row: int, /) -> Images:
        """Picture `row`, (height, width, 4) uint8 RGBA with straight alpha."""

    def read(self, row: int, out: Images) -> None:
        """Put picture `row` into `out`, which lies in one piece."""

    def expect(self, row: int) -> None:
        """Have the system fetch picture `row` in the meantime."""


class PlainImages:
    """Pictures that lie in one piece, each read alone into the caller's memory.

    A memory map would have the system fetch what lies around each picture (from a set that is larger than memory, ten
    to a hundred times as much as is needed), and count pictures that were read as this process's memory.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...]) -> None:
        self._file, self._offset, self._shape = path.open("rb", buffering=0), offset, shape
        self._bytes = int(np.prod(shape[1:]))

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, row: int, /) -> Images:
        picture: Images = np.empty(self._shape[1:], dtype=np.uint8)
        self.read(row, picture)
        return picture

    def read(self, row: int, out: Images) -> None:
        """See `ImageSource`.

        Raises:
            EnrError: the file has become shorter since it was opened.
        """
        if os.preadv(self._file.fileno(), [out.data], self._offset + row * self._bytes) != self._bytes:
            raise EnrError(f"{self._file.name} ends before picture {row}; it was cut off while it was being read.")

    def expect(self, row: int) -> None:
        """See `ImageSource`."""
        if hasattr(os, "posix_fadvise"):
            start = self._offset + row * self._bytes
            os.posix_fadvise(self._file.fileno(), start, self._bytes, os.POSIX_FADV_WILLNEED)


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

    def read(self, row: int, out: Images) -> None:
        """See `ImageSource`."""
        out[:] = self[row]

    def expect(self, row: int) -> None:
        """Nothing: only HDF5 knows where it lies."""


def open_images(path: Path) -> ImageSource:
    """The pictures of the shard `path`.

    Raises:
        EnrError: as `enr.shards.open_shard`.
    """
    with open_shard(path) as file:
        offset, shape = image_offset(file), file["images"].shape
    if offset is None:
        return GzipImages(path)
    return PlainImages(path, offset, shape)


def common_size(files: Sequence[Path]) -> tuple[int, int]:
    """Height and width in pixels that all shards share.

    Raises:
        EnrError: they differ, or one holds no pictures.
    """
    sizes: dict[tuple[int, int], Path] = {}
    for path in files:
        with open_shard(path) as file:
            sizes.setdefault(_image_size(file, path), path)
    if len(sizes) > 1:
        (one, first), (two, second) = list(sizes.items())[:2]
        raise EnrError(
            f"Shards differ in resolution: {first} has {one[1]}x{one[0]} px, {second} has {two[1]}x{two[0]} px; "
            "give shards of one resolution."
        )
    return next(iter(sizes))


def _image_size(file: h5py.File, path: Path) -> tuple[int, int]:
    images = file["images"]
    if images.ndim != 4 or images.shape[-1] != 4 or images.dtype != np.uint8 or not len(images):
        raise EnrError(
            f"{path} holds images of {images.dtype} {images.shape}; expected uint8 (views, height, width, 4): "
            "make it again with `enr datagen`."
        )
    return int(images.shape[1]), int(images.shape[2])
