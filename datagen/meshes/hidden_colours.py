"""Colours in PLY, STL and OFF files that a render does not show: those of faces, and all that STL and OFF hold."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from enr.datagen.meshes.formats import suffix_of
from enr.datagen.meshes.off import off_has_colours
from enr.datagen.meshes.rewriting import START_BYTES, STL_HEAD_BYTES, STL_TRIANGLE

PLY_COLOUR = re.compile(rb"^(?:property \w+ (?:diffuse_)?(?:red|r)|comment TextureFile .*)\s*$", re.MULTILINE)
PLY_SHOWN = re.compile(
    rb"^element vertex [^\n]*\n(?:(?:property|comment) [^\n]*\n)*?property \w+ red\s*$", re.MULTILINE
)
STL_COLOUR_BIT = 0x8000


def has_hidden_colours(path: Path) -> bool:
    """Whether a file holds colours, or names a texture, that its render lacks; false of one that cannot be read."""
    suffix = suffix_of(path)
    with suppress(OSError, ValueError):
        if suffix == ".off":
            return off_has_colours(path)
        if suffix == ".stl":
            content = path.read_bytes()
            triangles = int.from_bytes(content[STL_HEAD_BYTES - 4 : STL_HEAD_BYTES], "little")
            if len(content) < STL_HEAD_BYTES + triangles * STL_TRIANGLE.itemsize:
                return False  # in text
            table = np.frombuffer(content, STL_TRIANGLE, triangles, STL_HEAD_BYTES)
            return b"COLOR=" in content[:STL_HEAD_BYTES] or bool((table["attribute"] & STL_COLOUR_BIT).any())
        if suffix == ".ply":
            with path.open("rb") as handle:
                head = handle.read(START_BYTES).partition(b"end_header")[0].replace(b"\r\n", b"\n")
            return bool(PLY_COLOUR.search(head)) and not PLY_SHOWN.search(head)
    return False
