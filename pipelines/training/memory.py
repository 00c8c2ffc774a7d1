"""Memory: what a batch takes, what is free, the largest batch that fits, and what is said where it runs out."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from enr.errors import EnrError
from enr.pipelines.config import Config, TrainConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.machine import choose_device
from enr.pipelines.training.loader import BUFFERS
from enr.pipelines.training.trainer import new_trainer

READ_BYTES = 4 * BUFFERS
"""Of a pixel as it is read: 8-bit RGBA."""
COLOUR_BYTES = 12
"""Of a pixel as the model has it: three float32."""

USED_SHARE = 0.8
"""A batch may take so much of the free memory; measuring and other programs need some, too."""

CGROUP, PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self")
TRIAL_STEPS = 2
"""The second step has the optimiser's state besides."""

SAID = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says in a plain `RuntimeError` where memory ran out."""


def check_batch(config: TrainConfig, view_set: ViewSet, device: torch.device) -> None:
    """Refuse a batch whose pictures alone are larger than the free memory; what the model needs comes on top.

    Raises:
        EnrError: it cannot fit; with both sizes.
    """
    needed = batch_bytes(config, view_set.height_px * view_set.width_px, device)
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    if needed > free:
        raise EnrError(
            f"The pictures of a batch (batch_size={config.batch_size}, targets={config.targets}) take "
            f"{needed / 2**30:.3g} GiB, {free / 2**30:.3g} GiB of memory are free; "
            "lower them, such as --set batch_size=4, or take the largest that fits with --batch-size auto."
        )


def batch_bytes(config: TrainConfig, pixels: int, device: torch.device) -> int:
    """Bytes of main memory that the pictures of one batch take at least: read, decoded, their targets, predictions."""
    views = config.batch_size * config.views_per_scene
    pictures = 0 if device.type == "cuda" else views + 2 * views * config.targets
    return pixels * (views * READ_BYTES + pictures * COLOUR_BYTES)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether NumPy, or torch on the CPU or a GPU, says by this error that there was no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


def out_of_memory(error: BaseException) -> EnrError:
    """What to say of an error of which `is_out_of_memory` holds, and what to lower."""
    reason = str(error).splitlines()[0] if str(error) else "no more could be allocated"
    return EnrError(
        f"There is not enough memory for this training ({reason}); lower the scenes a step, such as --set "
        "batch_size=2, or take as many as fit with --batch-size auto; or lower targets, sources or the pictures' size, "
        "or choose a smaller --preset."
    )


def free_bytes(device: torch.device) -> int:
    """Of the GPU's memory, or of main memory as far as this process may use it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    try:  # a container's limit
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return free
    return min(free, max(0, limit - used))


def with_largest_batch(config: Config, view_set: ViewSet, count: int) -> tuple[Config, str]:
    """The configuration with the largest batch of which a training step fits into memory, and a line about it.

    Args:
        config: resolved; its own batch size does not matter.
        view_set: the data; a batch has no more scenes than there are views to train on.
        count: processes that share it.

    Raises:
        EnrError: not even one scene fits.
    """
    device = choose_device(config.train.device)
    here = 1 if device.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    limit = int(USED_SHARE * free_bytes(device)) // here
    most = max(1, sum(scene.count for scene in view_set.scenes("train")) // count)
    scenes = largest_batch(lambda scenes: _step_bytes(config, view_set, scenes, device), limit, most)
    where = f"{USED_SHARE} of the free {'GPU' if device.type == 'cuda' else 'main'} memory"
    if not scenes:
        raise EnrError(
            f"Not even a batch of one scene fits into {limit / 2**30:.3g} GiB ({where}); lower targets, sources or the "
            "pictures' size, or choose a smaller --preset."
        )
    reason = f"the largest that fits into {limit / 2**30:.3g} GiB ({where})" if scenes < most else "all there are"
    train = dataclasses.replace(config.train, batch_size=scenes * count)
    return dataclasses.replace(config, train=train), f"batch_size={scenes * count}: {reason}."


def largest_batch(step_bytes: Callable[[int], int], limit: int, most: int) -> int:
    """The largest number of scenes, up to `most`, of which a step takes at most `limit` bytes; 0 if not even one.

    Args:
        step_bytes: what a step of so many scenes takes; it is not asked where the line through two smaller ones is
            above the limit, and may run out of memory.
        limit: in bytes.
        most: scenes.
    """
    measured: dict[int, int] = {}

    def fits(scenes: int) -> bool:
        """Whether a step of so many scenes stays within the limit; it is tried unless the line rules it out."""
        if _foreseen(measured, scenes) > limit:
            return False
        try:
            measured[scenes] = step_bytes(scenes)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return measured[scenes] <= limit

    good, bad = 0, most + 1
    while bad - good > 1:
        scenes = min(max(1, 2 * good), most) if bad > most else (good + bad) // 2
        if fits(scenes):
            good = scenes
        else:
            bad = scenes
    return good


def _foreseen(measured: dict[int, int], scenes: int) -> float:
    """What so many scenes will take, by the two largest that were measured."""
    if len(measured) < 2:
        return 0.0
    (few, less), (many, more) = sorted(measured.items())[-2:]
    return more + (more - less) / (many - few) * (scenes - many)


def _step_bytes(config: Config, view_set: ViewSet, scenes: int, device: torch.device) -> int:
    """Peak memory of the first steps of a throwaway model."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        _try_steps(config, view_set, scenes)
        return torch.cuda.max_memory_reserved(device) - before
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what an earlier trial left
    before = psutil.Process().memory_info().rss
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")  # the peak begins anew
    _try_steps(config, view_set, scenes)
    return max(0, _peak_bytes() - before)


def _peak_bytes() -> int:
    """Of this process's resident memory; where the system does not say it, the peak of its whole life."""
    with contextlib.suppress(OSError, StopIteration):
        lines = (PROCESS / "status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _try_steps(config: Config, view_set: ViewSet, scenes: int) -> None:
    train = dataclasses.replace(config.train, batch_size=scenes)
    trainer = new_trainer(dataclasses.replace(config, train=train), view_set)
    for _ in range(TRIAL_STEPS * train.sources):
        trainer.train_step(train.learning_rate)
