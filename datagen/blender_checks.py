"""Inside Blender: what a picture alone cannot tell of its view. Standard library, NumPy and the surface's own rays."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender_surface import Surface, surface_of

SURFACE_POINTS = 2048
INSIDE_DIRECTIONS = 64
INSIDE_SHARE = 0.9
"""A camera is inside a mesh where at least this share of the directions around it end on the mesh."""
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
PLASTIC = (0.7548776662466927, 0.5698402909980532)
"""Steps of the R2 sequence, which fills a square evenly."""

Floats = NDArray[np.float64]


class ViewChecks:
    """Checks the cameras of one mesh; its surface is looked at only when a view asks for it."""

    def __init__(self, objects: list[Any], vertices: Floats) -> None:
        """Take a mesh as it stands in the world now: its objects and their vertices (vertices, 3)."""
        self._objects = objects
        self._low, self._high = vertices.min(axis=0), vertices.max(axis=0)

    @cached_property
    def _surface(self) -> Surface:
        return surface_of(self._objects)

    @cached_property
    def _points(self) -> Floats:
        return surface_points(self._surface.corners)

    def clipped_share(self, world_from_camera: Floats, K: Floats, size_px: tuple[int, int]) -> float:
        """Share of the surface, by area and whether hidden or not, that lies beyond the picture's border.

        Args:
            world_from_camera: (4, 4).
            K: (3, 3) in pixels.
            size_px: width and height.
        """
        in_camera = (self._points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
        depth = in_camera[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = (in_camera @ K.T)[:, :2] / depth[:, None]
        inside = (depth > 0) & ((pixels >= 0) & (pixels <= size_px)).all(axis=1)
        return float(1 - inside.mean())

    def camera_inside(self, position: Floats) -> bool:
        """Whether a camera (3,) is enclosed by the mesh: hardly a direction leads out.

        Rays are cast only from inside the bounding box. It does not matter which way faces are wound, whether they are
        doubled, or whether a small hole is left.
        """
        if not ((position > self._low) & (position < self._high)).all():
            return False
        hits, _ = self._surface.first_hits(position, directions_around(INSIDE_DIRECTIONS))
        return float((hits >= 0).mean()) >= INSIDE_SHARE


def surface_points(triangles: Floats, count: int = SURFACE_POINTS) -> Floats:
    """Points (count, 3) spread evenly over triangles (m, 3, 3) by area, the same ones every time."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    reach = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    steps = np.arange(count) + 0.5
    owner = np.minimum(np.searchsorted(reach, steps / count * reach[-1]), len(triangles) - 1)
    u, v = ((steps * step) % 1 for step in PLASTIC)
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    return a[owner] + u * (b - a)[owner] + v * (c - a)[owner]


def directions_around(count: int) -> Floats:
    """Unit vectors (count, 3) spread evenly over the sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    ring, turn = np.sqrt(1 - height**2), GOLDEN_ANGLE * np.arange(count)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
