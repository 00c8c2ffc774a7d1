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
| `roll_deg` | float64 (views,) | turn of the camera about its own axis, in degrees |
| `split` | string (views,) | the scene's split, or `test` for a held-out view of a scene that is trained on |
| `clipped` | bool (views,) | the object touches the picture's border |
| `clipped_share` | float32 (views,) | share of the surface beyond the border; NaN where not measured |
| `flags` | uint16 (views,) | bits, lowest first: the names in `FLAGS` |

Optional passes, present in full or absent: `depth` float32 (views, height, width), along the optical axis in object
units, infinite where nothing is; `normals` float16 (views, height, width, 3), with the attribute `space` (`camera` or
`world`), zero where nothing is; `mask` bool (views, height, width), where anything is.

Angles, radius and target point are NaN where the cameras came from a file.

Per scene, in the group `scenes` (`scenes` rows, in the order of the views): `scene_id`, `split` (train, val or
test), `mesh_path`, `mesh_sha256`, `normalise_scale`, `normalise_offset` (3), `materials`, `facts` (JSON: faces,
material count, missing textures and so on). A vertex of the Z-up mesh becomes `scale * (vertex + offset)` in the
world.

Attributes of the file: `format` ("enr-shard"), `schema_version`, `enr_version`, `blender_version`, `group`
(rot, trans or rototrans), `seed`, `background` (three sRGB numbers in [0, 1]) and `config` (JSON: everything
needed to make the file again). Every data set carries its own `sha256`, the file that of its attributes. Schema 1,
without what came later, is still read: columns that it lacks are filled with what they would have said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from enr.camera import Group
from enr.errors import EnrError
from enr.files import replacing
from enr.shards.config import ShardConfig
from enr.shards.hashes import attributes_sha256, data_sets, is_intact, seal, values_sha256
from enr.shards.layout import (
    FLAGS,
    FORMAT,
    PASS_SHAPES,
    SCENE_SHAPES,
    SCHEMA_VERSION,
    VIEW_SHAPES,
    check_columns,
    check_images,
    check_layout,
    check_values,
    columns,
    pass_columns,
)

PRINT_HASHES = "import pathlib, sys; from enr.shards import hdf5; print(*hdf5._wrong_hashes(pathlib.Path(sys.argv[1])))"
MEMORY_STEP = 2**24
"""Bytes by which a file in memory grows."""
NormalsSpace = Literal["camera", "world"]
Table = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ShardMeta:
    """What a shard's attributes say."""

    group: Group
    seed: int
    background: tuple[float, float, float]
    blender_version: str
    config: ShardConfig
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
        passes: optional pictures beside the colour, by the names of `PASS_SHAPES`, `views` rows each.
        normals_space: axes of the normals, `camera` or `world`.
    """

    meta: ShardMeta
    images: NDArray[np.uint8]
    views: dict[str, NDArray[Any]]
    scenes: dict[str, NDArray[Any]]
    passes: dict[str, NDArray[Any]] = field(default_factory=dict)
    normals_space: NormalsSpace = "camera"

    def split_of_view(self) -> NDArray[np.str_]:
        """(views,) the split of each view: its scene's, or `test` where it was held out."""
        return self.views["split"].astype(str)


def write_shard(path: Path, shard: Shard, compression: Literal["none", "gzip"] = "none") -> None:
    """Write a shard so that `path` is complete or as it was (see `enr.files.replacing`).

    Args:
        path: the shard's final name.
        shard: what to write; shapes and dtypes are checked against the schema.
        compression: `none` lays the images out contiguously (fastest random reads); `gzip` makes one chunk an image.

    Raises:
        EnrError: the tables disagree with the schema.
        OSError: the disk is full or the like; `path` is as it was before.
    """
    _check_tables(shard, str(path))
    content = _file_image(shard, compression)
    with replacing(path) as partial, partial.open("wb") as handle:
        handle.write(content)
        handle.write(seal(content))


def _file_image(shard: Shard, compression: str) -> bytes:
    """The bytes of a shard's file, made in memory: on a disk that runs full, HDF5 could not even close its file."""
    with h5py.File("in-memory", "w", driver="core", backing_store=False, block_size=MEMORY_STEP) as file:
        _write_meta(file, shard.meta)
        _write(file, "images", shard.images, np.uint8, compression)
        for name, pictures in shard.passes.items():
            _write(file, name, pictures, PASS_SHAPES[name][0], compression)
        if "normals" in shard.passes:
            file["normals"].attrs["space"] = shard.normals_space
        for name, (dtype, _) in VIEW_SHAPES.items():
            _write(file, name, shard.views[name], dtype)
        for name, (dtype, _) in SCENE_SHAPES.items():
            _write(file, f"scenes/{name}", shard.scenes[name], dtype)
        file.attrs["sha256"] = attributes_sha256(file)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


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
        views, scenes = _read_tables(file)
        passes = {name: file[name][:] for name in PASS_SHAPES if name in file}
        is_world = "normals" in file and file["normals"].attrs.get("space") == "world"
        space: NormalsSpace = "world" if is_world else "camera"
        shard = Shard(_read_meta(file, path), file["images"][:], views, scenes, passes, space)
    _check_tables(shard, str(path))
    return shard


