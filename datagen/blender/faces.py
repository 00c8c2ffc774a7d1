"""Inside Blender: the triangles of imported objects that are rendered: those that have an area and can be seen.

The one set of faces behind the bounding box, the passes and the checks. bpy and NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender.opacity import Opacity, Places

INVISIBLE = 0.5 / 255
"""Less opacity than this is none in a picture of 8 bits."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""A triangle that is flatter than this, as a share of its largest coordinate, has no area: its corners lie on a line
up to their rounding to single precision."""

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The rendered triangles of one object.

    Attributes:
        mesh: as it is rendered: bent by a skeleton or a shape key where the file has some.
        positions: (vertices, 3) in the object's axes.
        corners: (triangles, 3) vertices of the triangles.
        loops: (triangles, 3) their corners in the mesh.
        material: (triangles,) numbers in `opacities`.
        opacities: of the object's materials.
        world: (4, 4) where the object stands.
    """

    mesh: Any
    positions: Floats
    corners: NDArray[np.int32]
    loops: NDArray[np.int32]
    material: NDArray[np.int32]
    opacities: list[Opacity]
    world: Floats

    def vertices(self) -> Floats:
        """World positions (n, 3) of the vertices that a triangle uses."""
        used = np.zeros(len(self.positions), dtype=bool)
        used[self.corners.ravel()] = True
        return self._in_world(self.positions[used])

    def triangles(self) -> Floats:
        """World positions (triangles, 3, 3)."""
        return self._in_world(self.positions)[self.corners]

    def opacity(self, triangles: Integers, weights: Floats) -> Floats:
        """Opacity (n,) at points of triangles (n,), given by how much (n, 3) of each corner they are."""
        opacity = np.ones(len(triangles))
        material = self.material[triangles]
        for number in set(material.tolist()):
            here = material == number
            known = self.opacities[number]
            places = Places(self.mesh, self.loops[triangles[here]], weights[here])
            opacity[here] = known.at(places) if known.constant is None else known.constant
        return opacity

    @cached_property
    def is_opaque(self) -> NDArray[np.bool_]:
        """Which triangles (triangles,) have the same opacity all over, which is then not none."""
        return np.array([known.constant is not None for known in self.opacities])[self.material]

    def _in_world(self, positions: Floats) -> Floats:
        return positions @ self.world[:3, :3].T + self.world[:3, 3]


def parts_of(objects: list[Any], own_materials: bool = True) -> list[Part]:
    """The rendered triangles of objects as they stand in the world now; an object without any is left out.

    Args:
        objects: mesh objects.
        own_materials: leave out the triangles of materials that nothing is seen of.
    """
    bpy.context.view_layer.update()
    known: dict[str, Opacity] = {}
    parts = [_part(item, known, own_materials) for item in objects if not item.hide_render]
    return [part for part in parts if len(part.corners)]


def _part(item: Any, known: dict[str, Opacity], own_materials: bool) -> Part:
    mesh = posed_mesh(item)
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    corners, loops = np.empty((2, 3 * count), dtype=np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    mesh.loop_triangles.foreach_get("loops", loops)
    slots = np.zeros(count, dtype=np.int32)
    mesh.loop_triangles.foreach_get("material_index", slots)
    positions = _positions(mesh)
    materials = [slot.material for slot in item.material_slots] if own_materials else []
    names = [material.name if material else "" for material in materials] or [""]
    for name, material in zip(names, materials or [None], strict=True):
        known.setdefault(name, Opacity(material))
    opacities = [known[name] for name in names]
    slots = np.clip(slots, 0, len(names) - 1)
    corners = corners.reshape(-1, 3)
    world = np.array(item.matrix_world, dtype=np.float64)
    kept = _have_area(positions[corners]) & _have_area(positions[corners] @ world[:3, :3].T)
    if own_materials:
        kept &= np.array([seen.constant is None or seen.constant >= INVISIBLE for seen in opacities])[slots]
    return Part(mesh, positions, corners[kept], loops.reshape(-1, 3)[kept], slots[kept], opacities, world)


def all_vertices(objects: list[Any]) -> Floats:
    """World positions (n, 3) of the vertices of objects, whether a face uses them or not."""
    worlds = [np.array(item.matrix_world, dtype=np.float64) for item in objects]
    places = [_positions(posed_mesh(item)) for item in objects]
    return np.concatenate([at @ to[:3, :3].T + to[:3, 3] for at, to in zip(places, worlds, strict=True)])


def _positions(mesh: Any) -> Floats:
    positions = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", positions)
    return positions.reshape(-1, 3).astype(np.float64)


def posed_mesh(item: Any) -> Any:
    """The mesh of an object as it is rendered."""
    if item.modifiers or item.data.shape_keys:
        return item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return item.data


def _have_area(triangles: Floats) -> NDArray[np.bool_]:
    """Which triangles (n, 3, 3) have an area; those with a coordinate that is no number do, to be noticed."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    edges = np.stack([b - a, c - b, a - c])
    longest = np.sqrt((edges**2).sum(axis=2).max(axis=0))
    doubled = np.linalg.norm(np.cross(edges[0], edges[2]), axis=1)
    return ~(doubled <= ROUNDING * longest * np.abs(triangles).max(axis=(1, 2)))
