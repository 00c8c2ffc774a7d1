"""Whether a batch fits into memory, in words that a user can act on."""

from __future__ import annotations

import psutil
import torch

from enr.errors import EnrError
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet

READ_BYTES = 8
"""Of a pixel as it is read: 8-bit RGBA in two buffers."""
COLOUR_BYTES = 12
"""Of a pixel as the model has it: three float32."""


def check_batch(config: TrainConfig, view_set: ViewSet, device: torch.device) -> None:
    """Refuse a batch whose pictures alone are larger than the free memory; what the model needs comes on top.

    Raises:
        EnrError: it cannot fit; with both sizes.
    """
    needed = batch_bytes(config, view_set.height_px * view_set.width_px, device)
    memory, swap = psutil.virtual_memory().available, psutil.swap_memory().free
    if needed > memory + swap:
        raise EnrError(
            f"The pictures of a batch (batch_size={config.batch_size}, targets={config.targets}) take "
            f"{needed / 2**30:.3g} GiB, {(memory + swap) / 2**30:.3g} GiB of memory are free; "
            "lower them, such as --set batch_size=4."
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
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
