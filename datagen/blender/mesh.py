"""Inside Blender: check an imported mesh, normalise it, shade it flat. Standard library, bpy and NumPy only."""

from __future__ import annotations

from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender import versions
from enr.datagen.blender.importing import NOT_FINITE_REASON, MeshError, root_of


def world_vertices(objects: list[Any]) -> NDArray[np.float64]:
    """World positions (vertices, 3) of all vertices that a face uses.

    Raises:
        MeshError: there is no face, a coordinate is not finite, or the faces have no area.
    """
    clouds, area = [], 0.0
    bpy.context.view_layer.update()
    for item in objects:
        mesh = _posed_mesh(item)
        if not mesh.polygons:
            continue
        positions = np.empty(3 * len(mesh.vertices), dtype=np.float32)
        mesh.vertices.foreach_get("co", positions)
        corners = np.empty(len(mesh.loops), dtype=np.int32)
        mesh.loops.foreach_get("vertex_index", corners)
        used = positions.reshape(-1, 3)[np.unique(corners)].astype(np.float64)
        matrix = np.array(item.matrix_world, dtype=np.float64)
        clouds.append(used @ matrix[:3, :3].T + matrix[:3, 3])
        areas = np.empty(len(mesh.polygons), dtype=np.float32)
        mesh.polygons.foreach_get("area", areas)
        area += float(areas.sum(dtype=np.float64))
    if not clouds:
        raise MeshError("the mesh has no faces")
    vertices = np.concatenate(clouds)
    if not np.isfinite(vertices).all():
        raise MeshError(NOT_FINITE_REASON)
    if not area > 0:
        raise MeshError("the faces of the mesh have no area")
    return vertices


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
