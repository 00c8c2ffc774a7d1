"""Inside Blender: files that its importers would read wrongly, as copies that they read rightly. Standard library only.

A glTF is a still: Blender's importer plays its first animation, and shows all scenes of a file that names no default.
An OBJ may name its material libraries with the separators of another system, or several on a line.
"""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from enr.datagen.blender import obj_libraries

GLB_HEADER = struct.Struct("<4sII")
CHUNK_HEADER = struct.Struct("<I4s")


@contextmanager
def importable(path: Path) -> Iterator[Path]:
    """A mesh file as Blender is to read it: itself, or a copy that is there as long as the context."""
    suffix = path.suffix.lower()
    copy = _still_gltf(path) if suffix in (".glb", ".gltf") else obj_libraries.plain_copy(path) if suffix == ".obj" else None
    if copy is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="enr-") as folder:
        for name, content in copy.items():
            (Path(folder) / name).write_bytes(content)
        yield Path(folder) / path.name


def _still_gltf(path: Path) -> dict[str, bytes] | None:
    """A glTF file without animations and with one default scene, None if it is so already (or damaged)."""
    content = path.read_bytes()
    try:
        text, rest = _gltf_json(content)
        document = json.loads(text)
        several = len(document.get("scenes") or ()) > 1 and "scene" not in document
    except (ValueError, AttributeError, TypeError, struct.error):
        return None  # the importer says what is wrong
    if not document.get("animations") and not several:
        return None
    document.pop("animations", None)
    if several:
        document["scene"] = 0
    _name_from_anywhere(document, path.parent)
    return {path.name: _gltf_bytes(document, rest, is_binary=text is not content)}


def _gltf_json(content: bytes) -> tuple[bytes, bytes]:
    """The JSON of a glTF file, text or binary, and the chunks that follow it."""
    if not content.startswith(b"glTF"):
        return content, b""
    length, _ = CHUNK_HEADER.unpack_from(content, GLB_HEADER.size)
    start = GLB_HEADER.size + CHUNK_HEADER.size
    return content[start : start + length], content[start + length :]


def _gltf_bytes(document: dict[str, Any], rest: bytes, is_binary: bool) -> bytes:
    text = json.dumps(document).encode()
    if not is_binary:
        return text
    text += b" " * (-len(text) % 4)
    size = GLB_HEADER.size + CHUNK_HEADER.size + len(text) + len(rest)
    return GLB_HEADER.pack(b"glTF", 2, size) + CHUNK_HEADER.pack(len(text), b"JSON") + text + rest


def _name_from_anywhere(document: dict[str, Any], folder: Path) -> None:
    """Let a document name its buffers and pictures by whole paths."""
    for entry in [*document.get("buffers", ()), *document.get("images", ())]:
        uri = entry.get("uri")
        if isinstance(uri, str) and not uri.startswith("data:"):
            entry["uri"] = quote(str((folder / unquote(uri)).resolve()))
