"""Inside Blender: what is seen behind the object where the surroundings give the light. bpy and NumPy only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender.lens import view_lens
from enr.datagen.blender.passes import pixel_rays
from enr.datagen.messages import Job

SURROUNDINGS = "surroundings"
"""The pass that holds what is behind the object; the parent puts it there and does not store it."""
SUBPIXELS = 2
"""Rays a pixel and direction; their mean is the pixel."""

Floats = NDArray[np.float64]


class SurroundingsError(Exception):
    """A picture of the surroundings that cannot be used, with the reason in words."""


def check_surroundings(scene: Any) -> None:
    """Refuse a picture of the surroundings that Blender could not read (and would show in purple).

    Raises:
        SurroundingsError: it is of a format that Blender does not read, or damaged.
    """
    for node in scene.world.node_tree.nodes:
        if node.type == "TEX_ENVIRONMENT" and not node.image.has_data:
            node.image.pixels[:1]  # pictures are read when they are first needed
            if not node.image.has_data:
                raise SurroundingsError("Blender cannot read the picture of the surroundings")


def save_surroundings(scene: Any, job: Job) -> list[str]:
    """Save what is behind the object in every view, if a job asks for it, like a pass; the names of what was saved."""
    if not job.get("surroundings"):
        return []
    np.save(Path(job["out"]).with_suffix(f".{SURROUNDINGS}.npy"), view_backdrops(scene, job))
    return [SURROUNDINGS]


def view_backdrops(scene: Any, job: Job) -> NDArray[np.uint8]:
    """The surroundings behind every view, sRGB (views, height, width, 3), as Cycles would show them."""
    picture = _linear_picture(scene)
    size = (job["width_px"], job["height_px"])
    return np.stack(
        [_backdrop(picture, view_lens(job, view), np.array(view["world_from_camera"]), size) for view in job["views"]]
    )


def _backdrop(picture: Floats, K: Floats, world_from_camera: Floats, size: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size
    finer = np.diag([SUBPIXELS, SUBPIXELS, 1.0]) @ K
    rays = pixel_rays(finer, (0, 0, width * SUBPIXELS, height * SUBPIXELS)) @ world_from_camera[:3, :3].T
    colours = look_up(picture, rays).reshape(height, SUBPIXELS, width, SUBPIXELS, 3).mean(axis=(1, 3))
    return np.round(255 * _srgb_from_linear(np.clip(colours, 0, 1))).astype(np.uint8)


def look_up(picture: Floats, directions: Floats) -> Floats:
    """Colours (n, 3) of an equirectangular picture (height, width, 3), first row lowest, in some directions (n, 3).

    Its middle column lies towards +X of the world and the columns to the right of it towards −Y, as in Cycles.
    """
    height, width, _ = picture.shape
    x, y, z = directions.T
    column = (0.5 - np.arctan2(y, x) / (2 * np.pi)) * width - 0.5
    row = np.clip((0.5 + np.arctan2(z, np.hypot(x, y)) / np.pi) * height - 0.5, 0, height - 1)
    left, low = np.floor(column).astype(int), np.floor(row).astype(int)
    right_share, high_share = (column - left)[:, None], (row - low)[:, None]
    left, right, high = left % width, (left + 1) % width, np.minimum(low + 1, height - 1)
    below = picture[low, left] * (1 - right_share) + picture[low, right] * right_share
    above = picture[high, left] * (1 - right_share) + picture[high, right] * right_share
    return below * (1 - high_share) + above * high_share


def _linear_picture(scene: Any) -> Floats:
    """The world's picture (height, width, 3) in linear colours, the first row lowest."""
    image = next(node.image for node in scene.world.node_tree.nodes if node.type == "TEX_ENVIRONMENT")
    width, height = image.size
    pixels = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    colours = pixels.reshape(height, width, image.channels)[..., :3].astype(np.float64)
    is_encoded = not image.is_float and image.colorspace_settings.name == "sRGB"
    return _linear_from_srgb(colours) if is_encoded else colours


def _linear_from_srgb(values: Floats) -> Floats:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _srgb_from_linear(values: Floats) -> Floats:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055)
