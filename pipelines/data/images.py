"""Reads pictures out of shards: from a memory map where they lie in one piece, else through HDF5."""

from __future__ import annotations

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
