"""Inside Blender: which material groups of a mesh cover the same surface, and should look alike. NumPy only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SAME_SURFACE_SHARE = 0.5
POSITION_DIGITS = 5
Position = tuple[float, ...]


def same_surface(corners: Mapping[str, NDArray[np.float64]]) -> dict[str, int]:
    """Number of the surface that each material group belongs to, counted from 0 in the groups' order.

    Many ShapeNet models cover each surface twice, front and back, in two material groups whose triangles alternate
    in front after decimation; in two colours they would come out as a patchwork. Groups belong to one surface if
    at least half of the smaller one's corner positions are corners of the other.

    Args:
        corners: by group name, the positions (corners, 3) of its faces' corners, in object units.
    """
    groups = [_position_set(points) for points in corners.values()]
    uses = Counter(position for own in groups for position in own)
    surfaces: list[int] = []
    count = 0
    first_alike: dict[frozenset[Position], int] = {}
    # Groups that share half of the smaller one's positions share one of its rare half: few others are ever looked at.
    by_position: defaultdict[Position, list[int]] = defaultdict(list)
    by_rare_position: defaultdict[Position, list[int]] = defaultdict(list)
    for number, own in enumerate(groups):
        twin = first_alike.get(own)
        if twin is None:
            rare = sorted(own, key=uses.__getitem__)[: len(own) // 2 + 1]
            others = {other for position in rare for other in by_position[position]}
            others |= {other for position in own for other in by_rare_position[position]}
            twin = next((other for other in sorted(others) if _overlap(own, groups[other]) >= SAME_SURFACE_SHARE), None)
            if own:
                first_alike[own] = number
            for position in own:
                by_position[position].append(number)
            for position in rare:
                by_rare_position[position].append(number)
        surfaces.append(count if twin is None else surfaces[twin])
        count += twin is None
    return dict(zip(corners, surfaces, strict=True))


def _position_set(points: NDArray[np.float64]) -> frozenset[Position]:
    return frozenset(tuple(point) for point in np.unique(np.round(points, POSITION_DIGITS) + 0.0, axis=0).tolist())


def _overlap(first: frozenset[Position], second: frozenset[Position]) -> float:
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0
