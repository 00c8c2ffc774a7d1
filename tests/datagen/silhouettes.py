"""An independent renderer of silhouettes: triangles, a camera, and nothing of Blender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enr.camera import project

MARGIN_PX = 1
TURN_DEG = 1.0
SHIFT_PX = 0.5


@dataclass(frozen=True)
class View:
    """A posed picture and the triangles that it should show."""

    alpha: np.ndarray
    """(height, width) uint8."""
    triangles: np.ndarray
    """(m, 3, 3) in the world."""
    world_from_camera: np.ndarray
    K: np.ndarray
    supersample: int = 16
    """So many times finer is the projection. 8 would do but for level edges that cover about half a row of pixels."""


def fill_triangles(triangles: np.ndarray, height: int, width: int) -> np.ndarray:
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


def _crossings(triangles: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the horizontal line at `height` (n,) enters and leaves triangles (n, 3, 2)."""
    start, end = triangles, np.roll(triangles, -1, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (height[:, None] - start[..., 1]) / (end[..., 1] - start[..., 1])
        x = start[..., 0] + along * (end[..., 0] - start[..., 0])
    crossed = (along >= 0) & (along <= 1)
    return np.where(crossed, x, np.inf).min(axis=1), np.where(crossed, x, -np.inf).max(axis=1)


def fill_triangles_slowly(triangles: np.ndarray, height: int, width: int) -> np.ndarray:
    """The obvious twin: every pixel's centre against every triangle's three edges."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    covered = np.zeros((height, width), dtype=bool)
    for corners in triangles:
        side = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
            for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ]
        covered |= np.all([value > 0 for value in side], axis=0) | np.all([value < 0 for value in side], axis=0)
    return covered


@dataclass(frozen=True)
class FineRaster:
    """Triangles drawn `supersample` times finer than the picture, in a window around the object."""

    covered: np.ndarray
    """(rows, columns) bool."""
    top_px: int
    left_px: int
    supersample: int
    shape: tuple[int, int]
    """Height and width of the whole picture in pixels."""

    def silhouette(self, shift_px: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """(height, width) bool: pixels of which at least half is covered, after a shift (down, right) below 1 px."""
        down, right = (round(shift * self.supersample) for shift in shift_px)
        moved = np.roll(self.covered, (down, right), axis=(0, 1))
        fine = self.supersample
        rows, columns = (side // fine for side in moved.shape)
        half_covered = moved.reshape(rows, fine, columns, fine).mean(axis=(1, 3)) >= 0.5
        whole = np.zeros([side + 2 * MARGIN_PX for side in self.shape], dtype=bool)
        top, left = self.top_px + MARGIN_PX, self.left_px + MARGIN_PX
        whole[top : top + rows, left : left + columns] = half_covered
        return whole[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def fine_raster(view: View, world_from_camera: np.ndarray) -> FineRaster:
    """The view's triangles as a camera sees them."""
    pixels, depth = project(view.triangles.reshape(-1, 3), world_from_camera, view.K)
    assert depth.min() > 0, "a triangle reaches behind the camera; this raster does not clip"
    height, width = view.alpha.shape
    limits = np.array([width, height]) + MARGIN_PX
    left, top = np.clip(np.floor(pixels.min(axis=0)) - MARGIN_PX, -MARGIN_PX, limits - 1).astype(int)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0)) + MARGIN_PX, (left + 1, top + 1), limits).astype(int)
    fine = view.supersample
    corners = (pixels.reshape(-1, 3, 2) - [left, top]) * fine
    covered = fill_triangles(corners, int(bottom - top) * fine, int(right - left) * fine)
    return FineRaster(covered, int(top), int(left), fine, (height, width))


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / (first | second).sum())


def own_iou(view: View) -> float:
    """How well the projected triangles cover the picture."""
    return iou(view.alpha >= 128, fine_raster(view, view.world_from_camera).silhouette())


def wrong_ious(view: View) -> list[float]:
    """The same from wrong cameras: moved half a pixel each way, turned a degree each way about each camera axis."""
    mask = view.alpha >= 128
    fine = fine_raster(view, view.world_from_camera)
    shifts = [(0.0, SHIFT_PX), (0.0, -SHIFT_PX), (SHIFT_PX, 0.0), (-SHIFT_PX, 0.0)]
    moved = [iou(mask, fine.silhouette(shift)) for shift in shifts]
    turned = [
        iou(mask, fine_raster(view, view.world_from_camera @ turn_camera(axis, angle)).silhouette())
        for axis in range(3)
        for angle in (-TURN_DEG, TURN_DEG)
    ]
    return moved + turned


def turn_camera(axis: int, angle_deg: float) -> np.ndarray:
    """4x4 rotation about a coordinate axis."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(4)
    turn[first, first], turn[first, second], turn[second, first], turn[second, second] = cos, -sin, sin, cos
    return turn
