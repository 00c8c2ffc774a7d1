"""Points spread evenly over a surface and directions over a sphere. Standard library and NumPy: Blender runs it too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SURFACE_POINTS = 2048
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
PLASTIC = (0.7548776662466927, 0.5698402909980532)
"""Steps of the R2 sequence, which fills a square evenly."""

Floats = NDArray[np.float64]


def surface_points(triangles: Floats, count: int = SURFACE_POINTS) -> Floats:
    """Points (count, 3) spread evenly over triangles (m, 3, 3) by area, the same ones every time."""
    owner, weights = spread_over(triangles, count)
    a, b, c = np.moveaxis(triangles[owner], 1, 0)
    return a + weights[:, 1:2] * (b - a) + weights[:, 2:] * (c - a)


def spread_over(triangles: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """The triangles (count,) of such points, and how much (count, 3) of each corner they are."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    reach = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    steps = np.arange(count) + 0.5
    owner = np.minimum(np.searchsorted(reach, steps / count * reach[-1]), len(triangles) - 1)
    u, v = ((steps * step) % 1 for step in PLASTIC)
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return owner, np.stack([1 - u - v, u, v], axis=1)


def directions_around(count: int) -> Floats:
    """Unit vectors (count, 3) spread evenly over the sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    ring, turn = np.sqrt(1 - height**2), GOLDEN_ANGLE * np.arange(count)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
