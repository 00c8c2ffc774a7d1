"""How far a rendered picture is from the true one, and how far a renderer is from undoing itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass

import torch
from pytorch_msssim import ssim
from torch import Tensor
from torch.nn import functional

from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene, features_of
from enr.model.warp import invert_rigid

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss's parts; the defaults are the published implementation's (Dupont et al. 2020).

    Attributes:
        l1: of the mean absolute difference.
        l2: of the mean squared difference.
        ssim: of 1 - SSIM (11 x 11 Gaussian window, sigma 1.5, data range 1).
        lpips: of LPIPS (`enr.model.lpips`).
        cycle: of `cycle_loss`.
        scene: of `scene_loss`.
        distance: of `enr.model.sighting.sighting_loss`; where the depth range travels alone.
    """

    l1: float = 1.0
    l2: float = 0.0
    ssim: float = 0.05
    lpips: float = 0.0
    cycle: float = 0.0
    scene: float = 0.0
    distance: float = 0.2

    def __post_init__(self) -> None:
        for name, weight in asdict(self).items():
            if not (0 <= weight < math.inf):
                raise EnrError(f"loss.{name} is {weight:g}; a loss weight must be finite and must not be negative.")
        if max(self.l1, self.l2, self.ssim, self.lpips) <= 0:
            raise EnrError(f"Loss weights are {astuple(self)}; one of l1, l2, ssim and lpips must be positive.")


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
    similarity: Tensor = ssim(predicted, target, data_range=1.0, size_average=True)
    return torch.ones_like(similarity) - similarity
