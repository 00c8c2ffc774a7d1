"""Inside Blender: import a mesh file, check it, normalise it, shade it flat. Standard library, bpy and NumPy only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

NOT_FINITE = re.compile(rb"^v[ \t]+(?:\S+[ \t]+){0,2}[+-]?(?:nan|inf)", re.IGNORECASE | re.MULTILINE)
NOT_FINITE_REASON = "a coordinate of the mesh is not a finite number"


class MeshError(Exception):
    """A mesh that cannot be rendered, with the reason in words."""


def import_mesh(path: Path) -> list[Any]:
    """Import a mesh file into the empty scene; its mesh objects.

    Y-up files (OBJ, glTF) come out Z-up, PLY and STL as they are stored.

    Raises:
        MeshError: the format is unknown, or Blender's importer refuses the file or finds no mesh in it.
    """
    if path.suffix.lower() == ".obj":
        _check_text(path.read_bytes())
    try:
        _run_importer(path)
    except RuntimeError as error:  # how Blender's operators report their errors
        raise MeshError(f"Blender's importer refused the file ({_one_line(error)})") from error
    imported = [item for item in bpy.data.objects if "enr" not in item]
    objects = [item for item in imported if item.type == "MESH"]
    for item in imported:
        item.hide_render |= item.type != "MESH"  # lights and cameras that a glTF may bring along
    if not objects:
        raise MeshError("the file holds no mesh")
    return objects


def _run_importer(path: Path) -> None:
    match path.suffix.lower():
        case ".obj":
            bpy.ops.wm.obj_import(filepath=str(path))
        case ".glb" | ".gltf":  # without the option, a skeleton brings a mesh of its own for its bones
            bpy.ops.import_scene.gltf(filepath=str(path), disable_bone_shape=True)
        case ".ply":
            bpy.ops.wm.ply_import(filepath=str(path))
        case ".stl":
            bpy.ops.wm.stl_import(filepath=str(path))
        case suffix:
            raise MeshError(f"the format {suffix or 'without a suffix'} is not one that can be imported")


def _check_text(text: bytes) -> None:
    """Refuse an OBJ file that Blender would import without a word, but wrongly."""
    if b"\0" in text:
        raise MeshError("the file holds NUL bytes: it is damaged, or not text in UTF-8")
    if NOT_FINITE.search(text):  # Blender takes such a coordinate for 0
        raise MeshError(NOT_FINITE_REASON)


def remove_meshes() -> None:
    """Remove everything that an import left, whether it succeeded or not."""
    for item in list(bpy.data.objects):
        if "enr" not in item:
            bpy.data.objects.remove(item, do_unlink=True)
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)


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


def normalisation(vertices: NDArray[np.float64], mode: str) -> tuple[float, NDArray[np.float64]]:
    """Scale and offset (3,): a vertex becomes `scale * (vertex + offset)`.

    Args:
        vertices: (vertices, 3).
        mode: `diagonal` (box diagonal 1), `longest` (longest side 1) or `none`.

    Raises:
        MeshError: all points coincide.
    """
    if mode == "none":
        return 1.0, np.zeros(3)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    extent = high - low
    size = float(np.linalg.norm(extent)) if mode == "diagonal" else float(extent.max())
    if not size > 0:
        raise MeshError("all points of the mesh coincide")
    return 1.0 / size, -(low + high) / 2


def apply_normalisation(objects: list[Any], scale: float, offset: NDArray[np.float64]) -> None:
    """Move the imported objects, with whatever they hang on, so that a point becomes `scale * (point + offset)`."""
    move = mathutils.Matrix.Scale(scale, 4) @ mathutils.Matrix.Translation(offset)
    roots = {_root(item).name for item in objects}
    for name in sorted(roots):
        root = bpy.data.objects[name]
        root.matrix_world = move @ root.matrix_world


def shade_flat(objects: list[Any]) -> None:
    """Flat shading without stored normals, whose winding cannot be trusted: no black patches."""
    for mesh in {item.data.name: item.data for item in objects}.values():
        stored = mesh.attributes.get("custom_normal")
        if stored is not None:
            mesh.attributes.remove(stored)
        mesh.shade_flat()


def _root(item: Any) -> Any:
    while item.parent is not None:
        item = item.parent
    return item


def _one_line(error: Exception) -> str:
    return " ".join(str(error).removeprefix("Error:").split())
