"""Time on a device: nothing is counted before the device has done it; by stage, and beside what it could do at best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from enr.pipelines.config import Precision

PEAK_WIDTH = {"cpu": 1024, "cuda": 8192}
PEAK_SECONDS = 0.5
WARM_UP = 3
"""Calls that are not counted: libraries choose their ways in them."""


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_each(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Seconds that `work` takes, the mean of as many calls as fit into `seconds` (at least one)."""
    for _ in range(WARM_UP):
        work()
    wait_for(device)
    started, times = time.perf_counter(), 0
    while not times or time.perf_counter() - started < seconds:
        work()
        times += 1
    wait_for(device)
    return (time.perf_counter() - started) / times


def peak_macs_per_second(device: torch.device, precision: Precision) -> float:
    """Multiply-adds a second of one large product: the most that this device was seen to do now."""
    width = PEAK_WIDTH[device.type]
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    matrix = torch.ones(width, width, dtype=kind, device=device)
    out = torch.empty_like(matrix)
    return width**3 / seconds_each(lambda: torch.mm(matrix, matrix, out=out), PEAK_SECONDS, device)


class Stages:
    """How long each stage of some work takes; whatever belongs to none is `other`.

    Attributes:
        seconds: by stage, of all calls so far.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is watched yet."""
        self.seconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def watching(self, *places: tuple[Any, str, str]) -> Iterator[None]:
        """Count the time of functions, each given by its owner, its name there and its stage."""
        with ExitStack() as stack:
            for owner, name, stage in places:
                stack.enter_context(self._watching(owner, name, stage))
            yield

    @contextmanager
    def _watching(self, owner: Any, name: str, stage: str) -> Iterator[None]:
        original, is_own = getattr(owner, name), name in vars(owner)

        def timed(*args: Any, **options: Any) -> Any:
            """What `original` gives; its time, with the device's, counts for the stage."""
            wait_for(self._device)
            started = time.perf_counter()
            try:
                return original(*args, **options)
            finally:
                wait_for(self._device)
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

        setattr(owner, name, timed)
        try:
            yield
        finally:
            if is_own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)

    def shares(self, total_s: float) -> dict[str, float]:
        """Of `total_s` seconds, by stage."""
        other = max(0.0, total_s - sum(self.seconds.values()))
        return {stage: seconds / total_s for stage, seconds in {**self.seconds, "other": other}.items()}
