"""Inside Blender: faces that lie exactly on one another, as where an object stands twice in a file. bpy and NumPy only.

Both of them would shade each other, which shows as black; one stays. Those that nothing is seen of go, since what lies
on them would vanish with them; others that let light through all stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender.opacity import Opacity
from enr.datagen.blender.sheets import SAME_PLACE, SHIFT

INVISIBLE = 0.5 / 255
OPAQUE = 1 - INVISIBLE
HASH = np.array([73856093, 19349663, 83492791])

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Faces:
    """The faces of one object, as it stands in the world.

    Attributes:
        item: the object.
        places: (vertices, 3) in the world.
        vertices: (corners,) of the faces' corners.
        start: (faces,) first corners.
        total: (faces,) numbers of corners.
        centres: (faces, 3) means of the corners.
        is_opaque: (faces,) whether nothing is seen through them.
        is_invisible: (faces,) whether nothing is seen of them.
        is_side: (vertices,) whether they belong to one side of a sheet that has two (`enr.datagen.blender.sheets`).
    """

    item: Any
    places: Floats
    vertices: Integers
    start: Integers
    total: Integers
    centres: Floats
    is_opaque: NDArray[np.bool_]
    is_invisible: NDArray[np.bool_]
    is_side: NDArray[np.bool_]


def drop_copies(objects: list[Any], own_materials: bool) -> None:
    """Remove faces that lie on an earlier one, of whichever object, or are invisible; what a skeleton bends stays.

    Args:
        objects: mesh objects, cleaned by `enr.datagen.blender.sheets`.
        own_materials: whether the file's materials are shown.
    """
    bpy.context.view_layer.update()
    still = [item for item in objects if not (item.hide_render or item.modifiers or item.data.shape_keys)]
    known = [_faces_of(item, own_materials) for item in still if item.data.polygons]
    if not known:
        return
    places = np.concatenate([faces.places for faces in known])
    size = float(np.ptp(places, axis=0).max())
    if not 0 < size < np.inf:
        return
    unit = size * SAME_PLACE
    middles = np.concatenate([faces.centres for faces in known])
    keys = np.round((middles - places.min(axis=0)) / unit).astype(np.int64) * HASH
    _, group, times = np.unique(keys[:, 0] ^ keys[:, 1] ^ keys[:, 2], return_inverse=True, return_counts=True)
    tried = (times[group.ravel()] > 1) & np.concatenate([faces.is_opaque for faces in known])
    ends = np.cumsum([len(faces.total) for faces in known])
    numbers = [np.flatnonzero(part) for part in np.split(tried, ends[:-1])]
    all_invisible = all(faces.is_invisible.all() for faces in known)  # which is said elsewhere
    for faces, copies in zip(known, _copies(known, numbers, unit), strict=True):
        invisible = np.flatnonzero(faces.is_invisible & (not all_invisible))
        _remove(faces.item, np.union1d(copies, invisible))


def _faces_of(item: Any, own_materials: bool) -> _Faces:
    mesh = item.data
    count = len(mesh.polygons)
    start, total, slots = np.empty((3, count), dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", start)
    mesh.polygons.foreach_get("loop_total", total)
    mesh.polygons.foreach_get("material_index", slots)
    vertices = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", vertices)
    local = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", local)
    matrix = np.array(item.matrix_world, dtype=np.float64)
    places = local.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    centres = np.add.reduceat(places[vertices], start) / total[:, None]
    is_side = np.zeros(len(places), dtype=bool)
    if SHIFT in mesh.attributes:
        shift = np.empty(3 * len(places), dtype=np.float32)
        mesh.attributes[SHIFT].data.foreach_get("vector", shift)
        is_side = shift.reshape(-1, 3).any(axis=1)
    opacity = np.ones(count)
    if own_materials and item.material_slots:
        seen = [Opacity(slot.material).constant for slot in item.material_slots]
        known = np.array([0.5 if constant is None else constant for constant in seen])
        opacity = known[np.clip(slots, 0, len(seen) - 1)]
    corners, first, many = (numbers.astype(np.int64) for numbers in (vertices, start, total))
    return _Faces(item, places, corners, first, many, centres, opacity >= OPAQUE, opacity < INVISIBLE, is_side)


def _copies(known: list[_Faces], numbers: list[Integers], unit: float) -> list[Integers]:
    """By object, those of some faces that lie on an earlier one of them."""
    owner = np.repeat(np.arange(len(known)), [len(some) for some in numbers])
    total = np.concatenate([faces.total[some] for faces, some in zip(known, numbers, strict=True)])
    face = np.concatenate(numbers)
    found = np.zeros(len(face), dtype=bool)
    for corners in np.unique(total).tolist():
        here = np.flatnonzero(total == corners)
        rings, sides = [], []
        for index, faces in enumerate(known):
            some = face[here[owner[here] == index]]
            vertices = faces.vertices[faces.start[some][:, None] + np.arange(corners)]
            rings.append(faces.places[vertices])
            sides.append(faces.is_side[vertices[:, 0]])
        cells = np.round(np.concatenate(rings) / unit).astype(np.int64)
        _, place = np.unique(cells.reshape(-1, 3), axis=0, return_inverse=True)
        ring = place.reshape(-1, corners)
        turned = (ring.argmin(axis=1)[:, None] + np.arange(corners)) % corners
        turned = np.take_along_axis(ring, turned, axis=1)
        winding = np.where(np.concatenate(sides), 1 + (turned[:, 1] < turned[:, -1]), 0)
        same = np.column_stack([np.sort(ring, axis=1), winding])
        _, first = np.unique(same, axis=0, return_index=True)
        found[here] = ~np.isin(np.arange(len(here)), first)
    return [face[found & (owner == index)] for index in range(len(known))]


def _remove(item: Any, copies: Integers) -> None:
    """Take faces off an object, not off others that share its mesh."""
    if not len(copies):
        return
    if len(copies) == len(item.data.polygons):
        item.hide_render = True
        return
    if item.data.users > 1:
        item.data = item.data.copy()
    content = bmesh.new()
    content.from_mesh(item.data)
    content.faces.ensure_lookup_table()
    bmesh.ops.delete(content, geom=[content.faces[number] for number in copies.tolist()], context="FACES_ONLY")
    content.to_mesh(item.data)
    content.free()
