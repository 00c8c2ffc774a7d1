"""Pictures on their way to where they are computed with, and pictures that are there already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from enr.pipelines.data.views import Indices, ViewSet

RESIDENT_SHARE = 0.4
"""Of a GPU's free memory its pictures may take so much; the rest belongs to the steps."""

READ_VIEWS = 1024

Made = TypeVar("Made")


def in_background(make: Callable[[], Made]) -> Future[Made]:
    """What `make` gives, or raises, from a thread of its own that ends with it."""
    made: Future[Made] = Future()

    def run() -> None:
        """Hand over whatever comes."""
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=run, name="enr-reader").start()
    return made


def pinned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in pinned memory, which `sent` need not copy again."""
    copy: NDArray[Any] = torch.from_numpy(array).pin_memory().numpy()
    return copy


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on a device; nobody waits for a GPU to have it, as it is copied out of pinned memory."""
    tensor = torch.from_numpy(array)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


class ResidentViews:
    """Some of a view set's pictures, as bytes on a device: a batch of them is an index there, and no copy."""

    def __init__(self, view_set: ViewSet, views: Indices, device: torch.device) -> None:
        """Read all of `views`, a few at a time."""
        self._slot = np.full(len(view_set), -1)
        self._slot[views] = np.arange(len(views))
        shape = (len(views), view_set.height_px, view_set.width_px, 4)
        self._rgba = torch.empty(shape, dtype=torch.uint8, device=device)
        for first in range(0, len(views), READ_VIEWS):
            part = views[first : first + READ_VIEWS]
            self._rgba[first : first + len(part)].copy_(torch.from_numpy(view_set.images(part)))

    def images(self, views: Indices) -> Tensor:
        """Pictures (n, height, width, 4) uint8 of views (n,) that are among those read."""
        return self._rgba[sent(self._slot[views], self._rgba.device)]


def fits_on(view_set: ViewSet, views: Indices, device: torch.device) -> bool:
    """Whether the pictures of `views` may stay on a GPU; of the CPU they may not: there they are mapped from files."""
    if device.type != "cuda":
        return False
    needed = len(views) * view_set.height_px * view_set.width_px * 4
    return needed <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
