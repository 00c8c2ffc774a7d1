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
    clear = torch.cumprod(1 - alpha, dim=2)
    return torch.cat([torch.ones_like(clear[:, :, :1]), clear[:, :, :-1]], dim=2)
