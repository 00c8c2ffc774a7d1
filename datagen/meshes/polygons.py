"""Polygons as triangles, by cutting off ears: a concave one keeps its notch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enr.camera import Array


def triangulate(points: Array, corners: Sequence[int]) -> list[tuple[int, int, int]]:
    """Triangles, as indices into `points` (n, 3), of a polygon that is (nearly) flat; none for less than 3 corners."""
    if len(corners) <= 3:
        return [(corners[0], corners[1], corners[2])] if len(corners) == 3 else []
    outline = points[list(corners)]
    centred = outline - outline.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    drop = int(np.abs(normal).argmax())
    across, up = ((1, 2), (2, 0), (0, 1))[drop]
    flat = centred[:, [across, up]] * [1.0 if normal[drop] >= 0 else -1.0, 1.0]
    left, made = list(range(len(corners))), []
    while len(left) > 3:
        ear = next((place for place in range(len(left)) if _is_ear(flat, left, place)), 0)
        made.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        del left[ear]
    return [(corners[a], corners[b], corners[c]) for a, b, c in (*made, (left[0], left[1], left[2]))]


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
    return np.asarray(along[0] * away[..., 1] - along[1] * away[..., 0])
