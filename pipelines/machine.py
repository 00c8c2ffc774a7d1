"""What the machine offers: device, precision, threads, and a memory allocator that suits training."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from enr.errors import EnrError
from enr.pipelines.config import Device, Precision
from enr.words import count_of

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEEP_BYTES = 2**31 - 1
PROBE_ROUNDS, PROBE_LAYERS, PROBE_SECONDS = 5, 12, 0.5
DEVICE_NAME = re.compile(r"cpu|(?:cuda|mps|xpu)(?::\d+)?")
WORTH_IT = 1.05
"""Fewer threads than cores are taken only where they are quicker by so much."""


WATCHED_STEPS = 20
"""Steps are compared by the medians of so many, ..."""
MUCH_SLOWER = 1.5
"""... and are much slower when they take so many times as long as at their best, ..."""
WATCH_MINUTES = 5.0
"""... for which the threads are timed again at most this often."""

_chosen: dict[str, int] = {}
"""Once the number of threads has been chosen in this process: it, as `threads`, and the `most` that there could be."""


def choose_device(wanted: Device) -> torch.device:
    """The device of that name; `auto` is a GPU where torch sees one.

    Raises:
        EnrError: a GPU is asked for and none is there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EnrError("device is cuda, but torch sees no GPU; use --set device=cpu, or install a CUDA build of torch.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """`auto` becomes bfloat16 where the device multiplies it quickly, else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if _cpu_has_bfloat16() else "float32"


def autocast(device: torch.device, precision: Precision) -> Any:
    """The context in which the model runs."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def prepare_cpu(threads: int) -> None:
    """Set torch's threads (0: those that are quickest now) and keep freed memory.

    By default glibc maps every large tensor anew and gives it back at once, so each step pays for its pages again.
    """
    torch.set_num_threads(threads or choose_threads())
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def choose_threads(again: bool = False) -> int:
    """How many threads compute quickest beside what else runs now, from a timing of a fraction of a second.

    A thread for each core waits, in every small operation, for the one whose core is taken: several times slower than
    a single thread. Chosen once in a process unless `again`; `OMP_NUM_THREADS` is obeyed, and beside a GPU it does not
    matter.
    """
    now = torch.get_num_threads()
    most = _chosen.get("most", now) if again else now
    if most == 1 or "OMP_NUM_THREADS" in os.environ or torch.cuda.is_available():
        return now
    if now == _chosen.get("threads") and not again:
        return now
    seconds = dict.fromkeys(sorted({most, *(2**power for power in range(most.bit_length()) if 2**power < most)}), 0.0)
    work = _small_operations()
    began = time.perf_counter()
    for _ in range(PROBE_ROUNDS):
        if time.perf_counter() - began > PROBE_SECONDS:
            break
        for count in seconds:
            torch.set_num_threads(count)
            started = time.perf_counter()
            work()
            seconds[count] += time.perf_counter() - started
    torch.set_num_threads(now)
    best = min(seconds, key=lambda count: seconds[count])
    _chosen.update(most=most, threads=most if seconds[most] <= WORTH_IT * seconds[best] else best)
    return _chosen["threads"]


class ThreadWatch:
    """Notices when another number of threads may have become the quickest, and chooses again."""

    def __init__(self, is_on: bool) -> None:
        """Watch, if `is_on`, a process whose number of threads `prepare_cpu` has chosen."""
        self._is_on = is_on and torch.get_num_threads() == _chosen.get("threads")
        self._best_s = math.inf
        self._steps_s: list[float] = []
        self._chosen_s = time.perf_counter()

    def is_due(self, step_s: float) -> bool:
        """Whether to choose again after a step of so many seconds.

        Steps have become much slower; or fewer threads are at work than there could be, and other programs may have
        ended since.
        """
        if not self._is_on:
            return False
        self._steps_s.append(step_s)
        if len(self._steps_s) < WATCHED_STEPS:
            return False
        median_s = statistics.median(self._steps_s)
        self._steps_s.clear()
        self._best_s = min(self._best_s, median_s)
        is_better_likely = median_s > MUCH_SLOWER * self._best_s or _chosen["threads"] < _chosen["most"]
        return is_better_likely and time.perf_counter() - self._chosen_s >= 60 * WATCH_MINUTES

    def choose_again(self) -> str | None:
        """Take the number that is quickest now; a line about it where it is another."""
        before, now = torch.get_num_threads(), choose_threads(again=True)
        torch.set_num_threads(now)
        self._best_s, self._chosen_s = math.inf, time.perf_counter()
        words = f"From now on {count_of(now, 'thread')} in place of {before}: quicker beside what else runs now."
        return words if now != before else None


def _small_operations() -> Callable[[], None]:
    """Some ten milliseconds of what a training step is made of: convolutions of small maps, one after the other."""
    weight, maps = torch.ones(64, 64, 3, 3), torch.ones(8, 64, 16, 16)

    @torch.no_grad()
    def work() -> None:
        for _ in range(PROBE_LAYERS):
            functional.leaky_relu(functional.conv2d(maps, weight, padding=1), 0.2)

    work()
    return work


def describe(device: torch.device, precision: Precision) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    return f"CPU with {count_of(torch.get_num_threads(), 'thread')}, {precision}"


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_device(name: str) -> torch.device:
    """The torch device of that name; `auto` is a GPU where there is one.

    Raises:
        EnrError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not DEVICE_NAME.fullmatch(name):  # torch would answer with all the kinds it was ever built for
        raise EnrError(f"The device {name!r} cannot be used; choose auto, cpu or cuda.")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EnrError(f"The device {name!r} cannot be used ({reason}); choose auto, cpu or cuda.") from error
    return device


def describe_machine() -> dict[str, object]:
    """What the figures belong to; a load average far above 0 says that other work slowed them down."""
    from enr import __version__
    from enr.datagen.workers.pool import default_workers

    return {
        "cores": default_workers(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "enr": __version__,
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
