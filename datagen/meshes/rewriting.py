"""Mesh files that Blender would read wrongly or not at all as they lie, and what is written in their place.

Text with the line ends, the byte-order mark or the encoding of another system; files named by the paths of another
computer; bytes after the triangles of a binary STL; vertices so far from the origin that single precision moves them.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from enr.camera import Array
from enr.datagen.meshes.far import near_gltf, near_obj, near_ply, near_stl, ply_is_finite
from enr.datagen.meshes.formats import suffix_of
from enr.datagen.meshes.gltf import Gltf, GltfNode
from enr.datagen.meshes.obj_files import has_plain_names, locate, plain_copy, plain_text
from enr.errors import EnrError

STL_HEAD_BYTES, STL_TRIANGLE_BYTES = 84, 50
"""A binary STL: a header that ends in the number of triangles, then these."""
STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
STL_FACET = re.compile(rb"^[ \t]*facet\b", re.MULTILINE)
STL_NOT_FINITE = re.compile(rb"^[ \t]*vertex[ \t]+(?:\S+[ \t]+){0,2}[+-]?(?:nan|inf)", re.IGNORECASE | re.MULTILINE)
NOT_FINITE = "has vertices that are not finite numbers; export the mesh again."
START_BYTES = 2**14
GLB_HEADER, CHUNK_HEADER = struct.Struct("<4sII"), struct.Struct("<I4s")
SHEAR = 1e-3
"""Largest cosine of the angle between two axes of a matrix that rounding explains."""
GLB_START_BYTES = GLB_HEADER.size + CHUNK_HEADER.size


@dataclass(frozen=True, eq=False)
class Rewritten:
    """What is to be read in a mesh file's place.

    Attributes:
        content: its bytes.
        offset: (3,) what was taken off the vertices, in the file's axes and units.
        within: the folder that named files may lie in; None for any.
    """

    content: bytes
    offset: Array = field(default_factory=lambda: np.zeros(3))
    within: Path | None = None

    def write(self, path: Path, folder: Path) -> Path:
        """Write it into an empty folder, with what it names; the new file.

        Args:
            path: the file in whose place it is read.
            folder: where to.
        """
        if suffix_of(path) == ".obj":
            return plain_copy(path, self.content, folder, self.within)
        target = folder / f"mesh{suffix_of(path)}"
        target.write_bytes(self.content)
        return target


def rewritten(path: Path, within: Path | None = None) -> Rewritten | None:
    """What is to be read in a mesh file's place; None for a file that Blender reads rightly.

    Args:
        path: the file.
        within: the folder that files named by it may lie in; None for any.

    Raises:
        EnrError: it cannot be made readable; the reason.
        OSError: the file cannot be read.
    """
    match suffix_of(path):
        case ".obj":
            return _rewritten_obj(path, within)
        case ".stl":
            return _rewritten_stl(path)
        case ".ply":
            return _rewritten_ply(path)
        case ".glb" | ".gltf":
            return _rewritten_gltf(path)
    return None


def _rewritten_obj(path: Path, within: Path | None) -> Rewritten | None:
    content = path.read_bytes()
    try:
        text = plain_text(content)
    except EnrError as error:
        raise EnrError(f"{path}: {error}") from error
    near = near_obj(text)
    if near is not None:
        return Rewritten(*near, within)
    return None if text is content and has_plain_names(path, text, within) else Rewritten(text, within=within)


def _rewritten_stl(path: Path) -> Rewritten | None:
    """Without bytes that follow the triangles which a binary STL announces: with them, Blender takes it for text."""
    with path.open("rb") as handle:
        start = handle.read(START_BYTES)
    text_start = _start_as_text(start).lstrip().lower()
    if text_start.startswith(b"solid") and b"facet" in text_start:
        content = path.read_bytes()
        text = plain_text(content)
        _, end, rest = text.lower().rpartition(b"endsolid")
        if not end or STL_FACET.search(rest.partition(b"\n")[2]):
            raise EnrError(f"{path} ends before `endsolid`: it is cut off; export or download it again.")
        if STL_NOT_FINITE.search(text):
            raise EnrError(f"{path} {NOT_FINITE}")
        if b"facet" not in text:  # Blender knows its words in small letters only
            text = text.lower()
        near = near_stl(text)
        return Rewritten(*near) if near else None if text is content else Rewritten(text)
    if len(start) < STL_HEAD_BYTES:
        return None
    triangles = int.from_bytes(start[STL_HEAD_BYTES - 4 : STL_HEAD_BYTES], "little")
    whole = STL_HEAD_BYTES + STL_TRIANGLE_BYTES * triangles
    size = path.stat().st_size
    if size < whole:
        raise EnrError(
            f"{path} is no STL in text, and as a binary one it ends before the {triangles:,} triangles that it "
            f"announces: it is cut off, or of another format."
        )
    content = path.read_bytes()[:whole]
    if not np.isfinite(np.frombuffer(content, STL_TRIANGLE, offset=STL_HEAD_BYTES)["corners"]).all():
        raise EnrError(f"{path} {NOT_FINITE}")
    return Rewritten(content) if triangles and size > whole else None


def _rewritten_ply(path: Path) -> Rewritten | None:
    with path.open("rb") as handle:
        header = _start_as_text(handle.read(START_BYTES)).partition(b"end_header")[0]
    content = path.read_bytes()
    text = plain_text(content) if b"ascii" in header else content
    if not ply_is_finite(text):
        raise EnrError(f"{path} {NOT_FINITE}")
    near = near_ply(text)
    return Rewritten(*near) if near else None if text is content else Rewritten(text)


def _start_as_text(start: bytes) -> bytes:
    """The first bytes of a file, decoded where a byte-order mark says how."""
    try:
        return plain_text(start[: len(start) // 2 * 2])
    except EnrError:
        return start


def _rewritten_gltf(path: Path) -> Rewritten | None:
    is_binary = suffix_of(path) == ".glb"
    try:
        with path.open("rb") as handle:
            head = handle.read(GLB_START_BYTES) if is_binary else b""
            length = CHUNK_HEADER.unpack_from(head, GLB_HEADER.size)[0] if is_binary else -1
            document = json.loads(handle.read(length))
            _check_nodes(path, document.get("nodes") or ())
            near = near_gltf(document) or (document, np.zeros(3))
            if not _name_in_any_case(near[0], path.parent) and near[0] is document:
                return None
            rest = handle.read()
    except (ValueError, AttributeError, TypeError, RecursionError, struct.error):
        return None  # the importer says what is wrong
    document, offset = near
    _name_from_anywhere(document, path.parent)
    text = json.dumps(document).encode()
    if not is_binary:
        return Rewritten(text, offset)
    text += b" " * (-len(text) % 4)
    size = GLB_START_BYTES + len(text) + len(rest)
    return Rewritten(GLB_HEADER.pack(b"glTF", 2, size) + CHUNK_HEADER.pack(len(text), b"JSON") + text + rest, offset)


def _name_in_any_case(document: Gltf, folder: Path) -> bool:
    """Let a document name its buffers and pictures in the case that they have on the disk; whether that was needed."""
    is_needed = False
    for entry in [*document.get("buffers", ()), *document.get("images", ())]:
        uri = entry.get("uri")
        if not isinstance(uri, str) or uri.startswith("data:"):
            continue
        name = unquote(uri).replace("\\", "/")
        found = None if (folder / name).is_file() else locate(folder, name)
        if found is not None:
            entry["uri"], is_needed = quote(str(found.resolve())), True
    return is_needed


def _check_nodes(path: Path, nodes: Sequence[GltfNode]) -> None:
    """Refuse nodes that glTF does not allow, and that Blender places as it likes.

    Raises:
        EnrError: a rotation is four zeros, or a matrix is sheared.
        ValueError, AttributeError, TypeError: these are no nodes.
    """
    for number, node in enumerate(nodes):
        if not any(node.get("rotation", (1,))):
            raise EnrError(f"{path}: node {number} has a rotation of four zeros, which is none; export the mesh again.")
        axes = np.array(node.get("matrix", np.eye(4)), dtype=np.float64).reshape(4, 4)[:3, :3]
        lengths = np.linalg.norm(axes, axis=1)
        if (np.abs(np.triu(axes @ axes.T, 1)) > SHEAR * np.outer(lengths, lengths)).any():
            raise EnrError(
                f"{path}: node {number} has a matrix with shear, which glTF does not allow and Blender drops; "
                "apply it to the vertices."
            )


def _name_from_anywhere(document: Gltf, folder: Path) -> None:
    """Let a document name its buffers and pictures by whole paths."""
    for entry in [*document.get("buffers", ()), *document.get("images", ())]:
        uri = entry.get("uri")
        if isinstance(uri, str) and not uri.startswith("data:"):
            entry["uri"] = quote(str((folder / unquote(uri)).resolve()))
