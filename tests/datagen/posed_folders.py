"""Folders in the layouts of others, made as their scripts made them: a second way from numbers to pictures.

Nothing here knows an orbit camera of this project: the cameras look at a point, and the object is moved before them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

RADIUS = 2.0
UVA_FOCAL_OVER_WIDTH = 50 / 36
APPLE_FOCAL_OVER_WIDTH = 131.25 / 128

Entry = dict[str, float]


@dataclass(frozen=True)
class Thing:
    """Points (n, 3) of a lopsided object's surface, in this project's world, and their colours (n, 3) uint8."""

    points: np.ndarray
    colours: np.ndarray


def make_thing(seed: int = 0, count: int = 6000) -> Thing:
    """A seat, a back and one arm: different from every mirror image and half turn of itself."""
    rng = np.random.default_rng(seed)
    boxes = [
        ((-0.3, -0.25, -0.1), (0.3, 0.25, 0.0)),
        ((-0.3, -0.25, 0.0), (-0.2, 0.25, 0.4)),
        ((-0.2, 0.15, 0.0), (0.3, 0.25, 0.2)),
    ]
    points = np.concatenate([rng.uniform(*box, (count // 3, 3)) for box in boxes])
    colours = np.repeat(np.array([[200, 30, 30], [30, 160, 30], [40, 40, 200]]), count // 3, axis=0)
    return Thing(points, colours.astype(np.uint8))


def look_at_origin(points: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Points (n, 3) in the OpenCV frame of a camera at `eye` that looks at the origin, its head towards +Z."""
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    return (points - eye) @ np.stack([right, down, forward], axis=-1)


def apple_view(points: np.ndarray, entry: Entry) -> np.ndarray:
    """Points (n, 3) of this project's world as the published pictures' camera has them before it."""
    azimuth, elevation = np.deg2rad([entry["azimuth"], entry["elevation"]])
    level = np.cos(elevation)
    eye = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    return look_at_origin(points, RADIUS * eye)


def uva_view(points: np.ndarray, entry: Entry) -> np.ndarray:
    """The same for the report's script: the camera hangs on an empty that turns about X, then about Z."""
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = points @ quarter.T + [entry["z"], -entry["x"], entry["y"]]
    about_x = _turn(entry["elevation"], 1, 2)
    about_z = _turn(entry["azimuth"], 0, 1)
    return look_at_origin(moved, about_z @ about_x @ (0.0, RADIUS, 0.0))


def _turn(angle_rad: float, first: int, second: int) -> np.ndarray:
    turn = np.eye(3)
    turn[[first, second], [first, second]] = np.cos(angle_rad)
    turn[first, second], turn[second, first] = -np.sin(angle_rad), np.sin(angle_rad)
    return turn


def draw(in_camera: np.ndarray, colours: np.ndarray, focal_px: float, size_px: int) -> np.ndarray:
    """(size, size, 3) uint8 picture over white of points (n, 3) before a camera, the nearest on top."""
    order = np.argsort(-in_camera[:, 2])
    x, y, z = in_camera[order].T
    column, row = np.floor(focal_px * np.stack([x, y]) / z + size_px / 2).astype(int)
    inside = (column >= 0) & (column < size_px) & (row >= 0) & (row < size_px)
    picture = np.full((size_px, size_px, 3), 255, dtype=np.uint8)
    picture[row[inside], column[inside]] = colours[order][inside]
    return picture


def apple_entries(views: int, seed: int = 0) -> dict[str, Entry]:
    """Random cameras, by picture name."""
    rng = np.random.default_rng(seed)
    return {
        f"{view:05d}": {"azimuth": float(rng.uniform(0, 360)), "elevation": float(rng.uniform(-80, 80))}
        for view in range(views)
    }


def uva_entries(views: int, seed: int = 0, turns: bool = True, moves: bool = True) -> dict[str, Entry]:
    """Random cameras and places, by picture name; the elevation runs through a whole turn."""
    rng = np.random.default_rng(seed)
    return {
        f"{view:05d}": {
            "azimuth": float(rng.uniform(0, 2 * np.pi)) * turns,
            "elevation": float(rng.uniform(0, 2 * np.pi)) * turns,
            **{axis: float(rng.uniform(-0.25, 0.25)) * moves for axis in "xyz"},
        }
        for view in range(views)
    }


def write_scene(folder: Path, entries: dict[str, Entry], size_px: int = 24, thing: Thing | None = None) -> Path:
    """A scene's folder: pictures and `render_params.json`, in the layout that the entries are of."""
    thing = make_thing() if thing is None else thing
    folder.mkdir(parents=True)
    for name, entry in entries.items():
        if name.startswith("patch"):
            continue
        is_uva = "x" in entry
        in_camera = (uva_view if is_uva else apple_view)(thing.points, entry)
        focal_px = (UVA_FOCAL_OVER_WIDTH if is_uva else APPLE_FOCAL_OVER_WIDTH) * size_px
        Image.fromarray(draw(in_camera, thing.colours, focal_px, size_px)).save(folder / f"{name}.png")
    (folder / "render_params.json").write_text(json.dumps(entries))
    return folder
