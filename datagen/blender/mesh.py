"""Inside Blender: check an imported mesh, normalise it, shade it flat. Standard library, bpy and NumPy only."""

from __future__ import annotations

from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender import versions
from enr.datagen.blender.faces import Part, all_vertices, parts_of, posed_mesh
from enr.datagen.blender.importing import NOT_FINITE_REASON, MeshError, root_of
from enr.datagen.meshes.far import why_merged

NOTHING_VISIBLE = "nothing of the mesh is visible in any view"


def counted_parts(objects: list[Any], own_materials: bool, taken_off: Any = 0.0) -> list[Part]:
    """The faces that are rendered, which are those that count for the bounding box.

    Args:
        objects: imported mesh objects.
        own_materials: whether the file's materials are shown; faces that they make invisible do not count then.
        taken_off: (3,) what was taken off the vertices of a mesh that lies far from the origin.

    Raises:
        MeshError: there is no face, a coordinate is not finite, the faces have no area, or none is visible.
    """
    has_faces = any(len(posed_mesh(item).polygons) for item in objects)
    parts = parts_of(objects, own_materials)
    if not parts and own_materials and parts_of(objects, own_materials=False):
        raise MeshError(NOTHING_VISIBLE)
    if not parts:
        merged = why_merged(all_vertices(objects) + taken_off)
        raise MeshError(merged or ("the faces of the mesh have no area" if has_faces else "the mesh has no faces"))
    if not all(np.isfinite(part.vertices()).all() for part in parts):
        raise MeshError(NOT_FINITE_REASON)
    return parts


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
