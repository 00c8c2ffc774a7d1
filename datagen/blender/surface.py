"""Inside Blender: the surface that is rendered, as triangles to cast rays at. mathutils and NumPy only.

Rays answer exactly what a path tracer's passes answer only nearly: the first surface through the very centre of a
pixel, in any engine, whatever its material's opacity. Only what is wholly invisible is passed through: materials of
no opacity, and what the alpha of textures and vertices cuts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from enr.datagen.blender.faces import INVISIBLE, Part, parts_of

STEP = 1e-6
"""How far beyond a surface that was passed through its ray goes on, as a share of the distance."""
MOST_CUTOUTS = 64
"""Surfaces that a ray passes through before it is given up as hitting nothing."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Surface:
    """Triangles of the world and what can be seen through.

    Attributes:
        corners: (triangles, 3, 3) world positions.
        tree: the same, to cast rays at.
        parts: the objects that they belong to, in order.
    """

    corners: Floats
    tree: Any
    parts: list[Part]

    def normals(self, triangles: Integers) -> Floats:
        """Unit normals (n, 3) of some triangles; their sign follows the winding."""
        a, b, c = np.moveaxis(self.corners[triangles], 1, 0)
        normals = np.cross(b - a, c - a)
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return normals / np.where(length > 0, length, 1.0)

    def first_hits(self, origin: Floats, directions: Floats) -> tuple[Integers, Floats]:
        """The triangle (rays,) that each ray from `origin` meets first, -1 for none, and its distance in `directions`.

        Args:
            origin: (3,).
            directions: (rays, 3), of any length.
        """
        triangles = np.full(len(directions), -1)
        distances = np.full(len(directions), np.inf)
        starts, pending = np.zeros(len(directions)), np.arange(len(directions))
        for _ in range(MOST_CUTOUTS):
            hit = self._cast(origin, directions[pending], starts[pending])
            pending, hit = pending[hit >= 0], hit[hit >= 0]
            distance = self._plane_distances(hit, origin, directions[pending], starts[pending])
            solid = ~self._is_cut_out(hit, origin + distance[:, None] * directions[pending])
            triangles[pending[solid]], distances[pending[solid]] = hit[solid], distance[solid]
            pending, passed = pending[~solid], distance[~solid]
            if not len(pending):
                break
            starts[pending] = passed * (1 + STEP)
        return triangles, distances

    def _cast(self, origin: Floats, directions: Floats, starts: Floats) -> Integers:
        ray_cast = self.tree.ray_cast
        places = (origin + starts[:, None] * directions).tolist()
        hits = [ray_cast(place, direction)[2] for place, direction in zip(places, directions.tolist(), strict=True)]
        return np.array([-1 if hit is None else hit for hit in hits], dtype=np.int64)

    def _plane_distances(self, triangles: Integers, origin: Floats, directions: Floats, starts: Floats) -> Floats:
        """Where rays meet the planes of their triangles: in double precision, which the tree does not have."""
        normals = self.normals(triangles)
        towards = (normals * directions).sum(axis=1)
        reach = (normals * (self.corners[triangles, 0] - origin)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = reach / towards
        corners = ((self.corners[triangles] - origin) * directions[:, None]).sum(axis=2)
        corners /= (directions**2).sum(axis=1, keepdims=True)  # a ray along its triangle meets it between its corners
        distance = np.where(np.isfinite(distance), distance, corners.mean(axis=1))
        return np.maximum(np.clip(distance, corners.min(axis=1), corners.max(axis=1)), starts)

    def _is_cut_out(self, triangles: Integers, points: Floats) -> NDArray[np.bool_]:
        """Whether the material of a triangle has no opacity at a point on it."""
        cut_out = np.zeros(len(triangles), dtype=bool)
        for part, first in zip(self.parts, self._first, strict=True):
            if part.is_opaque.all():
                continue
            here = np.flatnonzero((triangles >= first) & (triangles < first + len(part.corners)))
            here = here[~part.is_opaque[triangles[here] - first]]
            weights = _weights(self.corners[triangles[here]], points[here])
            cut_out[here] = part.opacity(triangles[here] - first, weights) < INVISIBLE
        return cut_out

    @cached_property
    def _first(self) -> list[int]:
        """The number of the first triangle of each part."""
        return [0, *np.cumsum([len(part.corners) for part in self.parts])[:-1].tolist()][: len(self.parts)]


def _weights(corners: Floats, points: Floats) -> Floats:
    """How much (n, 3) of each corner of some triangles (n, 3, 3) points (n, 3) in them are."""
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    square = np.maximum((normal**2).sum(axis=1), np.finfo(np.float64).tiny)
    weight_b = (np.cross(points - a, c - a) * normal).sum(axis=1) / square
    weight_c = (np.cross(b - a, points - a) * normal).sum(axis=1) / square
    return np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=1)


def surface_of(objects: list[Any]) -> Surface:
    """The surface of imported objects as they stand in the world now."""
    parts = parts_of(objects)
    triangles = [part.triangles() for part in parts]
    corners = np.concatenate(triangles) if parts else np.empty((0, 3, 3))
    return Surface(corners, tree_of(corners), parts)


def tree_of(corners: Floats) -> Any:
    """Triangles (n, 3, 3), to cast rays at."""
    return BVHTree.FromPolygons(
        corners.reshape(-1, 3).tolist(), np.arange(3 * len(corners)).reshape(-1, 3).tolist(), all_triangles=True
    )
