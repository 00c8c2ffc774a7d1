"""Silhouettes of triangles by projection: no Blender, no light, just the camera of `enr.camera`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array, invert_rigid

MARGIN_PX = 1
NEAR = 1e-3
"""What is nearer to the camera than this (object units), or behind it, is cut off."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FineRaster:
    """Triangles drawn `supersample` times finer than the picture, in a window around the object.

    Attributes:
        covered: (rows, columns) whether the centre of a fine pixel is covered.
        top_px, left_px: where the window begins in the picture.
        supersample: fine pixels in the width of a pixel.
        shape: height and width of the whole picture in pixels.
    """

    covered: Mask
    top_px: int
    left_px: int
    supersample: int
    shape: tuple[int, int]

    def coverage(self, shift_px: tuple[float, float] = (0.0, 0.0)) -> Array:
        """(height, width) share of each pixel that is covered, in [0, 1], after a shift (down, right) below 1 px."""
        down, right = (round(shift * self.supersample) for shift in shift_px)
        moved = np.roll(self.covered, (down, right), axis=(0, 1))
        fine = self.supersample
        rows, columns = (side // fine for side in moved.shape)
        whole = np.zeros([side + 2 * MARGIN_PX for side in self.shape])
        top, left = self.top_px + MARGIN_PX, self.left_px + MARGIN_PX
        window = moved.reshape(rows, fine, columns, fine).mean(axis=(1, 3))
        whole[top : top + rows, left : left + columns] = window
        return whole[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def fine_raster(
    triangles: Array, world_from_camera: Array, K: Array, shape: tuple[int, int], supersample: int
) -> FineRaster:
    """Triangles as a camera sees them.

    Args:
        triangles: (m, 3, 3) corners in the world, object units.
        world_from_camera: (4, 4).
        K: (3, 3) in pixels.
        shape: height and width of the picture in pixels.
        supersample: how many times finer to draw.
    """
    height, width = shape
    pixels = _to_pixels(triangles, world_from_camera, K)
    if not len(pixels):
        return FineRaster(np.zeros((supersample, supersample), dtype=bool), 0, 0, supersample, shape)
    corners = pixels.reshape(-1, 2)
    limits = np.array([width, height]) + MARGIN_PX
    left, top = np.clip(np.floor(corners.min(axis=0)) - MARGIN_PX, -MARGIN_PX, limits - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + MARGIN_PX, (left + 1, top + 1), limits).astype(int)
    rows, columns = int(bottom - top) * supersample, int(right - left) * supersample
    covered = fill_triangles((pixels - [left, top]) * supersample, rows, columns)
    return FineRaster(covered, int(top), int(left), supersample, shape)


def fill_triangles(triangles: Array, height: int, width: int) -> Mask:
    """(height, width) bool: the pixels whose centre lies in a triangle (m, 3, 2) of pixel coordinates.

    A span of pixels for each row that a triangle crosses, opened and closed in a table of differences.
    """
    low = np.clip(np.ceil(triangles[..., 1].min(axis=1) - 0.5), 0, height).astype(int)
    high = np.clip(np.ceil(triangles[..., 1].max(axis=1) - 0.5), 0, height).astype(int)
    rows = high - low
    owner = np.repeat(np.arange(len(triangles)), rows)
    row = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows) + low[owner]
    left, right = _crossings(triangles[owner], row + 0.5)
    start = np.clip(np.ceil(left - 0.5), 0, width).astype(int)
    stop = np.clip(np.ceil(right - 0.5), 0, width).astype(int)
    opened, closed = (
        np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).astype(np.int32)
        for column in (start, np.maximum(stop, start))
    )
    return np.cumsum((opened - closed).reshape(height, width + 1), axis=1, dtype=np.int32)[:, :width] > 0


def clip_near(triangles: Array, near: float = NEAR) -> Array:
    """The parts (k, 3, 3) of triangles (m, 3, 3) in camera coordinates that lie beyond the depth `near`."""
    inside = triangles[..., 2] > near
    count = inside.sum(axis=1)
    tips = _roll_to_front(triangles[count == 1], inside[count == 1].argmax(axis=1))
    stumps = _roll_to_front(triangles[count == 2], (~inside[count == 2]).argmax(axis=1))
    first, second = (_cut(stumps[:, 0], stumps[:, corner], near) for corner in (1, 2))
    parts = [
        triangles[count == 3],
        np.stack([tips[:, 0], *(_cut(tips[:, 0], tips[:, corner], near) for corner in (1, 2))], axis=1),
        np.stack([first, stumps[:, 1], stumps[:, 2]], axis=1),
        np.stack([first, stumps[:, 2], second], axis=1),
    ]
    return np.concatenate(parts)


def _to_pixels(triangles: Array, world_from_camera: Array, K: Array) -> Array:
    """Pixel coordinates (k, 3, 2) of what lies in front of the camera."""
    camera_from_world = invert_rigid(world_from_camera)
    in_camera = clip_near(triangles @ camera_from_world[:3, :3].T + camera_from_world[:3, 3])
    homogeneous = in_camera @ K.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def _roll_to_front(triangles: Array, corner: NDArray[np.int64]) -> Array:
    """Triangles (m, 3, 3) that begin with their corner (m,), in the same direction of turning."""
    order = (corner[:, None] + np.arange(3)) % 3
    return np.take_along_axis(triangles, order[..., None], axis=1)


def _cut(start: Array, end: Array, near: float) -> Array:
    """Where edges from `start` to `end` (m, 3), on both sides of the depth `near`, cross it."""
    along = (near - start[:, 2:]) / (end[:, 2:] - start[:, 2:])
    return start + along * (end - start)


def _crossings(triangles: Array, height: Array) -> tuple[Array, Array]:
    """Where the horizontal line at `height` (n,) enters and leaves triangles (n, 3, 2)."""
    start, end = triangles, np.roll(triangles, -1, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (height[:, None] - start[..., 1]) / (end[..., 1] - start[..., 1])
        x = start[..., 0] + along * (end[..., 0] - start[..., 0])
    crossed = (along >= 0) & (along <= 1)
    return np.where(crossed, x, np.inf).min(axis=1), np.where(crossed, x, -np.inf).max(axis=1)
