"""The folder layouts of NeRF, of Scene Representation Networks and of the published equivariant renderer.

Sources: the NeRF synthetic set and nerfstudio's data conventions (`transforms.json`), the data of Scene Representation
Networks (`rgb/`, `pose/`, `intrinsics.txt`), the data of *Equivariant Neural Rendering* (`render_params.json`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.camera import OPENCV_FROM_BLENDER, orbit_camera
from enr.errors import EnrError
from enr.shards import SPLITS, ShardMeta, Split, Table

Layout = Literal["nerf", "srn", "apple", "webdataset"]
LAYOUTS: dict[Layout, str] = {
    "nerf": "transforms.json: camera to world, OpenGL axes (x right, y up, looking along -z), world Z up, object "
    "units; intrinsics in pixels, camera_angle_x in radians; pictures RGBA with straight alpha; depth in 1/1000 object "
    "unit along the optical axis, 0 where nothing is",
    "srn": "pose/*.txt: camera to world, OpenCV axes (x right, y down, z forward), world Z up, object units; "
    "intrinsics.txt: focal length and centre in pixels; pictures opaque over the background",
    "apple": "render_params.json: azimuth and elevation in degrees of a camera that looks at the origin, world Z up; "
    "pictures opaque over the background",
    "webdataset": "*.json: world_from_camera, OpenCV axes (x right, y down, z forward), world Z up, object units; K in "
    "pixels; pictures RGBA with straight alpha",
}
"""Axes and units of each layout, in words."""
assert get_args(Layout) == tuple(LAYOUTS)

DEPTH_UNITS = 1000
"""Steps of a 16-bit depth picture in an object unit (nerfstudio's default, millimetres in a metre)."""
SAME_CAMERA = 1e-6


@dataclass(frozen=True)
class ExportedViews:
    """The views of one scene in one group, as they are written.

    Attributes:
        meta: attributes of its shard.
        scene_id: its id.
        name: the id as the name of a folder.
        views: per-view columns by the names of `enr.shards.VIEW_SHAPES`.
        images: (views, height, width, 4) uint8, straight alpha; empty until they are read.
        passes: pictures beside the colour, by name.
    """

    meta: ShardMeta
    scene_id: str
    name: str
    views: Table
    images: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0, 4), dtype=np.uint8))
    passes: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.views["view_index"])

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits of its views."""
        return tuple(split for split in SPLITS if (self.views["split"] == split).any())

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.images.shape[2], self.images.shape[1]

    def with_pictures(self, images: NDArray[np.uint8], passes: dict[str, NDArray[Any]]) -> ExportedViews:
        """The same views with their pictures."""
        return replace(self, images=images, passes=passes)

    def of_split(self, split: Split) -> ExportedViews:
        """Its views of one split."""
        kept = self.views["split"] == split
        return replace(
            self,
            views={name: column[kept] for name, column in self.views.items()},
            images=self.images[kept],
            passes={name: pictures[kept] for name, pictures in self.passes.items()},
        )

    def opaque(self, row: int) -> NDArray[np.uint8]:
        """(height, width, 3): a picture over the shard's background."""
        alpha = self.images[row, ..., 3:] / 255.0
        behind = 255.0 * np.asarray(self.meta.background)
        return np.rint(alpha * self.images[row, ..., :3] + (1 - alpha) * behind).astype(np.uint8)


@dataclass(frozen=True)
class FolderLayout:
    """A layout with folders for each scene.

    Attributes:
        check: raises `EnrError` where the layout has no place for a scene's cameras.
        folders: the folders of a scene, relative to the output, and what goes into each.
        write: fills a folder.
    """

    check: Callable[[ExportedViews], None]
    folders: Callable[[ExportedViews], Iterator[tuple[str, ExportedViews]]]
    write: Callable[[Path, ExportedViews], None]


def save_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write a picture, making its folder."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def _nerf_folders(scene: ExportedViews) -> Iterator[tuple[str, ExportedViews]]:
    yield f"{scene.meta.group}/{scene.name}", scene


def _write_nerf(folder: Path, scene: ExportedViews) -> None:
    """`transforms.json` for all views, and for each split `transforms_<split>.json` and a folder of pictures."""
    frames = [_nerf_frame(folder, scene, row) for row in range(len(scene))]
    lenses = [_nerf_lens(scene, row) for row in range(len(scene))]
    _write_transforms(folder / "transforms.json", frames, lenses, {"camera_model": "OPENCV"})
    for split in scene.splits:
        rows = np.flatnonzero(scene.views["split"] == split).tolist()
        # Readers of the synthetic set add the suffix themselves.
        named = [{**frames[row], "file_path": frames[row]["file_path"].removesuffix(".png")} for row in rows]
        _write_transforms(folder / f"transforms_{split}.json", named, [lenses[row] for row in rows], {})


