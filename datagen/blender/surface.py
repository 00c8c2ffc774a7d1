"""Inside Blender: the surface that is rendered, as triangles to cast rays at. Standard library, bpy and NumPy only.

Rays answer exactly what a path tracer's passes answer only nearly: the first surface through the very centre of a
pixel, in any engine, whatever its material's opacity. Only what is wholly invisible is passed through: materials of
no opacity, and what a texture or the colours of vertices cut out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

from enr.datagen.blender.opacity import Floats, Integers, OpacityReader, Sampler

INVISIBLE = 0.5 / 255
"""Less opacity than this is none in a picture of 8 bits."""
STEP = 1e-6
"""How far beyond a surface that was passed through its ray goes on, as a share of the distance."""
MOST_CUTOUTS = 64
"""Surfaces that a ray passes through before it is given up as hitting nothing."""
SOLID, UNSEEN = -1, -2
"""In place of the number of what cuts holes into a triangle: nothing does; all of it is a hole."""


@dataclass(frozen=True)
class Surface:
    """Triangles of the world and what can be seen through.

    Attributes:
        corners: (triangles, 3, 3) world positions.
        tree: the same, to cast rays at.
        cutout: (triangles,) the number in `opacities` of what cuts holes into a triangle, or -1.
        loops: (triangles, 3) face corners in the mesh that a triangle comes from.
        opacities: functions of face corners and weights.
    """

    corners: Floats
    tree: Any
    cutout: Integers
    loops: Integers
    opacities: list[Sampler]

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
        """Whether a triangle's material has no opacity at a point on it."""
        cut_out = np.zeros(len(triangles), dtype=bool)
        cutout = self.cutout[triangles]
        for number in set(cutout[cutout >= 0].tolist()):
            here = cutout == number
            weights = _weights(self.corners[triangles[here]], points[here])
            cut_out[here] = self.opacities[number](self.loops[triangles[here]], weights) < INVISIBLE
        return cut_out


def _weights(corners: Floats, points: Floats) -> Floats:
    """Weights (n, 3) of the corners of triangles by which what they hold is interpolated at points (n, 3) in them."""
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    square = np.maximum((normal**2).sum(axis=1), np.finfo(np.float64).tiny)
    weight_b = (np.cross(points - a, c - a) * normal).sum(axis=1) / square
    weight_c = (np.cross(b - a, points - a) * normal).sum(axis=1) / square
    return np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=1)


def surface_of(objects: list[Any]) -> Surface:
    """The surface of imported objects as they stand in the world now; it may hold no triangle."""
    bpy.context.view_layer.update()
    pictures: dict[str, Floats] = {}
    opacities: list[Sampler] = []
    parts = [_triangles(item, pictures, opacities) for item in objects if not item.hide_render]
    corners, cutout, loops = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    tree = BVHTree.FromPolygons(
        corners.reshape(-1, 3).tolist(), np.arange(3 * len(corners)).reshape(-1, 3).tolist(), all_triangles=True
    )
    return Surface(corners, tree, cutout, loops, opacities)


def _triangles(item: Any, pictures: dict[str, Floats], opacities: list[Sampler]) -> tuple[Floats, Integers, Integers]:
    """An object's visible triangles: world corners, the number of what cuts holes into each (or -1), face corners."""
    mesh = item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    vertices, loops = np.empty((2, 3 * count), dtype=np.int32)
    mesh.loop_triangles.foreach_get("vertices", vertices)
    mesh.loop_triangles.foreach_get("loops", loops)
    slots = np.empty(count, dtype=np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    positions = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", positions)
    matrix = np.array(item.matrix_world, dtype=np.float64)
    world = positions.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    reader, numbers = OpacityReader(mesh, pictures), []
    for material in [slot.material for slot in item.material_slots] or [None]:
        opacity = reader.of(material)
        if not isinstance(opacity, float):
            opacities.append(opacity)
            numbers.append(len(opacities) - 1)
        else:
            numbers.append(SOLID if opacity >= INVISIBLE else UNSEEN)
    cutout = np.array(numbers, dtype=np.int64)[np.clip(slots, 0, len(numbers) - 1)]
    seen = cutout != UNSEEN
    return world[vertices].reshape(-1, 3, 3)[seen], cutout[seen], loops.reshape(-1, 3).astype(np.int64)[seen]
