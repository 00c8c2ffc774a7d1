"""How much of each cell reaches the camera along its ray."""

from __future__ import annotations

import torch
from torch import Tensor


def compositing_weights(alpha: Tensor, reverse: bool = False) -> Tensor:
    """How much each cell contributes to its ray: alpha times the transmittance in front of it.

    Args:
        alpha: (b, 1, d, h, w) opacity of each cell in [0, 1].
        reverse: the last depth index is the nearest, not the first.

    Returns:
        (b, 1, d, h, w); the sum over d is at most 1.
    """
    return alpha * transmittance(alpha, reverse)


def transmittance(alpha: Tensor, reverse: bool = False) -> Tensor:
    """How much light passes all cells in front of each cell.

    Args:
        alpha: (b, 1, d, h, w) opacity of each cell in [0, 1].
        reverse: the last depth index is the nearest, not the first.

    Returns:
        (b, 1, d, h, w); 1 in the nearest cells.
    """
    if reverse:
        return transmittance(alpha.flip(2)).flip(2)
    return light(1 - alpha)[0]


def light(clear: Tensor) -> tuple[Tensor, Tensor]:
    """How much light passes all cells in front of each cell, and how much passes them all.

    Args:
        clear: (b, 1, d, h, w) share of the light that each cell lets through, the nearest first.

    Returns:
        (b, 1, d, h, w), 1 in the nearest cells; and (b, 1, h, w).
    """
    passed = torch.cumprod(clear, dim=2)
    before, last = passed.split((passed.shape[2] - 1, 1), dim=2)
    return torch.cat([torch.ones_like(last), before], dim=2), last[:, :, 0]
