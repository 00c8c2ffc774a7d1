"""What the machine offers: device, precision, and a memory allocator that suits training."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from enr.errors import EnrError
from enr.pipelines.config import Device, Precision
from enr.pipelines.threads import choose_threads
from enr.words import count_of

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEEP_BYTES = 2**31 - 1
DEVICE_NAME = re.compile(r"cpu|(?:cuda|mps|xpu)(?::\d+)?")


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
