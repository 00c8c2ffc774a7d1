"""Small shards without Blender: coloured boxes drawn by projecting points of their faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enr.camera import Group, focal_px_from_lens, intrinsics, orbit_camera, project
from enr.shards import Shard, ShardMeta, write_shard


@dataclass(frozen=True)
class Toy:
    """What a toy shard holds: `splits` names the split of each scene."""

    splits: tuple[str, ...] = ("train", "train", "train", "val", "test")
    views: int = 4
    size_px: int = 16
    group: Group = "rototrans"
    seed: int = 0
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    prefix: str = "box"


def write_toy(path: Path, toy: Toy, compression: Any = "none") -> Path:
    """Write the shard and return its path."""
    write_shard(path, make_toy(toy), compression=compression)
    return path


def make_toy(toy: Toy) -> Shard:
    """The shard in memory."""
    rng = np.random.default_rng(toy.seed)
    scenes, count = len(toy.splits), len(toy.splits) * toy.views
    azimuth, elevation = rng.uniform(-180, 180, count), rng.uniform(-60, 60, count)
    target = rng.uniform(-0.3, 0.3, (count, 3))
    if toy.group == "trans":
        azimuth, elevation = azimuth * 0, elevation * 0
    if toy.group == "rot":
        target = target * 0
    cameras = orbit_camera(azimuth, elevation, 2.0, target)
    K = intrinsics(focal_px_from_lens(toy.size_px), toy.size_px, toy.size_px)
    boxes = [_box(rng) for _ in range(scenes)]
    images = [_draw(*boxes[view // toy.views], cameras[view], K, toy.size_px) for view in range(count)]
    ids = [f"{toy.prefix}-{number:03d}" for number in range(scenes)]
    views = {
        "world_from_camera": cameras,
        "K": np.repeat(K[None], count, axis=0),
        "scene_id": np.repeat(ids, toy.views),
        "view_index": np.tile(np.arange(toy.views, dtype=np.int32), scenes),
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "radius": np.full(count, 2.0),
        "target_point": target,
        "clipped": np.zeros(count, dtype=bool),
        "roll_deg": np.zeros(count),
        "split": np.repeat(toy.splits, toy.views),
        "clipped_share": np.zeros(count, dtype=np.float32),
        "flags": np.zeros(count, dtype=np.uint16),
    }
    meta = ShardMeta(toy.group, toy.seed, toy.background, "none", {"made_by": "toy"})
    return Shard(meta, np.stack(images), views, _scene_table(ids, toy.splits))


def _scene_table(ids: list[str], splits: tuple[str, ...]) -> dict[str, Any]:
    return {
        "scene_id": np.array(ids),
        "split": np.array(splits),
        "mesh_path": np.array([f"{name}.obj" for name in ids]),
        "mesh_sha256": np.array(["0" * 64] * len(ids)),
        "normalise_scale": np.ones(len(ids)),
        "normalise_offset": np.zeros((len(ids), 3)),
        "materials": np.array(["palette"] * len(ids)),
        "facts": np.array(["{}"] * len(ids)),
    }


def _box(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) of a box's surface and their colours (n, 3) uint8: a colour for each pair of faces."""
    half = rng.uniform(0.15, 0.3, 3)
    points = rng.uniform(-1, 1, (3000, 3))
    axis = rng.integers(0, 3, len(points))
    points[np.arange(len(points)), axis] = np.sign(points[np.arange(len(points)), axis])
    colours = rng.integers(20, 230, (3, 3))
    return points * half, colours[axis].astype(np.uint8)


def _draw(
    points: np.ndarray, colours: np.ndarray, world_from_camera: np.ndarray, K: np.ndarray, size_px: int
) -> np.ndarray:
    """RGBA picture of the points, the nearest on top."""
    pixels, depth = project(points, world_from_camera, K)
    order = np.argsort(-depth)
    column, row = np.floor(pixels[order]).astype(int).T
    inside = (column >= 0) & (column < size_px) & (row >= 0) & (row < size_px)
    picture = np.zeros((size_px, size_px, 4), dtype=np.uint8)
    picture[row[inside], column[inside], :3] = colours[order][inside]
    picture[row[inside], column[inside], 3] = 255
    return picture
