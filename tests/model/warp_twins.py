"""The slow, obvious float64 twins of the warps: one cell at a time, one corner at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from enr.camera import intrinsics
from enr.model.warp import EPSILON, Cube, Frustum, frustum_depths, frustum_rays


def frustum_points(cells: tuple[int, ...] | torch.Size, frustum: Frustum) -> Tensor:
    """The centres of a frustum's cells.

    Args:
        cells: (d, h, w).
        frustum: the lens and depth range.

    Returns:
        (d, h, w, 3) float64 in camera coordinates, object units; (b, d, h, w, 3) where its numbers are (b,).
    """
    depth, height, width = cells
    if isinstance(frustum.focal_px, Tensor):
        return torch.stack([frustum_points(cells, frustum.of(item)) for item in range(len(frustum.focal_px))])
    z = frustum_depths((torch.arange(depth, dtype=torch.float64) + 0.5) / depth, frustum)
    return z[..., None, None, None] * frustum_rays((height, width), frustum)


def rigid_warp_reference(scene: Tensor, target_from_source: Tensor, cube: Cube) -> Tensor:
    """Slow float64 twin of `rigid_warp`: one voxel at a time, one corner at a time."""
    scene = scene.to(torch.float64)
    source_from_target = torch.linalg.inv(target_from_source.to(torch.float64))
    side = scene.shape[2]
    centre = torch.tensor([0.0, 0.0, cube.radius], dtype=torch.float64)
    output = torch.zeros_like(scene)
    for batch, (i, j, k) in _cells(scene):
        p = [(2 * index + 1) / side - 1 for index in (i, j, k)]
        in_camera = torch.tensor([p[2], p[1], -p[0]], dtype=torch.float64)  # width: x, height: y, depth: against z
        point = _move(source_from_target[batch], centre + cube.half_side * in_camera)
        q = (point - centre) / cube.half_side
        index = [(axis + 1) * side / 2 - 0.5 for axis in (-q[2], q[1], q[0])]
        output[batch, :, i, j, k] = _trilinear(scene[batch], index)
    return output


def frustum_warp_reference(
    scene: Tensor, target_from_source: Tensor, frustum: Frustum, target: Frustum | None = None
) -> Tensor:
    """Slow float64 twin of `frustum_warp`: one cell at a time, one corner at a time."""
    scene = scene.to(torch.float64)
    source_from_target = torch.linalg.inv(target_from_source.to(torch.float64))
    depth, height, width = scene.shape[2:]
    output = torch.zeros_like(scene)
    for batch, (d, v, u) in _cells(scene):
        goal = (target or frustum).of(batch)
        pixel = [(u + 0.5) * frustum.width_px / width, (v + 0.5) * frustum.height_px / height, 1.0]
        ray = torch.linalg.solve(_intrinsics(goal), torch.tensor(pixel, dtype=torch.float64))
        point = _move(source_from_target[batch], ray * _depth_of_cell(d + 0.5, depth, goal))
        if point[2] <= EPSILON:
            continue
        seen = _intrinsics(frustum.of(batch)) @ point / point[2]
        column = seen[0] * width / frustum.width_px - 0.5
        row = seen[1] * height / frustum.height_px - 0.5
        layer = _cell_of_depth(point[2], depth, frustum.of(batch)) - 0.5
        output[batch, :, d, v, u] = _trilinear(scene[batch], [layer, row, column])
    return output


def _intrinsics(frustum: Frustum) -> Tensor:
    return torch.as_tensor(intrinsics(float(frustum.focal_px), frustum.width_px, frustum.height_px))


def _cells(scene: Tensor) -> Iterator[tuple[int, tuple[int, int, int]]]:
    batch, _, depth, height, width = scene.shape
    for n in range(batch):
        for i in range(depth):
            for j in range(height):
                for k in range(width):
                    yield n, (i, j, k)


def _move(transform: Tensor, point: Tensor) -> Tensor:
    return transform[:3, :3] @ point + transform[:3, 3]


def _depth_of_cell(cell: float, count: int, frustum: Frustum) -> float:
    share, near, far = cell / count, float(frustum.near), float(frustum.far)
    if frustum.spacing == "linear":
        return (1 - share) * near + share * far
    return 1 / ((1 - share) / near + share / far)


def _cell_of_depth(z: Tensor, count: int, frustum: Frustum) -> Tensor:
    if frustum.spacing == "linear":
        return count * (z - frustum.near) / (frustum.far - frustum.near)
    return count * (1 / frustum.near - 1 / z) / (1 / frustum.near - 1 / frustum.far)


def _trilinear(volume: Tensor, index: list[Tensor]) -> Tensor:
    """(c,) of a volume (c, d, h, w) at a fractional index; corners outside count as zero."""
    total = torch.zeros(len(volume), dtype=volume.dtype)
    low = [math.floor(axis.detach().item()) for axis in index]
    for corner in range(8):
        at = [low[axis] + (corner >> axis & 1) for axis in range(3)]
        if all(0 <= at[axis] < volume.shape[axis + 1] for axis in range(3)):
            weight = torch.stack([1 - (index[axis] - at[axis]).abs() for axis in range(3)]).prod()
            total = total + weight * volume[:, at[0], at[1], at[2]]
    return total
