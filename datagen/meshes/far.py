"""Meshes far from the origin (map coordinates): what single precision would make of them, and the offset taken off.

Blender keeps coordinates in single precision: 4.6 million has steps of a half. Text and double precision hold more, and
so do the places of a glTF file's nodes; their offset is taken off before Blender reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from enr.camera import Array
from enr.datagen.meshes.gltf import Gltf, GltfNode
from enr.errors import EnrError

COARSEST = 2.0**-10
"""Largest step of single precision at a mesh, as a share of its size; at 64 px it is a sixteenth of a pixel."""
LARGE_STEP = 1e-4
"""A step of single precision that a whole mesh may vanish in; at 1,000 units from the origin and beyond."""
FIRST_VERTICES = 64
OBJ_VERTEX = re.compile(rb"^[ \t]*v[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)
STL_VERTEX = re.compile(rb"^([ \t]*vertex[ \t]+)(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE | re.IGNORECASE)
PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


def step_share(low: Array, high: Array) -> float:
    """The step of single precision at a box, as a share of its longest side; 0 for one without a size."""
    size = float((high - low).max())
    largest = float(np.abs([low, high]).max())
    return float(np.spacing(np.float32(min(largest, 1e38)))) / size if size > 0 and np.isfinite(largest) else 0.0


def too_far_words(low: Array, high: Array) -> str:
    """Why a mesh in that box cannot be rendered."""
    middle = ", ".join(f"{value:.6g}" for value in (low + high) / 2)
    step = step_share(low, high) * float((high - low).max())
    return (
        f"it lies far from the origin, around ({middle}), where single precision has steps of {step:.3g} for a mesh of "
        f"size {float((high - low).max()):.4g}; move it to the origin"
    )


def why_merged(points: Array) -> str | None:
    """Why faces of vertices (n, 3) have no area: single precision has merged these far from the origin; None if not."""
    points = points[np.isfinite(points).all(axis=-1)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    if step_share(low, high) > COARSEST:
        return too_far_words(low, high)
    step = float(np.spacing(np.float32(min(np.abs(low).max(), 1e38))))
    if (low < high).any() or step < LARGE_STEP:
        return None
    middle = ", ".join(f"{value:.6g}" for value in low)
    return (
        f"it lies so far from the origin that all its vertices are one: single precision has steps of {step:.3g} "
        f"around ({middle}); move it to the origin"
    )


def is_flattened(low: Array, high: Array) -> bool:
    """Whether a box is flat along an axis where a step of single precision is as long as much of its size."""
    steps = np.spacing(np.clip(np.abs(low), 0, 1e38).astype(np.float32))
    return bool(((low == high) & (4 * steps > (high - low).max())).any())


def offset_of(points: Array) -> Array | None:
    """The middle (3,) of points (n, 3) that single precision would move too far; None where it would not."""
    points = points[np.isfinite(points).all(axis=-1)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    if np.spacing(np.abs([low, high]).max()) > COARSEST * (high - low).max():
        return None  # double precision has moved them as well
    return (low + high) / 2 if step_share(low, high) > COARSEST else None


def near_obj(content: bytes) -> tuple[bytes, Array] | None:
    """An OBJ file's text with its vertices around the origin, and the offset (3,); None where it is near enough."""
    return _near_text(content, OBJ_VERTEX, b"v %s %s %s")


def near_stl(content: bytes) -> tuple[bytes, Array] | None:
    """The same for an STL file in text; a binary one holds single precision anyway."""
    if not content[:512].lstrip().lower().startswith(b"solid") or b"facet" not in content[:2048].lower():
        return None
    return _near_text(content, STL_VERTEX, b"vertex %s %s %s")


def near_ply(content: bytes) -> tuple[bytes, Array] | None:
    """The same for a PLY file whose vertices are text or double precision."""
    head, body, order, count, names, types = _ply_vertices(content)
    if head is None or not {"x", "y", "z"} <= set(names):
        return None
    places = [names.index(axis) for axis in "xyz"]
    if order == "ascii":
        lines = body.split(b"\n", count)
        rows = [line.split() for line in lines[:count]]
        points = np.array([[row[place] for place in places] for row in rows], dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points).all():  # Blender takes such a coordinate for 0
            raise EnrError("a coordinate of the mesh is not a finite number; export it again.")
        offset = offset_of(points)
        if offset is None:
            return None
        for row, point in zip(rows, points - offset, strict=True):
            for place, value in zip(places, point.tolist(), strict=True):
                row[place] = repr(value).encode()
        return head + b"\n".join([*(b" ".join(row) for row in rows), *lines[count:]]), offset
    if "f8" not in {types[place] for place in places}:
        return None
    layout = _row_of(order, types)
    table = np.frombuffer(body, dtype=layout, count=count).copy()
    points = np.stack([table[f"p{place}"].astype(np.float64) for place in places], axis=-1)
    offset = offset_of(points)
    if offset is None:
        return None
    for place, column in zip(places, (points - offset).T, strict=True):
        table[f"p{place}"] = column
    return head + table.tobytes() + body[count * layout.itemsize :], offset


def ply_is_finite(content: bytes) -> bool:
    """Whether the vertices of a PLY file are finite numbers; true of a file that its reader will not read anyway."""
    head, body, order, count, names, types = _ply_vertices(content)
    if head is None or not {"x", "y", "z"} <= set(names):
        return True
    places = [names.index(axis) for axis in "xyz"]
    if order == "ascii":
        rows = [line.split() for line in body.split(b"\n", count)[:count]]
        points = _numbers([[row[place] for place in places] for row in rows if len(row) > max(places)])
        return points is None or bool(np.isfinite(points).all())
    layout = _row_of(order, types)
    if len(body) < count * layout.itemsize:
        return True
    table = np.frombuffer(body, dtype=layout, count=count)
    return all(bool(np.isfinite(table[f"p{place}"]).all()) for place in places)


