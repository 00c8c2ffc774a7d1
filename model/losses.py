"""How far a rendered picture is from the true one, and how far a renderer is from undoing itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from pytorch_msssim import SSIM, ssim
from torch import Tensor
from torch.nn import functional

from enr.errors import EnrError
from enr.model.config import LossWeights
from enr.model.projection import SceneParts
from enr.model.warp import invert_rigid

Distance = Callable[[Tensor, Tensor], Tensor]


def reconstruction_loss(
    predicted: Tensor, target: Tensor, weights: LossWeights | None = None, lpips: Distance | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of L1, L2, 1 - SSIM and LPIPS; parts of weight 0 are not computed.

    Args:
        predicted: (b, 3, h, w).
        target: (b, 3, h, w) in [0, 1].
        weights: of the parts.
        lpips: the distance that `weights.lpips` is of.

    Returns:
        The loss (a scalar) and its parts by name (`l1`, `l2`, `ssim`, `lpips`, unweighted, detached).

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
        ("lpips", weights.lpips, lpips),
    ):
        if weight:
            assert part is not None, f"{name} has a weight and no distance"
            value = part(predicted, target)
            total = total + weight * value
            parts[name] = value.detach()
    return total, parts


def cycle_loss(render_moved: Distance, predicted: Tensor, source: Tensor, target_from_source: Tensor) -> Tensor:
    """Mean absolute difference of a source from its prediction, encoded again, moved back and rendered.

    Args:
        render_moved: the renderer: pictures (b, 3, h, w) and motions (b, 4, 4) to pictures.
        predicted: (b, 3, h, w) what it made of the source and the motion.
        source: (b, 3, h, w) in [0, 1].
        target_from_source: (b, 4, 4).
    """
    returned = render_moved(predicted, invert_rigid(target_from_source))
    return functional.l1_loss(returned.float(), source)


def scene_loss(moved: SceneParts, target: Tensor) -> Tensor:
    """||T z1 - z2||^2 over ||T z1 - z'||^2: how much nearer a moved scene is to its target than to another pair's.

    Of the learned features, in the cells that the source has seen. Neither a smaller scale of all scenes nor a part
    that all of them share lowers it: divided by ||z2||^2, it made features alike for right and wrong poses.

    Args:
        moved: (b, channels, d, h, w) features of the sources' scenes, moved to the targets' cameras.
        target: (b, channels, d, h, w) those of the targets' scenes; the pair half of them further gives the other one.

    Returns:
        A scalar, near 1 where features say nothing of the object and its pose; 1 for a single pair.
    """
    there, here = moved.features.float(), target.float()
    other = here.roll(max(1, len(here) // 2), 0)
    if moved.visibility is not None:
        seen = moved.visibility.float()  # what was moved is weighted by it already
        here, other = here * seen, other * seen
    return (there - here).square().sum() / (there - other).square().sum().clamp_min(1e-12)


def _one_minus_ssim(predicted: Tensor, target: Tensor) -> Tensor:
    window = _ssim_window(predicted.device)
    similarity: Tensor = ssim(predicted, target, data_range=1.0, size_average=True, win=window)
    return torch.ones_like(similarity) - similarity


@cache
@torch.inference_mode(False)
def _ssim_window(device: torch.device) -> Tensor:
    """The library's own window of three channels, copied to the device once: each copy waits for a GPU."""
    window: Tensor = SSIM(data_range=1.0).win
    return window.to(device)
