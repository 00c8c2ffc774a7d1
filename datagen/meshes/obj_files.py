"""OBJ files and their material libraries as text: what they name, where that is found, a copy with plain names.

Who made a mesh may have had another system or another folder: a texture may be named by a path of that computer, in
quotes, in other case, with underscores for blanks. One rule says where such a file is found, whether the mesh lies in a
folder or in an archive, for its hash and for its pictures.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array
from enr.datagen.meshes.polygons import triangulate_all
from enr.errors import EnrError

Reader = Callable[[str], bytes]
"""Gives the content of a file by its name relative to the mesh's folder; OSError or EnrError if it cannot be had."""
MTLLIB = re.compile(rb"mtllib[ \t]+([^\r\n]+)")
MAP = re.compile(rb"^([ \t]*(?:map_\w+|bump|disp|decal|norm|refl)[ \t]+)([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
MAP_OPTION = re.compile(rb"-(?:type|imfchan)[ \t]+\w+[ \t]+|-\w+(?:[ \t]+(?:on|off|[-+.\d][-+.\deE]*))*[ \t]+")
STATEMENT = re.compile(rb"^([ \t]*)(\w+)([ \t]+[^\n]*)", re.MULTILINE)
COLOURS = (b"Ka", b"Kd", b"Ks", b"Ke", b"Tf")
STATEMENTS = {word.lower(): word for word in (b"newmtl", b"illum", b"Ns", b"Ni", b"Tr", b"d", *COLOURS)}
STATEMENTS |= {b"map_" + word.lower(): b"map_" + word for word in (b"Ns", b"d", b"Bump", *COLOURS)}
"""As they are written in a library that all readers understand, by their lower case."""
DECIMAL_COMMA = re.compile(rb"(?<![\w.])([-+]?\d*),(\d+)(?![\w.,])")
POLYGON = re.compile(rb"^[ \t]*f(?:[ \t]+\S+){4}", re.MULTILINE)
"""A face of four corners or more."""
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Named:
    """A file that another one names.

    Attributes:
        written: the name as it stands there.
        name: relative to the mesh's folder, where it was found, or where it was looked for first.
        content: its bytes; None if it was not found.
        is_plain: whether it lies where its name says.
    """

    written: bytes
    name: str
    content: bytes | None
    is_plain: bool


@dataclass(frozen=True)
class Library:
    """A material library and the textures that it names."""

    file: Named
    textures: tuple[Named, ...]


def plain_text(content: bytes) -> bytes:
    """Text in UTF-8 without a byte-order mark, with line feeds: what all readers of OBJ and MTL files agree on.

    Raises:
        EnrError: it says that it is UTF-16 and is not.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            try:
                content = content[3:] if encoding == "utf-8" else content.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise EnrError(f"the text begins as UTF-16 does, but is not ({error}); save it as UTF-8.") from error
            break
    if content.count(b"\r") != content.count(b"\r\n"):
        return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def plain_library(content: bytes) -> bytes:
    """A material library as all readers understand it: `plain_text`, statements in their usual case, three numbers for
    each colour (one stands for all three), decimal points. The same object where nothing is to be changed.

    Raises:
        EnrError: as `plain_text`.
    """
    text = plain_text(content)
    plain = STATEMENT.sub(_plain_statement, text)
    return text if plain == text else plain


def _plain_statement(found: re.Match[bytes]) -> bytes:
    word = STATEMENTS.get(found[2].lower(), found[2])
    if word == b"newmtl" or word not in STATEMENTS.values() or word.startswith(b"map_"):
        return found[1] + word + found[3]
    numbers = DECIMAL_COMMA.sub(rb"\1.\2", found[3])
    is_grey = word in COLOURS and len(numbers.split()) == 1
    return found[1] + word + (b" " + b" ".join(numbers.split() * 3) if is_grey else numbers)


def find_libraries(content: bytes, stem: str, read: Reader, read_texture: Reader | None = None) -> tuple[Library, ...]:
    """The material libraries of an OBJ file, those that were not found among them.

    Args:
        content: the OBJ file's text.
        stem: its name without the suffix: a library that is called so belongs to it, named or not.
        read: gives the files beside it.
        read_texture: the same for textures, where their content does not matter.
    """
    found = {one.name: one for line in _library_lines(content) for one in _libraries_of_line(read, line)}
    own_name = f"{stem}.mtl"
    own = find_content(read, own_name) if stem and own_name not in found else None
    if own is not None:
        found[own_name] = Named(own_name.encode(), own_name, own, True)
    return tuple(Library(one, tuple(_textures(one, read_texture or read))) for one in found.values())


def plain_copy(path: Path, content: bytes, folder: Path, within: Path | None) -> Path:
    """Write an OBJ file with its libraries and textures, by names that every importer finds, into `folder`.

    Args:
        path: the OBJ file.
        content: its text as it is to be written.
        folder: where to; textures become links.
        within: the folder that named files may lie in; None for any.
    """
    libraries = find_libraries(content, path.stem, reader_beside(path, within), _finder_beside(path, within))
    lines, count = [], 0
    for number, library in enumerate(one for one in libraries if one.file.content is not None):
        names: dict[bytes, bytes] = {}
        for texture in library.textures:
            place = locate(path.parent, texture.name, within) if texture.content is not None else None
            new = f"texture-{count}{PurePosixPath(texture.name).suffix}" if place else f"missing-{count}"
            names[texture.written], count = new.encode(), count + 1
            if place:
                (folder / new).symlink_to(place.resolve())
        (folder / f"{number}.mtl").write_bytes(_renamed(plain_library(library.file.content or b""), names))
        lines.append(f"mtllib {number}.mtl\n".encode())
    target = folder / f"mesh-of{path.suffix}"
    target.write_bytes(b"".join(lines) + re.sub(rb"^[ \t]*mtllib[^\n]*", b"#", content, flags=re.MULTILINE))
    return target


def has_plain_names(path: Path, content: bytes, within: Path | None) -> bool:
    """Whether all that an OBJ file names, and that is there, lies where its name says, in texts that Blender reads."""
    for library in find_libraries(content, path.stem, reader_beside(path, within), _finder_beside(path, within)):
        if library.file.content is None:
            continue
        if plain_library(library.file.content) is not library.file.content or b"\\" in library.file.written:
            return False
        there = [library.file, *(texture for texture in library.textures if texture.content is not None)]
        if not all(one.is_plain and (path.parent / one.name).exists() for one in there):  # in that very case
            return False
        missing = [texture.written for texture in library.textures if texture.content is None]
        if within and any(re.search(rb"[/\\]", written) for written in missing):
            return False  # it may lie on this computer, where nothing of an archive is looked for
    return True


def locate(folder: Path, name: str, within: Path | None = None) -> Path | None:
    """The file that is called `name` seen from a folder, in that case or another; None if there is none.

    Args:
        folder: where to begin.
        name: with `/` between folders; may lead upwards (`../images/wood.jpg`), as ShapeNet's do.
        within: the folder that it may lie in; None for any.
    """
    found = Path(posixpath.normpath(folder / name)) if within else folder / name
    if within and not found.is_relative_to(within):
        return None
    if found.is_file():  # a device or a pipe would never end
        return found
    place = Path(found.absolute().anchor)
    for part in posixpath.normpath(found.absolute()).split("/")[1:]:
        try:
            same = [part] if (place / part).exists() else sorted(one.name for one in place.iterdir())
            place /= next(name for name in same if name.lower() == part.lower())
        except (OSError, StopIteration):
            return None
    return place if place.is_file() else None


def reader_beside(path: Path, within: Path | None = None) -> Reader:
    """Reads files beside a mesh on the disk, see `locate`."""

    def read(name: str) -> bytes:
        found = locate(path.parent, name, within)
        if found is None:
            raise FileNotFoundError(name)
        return found.read_bytes()

    return read


def find_content(read: Reader, name: str) -> bytes | None:
    """The content of a file; None if it cannot be had."""
    try:
        return read(name)
    except (OSError, ValueError, EnrError):
        return None


def _finder_beside(path: Path, within: Path | None) -> Reader:
    """Says whether a file is there, by an empty content, without reading it."""

    def find(name: str) -> bytes:
        if locate(path.parent, name, within) is None:
            raise FileNotFoundError(name)
        return b""

    return find


def _library_lines(content: bytes) -> Iterator[bytes]:
    """What follows `mtllib` at the start of a line; looked for without a pattern of lines, which is 30 times slower."""
    for found in MTLLIB.finditer(content):
        line_start = max(content.rfind(end, 0, found.start()) for end in (b"\n", b"\r")) + 1
        if not content[line_start : found.start()].strip():
            yield found[1].strip()


def _libraries_of_line(read: Reader, line: bytes) -> list[Named]:
    """One library whose name may hold blanks, else several."""
    whole = _find(read, "", line)
    if whole.content is not None or len(line.split()) < 2:
        return [whole]
    several = [_find(read, "", word) for word in line.split()]
    found = [Named(one.written, one.name, one.content, False) for one in several if one.content is not None]
    return found or [whole]


def _textures(library: Named, read: Reader) -> Iterator[Named]:
    try:
        text = plain_text(library.content or b"")
    except EnrError:
        return
    for _, line in MAP.findall(text):
        yield _find(read, library.name, _split_options(line)[1])


def _split_options(line: bytes) -> tuple[bytes, bytes]:
    """Options such as `-s 1 1 1`, and the file, that a texture line of a library names."""
    start = 0
    while option := MAP_OPTION.match(line, start):
        start = option.end()
    return line[:start], line[start:]


def _renamed(library: bytes, names: dict[bytes, bytes]) -> bytes:
    """A library that calls its textures otherwise."""

    def rename(found: re.Match[bytes]) -> bytes:
        options, written = _split_options(found[2])
        return found[1] + options + names[written]

    return MAP.sub(rename, library)


def _find(read: Reader, namer: str, written: bytes) -> Named:
    """A file that another one (itself named so) names."""
    names = list(dict.fromkeys(_places(posixpath.dirname(namer), written)))
    for name in names:
        content = find_content(read, name)
        if content is not None:
            return Named(written, name, content, name == names[0])
    return Named(written, names[0], None, False)


def _places(folder: str, written: bytes) -> Iterator[str]:
    """Where a file may lie, relative to the mesh's folder, the likeliest place first: where its name says."""
    for encoding in ("utf-8", "cp1252"):
        text = written.strip().decode(encoding, "replace").replace("\\", "/")
        yield relative(folder, text)
        bare = text.strip("\"'")
        inside = re.sub(r"^[A-Za-z]:", "", bare).lstrip("/")
        name = posixpath.basename(bare)
        for other in (bare, bare.replace("_", " "), inside, name, name.replace("_", " ")):
            if other:
                yield relative(folder, other)


def relative(folder: str, name: str) -> str:
    """The name, relative to the mesh's folder, of a file in a folder that is itself named so."""
    return posixpath.normpath(posixpath.join(folder, name))


def read_polygons(content: bytes) -> tuple[Array, NDArray[np.int64]] | None:
    """Vertices (n, 3) and triangles (m, 3) of an OBJ file's text; None where all its faces are triangles anyway.

    Raises:
        ValueError: a number is none, or a face names a vertex that is not there.
    """
    if not POLYGON.search(content):
        return None
    points: list[list[float]] = []
    polygons: list[list[int]] = []
    for line in content.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        key, *words = line.split() or [b""]
        if key == b"v":
            points.append([float(word) for word in words[:3]])
        elif key == b"f":
            corners = [int(word.partition(b"/")[0]) for word in words]
            polygons.append([corner - 1 if corner > 0 else len(points) + corner for corner in corners])
    vertices = np.array(points, dtype=np.float64).reshape(-1, 3)
    if any(not 0 <= corner < len(points) for polygon in polygons for corner in polygon):
        raise ValueError("a face names a vertex that is not there")
    return vertices, triangulate_all(vertices, polygons)