def _write_transforms(
    path: Path, frames: list[Any], lenses: list[dict[str, float]], head: Mapping[str, object]
) -> None:
    """Intrinsics once where all views share them, else in each frame."""
    if all(lens == lenses[0] for lens in lenses):
        content = {**head, **lenses[0], "frames": frames}
    else:
        content = {**head, "frames": [{**frame, **lens} for frame, lens in zip(frames, lenses, strict=True)]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _nerf_frame(folder: Path, scene: ExportedViews, row: int) -> dict[str, object]:
    split, index = scene.views["split"][row], scene.views["view_index"][row]
    name = f"{split}/r_{index}.png"
    save_png(folder / name, scene.images[row])
    camera = scene.views["world_from_camera"][row] @ OPENCV_FROM_BLENDER
    frame = {"file_path": f"./{name}", "transform_matrix": camera.tolist()}
    if "depth" in scene.passes:
        frame["depth_file_path"] = f"./{split}/r_{index}_depth.png"
        steps = np.rint(scene.passes["depth"][row].astype(np.float64) * DEPTH_UNITS)
        # 0 where nothing is, or where it is too far for 16 bits.
        depth = np.where(steps <= np.iinfo(np.uint16).max, steps, 0).astype(np.uint16)
        save_png(folder / f"{split}/r_{index}_depth.png", depth)
    return frame


def _nerf_lens(scene: ExportedViews, row: int) -> dict[str, float]:
    K, (width, height) = scene.views["K"][row], scene.size_px
    return {
        "camera_angle_x": float(2 * np.arctan(width / (2 * K[0, 0]))),
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "w": width,
        "h": height,
    }


def _split_folders(form: str) -> Callable[[ExportedViews], Iterator[tuple[str, ExportedViews]]]:
    def folders(scene: ExportedViews) -> Iterator[tuple[str, ExportedViews]]:
        for split in scene.splits:
            yield form.format(group=scene.meta.group, split=split, name=scene.name), scene.of_split(split)

    return folders


def _check_srn(scene: ExportedViews) -> None:
    K = scene.views["K"]
    if np.ptp(K, axis=0).any() or K[0, 0, 0] != K[0, 1, 1]:
        raise EnrError(
            f"Scene {scene.scene_id} has views of different lenses or pixels that are not square, and SRN's layout has "
            "one focal length for a scene; export --to nerf or webdataset."
        )


def _write_srn(folder: Path, scene: ExportedViews) -> None:
    """`rgb/000000.png`, `pose/000000.txt` (16 numbers, row by row) and `intrinsics.txt`."""
    K, (width, height) = scene.views["K"][0], scene.size_px
    (folder / "pose").mkdir()
    lines = [f"{K[0, 0]:.17g} {K[0, 2]:.17g} {K[1, 2]:.17g} 0.", "0. 0. 0.", "1.", f"{height} {width}"]
    (folder / "intrinsics.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for row, index in enumerate(scene.views["view_index"].tolist()):
        save_png(folder / f"rgb/{index:06d}.png", scene.opaque(row))
        numbers = scene.views["world_from_camera"][row].ravel()
        text = " ".join(f"{number:.17g}" for number in numbers)
        (folder / f"pose/{index:06d}.txt").write_text(text + "\n", encoding="utf-8")


def _check_apple(scene: ExportedViews) -> None:
    views = scene.views
    radius = views["radius"]
    expected = orbit_camera(views["azimuth_deg"], views["elevation_deg"], radius)
    is_orbit = np.isfinite(radius).all() and np.abs(expected - views["world_from_camera"]).max() <= SAME_CAMERA
    if not is_orbit:
        raise EnrError(
            f"Scene {scene.scene_id} has cameras that are rolled or do not look at the origin, and Apple's layout "
            "holds an azimuth and an elevation alone; export --to nerf, srn or webdataset."
        )
    if np.ptp(radius) > SAME_CAMERA:
        raise EnrError(
            f"Scene {scene.scene_id} has cameras at several distances, and Apple's layout holds none; "
            "export --to nerf, srn or webdataset."
        )


def _write_apple(folder: Path, scene: ExportedViews) -> None:
    """`00000.png` and so on, and `render_params.json` with degrees."""
    angles = zip(scene.views["azimuth_deg"].tolist(), scene.views["elevation_deg"].tolist(), strict=True)
    names = [f"{index:05d}" for index in scene.views["view_index"].tolist()]
    params = {name: {"azimuth": a, "elevation": e} for name, (a, e) in zip(names, angles, strict=True)}
    for row, name in enumerate(names):
        save_png(folder / f"{name}.png", scene.opaque(row))
    (folder / "render_params.json").write_text(json.dumps(params) + "\n", encoding="utf-8")


def _check_nothing(scene: ExportedViews) -> None:
    """Every camera has a place."""


FOLDER_LAYOUTS: dict[Layout, FolderLayout] = {
    "nerf": FolderLayout(_check_nothing, _nerf_folders, _write_nerf),
    "srn": FolderLayout(_check_srn, _split_folders("{group}_{split}/{name}"), _write_srn),
    "apple": FolderLayout(_check_apple, _split_folders("{group}/{split}/{name}"), _write_apple),
}
"""The layouts that are folders; `webdataset` is tar files (`enr.datagen.export.webdataset`)."""
