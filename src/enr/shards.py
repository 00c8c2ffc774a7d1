"""The HDF5 shard: names, dtypes, shapes, version; the one writer and the one reader.

A shard holds whole scenes as flat tables. Per view, at the root (`views` rows, a scene's views adjacent):

| data set | dtype, shape | meaning |
|---|---|---|
| `images` | uint8 (views, height, width, 4) | RGBA, straight (unassociated) alpha, sRGB, without a background |
| `world_from_camera` | float64 (views, 4, 4) | OpenCV camera (x right, y down, z forward), see `enr.camera` |
| `K` | float64 (views, 3, 3) | pixels; the centre of the top-left pixel is (0.5, 0.5) |
| `scene_id` | string (views,) | id of the scene's mesh |
| `view_index` | int32 (views,) | the view's number within its scene |
| `azimuth_deg`, `elevation_deg` | float64 (views,) | the orbit's angles, in degrees |
| `radius`, `target_point` | float64 (views,), (views, 3) | orbit radius and the point looked at, object units |
| `clipped` | bool (views,) | the object touches the picture's border |

Per scene, in the group `scenes` (`scenes` rows, in the order of the views): `scene_id`, `split` (train, val or
test), `mesh_path`, `mesh_sha256`, `normalise_scale`, `normalise_offset` (3), `materials`. A vertex of the Z-up
mesh becomes `scale * (vertex + offset)` in the world.

Attributes of the file: `format` ("enr-shard"), `schema_version`, `enr_version`, `blender_version`, `group`
(rot, trans or rototrans), `seed`, `background` (three sRGB numbers in [0, 1]) and `config` (JSON: everything
needed to make the file again).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.camera import GROUPS, Group
from enr.errors import EnrError

FORMAT = "enr-shard"
SCHEMA_VERSION = 1
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
PARTIAL_SUFFIX = ".partial"

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
}
"""dtype and trailing shape of every data set in the group `scenes`."""


@dataclass(frozen=True)
class ShardMeta:
    """What a shard's attributes say."""

    group: Group
    seed: int
    background: tuple[float, float, float]
    blender_version: str
    config: dict[str, Any]
    enr_version: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Shard:
    """A shard in memory.

    Attributes:
        meta: the file's attributes.
        images: (views, height, width, 4) uint8 RGBA, straight alpha.
        views: per-view arrays by the names of `VIEW_SHAPES`, `views` rows each.
        scenes: per-scene arrays by the names of `SCENE_SHAPES`, `scenes` rows each.
    """

    meta: ShardMeta
    images: NDArray[np.uint8]
    views: dict[str, NDArray[Any]]
    scenes: dict[str, NDArray[Any]]

    def split_of_view(self) -> NDArray[np.str_]:
        """(views,) the split of each view's scene."""
        split = dict(zip(self.scenes["scene_id"], self.scenes["split"], strict=True))
        return np.array([split[scene] for scene in self.views["scene_id"]], dtype=str)


