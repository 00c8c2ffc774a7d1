"""OFF files (`OFF`, `COFF`, `NOFF`, …): polygons of any size, concave ones too, as triangles."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array
from enr.datagen.meshes.obj_files import plain_text
from enr.datagen.meshes.polygons import triangulate_all

HEADER = re.compile(r"(st)?(c)?(n)?(4)?off", re.IGNORECASE)


def read_off(path: Path) -> tuple[Array, NDArray[np.int64]]:
    """Vertices (n, 3) and triangles (m, 3) of an OFF file in text.

    Raises:
        ValueError: it is not written as OFF is, with what is wrong.
    """
    header, points, faces = _parts(path)
    vertices = np.array([line[:3] for line in points], dtype=np.float64).reshape(-1, 3)
    if header[4]:
        vertices = vertices / np.array([line[3:4] for line in points], dtype=np.float64)
    polygons = [[int(word) for word in words[1 : 1 + int(words[0])]] for words in faces]
    for words, corners in zip(faces, polygons, strict=True):
        if len(corners) < int(words[0]):
            raise ValueError("a face names fewer corners than it announces")
        if corners and not (min(corners) >= 0 and max(corners) < len(vertices)):
            raise ValueError("a face names a vertex that is not there")
    return vertices, triangulate_all(vertices, polygons)


def off_has_colours(path: Path) -> bool:
    """Whether the vertices or the faces of an OFF file have colours; `ValueError` as of `read_off`."""
    header, points, faces = _parts(path)
    plain = 3 + 3 * bool(header[3]) + bool(header[4]) + 2 * bool(header[1])
    return any(len(line) > plain for line in points) or any(len(line) > 1 + int(line[0]) for line in faces)


def _parts(path: Path) -> tuple[re.Match[str], list[list[str]], list[list[str]]]:
    """What the first word says, and the words of the vertices' and the faces' lines."""
    text = plain_text(path.read_bytes()).decode("utf-8", "replace")
    lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    if not lines:
        raise ValueError("it is empty")
    header = HEADER.match(lines[0][0])
    if header is None:
        raise ValueError("its first word is not OFF")
    if "binary" in (word.lower() for word in lines[0]):
        raise ValueError("it is binary OFF")
    rest = lines[0][0][header.end() :]  # "OFF8 6 12" without a space, as one well-known collection has it
    lines[0] = [*([rest] if rest else []), *lines[0][1:]]
    lines = lines if lines[0] else lines[1:]
    if not lines or len(lines[0]) < 2:
        raise ValueError("it does not say how many vertices and faces it has")
    vertices, faces = int(lines[0][0]), int(lines[0][1])
    if len(lines) < 1 + vertices + faces:
        raise ValueError(f"it ends before the {vertices} vertices and {faces} faces that it announces")
    return header, lines[1 : 1 + vertices], lines[1 + vertices : 1 + vertices + faces]
