"""Moving a scene by a rigid motion of the camera: the two warps.

Both are resamplings of a volume (b, c, d, h, w): trilinear between cell centres (align_corners=False), zero outside.
They take `target_from_source` (b, 4, 4), which carries source-camera to target-camera coordinates (`enr.camera`).

rigid
    The scene is a cube around the target point, aligned with the camera. Its index axes are `VOLUME_FROM_CAMERA`
    (the depth index falls with the distance). The paper's warp, and more: translations move the cube's content.
frustum
    The scene is the camera's own frustum: cell (d, v, u) is the point at depth z_d, near first, on the ray through
    pixel cell (v, u). Projection and perspective are geometry here, not something to learn.

A channel of ones carried along becomes the visibility of each target cell: 1 inside, 0 outside the source's volume.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from enr.camera import VOLUME_FROM_CAMERA
from enr.model.config import DepthSpacing

Lens = tuple[float, int, int]
OUTSIDE = 3.0
"""A normalised coordinate that no trilinear cell of the volume reaches (those end before 2)."""
EPSILON = 1e-6


@dataclass(frozen=True)
class Cube:
    """The rigid volume: a cube around the point at `radius` in front of the camera.

    Attributes:
        radius: distance of its centre in object units.
        half_side: half its side in object units.
    """

    radius: float
    half_side: float


@dataclass(frozen=True)
class Frustum:
    """The frustum volume of one lens.

    Attributes:
        focal_px: focal length in pixels: one number, or (b,) where each scene has its own.
        width_px: width of the picture.
        height_px: height of the picture.
        near: depth of the first cells' front, in object units: one number, or (b,) where each scene has its own.
        far: depth of the last cells' back; likewise.
        spacing: whether the cells are equally deep, or equally deep in 1 / z.
    """

    focal_px: float | Tensor
    width_px: int
    height_px: int
    near: float | Tensor
    far: float | Tensor
    spacing: DepthSpacing = "linear"

    def of(self, item: int) -> Frustum:
        """That of one scene of a batch."""
        focal_px, near, far = (
            float(number[item]) if isinstance(number, Tensor) else number
            for number in (self.focal_px, self.near, self.far)
        )
        return replace(self, focal_px=focal_px, near=near, far=far)


def rigid_warp(scene: Tensor, target_from_source: Tensor, cube: Cube) -> Tensor:
    """The scene as the target camera has it.

    The voxel p of the target (in the camera's frame, cube centre c = (0, 0, radius), half side h) reads the source at
    T^-1 (c + h p). Rotations about the centre reduce to the published warp (Dupont et al. 2020).

    Args:
        scene: (b, c, d, h, w), a cube of cells, or one for all motions.
        target_from_source: (b, 4, 4), rigid.
        cube: where the volume stands, in object units.

    Returns:
        (b, c, d, h, w), float32 at least.
    """
    with full_precision(scene):
        source_from_target = invert_rigid(target_from_source)
        axes = torch.as_tensor(VOLUME_FROM_CAMERA).to(source_from_target)
        centre = torch.tensor([0.0, 0.0, cube.radius]).to(source_from_target)
        rotation = source_from_target[:, :3, :3]
        moved_centre = rotation @ centre + source_from_target[:, :3, 3]
        offset = (moved_centre - centre) @ axes.T / cube.half_side
        return resample_volume(scene, axes @ rotation @ axes.T, offset)


def resample_volume(scene: Tensor, rotation: Tensor, offset: Tensor) -> Tensor:
    """Read a cubic volume at `rotation @ p + offset`, p in [-1, 1]^3 in the volume's (depth, height, width) axes.

    Args:
        scene: (b, c, d, h, w).
        rotation: (b, 3, 3).
        offset: (b, 3) in half sides.

    Returns:
        (b, c, d, h, w).
    """
    with full_precision(scene):
        scene = at_least_float32(scene)
        cells = _cube_cells(tuple(scene.shape[2:]), scene.device).to(scene.dtype).expand(len(rotation), -1, -1)
        # The rows in reverse: positions are sampled in the order (width, height, depth).
        start, turn = offset.to(scene)[..., None].flip(1), rotation.to(scene).flip(1)
        return _sample(scene, torch.baddbmm(start, turn, cells))


def frustum_warp(scene: Tensor, target_from_source: Tensor, frustum: Frustum, target: Frustum | None = None) -> Tensor:
    """The scene as the target camera has it: each target cell's point, projected into the source's frustum.

    Args:
        scene: (b, c, d, h, w), or one for all motions; depth runs from near to far.
        target_from_source: (b, 4, 4), rigid.
        frustum: the lens and depth range of the scene.
        target: those that the moved scene is to have; the same if None.

    Returns:
        (b, c, d, h, w), float32 at least; 0 where the point lies outside the source's frustum.
    """
    with full_precision(scene):
        scene = at_least_float32(scene)
        target = target or frustum
        # To columns and rows, times the depth, and that depth.
        seen = _scale(frustum, scene.device) * invert_rigid(target_from_source).to(scene.device)[:, :3]
        rays, shares = _rays(tuple(scene.shape[2:]), target, scene.device)
        # A cell's point is its depth times its ray: turning the rays alone saves a product for each depth.
        turned = (seen[:, :, :3] @ rays).to(scene.dtype)[:, :, None]
        depths = frustum_depths(shares, target).to(scene.dtype).expand(len(seen), -1)[:, None, :, None]
        x_y, z = torch.addcmul(seen[:, :, 3:, None].to(scene.dtype), depths, turned).split((2, 1), dim=1)
        position = torch.cat([_beside_axis(x_y, z), _between_ends(z, frustum)], dim=1)
        return _sample(scene, position.flatten(2))


def frustum_rays(cells: tuple[int, int], frustum: Frustum, device: torch.device | str = "cpu") -> Tensor:
    """Where the rays through the cells (h, w) are at depth 1: (h, w, 3) float64 in camera coordinates, of one lens."""
    v, u = (_shares(count, device) for count in cells)
    x = (u * frustum.width_px - frustum.width_px / 2) / frustum.focal_px
    y = (v * frustum.height_px - frustum.height_px / 2) / frustum.focal_px
    return torch.stack([x.expand(cells), y[:, None].expand(cells), torch.ones(cells).to(x)], dim=-1)


def frustum_depths(share: Tensor, frustum: Frustum) -> Tensor:
    """Depths in object units at shares (n,) of the way from near (0) to far (1): (n,), or (b, n) of b ranges."""
    near, far = (_column(end, share) for end in (frustum.near, frustum.far))
    if frustum.spacing == "linear":
        return near + share * (far - near)
    return 1 / (1 / near + share * (1 / far - 1 / near))


def _column(end: float | Tensor, share: Tensor) -> float | Tensor:
    return end.to(share)[..., None] if isinstance(end, Tensor) else end


def frustum_coordinates(points: Tensor, frustum: Frustum) -> Tensor:
    """Normalised (depth, height, width) coordinates (..., 3) in [-1, 1] of camera points (..., 3).

    Where near and far, or the focal length, are (b,), the points are (b, ..., 3).
    """
    x, y, z = points[..., None, :].unbind(-1)
    row_column = 2 * _leading(frustum.focal_px, z) * torch.cat([y / frustum.height_px, x / frustum.width_px], dim=-1)
    return torch.cat([_between_ends(z, frustum), _beside_axis(row_column, z)], dim=-1)


def _beside_axis(x_y: Tensor, z: Tensor) -> Tensor:
    """Normalised columns and rows of points at depths z; meaningless behind the camera."""
    return (x_y / z.clamp_min(EPSILON)).clamp(-OUTSIDE, OUTSIDE)


def _between_ends(z: Tensor, frustum: Frustum) -> Tensor:
    """Normalised depths of points (b, ...) at z; `OUTSIDE` behind the camera."""
    near, far = (_leading(end, z) for end in (frustum.near, frustum.far))
    if frustum.spacing == "linear":
        depth = (z - near) * (2 / (far - near)) - 1
    else:
        depth = (1 / z.clamp_min(EPSILON) - 1 / near) * (2 / (1 / far - 1 / near)) - 1
    return depth.clamp(-OUTSIDE, OUTSIDE).masked_fill(z <= EPSILON, OUTSIDE)


def _leading(end: float | Tensor, values: Tensor) -> float | Tensor:
    if not isinstance(end, Tensor) or not end.ndim:
        return end
    return end.to(values).reshape(-1, *[1] * (values.ndim - 1))


def spherical_mask(cells: int) -> Tensor:
    """(cells, cells, cells): 1 within the inscribed sphere of the cell centres, else 0 (published implementation)."""
    index = torch.arange(cells, dtype=torch.float64) - (cells - 1) / 2
    squared = index[:, None, None] ** 2 + index[:, None] ** 2 + index**2
    return (squared <= ((cells - 1) / 2) ** 2).to(torch.get_default_dtype())


def invert_rigid(transform: Tensor) -> Tensor:
    """Inverse (..., 4, 4) of rigid transforms (..., 4, 4), in float64 (torch twin of `enr.camera.invert_rigid`)."""
    transform = transform.to(torch.float64)
    rotation = transform[..., :3, :3].transpose(-1, -2)
    translation = -(rotation @ transform[..., :3, 3:])
    top = torch.cat([rotation, translation], dim=-1)
    return torch.cat([top, transform[..., 3:, :]], dim=-2)


def turn_about(rotation: Tensor, radius: float) -> Tensor:
    """Motions (b, 4, 4) float64 that turn what is seen about the point at `radius` in front of the camera.

    Args:
        rotation: (b, 3, 3) in the volume's (depth, height, width) axes.
        radius: in object units.
    """
    rotation = rotation.to(torch.float64)
    axes = torch.as_tensor(VOLUME_FROM_CAMERA, device=rotation.device)
    turned = axes.T @ rotation @ axes
    centre = torch.tensor([0.0, 0.0, radius]).to(turned)
    motion = torch.eye(4).to(turned).repeat(len(turned), 1, 1)
    motion[:, :3, :3] = turned
    motion[:, :3, 3] = centre - turned @ centre
    return motion


def at_least_float32(tensor: Tensor) -> Tensor:
    """`tensor`, widened if it is of half precision: positions and transmittances need more than 8 bits."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Autocast would multiply positions in half precision, and cells would land beside their places.

    On the device `meta`, where sizes are counted, there is no autocast.
    """
    return nullcontext() if like.is_meta else torch.autocast(device_type=like.device.type, enabled=False)


def _centres(count: int, device: torch.device | str) -> Tensor:
    """(count,) float64: cell centres between -1 and 1 (align_corners=False)."""
    return (2 * torch.arange(count, dtype=torch.float64, device=device) + 1) / count - 1


def _shares(count: int, device: torch.device | str) -> Tensor:
    """(count,) float64: cell centres between 0 and 1."""
    return _centres(count, device) / 2 + 0.5


@lru_cache(maxsize=16)
def _cube_cells(cells: tuple[int, ...], device: torch.device) -> Tensor:
    """(3, d * h * w) float64: (depth, height, width) of the cell centres, in [-1, 1]. Kept: they never change."""
    with torch.inference_mode(False):
        axes = torch.meshgrid(*(_centres(count, device) for count in cells), indexing="ij")
        return torch.stack(axes).flatten(1)


def _rays(cells: tuple[int, ...], frustum: Frustum, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rays (3, h * w), or (b, 3, h * w) of b focal lengths, and shares (d,) of a frustum's cells, float64."""
    if not isinstance(frustum.focal_px, Tensor):
        return _frustum_constants(cells, (frustum.focal_px, frustum.width_px, frustum.height_px), device)
    rays, shares = _frustum_constants(cells, (1.0, frustum.width_px, frustum.height_px), device)
    return rays / _per_lens(frustum.focal_px.to(rays), 1.0, 1.0), shares


def _scale(frustum: Frustum, device: torch.device) -> Tensor:
    """(3, 1), or (b, 3, 1): from camera coordinates (x, y, z) to what is normalised once it is divided by z; float64"""
    if not isinstance(frustum.focal_px, Tensor):
        return _lens_scale((frustum.focal_px, frustum.width_px, frustum.height_px), device)
    return _per_lens(frustum.focal_px.to(device, torch.float64), 2 / frustum.width_px, 2 / frustum.height_px)


def _per_lens(focal_px: Tensor, column: float, row: float) -> Tensor:
    """(b, 3, 1) of focal lengths (b,): their products with two numbers, and 1."""
    return torch.stack([focal_px * column, focal_px * row, torch.ones_like(focal_px)], dim=-1)[..., None]


@lru_cache(maxsize=16)
def _frustum_constants(cells: tuple[int, ...], lens: Lens, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rays (3, h * w) and shares (d,) of a frustum's cells, float64. Kept: they never change."""
    with torch.inference_mode(False):
        rays = frustum_rays((cells[1], cells[2]), Frustum(*lens, near=1.0, far=2.0), device)
        return rays.flatten(0, 1).T.contiguous(), _shares(cells[0], device)


@lru_cache(maxsize=16)
def _lens_scale(lens: Lens, device: torch.device) -> Tensor:
    """`_scale` (3, 1) of one lens. Kept, too."""
    focal_px, width_px, height_px = lens
    with torch.inference_mode(False):
        scale = [[2 * focal_px / width_px], [2 * focal_px / height_px], [1.0]]
        return torch.tensor(scale, dtype=torch.float64, device=device)


def _sample(scene: Tensor, positions: Tensor) -> Tensor:
    """Trilinear values (b, c, d, h, w) at normalised (width, height, depth) positions (b, 3, d * h * w)."""
    grid = positions.unflatten(2, scene.shape[2:]).movedim(1, -1)
    scene = scene.expand(len(grid), -1, -1, -1, -1)
    return functional.grid_sample(scene, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
