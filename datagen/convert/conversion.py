"""Folders of posed pictures that others made, turned into shards in this project's conventions."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from enr.camera import GROUPS, RADIUS, Group, intrinsics
from enr.checking import Positive, checked
from enr.datagen.convert.cameras import FOCAL_OVER_WIDTH, LayoutName
from enr.datagen.convert.cut_out import read_picture, touches_border
from enr.datagen.convert.resample import shrink
from enr.datagen.convert.scene_folders import read_folders
from enr.datagen.convert.scenes import PosedScene, gather_scenes
from enr.datagen.flags import view_flags
from enr.datagen.metadata.contact_sheet import save_contact_sheet
from enr.datagen.settings import SHARD_BYTES, WHITE, Compression, Pixels
from enr.datagen.splits import assign_splits
from enr.errors import EnrError
from enr.shards import SPLITS, Shard, ShardMeta, Split, Table, write_shard
from enr.shards.config import ShardConfig

SplitChoice = Literal["folders", "hash", "train", "val", "test"]
UNKNOWN = "unknown"


@checked("convert")
@dataclass(frozen=True)
class ConvertSettings:
    """Everything that `enr convert` is told.

    Attributes:
        folder: where the scenes' folders lie.
        layout: `apple` or `uva`, see `enr.datagen.convert.cameras`.
        out: folder of the shards.
        split: `folders` takes the split that a folder above the scene is named after, and a hash of the scene's id
            where none is; `hash` always the latter; `train`, `val`, `test`: all scenes there.
        radius: distance of the cameras from the point looked at, object units.
        focal_px: focal length in pixels of the pictures in the folder; the layout's own for their width if None.
        resolution: width and height in pixels of the pictures to store, shrunk by area; as they are if None.
        compression: `none` or `gzip`.
        overwrite: replace shards of an earlier conversion.
    """

    folder: Path
    layout: LayoutName
    out: Path = Path("shards")
    split: SplitChoice = "folders"
    radius: Positive = RADIUS
    focal_px: Positive | None = None
    resolution: tuple[Pixels, Pixels] | None = None
    compression: Compression = "none"
    overwrite: bool = False


@dataclass(frozen=True)
class Converted:
    """What a conversion left.

    Attributes:
        shards: the files.
        contact_sheets: a picture of some views for each group.
        scenes: number of scenes by group and split.
        images: number of pictures.
        clipped: number of pictures in which the object reaches the border.
        size_px: width and height.
        hashed: number of scenes that went by the hash of their id, because no folder names their split.
    """

    shards: tuple[Path, ...]
    contact_sheets: tuple[Path, ...]
    scenes: dict[tuple[Group, Split], int]
    images: int
    clipped: int
    size_px: tuple[int, int]
    hashed: int = 0


@dataclass(frozen=True)
class _Scene:
    """A scene, its group and its splits."""

    posed: PosedScene
    group: Group
    split: Split
    view_splits: tuple[Split, ...]


@dataclass(frozen=True)
class _Lens:
    """What all pictures of a conversion share.

    Attributes:
        width_px, height_px: size of the stored pictures.
        K: (3, 3) of the stored pictures.
        found_px: width and height of the pictures in the folder.
    """

    width_px: int
    height_px: int
    K: NDArray[np.float64]
    found_px: tuple[int, int]


def convert(settings: ConvertSettings, progress: bool = False) -> Converted:
    """Read folders of posed pictures and write shards; all of them, or none.

    Args:
        settings: what to read, and where to.
        progress: show a bar on standard error.

    Raises:
        EnrError: the folder is damaged, incomplete or of another layout, its pictures differ in size, or the output
            folder holds an earlier conversion. Nothing is written then.
    """
    scenes = _with_splits(gather_scenes(read_folders(settings.folder, settings.layout)), settings.split)
    lens = _lens(settings, scenes[0].posed.pictures[0])
    plan = _plan(settings, scenes, lens)
    names = [f"{settings.layout}-{group}-?????-of-?????.h5" for group in {scene.group for scene in scenes}]
    earlier = sorted(path for name in names for path in settings.out.glob(name))
    if earlier and not settings.overwrite:
        raise EnrError(
            f"{settings.out} already holds a conversion (such as {earlier[0].name}); give another --out, or "
            "--overwrite to replace it."
        )
    with _staging(settings.out) as staging:
        clipped = _write(settings, plan, lens, staging, progress)
        sheets = _contact_sheets(settings, staging, plan)
        for path in sorted(staging.iterdir()):
            path.replace(settings.out / path.name)
        for path in set(earlier) - set(plan):
            path.unlink()
    counts = Counter((scene.group, scene.split) for scene in scenes)
    images = sum(len(scene.posed.pictures) for scene in scenes)
    hashed = sum(settings.split == "folders" and scene.posed.split is None for scene in scenes)
    return Converted(
        tuple(plan),
        sheets,
        dict(counts),
        images,
        clipped,
        (lens.width_px, lens.height_px),
        hashed,
    )


def _write(
    settings: ConvertSettings, plan: dict[Path, list[_Scene]], lens: _Lens, staging: Path, progress: bool
) -> int:
    """Write the planned shards into another folder; how many of their views are clipped."""
    clipped = 0
    with tqdm(total=sum(map(len, plan.values())), unit=" scenes", disable=None if progress else True) as bar:
        for path, scenes in plan.items():
            tables = []
            for scene in scenes:
                tables.append(_view_table(settings, scene, lens))
                bar.update()
            views = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
            images = views.pop("images")
            meta = ShardMeta(scenes[0].group, 0, WHITE, UNKNOWN, _config(settings, lens))
            shard = Shard(meta, images, views, _scene_table(settings, scenes))
            write_shard(staging / path.name, shard, settings.compression)
            clipped += int(shard.views["clipped"].sum())
    return clipped


def _with_splits(posed: Sequence[PosedScene], choice: SplitChoice) -> list[_Scene]:
    """Scenes with their groups and with the splits of all their views."""
    hashed = assign_splits(sorted({scene.folders[0].absolute().name for scene in posed}))
    scenes = []
    for scene in posed:
        split, view_splits = _splits(scene, choice, hashed[scene.folders[0].absolute().name])
        if split == "train":
            held_out = np.any([np.zeros(len(scene.names), bool), *map(scene.cameras.inside, scene.patches)], axis=0)
            view_splits = tuple("test" if out else own for own, out in zip(view_splits, held_out, strict=True))
        scenes.append(_Scene(scene, _group(scene), split, view_splits))
    return scenes


def _splits(scene: PosedScene, choice: SplitChoice, hashed: Split) -> tuple[Split, tuple[Split, ...]]:
    """The split of a scene and those of its views."""
    if choice == "folders" and scene.split is not None:
        return scene.split, tuple(split or scene.split for split in scene.view_splits)
    split = next((name for name in SPLITS if name == choice), hashed)
    return split, (split,) * len(scene.names)


def _group(scene: PosedScene) -> Group:
    """What the cameras of a scene do: turn, move, or both."""
    cameras = scene.cameras
    turns = bool(cameras.azimuth_deg.any() or cameras.elevation_deg.any())
    moves = bool(cameras.target_point.any())
    if turns and moves:
        return "rototrans"
    return "trans" if moves else "rot"


def _lens(settings: ConvertSettings, picture: Path) -> _Lens:
    found_height, found_width = read_picture(picture).shape[:2]
    width_px, height_px = settings.resolution or (found_width, found_height)
    if width_px > found_width or height_px > found_height:
        raise EnrError(
            f"The pictures have {found_width}x{found_height} px and cannot be made {width_px}x{height_px} px without "
            "inventing detail; give a smaller --resolution."
        )
    if width_px * found_height != height_px * found_width:  # pixels stay square
        raise EnrError(
            f"The pictures have {found_width}x{found_height} px, --resolution {width_px}x{height_px} is of another "
            f"shape; give a size in the same proportion, such as {found_width // 2}x{found_height // 2}."
        )
    found_focal_px = settings.focal_px or FOCAL_OVER_WIDTH[settings.layout] * found_width
    focal_px = found_focal_px * width_px / found_width
    return _Lens(width_px, height_px, intrinsics(focal_px, width_px, height_px), (found_width, found_height))


def _plan(settings: ConvertSettings, scenes: Sequence[_Scene], lens: _Lens) -> dict[Path, list[_Scene]]:
    """Which scenes go into which shard: those of a group, about 64 MB of pictures."""
    plan: dict[Path, list[_Scene]] = {}
    for group in GROUPS:
        chunks: list[list[_Scene]] = []
        room = 0
        for scene in (scene for scene in scenes if scene.group == group):
            size = len(scene.posed.pictures) * lens.width_px * lens.height_px * 4
            if size > room:
                chunks.append([])
                room = max(SHARD_BYTES, size)
            chunks[-1].append(scene)
            room -= size
        for index, chunk in enumerate(chunks):
            plan[settings.out / f"{settings.layout}-{group}-{index:05d}-of-{len(chunks):05d}.h5"] = chunk
    return plan


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A hidden folder beside the shards' final place, gone in the end; `out` too, if nothing came of it."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".enr-convert-", suffix=".partial", dir=out))
    except OSError as error:
        raise EnrError(f"{out} cannot be written to ({error.strerror}); give another folder as --out.") from error
    try:
        yield staging
    except OSError as error:
        raise EnrError(f"{out} cannot be written to ({error.strerror or error}); make room there.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()


def _config(settings: ConvertSettings, lens: _Lens) -> ShardConfig:
    return {
        "converted": {
            "from": settings.layout,
            "folder": settings.folder.resolve().name,
            "radius": settings.radius,
            "focal_px": float(lens.K[0, 0]),
            "found_px": list(lens.found_px),
            "split": settings.split,
        },
        "background": list(WHITE),
        "compression": settings.compression,
    }


def _view_table(settings: ConvertSettings, scene: _Scene, lens: _Lens) -> Table:
    """The pictures and the per-view columns of one scene (see `enr.shards.VIEW_SHAPES`)."""
    posed, views = scene.posed, len(scene.posed.pictures)
    images, clipped = _read_pictures(posed.pictures, lens)
    return {
        "images": images,
        "world_from_camera": posed.cameras.world_from_camera(settings.radius),
        "K": np.repeat(lens.K[None], views, axis=0),
        "scene_id": np.array([posed.scene_id] * views),
        "view_index": np.arange(views, dtype=np.int32),
        "azimuth_deg": posed.cameras.azimuth_deg,
        "elevation_deg": posed.cameras.elevation_deg,
        "radius": np.full(views, settings.radius),
        "target_point": posed.cameras.target_point,
        "clipped": clipped,
        "roll_deg": np.zeros(views),
        "split": np.array(scene.view_splits),
        "clipped_share": np.full(views, np.nan, dtype=np.float32),
        "flags": view_flags(images, {"clipped": clipped.tolist()}),
    }


def _read_pictures(paths: Sequence[Path], lens: _Lens) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures as they are stored, and whether the object reaches the border of the picture that was found."""
    images = np.empty((len(paths), lens.height_px, lens.width_px, 4), dtype=np.uint8)
    clipped = np.empty(len(paths), dtype=np.bool_)
    for row, path in enumerate(paths):
        picture = read_picture(path)
        size_px = (picture.shape[1], picture.shape[0])
        if size_px != lens.found_px:
            raise EnrError(
                f"{path} has {size_px[0]}x{size_px[1]} px, others have {lens.found_px[0]}x{lens.found_px[1]}; "
                "convert pictures of one size at a time."
            )
        clipped[row] = touches_border(picture[None, ..., 3])[0]
        is_stored_size = size_px == (lens.width_px, lens.height_px)
        images[row] = picture if is_stored_size else shrink(picture, lens.width_px, lens.height_px)
    return images, clipped


