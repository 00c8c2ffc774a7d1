"""Make a mesh available as a file that Blender imports, just before its render: converted, or out of its archive."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from enr.camera import Z_UP_FROM_Y_UP
from enr.datagen.meshes.archives import Archive, open_archive
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.far import offset_of
from enr.datagen.meshes.formats import UpAxis, stored_up_axis, suffix_of
from enr.datagen.meshes.mesh_files import NAMING_SUFFIXES, named_files
from enr.datagen.meshes.rewriting import rewritten
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.messages import Job
from enr.errors import EnrError

CONVERTED_SUFFIX = ".off"
ALONE_SUFFIXES = (".ply", ".stl", ".off", ".blend", ".abc", ".usdz")
"""Formats whose files are whole by themselves, for the most part."""


@dataclass(frozen=True)
class StagedMesh:
    """A mesh file for Blender.

    Attributes:
        path: the file to import.
        up_axis: the axis that points up in it; None where the file says it itself.
        folder: made for this mesh alone, to be removed after its render; None for a file that lies on the disk anyway.
        original: the file as it was before it was converted; None where that is `path`.
        offset: what was taken off the vertices, in the Z-up frame: they lie so far from the origin that single
            precision would move them.
    """

    path: Path
    up_axis: Literal["Y", "Z"] | None
    folder: Path | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    original: Path | None = None


def stage(source: MeshSource, scratch: Path, up_axis: UpAxis = "auto", checks: bool = True) -> StagedMesh:
    """The mesh as a file that Blender can import; remove its folder when it was rendered.

    Args:
        source: the mesh.
        scratch: folder for what has to be unpacked or converted.
        up_axis: the user's word on which axis points up in the files.
        checks: whether a file on the disk is looked through for what Blender would read wrongly.

    Raises:
        EnrError: the mesh cannot be read; nothing is left in `scratch`.
    """
    if source.problem:
        raise EnrError(source.problem)
    stored = stored_up_axis(source.place, up_axis)
    changed = None
    if not source.member:
        with suppress(OSError):  # as the importer will say
            changed = rewritten(source.path) if checks else None
        if changed is None and source.suffix != CONVERTED_SUFFIX:
            return StagedMesh(source.path, stored)
    folder = Path(tempfile.mkdtemp(prefix="mesh-", dir=scratch))
    try:
        path = source.path
        if source.member:
            path = _extract(open_archive(source.path), source.member, folder)
            changed = rewritten(path, folder)
        if source.suffix == CONVERTED_SUFFIX:
            return _convert(path, folder, up_axis)
        if changed is None:
            return StagedMesh(path, stored, folder)
        copy = folder / "copy"
        copy.mkdir()
        x, y, z = (Z_UP_FROM_Y_UP[:3, :3] @ changed.offset if stored == "Y" else changed.offset).tolist()
        return StagedMesh(changed.write(path, copy), stored, folder, (x, y, z))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def unstage(job: Job) -> None:
    """Remove what was made for a job's mesh alone (its entry `staged_in`), if anything was."""
    if job.get("staged_in"):
        shutil.rmtree(job["staged_in"], ignore_errors=True)


def _convert(path: Path, folder: Path, up_axis: UpAxis) -> StagedMesh:
    """A Z-up PLY copy of a mesh that Blender has no importer for."""
    import trimesh

    vertices, faces = load_triangles(path, up_axis)
    offset = offset_of(vertices)
    if offset is not None:
        vertices = vertices - offset
    target = folder / "converted.ply"
    trimesh.Trimesh(vertices, faces, process=False).export(target, file_type="ply")
    x, y, z = (0.0, 0.0, 0.0) if offset is None else offset.tolist()
    return StagedMesh(target, "Z", folder, (x, y, z), original=path)


def _extract(archive: Archive, member: str, folder: Path) -> Path:
    """Unpack a mesh and the files that it depends on; its path below `folder`."""
    content = archive.read(member)
    target = _write(folder, member, content)
    suffix = suffix_of(PurePosixPath(member))
    if suffix in NAMING_SUFFIXES:
        named = named_files(PurePosixPath(member).name, content, archive.reader_beside(member))
        beside = {archive.beside(member, name): other for name, other in named.items()}
    else:
        # Of formats whose references are not followed (FBX, USD): all in the mesh's folder and below.
        prefix = member[: member.rfind("/") + 1]
        names = [] if suffix in ALONE_SUFFIXES else archive.members()
        beside = {name: archive.read(name) for name in names if name.startswith(prefix) and name != member}
    for name, other in beside.items():
        if other is not None:
            _write(folder, name, other)
    return target


def _write(folder: Path, member: str, content: bytes) -> Path:
    """Write a member below `folder`; its name is known to stay inside (see `enr.datagen.meshes.archives`)."""
    target = folder / member
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target
