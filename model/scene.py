"""A scene whose depth range travels with its object: one value, a tensor and the place of the object's centre.

Near and far of its frustum are the centre's depth minus and plus `RendererConfig.half_depth`. A motion of the camera
moves the centre as it moves every point, so the range after two motions is the range after their product: a scene with
a range of its own obeys the same laws as one whose range stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from enr.camera import NEAREST
from enr.model.config import RendererConfig
from enr.model.warp import Frustum

MOST_SHOWN = 4
"""So many scenes of a batch are told of where one is printed."""


@dataclass(frozen=True)
class PlacedScene:
    """What `Renderer.inverse_render` makes of pictures where the depth range travels.

    Attributes:
        features: (..., *config.scene_shape), as the scenes whose range stands still.
        centre: (..., 3) the object's centre in the scene's own camera, in object units.
        uncertainty: (...,) half the width of the range, in object units, that holds the centre's distance from the
            camera of the picture nine times in ten; 0 where the user gave the distance.
    """

    features: Tensor
    centre: Tensor
    uncertainty: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the features."""
        return self.features.shape

    @property
    def ndim(self) -> int:
        """Of the features."""
        return self.features.ndim

    @property
    def distance(self) -> Tensor:
        """(...,) depth of the object's centre: along the camera's axis, in object units."""
        return self.centre[..., 2]

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        told = [
            [float(f"{number:.3g}") for number in part.flatten()[:MOST_SHOWN].tolist()]
            for part in (self.distance, self.uncertainty)
        ]
        more = ", first of them" if self.uncertainty.numel() > MOST_SHOWN else ""
        return f"<PlacedScene: features {sizes}, distance {told[0]}, uncertainty {told[1]}{more}>"

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Any) -> PlacedScene:
        """Some of the scenes; the index is of the leading axes alone."""
        return PlacedScene(self.features[index], self.centre[index], self.uncertainty[index])

    def expand(self, *shape: int) -> PlacedScene:
        """As a tensor's `expand`, by the features' shape; the last four sizes are theirs."""
        lead = shape[:-4]
        return PlacedScene(self.features.expand(*shape), self.centre.expand(*lead, 3), self.uncertainty.expand(*lead))

    def flatten(self, start: int, end: int) -> PlacedScene:
        """As a tensor's `flatten`, of leading axes."""
        parts = (part.flatten(start, end) for part in (self.features, self.centre, self.uncertainty))
        return PlacedScene(*parts)

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.features.device

    def detach(self) -> PlacedScene:
        """Without a gradient."""
        return PlacedScene(self.features.detach(), self.centre.detach(), self.uncertainty.detach())


AnyScene = Tensor | PlacedScene
"""A tensor where the depth range stands still, a `PlacedScene` where it travels."""


def features_of(scene: AnyScene) -> Tensor:
    """The tensor of either kind of scene."""
    return scene.features if isinstance(scene, PlacedScene) else scene


def move_points(points: Tensor, target_from_source: Tensor) -> Tensor:
    """Points (..., 3) of source cameras in the target cameras' coordinates, by motions (..., 4, 4); float64."""
    motion = target_from_source.to(points.device, torch.float64)
    return (motion[..., :3, :3] @ points.to(torch.float64)[..., None])[..., 0] + motion[..., :3, 3]


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Numbers (n,) on the device and of the type of another tensor, copied there once: each copy waits for a GPU."""
    return _constant(values, like.device, like.dtype)


@cache
@torch.inference_mode(False)
def _constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)


def standing_frustum(config: RendererConfig) -> Frustum:
    """The frustum from the config's near to its far."""
    _, height, width = config.image_shape
    return Frustum(config.focal_px, width, height, config.near, config.far, config.depth_spacing)


def frustum_around(centre: Tensor, config: RendererConfig) -> Frustum:
    """The frustums (b,) around objects centred at (b, 3); they begin `NEAREST` before the camera at the nearest.

    With re-aimed cameras, those of the virtual cameras (`enr.model.aiming`).
    """
    depth = centre.norm(dim=-1) if config.reaim else centre[..., 2]
    near = (depth - config.half_depth).clamp_min(NEAREST)
    focal_px = aimed_focal_px(centre, config) if config.reaim else config.focal_px
    _, height, width = config.image_shape
    return Frustum(focal_px, width, height, near, near + 2 * config.half_depth, config.depth_spacing)


def aimed_focal_px(centre: Tensor, config: RendererConfig) -> Tensor:
    """(...,) focal lengths with which objects centred at (..., 3) are as large as at the radius, in pixels."""
    return config.focal_px / config.radius * centre.norm(dim=-1).clamp_min(NEAREST)


def ray_through(pixel: Tensor, config: RendererConfig) -> Tensor:
    """(..., 3) camera coordinates, at depth 1, of what is seen at pixels (..., 2) (column, row)."""
    _, height, width = config.image_shape
    middle = constant((width / 2, height / 2), pixel)
    return torch.cat([(pixel - middle) / config.focal_px, torch.ones_like(pixel[..., :1])], dim=-1)


def pixel_of(points: Tensor, config: RendererConfig) -> Tensor:
    """(..., 2) pixels (column, row) at which camera points (..., 3) are seen; the inverse of `ray_through`."""
    _, height, width = config.image_shape
    middle = constant((width / 2, height / 2), points)
    return points[..., :2] / points[..., 2:].clamp_min(NEAREST) * config.focal_px + middle


def join_centres(scenes: PlacedScene, target_from_sources: Tensor) -> Tensor:
    """One centre (b, 3) in the target's frame for several scenes (b, s, ...) of one object: the mean of theirs.

    Scenes that were made together (`Renderer.locate`) agree; of others the surer ones count more.
    """
    moved = move_points(scenes.centre, target_from_sources)
    weight = 1 / (scenes.uncertainty.to(moved).square() + 0.05**2)
    return (moved * weight[..., None]).sum(1) / weight.sum(1)[:, None]
