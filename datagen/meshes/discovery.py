"""Find meshes: in files, in folders of any layout, and inside zip archives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from enr.datagen.meshes.archives import open_archive
from enr.datagen.meshes.formats import (
    ARCHIVE_SUFFIX,
    is_mesh,
    known_suffixes,
    suffix_of,
    unread_kind,
    unread_words,
    why_not_read,
)
from enr.datagen.meshes.mesh_files import file_sha256, sha256_of
from enr.errors import EnrError

DRAW_SALT = b"enr draw\n"
READERS = 8
"""Meshes that are read at once for their hashes."""


@dataclass(frozen=True)
class MeshSource:
    """A mesh and the id under which its renders are stored.

    Attributes:
        scene_id: the id.
        path: the mesh file, or the zip archive that it lies in.
        member: its name inside the archive; empty for a file.
        problem: why it cannot be read, where that is known already (a damaged archive); else empty.
    """

    scene_id: str
    path: Path
    member: str = ""
    problem: str = ""

    @property
    def place(self) -> Path:
        """Path of the mesh, for people; a mesh in an archive as if that were a folder."""
        return self.path / self.member

    @property
    def suffix(self) -> str:
        """Of the mesh file, in lower case."""
        return suffix_of(self.place)


def find_meshes(paths: Sequence[Path]) -> tuple[MeshSource, ...]:
    """Every mesh in the files, folders and zip archives given, sorted by scene id.

    In ShapeNet's layouts (`<id>/model.obj`, `<id>/models/model_normalized.obj`) the folder's name is the id, wherever
    the root lies; any other file goes by its stem. Ids that collide are qualified by the suffix and parent folders.
    An archive counts as a folder. One that cannot be read is a mesh with a problem where it lies in a folder.

    Raises:
        EnrError: a path does not exist, a file is of a format that is not read, an archive cannot be read, or no mesh
            was found.
    """
    found: dict[tuple[str, str], MeshSource] = {}
    for given in paths:
        for source in _sources(Path(given)):
            found.setdefault((os.path.realpath(source.path), source.member), source)
    if not found:
        places = ", ".join(str(path) for path in paths) or "nothing"
        others = unread_words(unread_files(paths))
        hint = f" ({others})" if others else ""
        raise EnrError(
            f"No mesh in {places}{hint}; give folders, archives or files in ShapeNet layout or of {known_suffixes()}."
        )
    names = _unique_ids([source.place.absolute() for source in found.values()])
    sources = (
        MeshSource(scene_id, source.path, source.member, source.problem or _unspeakable(source.path))
        for scene_id, source in zip(names, found.values(), strict=True)
    )
    return tuple(sorted(sources, key=lambda source: source.scene_id))


def draw_meshes(sources: Sequence[MeshSource], limit: int | None) -> tuple[MeshSource, ...]:
    """At most `limit` of the sources, in their order; None for all.

    A hash of the id decides, so that a larger limit keeps what a smaller one drew, and more meshes replace few of them.
    The hash is another one than that of the splits, of which it draws fair shares.
    """
    if limit is None or limit >= len(sources):
        return tuple(sources)
    ranks = {source.scene_id: sha256(DRAW_SALT + source.scene_id.encode()).digest() for source in sources}
    kept = set(sorted(ranks, key=ranks.__getitem__)[:limit])
    return tuple(source for source in sources if source.scene_id in kept)


def unread_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """3D files in the folders and archives among `paths` that are not read (COLLADA, `.obj.gz` and so on), sorted."""
    found: set[Path] = set()
    for place in (Path(given) for given in paths):
        for path in _walk_folder(place) if place.is_dir() else [place]:
            if unread_kind(path):
                found.add(path)
            elif suffix_of(path) == ARCHIVE_SUFFIX and path.is_file():
                found.update(path / member for member in _members(path) if unread_kind(path / member))
    return tuple(sorted(found))


def mesh_sha256(source: MeshSource) -> str:
    """SHA-256, in hexadecimal, of a mesh and of the files that it names (see `enr.datagen.meshes.mesh_files`).

    A mesh in an archive has the hash that it would have unpacked.

    Raises:
        EnrError: it lies in an archive and cannot be read.
        OSError: it is a file and cannot be read.
    """
    if not source.member:
        return file_sha256(source.path)
    archive = open_archive(source.path)
    return sha256_of(
        PurePosixPath(source.member).name, archive.read(source.member), archive.reader_beside(source.member)
    )


def hash_meshes(sources: Sequence[MeshSource]) -> tuple[str, ...]:
    """The hashes of some meshes, of which several are read at once: they may lie far away.

    Empty for one that cannot be read, which becomes a named failure when its turn comes.
    """

    def sha256_or_nothing(source: MeshSource) -> str:
        try:
            return "" if source.problem else mesh_sha256(source)
        except (OSError, EnrError):
            return ""

    with ThreadPoolExecutor(READERS) as pool:
        return tuple(pool.map(sha256_or_nothing, sources))


def _sources(given: Path) -> Iterator[MeshSource]:
    """The meshes, without ids, that a given path stands for."""
    if given.is_dir():
        for path in _walk_folder(given):
            if (is_mesh(path) or suffix_of(path) == ARCHIVE_SUFFIX) and not path.is_file():
                yield MeshSource("", path, problem=f"{path} is no file (a link to nothing, a pipe); remove it.")
            elif is_mesh(path):
                yield MeshSource("", path)
            elif suffix_of(path) == ARCHIVE_SUFFIX:
                try:
                    yield from list(_in_archive(path))
                except EnrError as error:  # it is to be told, but stops nothing
                    yield MeshSource("", path, problem=str(error))
        return
    if not given.exists():
        raise EnrError(f"{given} does not exist; give folders or files of meshes.")
    if not given.is_file():  # a pipe would never end
        raise EnrError(f"{given} is no file and no folder; give folders or files of meshes.")
    if suffix_of(given) == ARCHIVE_SUFFIX:
        yield from _in_archive(given)
    elif is_mesh(given):
        yield MeshSource("", given)
    else:
        raise EnrError(why_not_read(given))


def _in_archive(path: Path) -> Iterator[MeshSource]:
    archive = open_archive(path)
    meshes = [member for member in archive.members() if is_mesh(PurePosixPath(member))]
    nested = next((name for name in archive.members() if suffix_of(PurePosixPath(name)) == ARCHIVE_SUFFIX), None)
    if nested and not meshes:
        raise EnrError(f"{path} holds no mesh but another archive ({nested}); unpack it.")
    for member in meshes:
        archive.check(member)
        yield MeshSource("", path, member)


def _members(path: Path) -> list[str]:
    try:
        return list(open_archive(path).members())
    except EnrError:
        return []


def _escaped(name: str) -> str:
    r"""A name in which bytes that are no UTF-8 are written as `\xfc`; any other as it is."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _unspeakable(path: Path) -> str:
    """Why a file cannot be handed to Blender, whose paths are UTF-8; empty if it can."""
    whole = str(path.absolute())
    shown = _escaped(whole)
    return "" if shown == whole else f"{shown} has a name that is no UTF-8, which Blender cannot open; rename it."


