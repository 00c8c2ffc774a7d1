"""Inside Blender: which material groups of a mesh cover the same surface, and should look alike. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SAME_SURFACE_SHARE = 0.5
POSITION_DIGITS = 5


def same_surface(corners: Mapping[str, NDArray[np.float64]]) -> dict[str, int]:
    """Number of the surface that each material group belongs to, counted from 0 in the groups' order.

    Many ShapeNet models cover each surface twice, front and back, in two material groups whose triangles alternate
    in front after decimation; in two colours they would come out as a patchwork. Groups belong to one surface if
    at least half of the smaller one's corner positions are corners of the other.

    Args:
        corners: by group name, the positions (corners, 3) of its faces' corners, in object units.
    """
    positions = {name: _position_set(points) for name, points in corners.items()}
    surface: dict[str, int] = {}
    for name, own in positions.items():
        twin = next((other for other in surface if _overlap(own, positions[other]) >= SAME_SURFACE_SHARE), None)
        surface[name] = surface[twin] if twin is not None else len(set(surface.values()))
    return surface


def _position_set(points: NDArray[np.float64]) -> set[tuple[float, ...]]:
    return {tuple(point) for point in np.unique(np.round(points, POSITION_DIGITS) + 0.0, axis=0).tolist()}


def _overlap(first: set[tuple[float, ...]], second: set[tuple[float, ...]]) -> float:
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0
