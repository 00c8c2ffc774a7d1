"""Inside Blender: an OBJ file's material libraries, and what its importer leaves out of them. Standard library only.

The importer reads what `mtllib` names, one file a line, and beside that the library with the mesh's own name; of a
material's opacity it reads `d` and not `Tr`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MTLLIB = re.compile(rb"^[ \t]*mtllib[ \t]+([^\r\n]+)", re.MULTILINE)
MAP = re.compile(
    rb"^([ \t]*(?:map_\w+|bump|disp|decal|norm|refl)[ \t]+(?:.*[ \t])?)([^ \t\r\n]+)[ \t]*\r?$", re.M | re.I
)


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


@contextmanager
def importable(path: Path) -> Iterator[Path]:
    """A mesh file as Blender is to read it: itself, or a copy of an OBJ that is there as long as the context."""
    copy = _plain_copy(path) if path.suffix.lower() == ".obj" else None
    if copy is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="enr-") as folder:
        for name, content in copy.items():
            (Path(folder) / name).write_bytes(content)
        yield Path(folder) / path.name


def _plain_copy(path: Path) -> dict[str, bytes] | None:
    """An OBJ file and its libraries, by name, as the importer finds them; None if it finds them where they lie.

    It does not find names with the separators of another system, nor several on a line.
    """
    content = path.read_bytes()
    lines = library_lines(content)
    if all((path.parent / line.decode("utf-8", "replace").strip('"')).is_file() for line in lines):
        return None
    found = [place for line in lines for place in named_by(line, path.parent)]
    if not found:
        return None
    copies = {f"{number}.mtl": _with_whole_paths(place) for number, place in enumerate(found)}
    header = b"".join(b"mtllib " + name.encode() + b"\n" for name in copies)
    beside = path.with_suffix(".mtl")
    if beside.is_file():
        copies[beside.name] = _with_whole_paths(beside)
    return {path.name: header + MTLLIB.sub(b"#", content), **copies}


def _with_whole_paths(library: Path) -> bytes:
    """A library that names its textures from anywhere."""
    return MAP.sub(lambda found: found[1] + _whole_path(library.parent, found[2]), library.read_bytes())


def _whole_path(folder: Path, name: bytes) -> bytes:
    place = folder / name.decode("utf-8", "replace").replace("\\", "/")
    return str(place.resolve()).encode() if place.is_file() else name


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