def _walk_folder(folder: Path) -> Iterator[Path]:
    """Files under a folder but hidden ones, in a fixed order; links to folders are followed, each folder once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def _unique_ids(files: Sequence[Path]) -> list[str]:
    """One id a file; those that collide are qualified, all alike, until they differ."""
    choices = [_id_choices(path) for path in files]
    level = [0] * len(files)
    while True:
        ids = [names[min(index, len(names) - 1)] for names, index in zip(choices, level, strict=True)]
        times = Counter(ids)
        if len(times) == len(ids):
            return ids
        level = [index + (times[scene_id] > 1) for index, scene_id in zip(level, ids, strict=True)]


def _id_choices(path: Path) -> list[str]:
    """Ids of a file from the shortest to the longest; the last, its whole path, is its alone."""
    names = [_escaped(part) for part in path.parts if part != path.anchor]
    names = [name[: -len(ARCHIVE_SUFFIX)] if name.lower().endswith(ARCHIVE_SUFFIX) else name for name in names]
    lower = [name.lower() for name in names]
    folders, own = names[:-1], Path(names[-1]).stem
    if lower[-2:] == ["models", "model_normalized.obj"] and len(names) > 2:
        folders, own = names[:-3], names[-3]
    elif lower[-1] == "model.obj" and len(names) > 1:
        folders, own = names[:-2], names[-2]
    choices = [own] if own in names else [own, _escaped(path.name)]
    choices += ["-".join([*folders[-depth:], choices[-1]]) for depth in range(1, len(folders) + 1)]
    raw, whole = path.as_posix(), _escaped(path.as_posix())
    return [*choices, whole if whole == raw else f"{whole}-{sha256(os.fsencode(raw)).hexdigest()[:8]}"]
