"""Inside Blender: the surface that is rendered, as triangles to cast rays at. Standard library, bpy and NumPy only.

Rays answer exactly what a path tracer's passes answer only nearly: the first surface through the very centre of a
pixel, in any engine, whatever its material's opacity. Only what is wholly invisible is passed through: materials of
no opacity, and the texels that a texture cuts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree
from numpy.typing import NDArray

INVISIBLE = 0.5 / 255
"""Less opacity than this is none in a picture of 8 bits."""
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
        texture: (triangles,) the number in `opacities` of the texture that cuts holes into a triangle, or -1.
        uv: (triangles, 3, 2) texture coordinates of the corners; zero where there are none.
        opacities: opacity of textures, (height, width), the first row lowest.
    """

    corners: Floats
    tree: Any
    texture: Integers
    uv: Floats
    opacities: list[NDArray[np.float32]]

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
        """Whether the texture of a triangle has no opacity at a point on it."""
        cut_out = np.zeros(len(triangles), dtype=bool)
        texture = self.texture[triangles]
        for number in set(texture[texture >= 0].tolist()):
            here = texture == number
            uv = _at_points(self.corners[triangles[here]], self.uv[triangles[here]], points[here])
            opacity = self.opacities[number]
            height, width = opacity.shape
            column, row = np.floor(uv * (width, height)).astype(np.int64).T
            cut_out[here] = opacity[row % height, column % width] < INVISIBLE
        return cut_out


def _at_points(corners: Floats, values: Floats, points: Floats) -> Floats:
    """`values` (n, 3, k) at the corners of triangles, interpolated linearly at points (n, 3) in them."""
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    square = np.maximum((normal**2).sum(axis=1), np.finfo(np.float64).tiny)
    weight_b = (np.cross(points - a, c - a) * normal).sum(axis=1) / square
    weight_c = (np.cross(b - a, points - a) * normal).sum(axis=1) / square
    weights = np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=1)
    return (weights[..., None] * values).sum(axis=1)


def surface_of(objects: list[Any]) -> Surface:
    """The surface of imported objects as they stand in the world now."""
    bpy.context.view_layer.update()
    opacities: dict[str, NDArray[np.float32]] = {}
    parts = [_triangles(item, opacities) for item in objects if not item.hide_render]
    corners, texture, uv = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    names = list(opacities)
    number = np.array([names.index(name) if name else -1 for name in texture], dtype=np.int64)
    tree = BVHTree.FromPolygons(
        corners.reshape(-1, 3).tolist(), np.arange(3 * len(corners)).reshape(-1, 3).tolist(), all_triangles=True
    )
    return Surface(corners, tree, number, uv, [opacities[name] for name in names])


def _triangles(item: Any, opacities: dict[str, NDArray[np.float32]]) -> tuple[Floats, NDArray[np.str_], Floats]:
    """An object's visible triangles: world corners, the texture that cuts holes into each (its name, or ""), uv."""
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
    visible, texture = _see_through(item, slots, opacities)
    corners, uv = world[vertices].reshape(-1, 3, 3), _uv(mesh)[loops].reshape(-1, 3, 2)
    return corners[visible], texture[visible], uv[visible]


def _uv(mesh: Any) -> Floats:
    """Texture coordinates (corners, 2) of a mesh; zero where it has none."""
    uv = np.zeros(2 * len(mesh.loops), dtype=np.float32)
    if mesh.uv_layers.active is not None:
        mesh.uv_layers.active.data.foreach_get("uv", uv)
    return uv.reshape(-1, 2).astype(np.float64)


def _see_through(
    item: Any, slots: NDArray[np.int32], opacities: dict[str, NDArray[np.float32]]
) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """By triangle: whether any of it can be seen, and the name of the texture that cuts holes into it, or ""."""
    materials = [slot.material for slot in item.material_slots] or [None]
    found = [_opacity(material) for material in materials]
    names = []
    for _, image in found:
        names.append(image.name if image is not None else "")
        if image is not None and image.name not in opacities:
            opacities[image.name] = _read_opacity(image)
    index = np.clip(slots, 0, len(found) - 1)
    visible = np.array([constant >= INVISIBLE for constant, _ in found])
    return visible[index], np.array(names)[index]


def _opacity(material: Any) -> tuple[float, Any]:
    """A material's opacity, and the picture whose alpha it follows instead, if there is one."""
    if material is None or material.node_tree is None:
        return 1.0, None
    for node in material.node_tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            alpha = node.inputs["Alpha"]
            if not alpha.is_linked:
                return float(alpha.default_value), None
            source = alpha.links[0]
            if source.from_node.type == "TEX_IMAGE" and source.from_socket.name == "Alpha":
                return 1.0, source.from_node.image
    return 1.0, None


def _read_opacity(image: Any) -> NDArray[np.float32]:
    """The alpha channel (height, width) of a picture, the first row lowest."""
    width, height = image.size
    pixels = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    alpha = pixels.reshape(height, width, image.channels)
    return alpha[..., 3].copy() if image.channels == 4 else np.ones((height, width), dtype=np.float32)
