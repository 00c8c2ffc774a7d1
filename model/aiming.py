"""Re-aimed cameras: every object in the middle of the picture and of one size, wherever the camera looks.

A picture is seen by a virtual camera before it is lifted: at the same place, but turned so that its axis meets the
object's centre, and zoomed so that the object is as large as it is at `RendererConfig.radius`. What is painted is
painted for such a camera, too, and then brought into the real one. Between two virtual cameras a motion T becomes
A(target) T A(source)^-1, A the turns: an exact group action, since both follow from where the centre is.

Networks of convolutions know neither sizes nor places; so they learn one size and one place, as of a camera that orbits
the object, instead of all. The camera's place does not change, so that nothing has to be known to resample a picture
but the turn and the zoom (a homography); what lies beyond the picture's border is known to be unknown.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from enr.model.config import RendererConfig
from enr.model.scene import aimed_focal_px, constant
from enr.model.warp import EPSILON, OUTSIDE, Frustum, at_least_float32, frustum_rays, full_precision


def aim(centre: Tensor) -> Tensor:
    """The turns (..., 3, 3) float64 that carry the directions of points (..., 3) to the camera's axis, without a roll.

    The shortest turn, about the axis that is square to both (Rodrigues). A point straight behind the camera has none;
    what is given then is finite, and paints nothing.
    """
    x, y, z = functional.normalize(centre.to(torch.float64), dim=-1).unbind(-1)
    bend = 1 / (1 + z).clamp_min(EPSILON)
    rows = [1 - bend * x * x, -bend * x * y, -x, -bend * x * y, 1 - bend * y * y, -y, x, y, z]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def aim_points(points: Tensor, centre: Tensor) -> Tensor:
    """Camera points (b, n, 3) as the cameras that are aimed at centres (b, 3) have them; float64."""
    return points.to(torch.float64) @ aim(centre).transpose(-1, -2)


def aimed_motion(motion: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Motions (b, 4, 4) between cameras, between those that are aimed at centres (b or 1, 3) on both sides; float64."""
    turned = motion.to(torch.float64).clone()
    into, out_of = aim(target), aim(source).transpose(-1, -2)
    turned[:, :3, :3] = into @ turned[:, :3, :3] @ out_of
    turned[:, :3, 3:] = into @ turned[:, :3, 3:]
    return turned


def see_aimed(images: Tensor, centre: Tensor, config: RendererConfig) -> tuple[Tensor, Tensor]:
    """Pictures as the cameras that are aimed at objects have them.

    Args:
        images: (b, 3, height, width).
        centre: (b, 3) of the objects, in the real cameras' coordinates.
        config: of the renderer.

    Returns:
        (b, 3, height, width), over the background beyond the pictures' borders, and (b, 1, height, width) the share of
        each pixel that lies within them.
    """
    images = at_least_float32(images)
    background = constant(config.background, images)[:, None, None]
    focal_px = aimed_focal_px(centre, config)
    lenses = torch.full_like(focal_px, config.focal_px), focal_px
    out_of_aim = aim(centre).transpose(-1, -2)
    seen = _turn(images - background, out_of_aim, *lenses, mode="bicubic") + background
    return seen, _turn(torch.ones_like(images[:, :1]), out_of_aim, *lenses)


def see_real(images: Tensor, centre: Tensor, config: RendererConfig) -> Tensor:
    """The inverse: pictures (b, 3, height, width) of aimed cameras as the real ones have them."""
    images = at_least_float32(images)
    background = constant(config.background, images)[:, None, None]
    return real_maps(images - background, centre, config, mode="bicubic") + background


def real_maps(maps: Tensor, centre: Tensor, config: RendererConfig, mode: str = "bilinear") -> Tensor:
    """Maps (b, c, height, width) of aimed cameras as the real ones have them; 0 beyond the aimed pictures' borders."""
    focal_px = aimed_focal_px(centre, config)
    return _turn(maps, aim(centre), focal_px, torch.full_like(focal_px, config.focal_px), mode)


def real_depth(depth: Tensor, centre: Tensor, config: RendererConfig) -> Tensor:
    """Depths (b, height, width) of aimed cameras, in their pixels, measured along the axes of the real ones."""
    _, height_px, width_px = config.image_shape
    frustum = Frustum(1.0, width_px, height_px, near=1.0, far=2.0)
    rays = frustum_rays((depth.shape[1], depth.shape[2]), frustum, depth.device)
    real_axis = aim(centre)[..., 2]
    per_pixel = real_axis[:, :2] / aimed_focal_px(centre, config)[:, None]
    along = (rays[..., :2] @ per_pixel.T).movedim(-1, 0) + real_axis[:, 2, None, None]
    return depth * along.to(depth)


def _turn(
    maps: Tensor, in_from_out: Tensor, focal_in_px: Tensor, focal_out_px: Tensor, mode: str = "bilinear"
) -> Tensor:
    """Maps (b, c, h, w) of lenses (b,) as turned cameras with other lenses have them; 0 beyond the border."""
    height, width = maps.shape[2:]
    with full_precision(maps):
        lens = torch.stack([1 / focal_out_px, 1 / focal_out_px, torch.ones_like(focal_out_px)], dim=-1)
        rays = (in_from_out * lens[:, None]).to(maps) @ _pixels(height, width, maps.device).to(maps.dtype)
        sides = constant((2.0 / width, 2.0 / height), maps)[:, None] * focal_in_px.to(maps)[:, None, None]
        x_y, z = rays.split((2, 1), dim=1)
        beside = (x_y * sides / z.clamp_min(EPSILON)).clamp(-OUTSIDE, OUTSIDE).masked_fill(z <= EPSILON, OUTSIDE)
        grid = beside.unflatten(2, (height, width)).movedim(1, -1)
        return functional.grid_sample(maps, grid, mode=mode, padding_mode="zeros", align_corners=False)


@lru_cache(maxsize=16)
def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """(3, n) float64 columns and rows of a picture's pixels, from its middle, and 1. Kept: they never change."""
    with torch.inference_mode(False):
        rows, columns = (
            torch.arange(count, dtype=torch.float64, device=device) + 0.5 - count / 2 for count in (height, width)
        )
        v, u = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([u, v, torch.ones_like(u)]).flatten(1)
