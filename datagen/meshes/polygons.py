"""Polygons as triangles: convex ones as a fan, concave ones by cutting off ears, so that they keep their notch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array

Triangle = tuple[int, int, int]


def triangulate_all(points: Array, polygons: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """Triangles (m, 3) of some polygons, each a list of indices into `points` (n, 3).

    Triangles come first, then the halves of convex quadrilaterals, then the rest: as trimesh has them.
    """
    threes: list[Triangle] = []
    halves: tuple[list[Triangle], list[Triangle]] = ([], [])
    others: list[Triangle] = []
    for corners in polygons:
        made = triangulate(points, corners)
        if len(corners) == 3:
            threes += made
        elif len(corners) == 4:
            halves[0].append(made[0])
            halves[1].append(made[1])
        else:
            others += made
    return np.array([*threes, *halves[0], *halves[1], *others], dtype=np.int64).reshape(-1, 3)


def triangulate(points: Array, corners: Sequence[int]) -> list[Triangle]:
    """Triangles, as indices into `points` (n, 3), of a polygon that is (nearly) flat; none for less than 3 corners."""
    if len(corners) <= 3:
        return [(corners[0], corners[1], corners[2])] if len(corners) == 3 else []
    flat = _flattened(points[list(corners)])
    turns = _turn(np.roll(flat, 1, axis=0), flat, np.roll(flat, -1, axis=0))
    if (turns >= 0).all():
        fan = [(corners[0], corners[place], corners[place + 1]) for place in range(1, len(corners) - 1)]
        return fan if len(corners) > 4 else [fan[0], (corners[2], corners[3], corners[0])]
    left, made = list(range(len(corners))), []
    while len(left) > 3:
        ear = next((place for place in range(len(left)) if _is_ear(flat, left, place)), 0)
        made.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        del left[ear]
    return [(corners[a], corners[b], corners[c]) for a, b, c in (*made, (left[0], left[1], left[2]))]


def _flattened(outline: Array) -> Array:
    """An outline (n, 3) seen along its steepest axis, (n, 2), so that it runs counter-clockwise."""
    centred = outline - outline.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    drop = int(np.abs(normal).argmax())
    across, up = ((1, 2), (2, 0), (0, 1))[drop]
    return np.asarray(centred[:, [across, up]] * [1.0 if normal[drop] >= 0 else -1.0, 1.0])


def _is_ear(flat: Array, left: list[int], place: int) -> bool:
    """Whether a corner of an outline that turns left sticks out, and no other one lies in its triangle."""
    a, b, c = left[place - 1], left[place], left[(place + 1) % len(left)]
    if _turn(flat[a], flat[b], flat[c]) <= 0:
        return False
    others = flat[[corner for corner in left if corner not in (a, b, c)]]
    others = others[(others[:, None] != flat[[a, b, c]]).any(axis=-1).all(axis=-1)]  # an outline may touch itself
    sides = [_turn(flat[start], flat[end], others) for start, end in ((a, b), (b, c), (c, a))]
    return not (np.stack(sides) >= 0).all(axis=0).any()


def _turn(start: Array, end: Array, point: Array) -> Array:
    """Twice the area of the triangles to points (..., 2), positive where they lie to the left of the edge."""
    along, away = end - start, point - start
    return np.asarray(along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0])
