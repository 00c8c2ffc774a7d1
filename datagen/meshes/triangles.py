"""The triangles of a mesh file, read without Blender, and the normalisation of their vertices."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from enr.camera import Z_UP_FROM_Y_UP, Array
from enr.datagen.meshes.far import why_merged
from enr.datagen.meshes.formats import FORMATS, UpAxis, is_mesh, stored_up_axis, suffix_of, why_not_read
from enr.datagen.meshes.obj_files import plain_text, read_polygons
from enr.datagen.meshes.off import read_off
from enr.datagen.meshes.polygons import triangulate_all
from enr.errors import EnrError

Normalise = Literal["diagonal", "longest", "none"]
NORMALISE: tuple[Normalise, ...] = get_args(Normalise)
READ_BY_BLENDER_ALONE = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".blend")
SMALLEST_EXTENT = 1e-12
"""A bounding box below this has no size to normalise by."""


def load_triangles(path: Path, up_axis: UpAxis = "auto") -> tuple[Array, NDArray[np.int64]]:
    """The triangles of a mesh file, read by trimesh, in the Z-up frame.

    Args:
        path: a file of a format that trimesh reads too (OBJ, glTF, PLY, STL, OFF).
        up_axis: the axis that points up in the file; `auto` is its format's.

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
        merged = why_merged(vertices)
        if merged:
            raise EnrError(f"{path}: {merged}.")
        raise EnrError(
            f"{path} has faces without area (an undecoded compression, or a flattened mesh); export it again."
        )
    y_up = stored_up_axis(path, up_axis) == "Y"
    return (vertices @ Z_UP_FROM_Y_UP[:3, :3].T if y_up else vertices), faces


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
        raise EnrError(f"{path} is not a file; give a mesh.")
    if not is_mesh(path):
        raise EnrError(why_not_read(path))
    if suffix_of(path) in READ_BY_BLENDER_ALONE:
        raise EnrError(f"{path} is {FORMATS[suffix_of(path)].name}, which Blender alone reads; give OBJ, glTF or PLY.")
    import trimesh

    options: dict[str, Any] = {"skip_materials": True} if suffix_of(path) == ".obj" else {}
    try:
        with _quiet():
            if suffix_of(path) == ".off":
                return trimesh.Trimesh(*read_off(path), process=False)
            polygons = read_polygons(plain_text(path.read_bytes())) if suffix_of(path) == ".obj" else None
            if polygons is not None:
                return trimesh.Trimesh(*polygons, process=False)
            if suffix_of(path) == ".ply":
                return _with_polygons(trimesh.load_mesh(path, process=False))
            return trimesh.load_scene(path, process=False, **options).to_mesh()
    except MemoryError as error:
        raise EnrError(f"{path} asks for more memory than there is; it is probably damaged.") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise EnrError(f"{path} cannot be read as {suffix_of(path)} ({reason}); export the mesh again.") from error


def _with_polygons(mesh: Any) -> Any:
    """A PLY file's mesh with its concave polygons as they are, where trimesh keeps what it read."""
    raw = mesh.metadata.get("_ply_raw", {}).get("face", {}).get("data")
    faces = raw.get("vertex_indices", raw.get("vertex_index")) if isinstance(raw, dict) else raw
    if isinstance(faces, np.ndarray) and faces.dtype.names:
        name = next((name for name in ("vertex_indices", "vertex_index") if name in faces.dtype.names), None)
        faces = faces[name]["f1"] if name else None
    if faces is None or all(len(face) == 3 for face in faces):
        return mesh
    mesh.faces = triangulate_all(np.asarray(mesh.vertices), [[int(corner) for corner in face] for face in faces])
    return mesh


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
