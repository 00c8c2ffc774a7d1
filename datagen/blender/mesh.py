"""Inside Blender: check an imported mesh, normalise it, shade it flat. Standard library, bpy and NumPy only."""

from __future__ import annotations

from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender import versions
from enr.datagen.blender.importing import NOT_FINITE_REASON, MeshError, root_of

THINNEST = 1e-7
"""A triangle lower than this share of its side has no area: that is what single precision makes of a line."""


def world_vertices(objects: list[Any]) -> NDArray[np.float64]:
    """World positions (vertices, 3) of all vertices that a face with area uses.

    Raises:
        MeshError: there is no face, a coordinate is not finite, or the faces have no area.
    """
    clouds, has_faces = [], False
    bpy.context.view_layer.update()
    for item in objects:
        mesh = _posed_mesh(item)
        mesh.calc_loop_triangles()
        if not mesh.loop_triangles:
            continue
        has_faces = True
        positions = np.empty(3 * len(mesh.vertices), dtype=np.float32)
        mesh.vertices.foreach_get("co", positions)
        places, matrix = positions.reshape(-1, 3).astype(np.float64), np.array(item.matrix_world, dtype=np.float64)
        corners = np.empty(3 * len(mesh.loop_triangles), dtype=np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        triangles = places[corners].reshape(-1, 3, 3) @ matrix[:3, :3].T
        if not (np.isfinite(triangles).all() and np.isfinite(matrix).all()):
            raise MeshError(NOT_FINITE_REASON)
        used = places[np.unique(corners.reshape(-1, 3)[_has_area(triangles)])]
        clouds.append(used @ matrix[:3, :3].T + matrix[:3, 3])
    if not has_faces:
        raise MeshError("the mesh has no faces")
    vertices = np.concatenate(clouds)
    if not len(vertices):
        raise MeshError("the faces of the mesh have no area")
    return vertices


def _has_area(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of some triangles (n, 3, 3) are more than a line or a point, whatever their size."""
    a, b, c = np.moveaxis(corners, 1, 0)
    doubled = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    longest = np.maximum(((b - a) ** 2).sum(axis=1), ((c - a) ** 2).sum(axis=1))
    enough: NDArray[np.bool_] = doubled > THINNEST * longest
    return enough


def _posed_mesh(item: Any) -> Any:
    """The mesh as it will be rendered: bent by a skeleton or a shape key where the file has some."""
    if item.modifiers or item.data.shape_keys:
        return item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return item.data


def apply_normalisation(objects: list[Any], scale: float, offset: NDArray[np.float64]) -> None:
    """Move the imported objects, with whatever they hang on, so that a point becomes `scale * (point + offset)`."""
    move = mathutils.Matrix.Scale(scale, 4) @ mathutils.Matrix.Translation(offset)
    roots = {root_of(item).name for item in objects}
    for name in sorted(roots):
        root = bpy.data.objects[name]
        root.matrix_world = move @ root.matrix_world


def shade_flat(objects: list[Any]) -> None:
    """Flat shading without stored normals, whose winding cannot be trusted: no black patches."""
    for mesh in {item.data.name: item.data for item in objects}.values():
        versions.shade_flat(mesh)
