"""Which meshes a projection of their triangles says something about: not those that a render bends or cuts out."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from enr.datagen.meshes.formats import suffix_of
from enr.datagen.meshes.gltf import Gltf
from enr.datagen.meshes.mesh_files import gltf_json
from enr.datagen.meshes.obj_files import find_libraries, plain_text, reader_beside

MAP_D = re.compile(rb"^[ \t]*map_d[ \t]+\S", re.MULTILINE | re.IGNORECASE)
OPACITY = re.compile(rb"^[ \t]*(d|Tr)[ \t]+(?:-halo[ \t]+)?([-+.\deE]+)", re.MULTILINE)
FAINTEST = 0.1
"""A surface of less opacity may leave no trace in 8 bits and few samples."""
FAN = 6
"""The mode of a primitive that only some readers of glTF files know."""
OWN_WAYS = {
    "EXT_mesh_gpu_instancing": "its parts are instances (EXT_mesh_gpu_instancing)",
    "KHR_draco_mesh_compression": "its triangles are compressed (KHR_draco_mesh_compression)",
    "EXT_meshopt_compression": "its triangles are compressed (EXT_meshopt_compression)",
}


def why_not_comparable(path: Path, materials: str) -> str | None:
    """Why a mesh's rendered outline need not be that of its stored triangles; None where it is.

    Args:
        path: the mesh file.
        materials: `original`, `grey` or `palette`, as it was rendered; transparency counts for the first alone.
    """
    shows_materials = materials == "original"
    match suffix_of(path):
        case ".glb" | ".gltf":
            document: Gltf = {}
            with suppress(ValueError, RecursionError, struct.error):
                read = json.loads(gltf_json(path.read_bytes()))
                document = cast(Gltf, read) if isinstance(read, dict) else {}
            reason = next(_reasons_of_gltf(document, shows_materials), None)
        case ".obj":
            reason = _reason_of_obj(path) if shows_materials else None
        case _:
            reason = None
    return f"{reason}, which a projection of its triangles does not show" if reason else None


def _reasons_of_gltf(document: Gltf, shows_materials: bool) -> Iterator[str]:
    nodes, meshes = document.get("nodes") or [], document.get("meshes") or []
    if any("skin" in node and "mesh" in node for node in nodes):
        yield "it is bent by a skeleton"
    if any(any(item.get("weights") or ()) for item in (*nodes, *meshes)):
        yield "it is bent by shape keys"
    if any(primitive.get("mode") == FAN for mesh in meshes for primitive in mesh.get("primitives") or ()):
        yield "it has fans of triangles"
    used = set(document.get("extensionsUsed") or ())
    yield from (words for extension, words in OWN_WAYS.items() if extension in used)
    if not shows_materials:
        return
    materials = document.get("materials") or []
    for primitive in (primitive for mesh in meshes for primitive in mesh.get("primitives") or ()):
        number = primitive.get("material")
        material = materials[number] if isinstance(number, int) and 0 <= number < len(materials) else {}
        mode = material.get("alphaMode", "OPAQUE")
        surface = material.get("pbrMetallicRoughness") or {}
        opacity = (surface.get("baseColorFactor") or [1, 1, 1, 1])[-1]
        varies = "baseColorTexture" in surface or "COLOR_0" in primitive.get("attributes", {})
        if mode != "OPAQUE" and (varies or mode == "MASK" or opacity < FAINTEST):
            yield f"its material {material.get('name', number)} cuts parts out (alphaMode {mode})"


def _reason_of_obj(path: Path) -> str | None:
    libraries = find_libraries(plain_text(path.read_bytes()), path.stem, reader_beside(path), lambda name: b"")
    for library in libraries:
        content = plain_text(library.file.content or b"")
        if MAP_D.search(content):
            return f"its library {library.file.name} cuts parts out (map_d)"
        for word, number in OPACITY.findall(content):
            try:
                opacity = float(number) if word == b"d" else 1 - float(number)
            except ValueError:
                continue
            if opacity < FAINTEST:
                said = f"{word.decode()} {number.decode()}"
                return f"its library {library.file.name} has a material that is hardly seen ({said})"
    return None
