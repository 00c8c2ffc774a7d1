"""How far a rendered picture is from the true one, and how far a renderer is from undoing itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from pytorch_msssim import SSIM, ssim
from torch import Tensor
from torch.nn import functional

from enr.errors import EnrError
from enr.model.config import LossWeights, RendererConfig
from enr.model.scene import AnyScene, features_of
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


def scene_loss(moved: AnyScene, scene: AnyScene, config: RendererConfig) -> Tensor:
    """||T z1 - z2||^2 / ||z2||^2 of the learned channels, over the cells that the source has seen.

    The ratio is the same for a scene of any scale, so shrinking all scenes does not lower it.

    Args:
        moved: (b, *config.scene_shape) the sources' scenes, moved to the targets' cameras.
        scene: (b, *config.scene_shape) the targets' scenes.
        config: of the renderer that they are of.
    """
    learned = slice(0, config.feature_channels)
    moved, scene = features_of(moved), features_of(scene)
    there, here = moved[:, learned].float(), scene[:, learned].float()
    if config.has_visibility:
        here = here * moved[:, -1:].float()  # as what was moved is already
    return (there - here).square().sum() / here.square().sum().clamp_min(1e-12)


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
