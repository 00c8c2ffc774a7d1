"""The files that a mesh's pictures depend on: the mesh itself, and what it names beside it.

Named files are known for OBJ (material libraries and their textures) and glTF (buffers and pictures). FBX, USD and
Blender files may name others too; those are not followed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from enr.datagen.meshes.obj_files import (
    Library,
    Reader,
    find_content,
    find_libraries,
    plain_text,
    reader_beside,
    relative,
)
from enr.errors import EnrError

NAMING_SUFFIXES = (".obj", ".gltf", ".glb")
BLOCK_BYTES = 2**20
GLB_MAGIC, GLB_JSON = b"glTF", b"JSON"


def file_sha256(path: Path) -> str:
    """SHA-256 of a mesh file, in hexadecimal (see `sha256_of`); large files of formats that name none are not held."""
    if path.suffix.lower() in NAMING_SUFFIXES:
        return sha256_of(path.name, path.read_bytes(), reader_beside(path))
    whole = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()


def sha256_of(file_name: str, content: bytes, read: Reader) -> str:
    """SHA-256 of a mesh, in hexadecimal; of its bytes alone where it names no other file.

    Named files count with their name and content; missing ones with their name, so that it is noticed when they
    appear. Where the mesh lies has no part in the result.
    """
    own = hashlib.sha256(content)
    named = named_files(file_name, content, read)
    if not named:
        return own.hexdigest()
    whole = hashlib.sha256(own.digest())
    for name, other in named.items():
        whole.update(name.encode() + b"\0")
        whole.update(b"missing" if other is None else hashlib.sha256(other).digest())
    return whole.hexdigest()


def named_files(file_name: str, content: bytes, read: Reader) -> dict[str, bytes | None]:
    """Content by name of everything that a mesh file names, None where it cannot be read; sorted by name.

    Args:
        file_name: of the mesh file, without folders.
        content: its bytes.
        read: gives the files beside it.
    """
    stem, _, suffix = file_name.rpartition(".")
    match suffix.lower():
        case "obj":
            libraries: tuple[Library, ...] = ()
            with suppress(EnrError):  # a broken file names nothing
                libraries = find_libraries(plain_text(content), stem, read)
            named = [one for library in libraries for one in (library.file, *library.textures)]
            found = {one.name: one.content for one in named}
        case "gltf" | "glb":
            found = {name: find_content(read, name) for name in _named_by_gltf(content)}
        case _:
            found = {}
    return dict(sorted(found.items()))


def _named_by_gltf(content: bytes) -> Iterator[str]:
    try:
        document = json.loads(gltf_json(content))
        entries = [*document.get("buffers", ()), *document.get("images", ())]
        names = [entry["uri"] for entry in entries if "uri" in entry]
    except (ValueError, AttributeError, TypeError, RecursionError, struct.error):  # a broken file names nothing
        return
    for name in names:
        if isinstance(name, str) and not name.startswith("data:"):
            plain = unquote(name).encode("utf-8", "replace").decode("utf-8", "replace")
            yield relative("", plain.replace("\\", "/").strip())


def gltf_json(content: bytes) -> bytes:
    """The JSON of a glTF file, text or binary."""
    if not content.startswith(GLB_MAGIC):
        return content
    length, kind = struct.unpack_from("<I4s", content, 12)
    return content[20 : 20 + length] if kind == GLB_JSON else b""
