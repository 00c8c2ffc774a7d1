"""Zipped meshes, read in place: what an archive holds, and single files out of it."""

from __future__ import annotations

import functools
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from enr.datagen.meshes.obj_files import Reader
from enr.errors import EnrError

ENCRYPTED = 0x1
HIDDEN = (".", "__MACOSX")
OPEN_ARCHIVES = 8


class Archive:
    r"""A zip file that stays open, since its list of contents is long (ShapeNet's have 50,000 entries and more).

    Members are named as inside the archive, with `/` between folders, from its root on: `\`, a leading `/` and `./`,
    which some packers write, are not kept. Those whose name would lead out of the folder that they are unpacked to do
    not exist here.

    Raises:
        EnrError: the file cannot be opened as a zip archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise EnrError(f"{path} cannot be read as a zip archive ({error}); download or pack it again.") from error
        self._members = {_plain(info.filename): info for info in self._zip.infolist() if _is_wanted(info)}
        self._in_lower_case = {name.lower(): self._members[name] for name in sorted(self._members, reverse=True)}

    def members(self) -> Iterator[str]:
        """Names of the files, in alphabetical order; hidden ones are left out."""
        return iter(sorted(self._members))

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """The content of a member, called so in that case or, if there is none, in another.

        Raises:
            EnrError: it is not there, encrypted, damaged, or packed by an unknown method.
        """
        info = self._members.get(name) or self._in_lower_case.get(name.lower())
        if info is None:
            raise EnrError(f"{self.path} holds no {name}; it may have changed since it was listed, start again.")
        self._check(info)
        try:
            return self._zip.read(info)
        except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise EnrError(f"{name} in {self.path} is damaged ({error}); download or pack it again.") from error

    def check(self, name: str) -> None:
        """Refuse a member that is known to be unreadable without reading it.

        Raises:
            EnrError: it is encrypted.
        """
        self._check(self._members[name])

    def _check(self, info: zipfile.ZipInfo) -> None:
        if info.flag_bits & ENCRYPTED:
            raise EnrError(f"{self.path} is encrypted; unpack it with its password and give the folder.")

    def reader_beside(self, name: str) -> Reader:
        """Reads members by their names relative to the folder of the member `name`."""
        return lambda other: self.read(self.beside(name, other))

    @staticmethod
    def beside(name: str, other: str) -> str:
        """Name in the archive of a file that the member `name` calls `other`."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), other))


def open_archive(path: Path) -> Archive:
    """The archive at `path`; the same object as long as the file does not change.

    Raises:
        EnrError: it cannot be read.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise EnrError(f"{path} cannot be read ({error.strerror}); give a file that can.") from error
    return _open(path.absolute(), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=OPEN_ARCHIVES)
def _open(path: Path, size: int, mtime_ns: int) -> Archive:
    return Archive(path)


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file, not hidden, and stays inside the folder that it is unpacked to."""
    parts = PurePosixPath(_plain(info.filename)).parts
    if info.filename.endswith(("/", "\\")) or not parts or ":" in parts[0]:
        return False
    return not (".." in parts or any(part.startswith(HIDDEN) for part in parts))


def _plain(name: str) -> str:
    """A member's name from the archive's root on, with `/` between folders."""
    return str(PurePosixPath(name.replace("\\", "/").lstrip("/")))
