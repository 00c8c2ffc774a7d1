"""Under which licence a mesh comes, where its owner says so beside it or inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from enr.datagen.meshes.archives import open_archive
from enr.datagen.meshes.discovery import MeshSource
from enr.errors import EnrError

GLTF_SUFFIXES = (".gltf", ".glb")
GLB_MAGIC = b"glTF"
LICENCE_FILE = re.compile(r"(licen[cs]e|copying)([-_. ].*)?", re.IGNORECASE)
LONGEST = 200
KNOWN = (
    (r"creativecommons\.org/publicdomain/zero|CC0", "CC0-1.0"),
    (r"Attribution-NonCommercial-ShareAlike 4\.0|by-nc-sa/4\.0", "CC-BY-NC-SA-4.0"),
    (r"Attribution-NonCommercial-NoDerivatives 4\.0|by-nc-nd/4\.0", "CC-BY-NC-ND-4.0"),
    (r"Attribution-NonCommercial 4\.0|by-nc/4\.0", "CC-BY-NC-4.0"),
    (r"Attribution-ShareAlike 4\.0|by-sa/4\.0", "CC-BY-SA-4.0"),
    (r"Attribution-NoDerivatives 4\.0|by-nd/4\.0", "CC-BY-ND-4.0"),
    (r"Attribution 4\.0|licenses/by/4\.0", "CC-BY-4.0"),
    (r"Apache License,?\s+Version 2\.0", "Apache-2.0"),
    (r"Permission is hereby granted, free of charge", "MIT"),
    (r"GNU GENERAL PUBLIC LICENSE\s+Version 3", "GPL-3.0"),
)
"""Words that a licence is known by, and its SPDX name."""


def find_licence(source: MeshSource) -> str | None:
    """What is said about a mesh's licence: by itself (glTF), or by a file LICENSE in its folder; None if nothing is.

    A licence that is known goes by its SPDX name, any other by its first line. Never an error.
    """
    try:
        if source.suffix in GLTF_SUFFIXES:  # `extras.license` as Sketchfab writes it, or `copyright`
            asset = _object(_object(json.loads(_gltf_header(source))).get("asset"))
            if said := _object(asset.get("extras")).get("license") or asset.get("copyright"):
                return " ".join(str(said).split())[:LONGEST] or _beside(source.path, source.member)
        return _beside(source.path, source.member)
    except (OSError, EnrError, ValueError, RecursionError):
        return None


def _beside(path: Path, member: str) -> str | None:
    """The licence that a file in the mesh's folder (in the archive, where it lies in one) tells."""
    if not member:
        return _in_folder(path.parent)
    folder = PurePosixPath(member).parent
    archive = open_archive(path)
    names = [name for name in _licence_files(archive.members()) if PurePosixPath(name).parent == folder]
    return _from_text(archive.read(names[0])) if names else None


@lru_cache(maxsize=1024)
def _in_folder(folder: Path) -> str | None:
    """The same for a folder on the disk; remembered, because many meshes may share one."""
    names = _licence_files(path.name for path in folder.iterdir())
    return _from_text((folder / names[0]).read_bytes()) if names else None


def _licence_files(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if LICENCE_FILE.fullmatch(PurePosixPath(name).name))


def _from_text(content: bytes) -> str | None:
    """A licence's SPDX name where the text is that of exactly one known licence, else its first line."""
    text = content.decode("utf-8", "replace")
    known = [name for words, name in KNOWN if re.search(words, text)]
    if len(known) == 1:
        return known[0]
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return lines[0][:LONGEST] if lines else None


def _object(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def _gltf_header(source: MeshSource) -> bytes:
    """The JSON of a glTF or GLB file, without its buffers."""
    if source.member:
        content = open_archive(source.path).read(source.member)
        return content if content[:4] != GLB_MAGIC else content[20 : 20 + int.from_bytes(content[12:16], "little")]
    with source.path.open("rb") as handle:
        start = handle.read(20)
        if start[:4] != GLB_MAGIC:
            return start + handle.read()
        return handle.read(int.from_bytes(start[12:16], "little"))
