"""How far a rendered picture is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pytorch_msssim import ssim
from torch import Tensor
from torch.nn import functional

from enr.errors import EnrError


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss's parts; the defaults are the published implementation's (Dupont et al. 2020, section 4).

    Attributes:
        l1: of the mean absolute difference.
        l2: of the mean squared difference.
        ssim: of 1 - SSIM (11 x 11 Gaussian window, sigma 1.5, data range 1).
    """

    l1: float = 1.0
    l2: float = 0.0
    ssim: float = 0.05

    def __post_init__(self) -> None:
        weights = (self.l1, self.l2, self.ssim)
        if min(weights) < 0 or max(weights) <= 0:
            raise EnrError(f"Loss weights are {weights}; they must not be negative, and one must be positive.")


def reconstruction_loss(
    predicted: Tensor, target: Tensor, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of L1, L2 and 1 - SSIM; parts of weight 0 are not computed.

    Args:
        predicted: (b, 3, h, w).
        target: (b, 3, h, w) in [0, 1].
        weights: of the parts.

    Returns:
        The loss (a scalar) and its parts by name (`l1`, `l2`, `ssim`, unweighted, detached).

    Raises:
        EnrError: the shapes differ.
    """
    if predicted.shape != target.shape:
        raise EnrError(f"Predicted {tuple(predicted.shape)} and true {tuple(target.shape)} pictures differ in shape.")
    weights = weights or LossWeights()
    total = predicted.new_zeros(())
    parts: dict[str, Tensor] = {}
    for name, weight, part in (
        ("l1", weights.l1, functional.l1_loss),
        ("l2", weights.l2, functional.mse_loss),
        ("ssim", weights.ssim, _one_minus_ssim),
    ):
        if weight:
            value = part(predicted, target)
            total = total + weight * value
            parts[name] = value.detach()
    return total, parts


def _one_minus_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    similarity: Tensor = ssim(predicted, target, data_range=1.0, size_average=True)
    return torch.ones_like(similarity) - similarity
