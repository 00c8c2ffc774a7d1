"""Find, load and normalise meshes."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from enr.camera import Z_UP_FROM_Y_UP, Array
from enr.errors import EnrError

Normalise = Literal["diagonal", "longest", "none"]
NORMALISE: tuple[Normalise, ...] = get_args(Normalise)
MESH_SUFFIXES = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off")
Y_UP_SUFFIXES = (".obj", ".glb", ".gltf")
OTHER_SUFFIXES = (".3ds", ".abc", ".blend", ".dae", ".fbx", ".usd", ".usda", ".usdc", ".usdz", ".x", ".x3d", ".wrl")
"""3D formats that are not read; a folder's files of these kinds are worth a word to its owner."""
SMALLEST_EXTENT = 1e-12
"""A bounding box below this has no size to normalise by."""


@dataclass(frozen=True)
class MeshSource:
    """A mesh file and the id under which its renders are stored."""

    scene_id: str
    path: Path


def find_meshes(paths: Sequence[Path]) -> tuple[MeshSource, ...]:
    """Every mesh in the files and folders given, sorted by scene id.

    In ShapeNet's layouts (`<id>/model.obj`, `<id>/models/model_normalized.obj`) the folder's name is the id, wherever
    the root lies; any other file goes by its stem. Ids that collide are qualified by the suffix and parent folders.

    Raises:
        EnrError: a path does not exist, a file is of a format that is not read, or no mesh was found.
    """
    files: dict[Path, Path] = {}
    for given in paths:
        for path in _walk_given(Path(given)):
            if _is_mesh(path):
                files.setdefault(path.resolve(), path)
    if not files:
        places = ", ".join(str(path) for path in paths) or "nothing"
        raise EnrError(f"No mesh in {places}; give folders or files in ShapeNet layout or of {_known()}.")
    names = _unique_ids([path.absolute() for path in files.values()])
    sources = (MeshSource(scene_id, path) for scene_id, path in zip(names, files.values(), strict=True))
    return tuple(sorted(sources, key=lambda source: source.scene_id))


def unread_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """3D files among `paths` whose format is not read (FBX, USD, COLLADA and so on), sorted."""
    found = (path for given in paths for path in _walk_given(Path(given), check_suffix=False))
    return tuple(sorted({path for path in found if path.suffix.lower() in OTHER_SUFFIXES}))


def mesh_sha256(path: Path) -> str:
    """SHA-256 of the mesh file's bytes, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def up_axis(path: Path) -> Literal["Y", "Z"]:
    """The axis that points up in a file of this format: Y in OBJ and glTF, Z (as stored) in PLY, STL and OFF."""
    return "Y" if Path(path).suffix.lower() in Y_UP_SUFFIXES else "Z"


def load_triangles(path: Path) -> tuple[Array, NDArray[np.int64]]:
    """The triangles of a mesh file, read by trimesh, in the Z-up frame.

    Returns:
        vertices (n, 3) in the file's units, each of them part of a triangle, and faces (m, 3) of indices into them.

    Raises:
        EnrError: the file cannot be read or holds no triangle; the message says why.
    """
    path = Path(path)
    mesh = _read_with_trimesh(path)
    vertices = np.asarray(mesh.vertices, dtype=np.float64).reshape(-1, 3)
    faces = np.asarray(getattr(mesh, "faces", ()), dtype=np.int64).reshape(-1, 3)
    if len(faces) == 0:
        raise EnrError(f"{path} holds no triangles (only points or lines, or nothing); give a surface.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise EnrError(f"{path} has faces that name vertices it does not hold; export the mesh again.")
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    if not np.isfinite(vertices).all():
        raise EnrError(f"{path} has vertices that are not finite numbers; export the mesh again.")
    if not _has_area(vertices, faces):
        raise EnrError(
            f"{path} has faces without area (an undecoded compression, or a flattened mesh); export it again."
        )
    return (vertices @ Z_UP_FROM_Y_UP[:3, :3].T if up_axis(path) == "Y" else vertices), faces


def normalisation(vertices: Array, mode: Normalise) -> tuple[float, Array]:
    """Scale and offset (3,) that put a mesh into the world: world = scale * (vertex + offset).

    Args:
        vertices: (n, 3) of the Z-up mesh, those of its faces.
        mode: `diagonal` centres the bounding box and makes its diagonal 1, as ShapeNet ships; `longest` makes its
            longest side 1, as the pictures of SRN and of the paper do; `none` leaves the mesh as stored.

    Raises:
        EnrError: the box has no size, or the mode is unknown.
    """
    if mode not in NORMALISE:
        raise EnrError(f"The normalisation is {mode!r}; give one of {', '.join(NORMALISE)}.")
    if mode == "none":
        return 1.0, np.zeros(3)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    size = float(np.linalg.norm(high - low) if mode == "diagonal" else (high - low).max())
    if not (np.isfinite(size) and size > SMALLEST_EXTENT):
        raise EnrError(f"The mesh's bounding box has the size {size}; give a mesh with an extent in space.")
    return 1.0 / size, -(low + high) / 2


def _read_with_trimesh(path: Path) -> Any:
    """The file as trimesh reads it. Its readers fail in too many ways to name: every one becomes an `EnrError`."""
    if not path.is_file():
        raise EnrError(f"{path} is not a file; give a mesh of {_known()}.")
    if not _is_mesh(path):
        raise EnrError(_wrong_suffix(path))
    import trimesh

    options: dict[str, Any] = {"skip_materials": True} if path.suffix.lower() == ".obj" else {}
    try:
        with _quiet():
            return trimesh.load_scene(path, process=False, **options).to_mesh()
    except MemoryError as error:
        raise EnrError(f"{path} asks for more memory than there is; it is probably damaged.") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise EnrError(f"{path} cannot be read as {path.suffix.lower()} ({reason}); export the mesh again.") from error


def _has_area(vertices: Array, faces: NDArray[np.int64]) -> bool:
    corners = vertices[faces]
    return bool(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).any())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what trimesh logs (tracebacks of missing textures and the like) off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _walk_given(given: Path, check_suffix: bool = True) -> Iterator[Path]:
    """The files that a given path stands for."""
    if given.is_dir():
        yield from _walk_folder(given)
        return
    if not given.exists():
        raise EnrError(f"{given} does not exist; give folders or files of meshes.")
    if check_suffix and not _is_mesh(given):
        raise EnrError(_wrong_suffix(given))
    yield given


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
    names = [part for part in path.parts if part != path.anchor]
    folders, own = _folders_and_name(names)
    choices = [own] if own in names else [own, path.name]
    choices += ["-".join([*folders[-depth:], choices[-1]]) for depth in range(1, len(folders) + 1)]
    return [*choices, path.as_posix()]


def _folders_and_name(parts: list[str]) -> tuple[list[str], str]:
    """A file's qualifying folders and its shortest id."""
    lower = [part.lower() for part in parts]
    if lower[-2:] == ["models", "model_normalized.obj"] and len(parts) > 2:
        return parts[:-3], parts[-3]
    if lower[-1] == "model.obj" and len(parts) > 1:
        return parts[:-2], parts[-2]
    return parts[:-1], Path(parts[-1]).stem


def _is_mesh(path: Path) -> bool:
    return path.suffix.lower() in MESH_SUFFIXES


def _wrong_suffix(path: Path) -> str:
    return f"{path} is not of a format that is read; convert it to one of {_known()}."


def _known() -> str:
    return ", ".join(MESH_SUFFIXES)