def read_tables(path: Path) -> tuple[ShardMeta, Table, Table]:
    """Attributes, per-view and per-scene tables of a shard, without its images.

    Raises:
        EnrError: as `open_shard`; or a split is unknown or a camera not finite.
    """
    with open_shard(path) as file:
        views, scenes = _read_tables(file)
        check_values(views, scenes, str(path))
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
        check_layout(file, path)
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


def _write(file: h5py.File, name: str, values: NDArray[Any], dtype: Any, compression: str = "none") -> None:
    """Write a data set with its hash; compressed ones have a chunk a row."""
    is_text = h5py.check_string_dtype(np.dtype(dtype)) is not None
    column = np.asarray(values, dtype=object) if is_text else np.asarray(values, dtype=dtype)
    layout: dict[str, Any] = {}
    if compression != "none":
        layout = {"chunks": (1, *column.shape[1:]), "compression": "gzip", "compression_opts": 4}
    file.create_dataset(name, data=column, dtype=dtype, **layout).attrs["sha256"] = values_sha256(column)


def check_hashes(path: Path, pictures: bool = True) -> tuple[str, ...]:
    """Names of what no longer is what was written, by SHA-256: data sets, `attributes`, or `file` for its structure.

    Empty if all is well, and where no data set has a hash: of schema 1, or of what another program wrote.

    Args:
        path: the shard.
        pictures: False looks at the tables and attributes alone, which is quick, in place of the whole file.

    Raises:
        EnrError: as `open_shard`.
    """
    intact = is_intact(path) if pictures and path.is_file() else None
    if intact is None:
        return _wrong_hashes(path, pictures)
    if intact:
        return ()
    # HDF5 can crash on a file whose seal is broken, which must not end this process.
    done = subprocess.run([sys.executable, "-c", PRINT_HASHES, str(path)], capture_output=True, text=True, check=False)
    return tuple(done.stdout.split() if done.returncode == 0 else ()) or ("file",)


def _wrong_hashes(path: Path, pictures: bool = True) -> tuple[str, ...]:
    with open_shard(path) as file:
        if not any("sha256" in file[name].attrs for name in data_sets(file)):
            return ()  # schema 1, or written by another program: there is nothing to compare with
        looked_at = [name for name in data_sets(file) if pictures or name not in ("images", *PASS_SHAPES)]
        wrong = [name for name in looked_at if not _is_as_written(file[name])]
        wrong += ["attributes"] * (file.attrs.get("sha256") not in (None, attributes_sha256(file)))
    return tuple(wrong)


def _is_as_written(dataset: h5py.Dataset) -> bool:
    try:
        return bool(dataset.attrs.get("sha256") == values_sha256(_read_column(dataset)))
    except (OSError, RuntimeError, ValueError):  # the bytes are not even what HDF5 or UTF-8 allow
        return False


def _read_column(dataset: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[:].astype(str)
    return dataset[:]


def _read_tables(file: h5py.File) -> tuple[Table, Table]:
    """Per-view and per-scene columns; what an older schema lacks is filled with what it would have said."""
    version = int(file.attrs["schema_version"])
    views = {name: _read_column(file[name]) for name in columns("views", version)}
    scenes = {path.split("/")[1]: _read_column(file[path]) for path in columns("scenes", version)}
    if version > 1:
        return views, scenes
    split = dict(zip(scenes["scene_id"].tolist(), scenes["split"].tolist(), strict=True))
    count = len(views["clipped"])
    later_views: Table = {
        "roll_deg": np.zeros(count),
        "split": np.array([split.get(scene, "") for scene in views["scene_id"].tolist()], dtype=str),
        "clipped_share": np.full(count, np.nan, dtype=np.float32),
        "flags": (views["clipped"].astype(np.uint16) << FLAGS.index("clipped")).astype(np.uint16),
    }
    return {**views, **later_views}, {**scenes, "facts": np.array(["{}"] * len(scenes["split"]), dtype=str)}


def _check_tables(shard: Shard, where: str) -> None:
    check_images(shard.images.dtype, shard.images.shape, where)
    for table, shapes, rows in (
        (shard.views, VIEW_SHAPES, len(shard.images)),
        (shard.scenes, SCENE_SHAPES, len(shard.scenes["scene_id"])),
    ):
        check_columns({name: np.shape(table[name]) for name in shapes}, shapes, rows, where)
    found = {name: np.shape(pictures) for name, pictures in shard.passes.items()}
    check_columns(found, pass_columns(shard.images.shape, found), len(shard.images), where)
    check_values(shard.views, shard.scenes, where)
