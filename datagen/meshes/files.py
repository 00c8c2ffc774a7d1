"""The files that a mesh's pictures depend on: the mesh itself, and what it names beside it.

Named files are known for OBJ (material libraries and their textures) and glTF (buffers and pictures). FBX, USD and
Blender files may name others too; those are not followed.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from enr.errors import EnrError

Reader = Callable[[str], bytes]
"""Gives the content of a file by its name relative to the mesh's folder; OSError or EnrError if it cannot be had."""
NAMING_SUFFIXES = (".obj", ".gltf", ".glb")
BLOCK_BYTES = 2**20
GLB_MAGIC, GLB_JSON = b"glTF", b"JSON"
MTLLIB = re.compile(rb"mtllib[ \t]+([^\r\n]+)")
MAP = re.compile(rb"^[ \t]*(?:map_\w+|bump|disp|decal|norm|refl)[ \t]+([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
MAP_OPTION = re.compile(rb"-(?:type|imfchan)[ \t]+\w+[ \t]+|-\w+(?:[ \t]+(?:on|off|[-+.\d][-+.\deE]*))*[ \t]+")


def file_sha256(path: Path) -> str:
    """SHA-256 of a mesh file, in hexadecimal (see `sha256_of`); large files of formats that name none are not held."""
    if path.suffix.lower() in NAMING_SUFFIXES:
        return sha256_of(path.suffix, path.read_bytes(), reader_beside(path))
    whole = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()


def reader_beside(path: Path) -> Reader:
    """Reads files beside a mesh on the disk. Names may lead upwards (`../images/wood.jpg`), as ShapeNet's do."""

    def read(name: str) -> bytes:
        found = path.parent / name
        if not found.is_file():  # a device or a pipe would never end
            raise FileNotFoundError(name)
        return found.read_bytes()

    return read


def sha256_of(suffix: str, content: bytes, read: Reader) -> str:
    """SHA-256 of a mesh, in hexadecimal; of its bytes alone where it names no other file.

    Named files count with their name and content; missing ones with their name, so that it is noticed when they
    appear. Where the mesh lies has no part in the result.
    """
    own = hashlib.sha256(content)
    named = named_files(suffix, content, read)
    if not named:
        return own.hexdigest()
    whole = hashlib.sha256(own.digest())
    for name, other in named.items():
        whole.update(name.encode() + b"\0")
        whole.update(b"missing" if other is None else hashlib.sha256(other).digest())
    return whole.hexdigest()


def named_files(suffix: str, content: bytes, read: Reader) -> dict[str, bytes | None]:
    """Content by name of everything that a mesh file names, None where it cannot be read; sorted by name.

    Args:
        suffix: of the mesh file, in any case.
        content: its bytes.
        read: gives the files beside it.
    """
    match suffix.lower():
        case ".obj":
            found = _named_by_obj(content, read)
        case ".gltf" | ".glb":
            found = {name: _content(read, name) for name in _named_by_gltf(content)}
        case _:
            found = {}
    return dict(sorted(found.items()))


def _named_by_obj(content: bytes, read: Reader) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for library in {_relative("", name) for name in _material_libraries(content)}:
        materials = found[library] = _content(read, library)
        for line in MAP.findall(materials or b""):
            picture = _relative(library, _without_options(line))
            found[picture] = _content(read, picture)
    return found


def _material_libraries(content: bytes) -> Iterator[bytes]:
    """What follows `mtllib` at the start of a line; looked for without a pattern of lines, which is 30 times slower."""
    for found in MTLLIB.finditer(content):
        line_start = max(content.rfind(end, 0, found.start()) for end in (b"\n", b"\r")) + 1
        if not content[line_start : found.start()].strip():
            yield found[1]


def _without_options(line: bytes) -> bytes:
    """The file that a texture line of an MTL names, without options such as `-s 1 1 1` before it."""
    while option := MAP_OPTION.match(line):
        line = line[option.end() :]
    return line


def _named_by_gltf(content: bytes) -> Iterator[str]:
    try:
        document = json.loads(_gltf_json(content))
        entries = [*document.get("buffers", ()), *document.get("images", ())]
        names = [entry["uri"] for entry in entries if "uri" in entry]
    except (ValueError, AttributeError, TypeError, struct.error):  # a broken file names nothing
        return
    for name in names:
        if isinstance(name, str) and not name.startswith("data:"):
            yield _relative("", unquote(name).encode("utf-8", "replace"))


def _gltf_json(content: bytes) -> bytes:
    """The JSON of a glTF file, text or binary."""
    if not content.startswith(GLB_MAGIC):
        return content
    length, kind = struct.unpack_from("<I4s", content, 12)
    return content[20 : 20 + length] if kind == GLB_JSON else b""


def _relative(namer: str, name: bytes) -> str:
    """The name, relative to the mesh's folder, of a file that another one (itself named so) names."""
    text = name.strip().decode("utf-8", "replace").replace("\\", "/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(namer), text))


def _content(read: Reader, name: str) -> bytes | None:
    try:
        return read(name)
    except (OSError, ValueError, EnrError):
        return None