def _scene_table(settings: ConvertSettings, scenes: Sequence[_Scene]) -> Table:
    """The per-scene columns (see `enr.shards.SCENE_SHAPES`); nothing is known of the meshes."""
    count = len(scenes)
    return {
        "scene_id": np.array([scene.posed.scene_id for scene in scenes]),
        "split": np.array([scene.split for scene in scenes]),
        "mesh_path": np.array([""] * count),
        "mesh_sha256": np.array([""] * count),
        "normalise_scale": np.full(count, np.nan),
        "normalise_offset": np.full((count, 3), np.nan),
        "materials": np.array([UNKNOWN] * count),
        "facts": np.array([json.dumps(_facts(settings, scene), sort_keys=True) for scene in scenes]),
    }


def _facts(settings: ConvertSettings, scene: _Scene) -> dict[str, object]:
    """Where a scene comes from: its folders, the names of its pictures, the directions held out."""
    return {
        "layout": settings.layout,
        "folders": [str(folder.relative_to(settings.folder)) for folder in scene.posed.folders],
        "pictures": list(scene.posed.names),
        "patches": [
            {"azimuth_deg": p.azimuth_deg, "elevation_deg": p.elevation_deg, "half_size_deg": p.half_size_deg}
            for p in scene.posed.patches
        ],
    }


def _contact_sheets(settings: ConvertSettings, staging: Path, plan: dict[Path, list[_Scene]]) -> tuple[Path, ...]:
    """Draw a contact sheet for each group from the staged shards; where the sheets will lie."""
    by_group: dict[Group, list[Path]] = {}
    for path, scenes in plan.items():
        by_group.setdefault(scenes[0].group, []).append(staging / path.name)
    names = {group: f"{settings.layout}-{group}-contact-sheet.png" for group in by_group}
    for group, paths in by_group.items():
        save_contact_sheet(paths, staging / names[group])
    return tuple(settings.out / name for name in names.values())
