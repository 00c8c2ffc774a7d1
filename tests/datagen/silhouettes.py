"""How well projected triangles cover a rendered picture, from its own camera and from slightly wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enr.datagen.verify.raster import FineRaster, fine_raster

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

    def raster(self, world_from_camera: np.ndarray) -> FineRaster:
        """The triangles as a camera sees them."""
        return fine_raster(self.triangles, world_from_camera, self.K, self.alpha.shape, self.supersample)


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


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / (first | second).sum())


def own_iou(view: View) -> float:
    """How well the projected triangles cover the picture."""
    return iou(view.alpha >= 128, view.raster(view.world_from_camera).coverage() >= 0.5)


def wrong_ious(view: View) -> list[float]:
    """The same from wrong cameras: moved half a pixel each way, turned a degree each way about each camera axis."""
    mask = view.alpha >= 128
    fine = view.raster(view.world_from_camera)
    shifts = [(0.0, SHIFT_PX), (0.0, -SHIFT_PX), (SHIFT_PX, 0.0), (-SHIFT_PX, 0.0)]
    moved = [iou(mask, fine.coverage(shift) >= 0.5) for shift in shifts]
    turned = [
        iou(mask, view.raster(view.world_from_camera @ turn_camera(axis, angle)).coverage() >= 0.5)
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
