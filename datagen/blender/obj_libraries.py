"""Inside Blender: an OBJ file's material libraries, and what its importer leaves out of them. Standard library only.

The importer reads what `mtllib` names, one file a line, and beside that the library with the mesh's own name
(`enr.datagen.meshes.staging` sees to names that it would not find); of a material's opacity it reads `d` and not `Tr`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MTLLIB = re.compile(rb"^[ \t]*mtllib[ \t]+([^\r\n]+)", re.MULTILINE)


@dataclass(frozen=True)
class Libraries:
    """The material libraries of an OBJ file.

    Attributes:
        named: those that the file names and that are there.
        beside: the one with the mesh's own name, if it is there.
    """

    named: tuple[Path, ...]
    beside: Path | None

    def transparency(self) -> dict[str, float | None]:
        """By name of a material, what `Tr` says of it where nothing says `d`; None where there is no such word."""
        found: dict[str, float | None] = {}
        for place in dict.fromkeys([*self.named, *([self.beside] if self.beside else [])]):
            for name, words in _materials(place.read_bytes()):
                found.setdefault(name, None if "d" in words else words.get("tr"))
        return found


def libraries(path: Path) -> Libraries:
    """The material libraries of an OBJ file."""
    content = path.read_bytes()
    named = [place for line in library_lines(content) for place in named_by(line, path.parent)]
    beside = path.with_suffix(".mtl")
    return Libraries(tuple(named), beside if beside.is_file() else None)


def library_lines(content: bytes) -> list[bytes]:
    """What follows `mtllib`, line by line."""
    return [line.strip() for line in MTLLIB.findall(content)] if b"mtllib" in content else []


def named_by(line: bytes, folder: Path) -> list[Path]:
    """The libraries that a line names and that are there: one, whose name may hold blanks, or several."""
    text = line.decode("utf-8", "replace").replace("\\", "/")
    whole = folder / text.strip('"')
    places = [whole] if whole.is_file() else [folder / word for word in text.split()]
    return [place for place in places if place.is_file()]


def _materials(content: bytes) -> Iterator[tuple[str, dict[str, float]]]:
    """Name, and the numbers of `d` and `tr`, of each material of a library."""
    for block in re.split(rb"^[ \t]*newmtl[ \t]+", content, flags=re.MULTILINE)[1:]:
        name, *lines = block.splitlines()
        words = [line.split() for line in lines]
        numbers = {}
        for word in words:
            if len(word) >= 2 and word[0].lower() in (b"d", b"tr"):
                numbers[word[0].lower().decode()] = _number(word[-1])
        yield (
            name.strip().decode("utf-8", "replace"),
            {key: value for key, value in numbers.items() if value is not None},
        )


def _number(word: bytes) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