def near_gltf(document: Gltf) -> tuple[Gltf, Array] | None:
    """A glTF document whose nodes are around the origin, and the offset (3,); None where they are near enough.

    Each node keeps its matrix but for its place, so skeletons and animations stay what they are.
    """
    nodes = document.get("nodes") or []
    scenes = document.get("scenes") or [{"nodes": list(range(len(nodes)))}]
    roots = [number for scene in scenes for number in scene.get("nodes", ())]
    try:
        boxes = list(_node_boxes(document, nodes, roots, np.eye(4)))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError):
        return None  # the importer says what is wrong
    if not boxes or any("skin" in node for node in nodes):
        return None
    offset = offset_of(np.concatenate(boxes))
    if offset is None:
        return None
    nodes = [node.copy() for node in nodes]
    for number in dict.fromkeys(roots):
        _move_node(nodes, number, offset)
    return {**document, "nodes": nodes}, offset


def _near_text(content: bytes, pattern: re.Pattern[bytes], form: bytes) -> tuple[bytes, Array] | None:
    """Vertices in a text moved to the origin, where the first few already lie far from it for their size."""
    places = range(pattern.groups - 2, pattern.groups + 1)
    first = [found.group(*places) for found, _ in zip(pattern.finditer(content), range(FIRST_VERTICES), strict=False)]
    start = _numbers(first)
    if start is None or not len(start):
        return None
    low, high = start.min(axis=0), start.max(axis=0)
    if np.isfinite(start).all() and (high - low).max() > 0 and step_share(low, high) <= COARSEST:
        return None  # what holds these points cannot be too far from the origin for its size
    points = _numbers([found.group(*places) for found in pattern.finditer(content)])
    offset = None if points is None else offset_of(points)
    if points is None or offset is None:
        return None
    moved = iter((points - offset).tolist())
    return pattern.sub(lambda _: form % tuple(repr(value).encode() for value in next(moved)), content), offset


def _numbers(words: Sequence[Any]) -> Array | None:
    """Words (n, 3) as numbers; None where one is none, of which the reader of the format says more."""
    try:
        return np.array(words, dtype=np.float64).reshape(-1, 3)
    except ValueError:
        return None


def _row_of(order: str, types: Sequence[str]) -> np.dtype[Any]:
    """The layout of a vertex in a binary PLY file."""
    sign = "<" if order == "binary_little_endian" else ">"
    return np.dtype([(f"p{index}", sign + kind) for index, kind in enumerate(types)])


def _ply_vertices(content: bytes) -> tuple[Any, bytes, str, int, list[str], list[str]]:
    """Header, body, order of bytes, number, names and types of a PLY file's vertices, if they come first."""
    nothing: tuple[Any, bytes, str, int, list[str], list[str]] = (None, b"", "", 0, [], [])
    end = re.search(rb"^end_header[ \t]*\r?\n", content, re.MULTILINE)
    if not content.startswith(b"ply") or end is None:
        return nothing
    order, count, names, types, element = "", 0, [], [], 0
    for words in (line.split() for line in content[: end.start()].decode("latin-1").splitlines()):
        if words[:1] == ["format"] and len(words) > 1:
            order = words[1]
        elif words[:1] == ["element"] and len(words) == 3:
            element += 1
            if element == 1:
                count = int(words[2]) if words[1] == "vertex" and words[2].isdigit() else 0
        elif words[:1] == ["property"] and element == 1:
            if len(words) != 3 or words[1] not in PLY_TYPES:
                return nothing
            names.append(words[2])
            types.append(PLY_TYPES[words[1]])
    if not count:
        return nothing
    return content[: end.end()], content[end.end() :], order, count, names, types


def _node_boxes(document: Gltf, nodes: Sequence[GltfNode], numbers: Sequence[int], above: Array) -> Any:
    """Corners (8, 3) of the box of each node's mesh, in the scene."""
    for number in numbers:
        node = nodes[number]
        matrix = above @ _node_matrix(node)
        for primitive in document["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            accessor = document["accessors"][primitive["attributes"]["POSITION"]]
            if accessor.get("normalized"):
                raise ValueError("positions are shares of a range")
            low, high = np.array(accessor["min"], dtype=np.float64), np.array(accessor["max"], dtype=np.float64)
            if step_share(low, high) > COARSEST:
                raise ValueError("positions are single precision far from their origin")
            corners = np.array([np.where(np.array(pick) == 1, high, low) for pick in np.ndindex(2, 2, 2)])
            yield corners @ matrix[:3, :3].T + matrix[:3, 3]
        yield from _node_boxes(document, nodes, node.get("children", ()), matrix)


def _node_matrix(node: GltfNode) -> Array:
    """A node's matrix (4, 4)."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def _move_node(nodes: list[GltfNode], number: int, offset: Array) -> None:
    """Take an offset off a node, or off its children where these are what lies far away."""
    node, matrix = nodes[number], _node_matrix(nodes[number])
    children = node.get("children", ())
    is_far = np.linalg.norm(matrix[:3, 3] - offset) < np.linalg.norm(matrix[:3, 3])
    if is_far or "mesh" in node or not children:
        place = (matrix[:3, 3] - offset).tolist()
        if "matrix" in node:
            node["matrix"] = [*node["matrix"][:12], *place, node["matrix"][15]]
        else:
            node["translation"] = place
        return
    try:
        inside = np.linalg.solve(matrix[:3, :3], offset)
    except np.linalg.LinAlgError as error:
        raise EnrError("a node of the glTF file has a scale of 0; export it again.") from error
    for child in dict.fromkeys(children):
        _move_node(nodes, child, inside)
