"""Inside Blender: faces that lie on each other and show a different material on each side. NumPy only.

Most ShapeNet models have every face twice, wound both ways, as the two sides of one sheet: the outside may be wood,
the inside the drawing program's default white. Blender's importer keeps one of the two, whichever comes first. Here
both stay, each a hair's breadth on its own side, so that a camera on either side sees the material of that side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender.importing import NOT_FINITE_REASON, MeshError

SHIFT = "enr-shift"
GAP = 2e-5
"""How far a sheet's side is moved, as a share of the mesh's size: far less than a pixel, far more than rounding."""
SAME_PLACE = 1e-5
"""Corners nearer to each other than about this share of the mesh's size are one."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def clean(objects: list[Any], both_sides: bool) -> None:
    """Remove broken and doubled faces of meshes as their importer read them; a sheet's two sides stay if asked.

    Raises:
        MeshError: a corner of a face has a coordinate that is no finite number, for which `validate` would put 0.
    """
    for mesh in _meshes(objects):
        places, used = _positions(mesh), _corner_vertices(mesh)
        if not np.isfinite(places[used[(used >= 0) & (used < len(places))]]).all():
            raise MeshError(NOT_FINITE_REASON)
        if SHIFT in mesh.attributes:  # a file may hold an attribute of any name
            mesh.attributes.remove(mesh.attributes[SHIFT])
        if both_sides:
            keep_both_sides(mesh)
        mesh.validate()


def part(objects: list[Any]) -> None:
    """Move apart the sides that `clean` kept, when nothing needs the mesh's own measures any more."""
    for mesh in _meshes(objects):
        part_sides(mesh)


def _meshes(objects: list[Any]) -> list[Any]:
    """The objects' meshes, which they may share, each once."""
    return list({item.data.name: item.data for item in objects}.values())


def keep_both_sides(mesh: Any) -> None:
    """Give the sides of sheets of two materials vertices of their own, so that no later clean-up takes one away.

    Nothing moves before `part_sides`: the mesh still has its own measures.
    """
    if len(mesh.materials) < 2 or mesh.shape_keys or not mesh.polygons:
        return
    faces = _sides_of_sheets(mesh)
    if not len(faces):
        return
    corners = np.concatenate([np.arange(start, start + total) for start, total in _loops_of(mesh, faces).tolist()])
    places, vertex_of_corner = _positions(mesh), _corner_vertices(mesh)
    normals = _normals(mesh)[faces]
    first_new = len(places)
    mesh.vertices.add(len(corners))
    moved = np.concatenate([places, places[vertex_of_corner[corners]]])
    mesh.vertices.foreach_set("co", moved.astype(np.float32).ravel())
    vertex_of_corner[corners] = first_new + np.arange(len(corners))
    mesh.loops.foreach_set("vertex_index", vertex_of_corner.astype(np.int32))
    shift = np.zeros_like(moved)
    shift[first_new:] = np.repeat(normals, _loops_of(mesh, faces)[:, 1], axis=0)
    attribute = mesh.attributes.new(SHIFT, "FLOAT_VECTOR", "POINT")
    attribute.data.foreach_set("vector", shift.astype(np.float32).ravel())
    mesh.update(calc_edges=True)


def part_sides(mesh: Any) -> None:
    """Move the sides that `keep_both_sides` kept apart."""
    attribute = mesh.attributes.get(SHIFT)
    if attribute is None:
        return
    shift = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    attribute.data.foreach_get("vector", shift)
    places = _positions(mesh)
    places += GAP * np.linalg.norm(np.ptp(places, axis=0)) * shift.reshape(-1, 3)
    mesh.vertices.foreach_set("co", places.astype(np.float32).ravel())
    mesh.attributes.remove(attribute)
    mesh.update()


def _sides_of_sheets(mesh: Any) -> Integers:
    """Numbers of the faces that lie on a face of another material and the opposite winding: one a side."""
    corners, places = _corner_vertices(mesh), _positions(mesh)
    size = float(np.ptp(places, axis=0).max())
    if not 0 < size < np.inf:
        return np.empty(0, dtype=np.int64)
    _, place_of_vertex = np.unique(np.round(places / (size * SAME_PLACE)), axis=0, return_inverse=True)
    loops = _loops_of(mesh, np.arange(len(mesh.polygons)))
    materials = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", materials)
    found = []
    for total in np.unique(loops[:, 1]).tolist():
        faces = np.flatnonzero(loops[:, 1] == total)
        index = loops[faces, :1] + np.arange(total)
        found.append(faces[_on_each_other(place_of_vertex.ravel()[corners[index]], materials[faces])])
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _on_each_other(rings: Integers, materials: NDArray[np.int32]) -> Integers:
    """Which of some faces (faces, corners), given as rings of places, are the two sides of a sheet of two materials."""
    start = rings.argmin(axis=1)[:, None]
    turned = np.take_along_axis(rings, (start + np.arange(rings.shape[1])) % rings.shape[1], axis=1)
    is_upper = turned[:, 1] < turned[:, -1]
    _, sheet = np.unique(np.sort(rings, axis=1), axis=0, return_inverse=True)
    sheet = sheet.ravel()
    first = np.full((2, sheet.max() + 1), -1)
    for side in (0, 1):
        faces = np.flatnonzero(is_upper == bool(side))[::-1]
        first[side, sheet[faces]] = faces  # the last to be written, the lowest number, stays
    both = first[:, (first >= 0).all(axis=0)]
    return both[:, materials[both[0]] != materials[both[1]]].ravel()


def _positions(mesh: Any) -> Floats:
    """(vertices, 3)."""
    places = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", places)
    return places.reshape(-1, 3).astype(np.float64)


def _corner_vertices(mesh: Any) -> Integers:
    """The vertex (corners,) of each face corner."""
    vertices = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", vertices)
    return vertices.astype(np.int64)


def _loops_of(mesh: Any, faces: Integers) -> Integers:
    """The first corner and the number of corners (faces, 2) of some faces."""
    start, total = np.empty((2, len(mesh.polygons)), dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", start)
    mesh.polygons.foreach_get("loop_total", total)
    return np.stack([start[faces], total[faces]], axis=1).astype(np.int64)


def _normals(mesh: Any) -> Floats:
    """Unit normals (faces, 3) by the winding."""
    normals = np.empty(3 * len(mesh.polygons), dtype=np.float32)
    mesh.polygons.foreach_get("normal", normals)
    return normals.reshape(-1, 3).astype(np.float64)
