"""Depth and opacity of scenes: as numbers, and as pictures to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from enr.errors import EnrError
from enr.model import Renderer
from enr.model.aiming import real_depth, real_maps
from enr.model.scene import AnyScene, PlacedScene, frustum_around
from enr.model.warp import frustum_depths

SOLID = 0.5
"""Opacity from which a pixel has a depth."""
REACH = 0.5
"""How far from an object's centre its depth picture reaches, in object units: half the diagonal of its box."""
NEAREST_GREY, FARTHEST_GREY = 255, 48


@dataclass(frozen=True)
class SceneMaps:
    """What a model believes of the shape that it paints.

    Attributes:
        depth: (n, height, width) float32, expected depth along the camera's axis in object units; NaN where the ray is
            less than half opaque.
        opacity: (n, height, width) float32 in [0, 1].
    """

    depth: NDArray[np.float32]
    opacity: NDArray[np.float32]


@torch.no_grad()
def scene_maps(model: Renderer, scene: AnyScene) -> SceneMaps:
    """Depth and opacity of scenes (n, *config.scene_shape), in the size of the model's pictures.

    Raises:
        EnrError: the model composites no volume, so that it has neither.
    """
    projected = model.project(scene)
    if projected.opacity is None or projected.depth_share is None:
        raise EnrError(
            "This model has neither depth nor opacity: it folds its volume into channels (projection: fold); leave "
            "them out, or take a model that composites along the ray (the small presets)."
        )
    size = model.config.image_shape[1:]
    coarse, share = (
        functional.interpolate(part, size=size, mode="bilinear", align_corners=False)[:, 0]
        for part in (projected.opacity, projected.depth_share)
    )
    opacity = coarse
    if projected.detail_maps is not None:  # both levels' opacity, finer
        opacity = functional.interpolate(projected.detail_maps[:, :1], size=size)[:, 0]
    depth = _depth_at(share / coarse.clamp_min(1e-3), scene, model)
    if model.config.reaim and isinstance(scene, PlacedScene):
        depth = real_depth(depth, scene.centre, model.config)
        # What is empty has no depth: it does not count where a pixel lies between others.
        parts = torch.stack([opacity, coarse, coarse * depth], dim=1)
        opacity, coarse, weighted = real_maps(parts, scene.centre, model.config).unbind(1)
        depth = weighted / coarse.clamp_min(1e-3)
    depth = torch.where((opacity >= SOLID) & (coarse > 1e-3), depth, torch.nan)
    return SceneMaps(depth.float().cpu().numpy(), opacity.float().clamp(0, 1).cpu().numpy())


def _depth_at(share: torch.Tensor, scene: AnyScene, model: Renderer) -> torch.Tensor:
    """Depths at shares (n, height, width) of the way from each scene's near to its far."""
    config = model.config
    if config.warp == "rigid":
        return config.radius + config.half_side * (2 * share - 1)
    frustum = frustum_around(scene.centre, config) if isinstance(scene, PlacedScene) else model.frustum
    return frustum_depths(share.flatten(1), frustum).reshape(share.shape)


def depth_pictures(depth: NDArray[np.float32], centre_depth: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Pictures (n, height, width, 3) of depths: the brighter the nearer, black where nothing is.

    Grey tells the depth from the object's centre, so that a series of views has one scale.

    Args:
        depth: (n, height, width), NaN where nothing is.
        centre_depth: (n,) of the object's centre; `REACH` before it is white.
    """
    behind = np.clip((depth - centre_depth[:, None, None]) / (2 * REACH) + 0.5, 0, 1)
    grey = np.nan_to_num(NEAREST_GREY + behind * (FARTHEST_GREY - NEAREST_GREY), nan=0.0)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)


def opacity_pictures(opacity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pictures (n, height, width, 3) of opacities: white is opaque."""
    return np.repeat(np.rint(255 * opacity).astype(np.uint8)[..., None], 3, axis=-1)
