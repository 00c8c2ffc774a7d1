"""What a shard looks like: names, dtypes, shapes, version, and the checks of a file against them.

`enr.shards` says in words what each data set means.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.camera import GROUPS, is_rigid
from enr.errors import EnrError
from enr.words import count_of

FORMAT = "enr-shard"
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

VIEW_SHAPES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "world_from_camera": (np.float64, (4, 4)),
    "K": (np.float64, (3, 3)),
    "scene_id": (h5py.string_dtype(), ()),
    "view_index": (np.int32, ()),
    "azimuth_deg": (np.float64, ()),
    "elevation_deg": (np.float64, ()),
    "radius": (np.float64, ()),
    "target_point": (np.float64, (3,)),
    "clipped": (np.bool_, ()),
    "roll_deg": (np.float64, ()),
    "split": (h5py.string_dtype(), ()),
    "clipped_share": (np.float32, ()),
    "flags": (np.uint16, ()),
}
"""dtype and trailing shape of every per-view data set but `images`."""

SCENE_SHAPES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "scene_id": (h5py.string_dtype(), ()),
    "split": (h5py.string_dtype(), ()),
    "mesh_path": (h5py.string_dtype(), ()),
    "mesh_sha256": (h5py.string_dtype(), ()),
    "normalise_scale": (np.float64, ()),
    "normalise_offset": (np.float64, (3,)),
    "materials": (h5py.string_dtype(), ()),
    "facts": (h5py.string_dtype(), ()),
}
"""dtype and trailing shape of every data set in the group `scenes`."""

SINCE_SCHEMA_2 = ("roll_deg", "split", "clipped_share", "flags", "scenes/facts")

PASS_SHAPES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "depth": (np.float32, ()),
    "normals": (np.float16, (3,)),
    "mask": (np.bool_, ()),
}
"""dtype of every optional pass and its shape after (views, height, width)."""

FLAGS = ("blank", "clipped", "camera_inside", "flat_colour", "duplicate", "purple", "unlike_mesh")
"""What `flags` says of a view; the name's place is its bit, 0 the lowest."""


def columns(table: str, version: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Kind (dtype) and trailing shape of the columns of `views` or `scenes`, by path, in a shard of that schema."""
    shapes, prefix = (VIEW_SHAPES, "") if table == "views" else (SCENE_SHAPES, "scenes/")
    held = {prefix + name: shape for name, shape in shapes.items()}
    return {path: shape for path, shape in held.items() if version > 1 or path not in SINCE_SCHEMA_2}


def check_layout(file: h5py.File, path: Path) -> None:
    """A file's format, version, data sets and their shapes.

    Raises:
        EnrError: one is not what this version of enr reads.
    """
    if file.attrs.get("format") != FORMAT:
        raise EnrError(f"{path} is an HDF5 file but not a shard of enr; give .h5 shards made by `enr datagen`.")
    version = file.attrs.get("schema_version", 0)
    if np.ndim(version) or version not in READABLE_VERSIONS:
        raise EnrError(
            f"{path} has shard schema {version}, this version of enr reads schema {SCHEMA_VERSION}; "
            "make the shard again with `enr datagen`."
        )
    names = ["images", *columns("views", version), *columns("scenes", version)]
    missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        lacking = f"{count_of(len(missing), 'data set')} ({', '.join(missing)})"
        raise EnrError(f"{path} lacks {lacking}; make it again with `enr datagen`.")
    if file.attrs.get("group") not in GROUPS:
        raise EnrError(f"{path} names the group {file.attrs.get('group')!r}; expected one of {', '.join(GROUPS)}.")
    _check_shapes(file, path, int(version))


def _check_shapes(file: h5py.File, path: Path, version: int) -> None:
    """Every data set's rows, trailing shape and kind, from the file's header alone."""
    images, ids = file["images"], file["scenes/scene_id"]
    check_images(images.dtype, images.shape, str(path))
    tables = {"views": images.shape[0], "scenes": ids.shape[0] if ids.shape else 0}
    for table, rows in tables.items():
        wanted = columns(table, version)
        check_columns({name: file[name].shape for name in wanted}, wanted, rows, str(path))
        for name, (dtype, _) in wanted.items():
            _check_kind(file[name], dtype, path)
    for name in PASS_SHAPES.keys() & file.keys():
        check_columns({name: file[name].shape}, pass_columns(images.shape, [name]), images.shape[0], str(path))
        _check_kind(file[name], PASS_SHAPES[name][0], path)


def pass_columns(images_shape: tuple[int, ...], names: Iterable[str]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Kind (dtype) and trailing shape of passes beside images (views, height, width, 4)."""
    return {name: (PASS_SHAPES[name][0], (*images_shape[1:3], *PASS_SHAPES[name][1])) for name in names}


def _check_kind(column: h5py.Dataset, dtype: Any, path: Path) -> None:
    if column.dtype.kind != np.dtype(dtype).kind:
        raise EnrError(f"{path}: {column.name} holds {column.dtype}; make the shard again with `enr datagen`.")


def check_values(views: dict[str, NDArray[Any]], scenes: dict[str, NDArray[Any]], where: str) -> None:
    """Splits that are known and cameras that are finite and rigid, or an `EnrError`."""
    unknown = (set(scenes["split"]) | set(views["split"])) - set(SPLITS)
    if unknown:
        raise EnrError(f"{where}: unknown split {sorted(unknown)}; expected one of {', '.join(SPLITS)}.")
    for name in ("world_from_camera", "K"):
        broken = np.flatnonzero(~np.isfinite(views[name]).all(axis=(1, 2)))
        if len(broken):
            raise EnrError(
                f"{where}: {name} of view {broken[0]} is not finite; make the shard again with `enr datagen`."
            )
    bent = np.flatnonzero(~is_rigid(views["world_from_camera"]))
    if len(bent):
        raise EnrError(
            f"{where}: world_from_camera of view {bent[0]} is not rigid (a rotation with determinant +1 and a "
            "translation are expected); make the shard again without scale, mirroring or shear in its cameras."
        )


def check_images(dtype: Any, shape: tuple[int, ...], where: str) -> None:
    """uint8 (views, height, width, 4), or an `EnrError`."""
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 4:
        raise EnrError(f"{where}: images are {dtype} {shape}; expected uint8 (views, height, width, 4).")


def check_columns(
    found: dict[str, tuple[int, ...]], shapes: dict[str, tuple[Any, tuple[int, ...]]], rows: int, where: str
) -> None:
    """Every column has `rows` rows and its trailing shape, or an `EnrError`."""
    for name, (_, trailing) in shapes.items():
        if found[name] != (rows, *trailing):
            raise EnrError(f"{where}: {name} has shape {found[name]}; expected {(rows, *trailing)}.")
