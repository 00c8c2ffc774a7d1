"""Make a mesh available as a file that Blender imports, just before its render: converted, or out of its archive."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from enr.datagen.meshes.archives import Archive, open_archive
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.files import NAMING_SUFFIXES, named_files
from enr.datagen.meshes.formats import UpAxis, stored_up_axis, suffix_of
from enr.datagen.meshes.triangles import load_triangles
from enr.errors import EnrError

CONVERTED_SUFFIX = ".off"
ALONE_SUFFIXES = (".ply", ".stl", ".off", ".blend", ".abc", ".usdz")
"""Formats whose files are whole by themselves, for the most part."""

STL_HEAD_BYTES, STL_TRIANGLE_BYTES = 84, 50
"""A binary STL: a header that ends in the number of triangles, then these."""


@dataclass(frozen=True)
class StagedMesh:
    """A mesh file for Blender.

    Attributes:
        path: the file to import.
        up_axis: the axis that points up in it; None where the file says it itself.
        folder: made for this mesh alone, to be removed after its render; None for a file that lies on the disk anyway.
    """

    path: Path
    up_axis: Literal["Y", "Z"] | None
    folder: Path | None = None


def stage(source: MeshSource, scratch: Path, up_axis: UpAxis = "auto") -> StagedMesh:
    """The mesh as a file that Blender can import; remove its folder when it was rendered.

    Args:
        source: the mesh.
        scratch: folder for what has to be unpacked or converted.
        up_axis: the user's word on which axis points up in the files.

    Raises:
        EnrError: the mesh cannot be read; nothing is left in `scratch`.
    """
    if source.problem:
        raise EnrError(source.problem)
    stored = stored_up_axis(source.place, up_axis)
    if not source.member and source.suffix != CONVERTED_SUFFIX and not _stl_excess(source.path):
        return StagedMesh(source.path, stored)
    folder = Path(tempfile.mkdtemp(prefix="mesh-", dir=scratch))
    try:
        path = _extract(open_archive(source.path), source.member, folder) if source.member else source.path
        if excess := _stl_excess(path):
            path = _write(folder, "whole.stl", path.read_bytes()[:-excess])
        if source.suffix != CONVERTED_SUFFIX:
            return StagedMesh(path, stored, folder)
        return StagedMesh(_convert(path, folder / "converted.ply", up_axis), "Z", folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _stl_excess(path: Path) -> int:
    """Bytes after the triangles that a binary STL announces, which Blender takes it for a text for; else 0."""
    if suffix_of(path) != ".stl" or not path.is_file():
        return 0
    with path.open("rb") as handle:
        start = handle.read(STL_HEAD_BYTES + STL_TRIANGLE_BYTES)
    if len(start) < STL_HEAD_BYTES + STL_TRIANGLE_BYTES or (start.startswith(b"solid") and b"facet" in start):
        return 0
    triangles = int.from_bytes(start[STL_HEAD_BYTES - 4 : STL_HEAD_BYTES], "little")
    return max(path.stat().st_size - STL_HEAD_BYTES - STL_TRIANGLE_BYTES * triangles, 0) if triangles else 0


def unstage(job: dict[str, Any]) -> None:
    """Remove what was made for a job's mesh alone (its entry `staged_in`), if anything was."""
    if job.get("staged_in"):
        shutil.rmtree(job["staged_in"], ignore_errors=True)


def _convert(path: Path, target: Path, up_axis: UpAxis) -> Path:
    """A Z-up PLY copy of a mesh that Blender has no importer for."""
    import trimesh

    vertices, faces = load_triangles(path, up_axis)
    trimesh.Trimesh(vertices, faces, process=False).export(target, file_type="ply")
    return target


def _extract(archive: Archive, member: str, folder: Path) -> Path:
    """Unpack a mesh and the files that it depends on; its path below `folder`."""
    content = archive.read(member)
    target = _write(folder, member, content)
    suffix = suffix_of(PurePosixPath(member))
    if suffix in NAMING_SUFFIXES:
        named = named_files(suffix, content, archive.reader_beside(member))
        beside = {archive.beside(member, name): other for name, other in named.items()}
    else:
        beside = {name: archive.read(name) for name in _neighbours(archive, member, suffix)}
    for name, other in beside.items():
        if other is not None:
            _write(folder, name, other)
    return target


def _neighbours(archive: Archive, member: str, suffix: str) -> list[str]:
    """Members in a mesh's folder and below, for formats whose references are not followed (FBX, USD)."""
    if suffix in ALONE_SUFFIXES:
        return []
    folder = member.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    return [name for name in archive.members() if name.startswith(prefix) and name != member]


def _write(folder: Path, member: str, content: bytes) -> Path:
    """Write a member below `folder`; its name is known to stay inside (see `enr.datagen.meshes.archives`)."""
    target = folder / member
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target