def write_shard(path: Path, shard: Shard, compression: Literal["none", "gzip"] = "none") -> None:
    """Write a shard so that `path` is complete or absent: temporary name, flush, fsync, rename.

    Args:
        path: the shard's final name.
        shard: what to write; shapes and dtypes are checked against the schema.
        compression: `none` lays the images out contiguously (fastest random reads); `gzip` makes one chunk an image.

    Raises:
        EnrError: the tables disagree with the schema.
    """
    _check_tables(shard, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with h5py.File(partial, "w") as file:
            _write_meta(file, shard.meta)
            _write_images(file, shard.images, compression)
            for name, (dtype, _) in VIEW_SHAPES.items():
                _write_column(file, name, shard.views[name], dtype)
            for name, (dtype, _) in SCENE_SHAPES.items():
                _write_column(file, f"scenes/{name}", shard.scenes[name], dtype)
        _publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_meta(path: Path) -> ShardMeta:
    """A shard's attributes.

    Raises:
        EnrError: the file is missing, truncated, no shard, or of another schema version.
    """
    with open_shard(path) as file:
        return _read_meta(file, path)


def read_shard(path: Path) -> Shard:
    """A whole shard in memory; text columns as `str` arrays.

    Raises:
        EnrError: as `open_shard`.
    """
    with open_shard(path) as file:
        shard = Shard(
            meta=_read_meta(file, path),
            images=file["images"][:],
            views={name: _read_column(file[name]) for name in VIEW_SHAPES},
            scenes={name: _read_column(file[f"scenes/{name}"]) for name in SCENE_SHAPES},
        )
    _check_tables(shard, str(path))
    return shard


def read_tables(path: Path) -> tuple[ShardMeta, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Attributes, per-view and per-scene tables of a shard, without its images.

    Raises:
        EnrError: as `open_shard`; or a split is unknown or a camera not finite.
    """
    with open_shard(path) as file:
        views = {name: _read_column(file[name]) for name in VIEW_SHAPES}
        scenes = {name: _read_column(file[f"scenes/{name}"]) for name in SCENE_SHAPES}
        _check_values(views, scenes, str(path))
        return _read_meta(file, path), views, scenes


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """The open file of a checked shard. Open it in the process that reads it, never before a fork.

    Raises:
        EnrError: the file is missing, truncated, no shard, of another schema version, or its tables' shapes disagree.
    """
    if not Path(path).is_file():
        raise EnrError(f"{path} is not a file; give .h5 shards made by `enr datagen`.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise EnrError(
            f"{path} is not a readable HDF5 file (truncated or of another kind); make it again with `enr datagen`."
        ) from error
    with file:
        _check_layout(file, path)
        yield file


def image_offset(file: h5py.File) -> int | None:
    """Byte offset of the images in the file where they lie uncompressed in one piece, else None.

    With it a reader can memory-map (views, height, width, 4) uint8 and pick views at the speed of the disk cache.
    """
    images = file["images"]
    return None if images.chunks else images.id.get_offset()


def _write_meta(file: h5py.File, meta: ShardMeta) -> None:
    from enr import __version__

    file.attrs["format"] = FORMAT
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["enr_version"] = meta.enr_version or __version__
    file.attrs["blender_version"] = meta.blender_version
    file.attrs["group"] = meta.group
    file.attrs["seed"] = meta.seed
    file.attrs["background"] = np.asarray(meta.background, dtype=np.float64)
    file.attrs["config"] = json.dumps(meta.config, sort_keys=True)


def _read_meta(file: h5py.File, path: Path) -> ShardMeta:
    attrs = file.attrs
    try:
        return ShardMeta(
            group=attrs["group"],
            seed=int(attrs["seed"]),
            background=_three_numbers(attrs["background"]),
            blender_version=str(attrs["blender_version"]),
            config=json.loads(attrs["config"]),
            enr_version=str(attrs["enr_version"]),
            schema_version=int(attrs["schema_version"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise EnrError(
            f"{path} lacks a shard attribute or has a wrong one ({error}); make it again with `enr datagen`."
        ) from error


def _three_numbers(background: Any) -> tuple[float, float, float]:
    if np.shape(background) != (3,):
        raise ValueError(f"background {background!r} is not three numbers")
    red, green, blue = (float(value) for value in background)
    return red, green, blue


def _write_images(file: h5py.File, images: NDArray[np.uint8], compression: str) -> None:
    if compression == "none":
        file.create_dataset("images", data=images)
        return
    file.create_dataset("images", data=images, chunks=(1, *images.shape[1:]), compression="gzip", compression_opts=4)


def _write_column(file: h5py.File, name: str, values: NDArray[Any], dtype: Any) -> None:
    is_text = h5py.check_string_dtype(np.dtype(dtype)) is not None
    file.create_dataset(name, data=np.asarray(values, dtype=object) if is_text else values, dtype=dtype)


def _publish(partial: Path, path: Path) -> None:
    """Rename a finished file into place once its bytes are on the disk."""
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_column(dataset: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[:].astype(str)
    return dataset[:]


def _check_layout(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise EnrError(f"{path} is an HDF5 file but not a shard of enr; give .h5 shards made by `enr datagen`.")
    version = file.attrs.get("schema_version", 0)
    if np.ndim(version) or version != SCHEMA_VERSION:
        raise EnrError(
            f"{path} has shard schema {version}, this version of enr reads schema {SCHEMA_VERSION}; "
            "make the shard again with `enr datagen`."
        )
    names = ["images", *VIEW_SHAPES, *(f"scenes/{name}" for name in SCENE_SHAPES)]
    missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise EnrError(f"{path} lacks the data set(s) {', '.join(missing)}; make it again with `enr datagen`.")
    if file.attrs.get("group") not in GROUPS:
        raise EnrError(f"{path} names the group {file.attrs.get('group')!r}; expected one of {', '.join(GROUPS)}.")
    _check_shapes(file, path)


def _check_shapes(file: h5py.File, path: Path) -> None:
    """Every data set's rows and trailing shape, from the file's header alone."""
    images = file["images"]
    _check_images(images.dtype, images.shape, str(path))
    scenes = {name: file[f"scenes/{name}"].shape for name in SCENE_SHAPES}
    _check_columns({name: file[name].shape for name in VIEW_SHAPES}, VIEW_SHAPES, images.shape[0], str(path))
    _check_columns(scenes, SCENE_SHAPES, scenes["scene_id"][0] if scenes["scene_id"] else 0, str(path))
    kinds = [(file[name], dtype) for name, (dtype, _) in VIEW_SHAPES.items()]
    kinds += [(file[f"scenes/{name}"], dtype) for name, (dtype, _) in SCENE_SHAPES.items()]
    for column, dtype in kinds:
        if column.dtype.kind != np.dtype(dtype).kind:
            raise EnrError(f"{path}: {column.name} holds {column.dtype}; make the shard again with `enr datagen`.")


def _check_values(views: dict[str, NDArray[Any]], scenes: dict[str, NDArray[Any]], where: str) -> None:
    """Splits that are known and cameras that are finite."""
    unknown = set(scenes["split"]) - set(SPLITS)
    if unknown:
        raise EnrError(f"{where}: unknown split {sorted(unknown)}; expected one of {', '.join(SPLITS)}.")
    for name in ("world_from_camera", "K"):
        broken = np.flatnonzero(~np.isfinite(views[name]).all(axis=(1, 2)))
        if len(broken):
            raise EnrError(
                f"{where}: {name} of view {broken[0]} is not finite; make the shard again with `enr datagen`."
            )


def _check_images(dtype: Any, shape: tuple[int, ...], where: str) -> None:
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 4:
        raise EnrError(f"{where}: images are {dtype} {shape}; expected uint8 (views, height, width, 4).")


def _check_columns(
    found: dict[str, tuple[int, ...]], shapes: dict[str, tuple[Any, tuple[int, ...]]], rows: int, where: str
) -> None:
    for name, (_, trailing) in shapes.items():
        if found[name] != (rows, *trailing):
            raise EnrError(f"{where}: {name} has shape {found[name]}; expected {(rows, *trailing)}.")


def _check_tables(shard: Shard, where: str) -> None:
    _check_images(shard.images.dtype, shard.images.shape, where)
    for table, shapes, rows in (
        (shard.views, VIEW_SHAPES, len(shard.images)),
        (shard.scenes, SCENE_SHAPES, len(shard.scenes["scene_id"])),
    ):
        _check_columns({name: np.shape(table[name]) for name in shapes}, shapes, rows, where)
    _check_values(shard.views, shard.scenes, where)
