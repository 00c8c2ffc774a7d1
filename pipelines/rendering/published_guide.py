"""The calls of the published implementation's guide (Dupont et al. 2020), with its names: novel views and animations.

`inverse_render`, `rotate`, `rotate_source_to_target` and `render` are those of the model that `enr.load_model` gives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from enr.errors import EnrError
from enr.model import Renderer
from enr.pipelines.pictures import image_grid, save_gif, to_uint8

MILLISECONDS = 100


@torch.no_grad()
def generate_novel_views(
    model: Renderer,
    img_source: Tensor,
    azimuth_source: ArrayLike,
    elevation_source: ArrayLike,
    azimuth_shifts: ArrayLike,
    elevation_shifts: ArrayLike,
) -> Tensor:
    """Views of one picture's object from cameras whose angles are shifted against its own.

    Args:
        model: the renderer.
        img_source: (3, height, width) in [0, 1].
        azimuth_source: (1,) of the picture's camera, in degrees.
        elevation_source: (1,) likewise.
        azimuth_shifts: (views,) in degrees.
        elevation_shifts: (views,) likewise.

    Returns:
        (views, 3, height, width) in [0, 1].

    Raises:
        EnrError: the shifts differ in number, or the picture's shape is not the model's.
    """
    azimuth, elevation = (np.asarray(shifts, np.float64) for shifts in (azimuth_shifts, elevation_shifts))
    if azimuth.ndim != 1 or azimuth.shape != elevation.shape or not len(azimuth):
        raise EnrError(
            f"azimuth_shifts and elevation_shifts have the shapes {azimuth.shape} and {elevation.shape}; give one angle"
            " each for every view."
        )
    scene = model.inverse_render(img_source[None])
    scenes = scene.expand(len(azimuth), *scene.shape[1:])
    from_azimuth, from_elevation = (
        np.full(len(azimuth), np.asarray(angle, np.float64).item()) for angle in (azimuth_source, elevation_source)
    )
    turned = model.rotate_source_to_target(
        scenes, from_azimuth, from_elevation, from_azimuth + azimuth, from_elevation + elevation
    )
    return model.render(turned)


def batch_generate_novel_views(
    model: Renderer,
    imgs_source: Tensor,
    azimuth_source: ArrayLike,
    elevation_source: ArrayLike,
    azimuth_shifts: ArrayLike,
    elevation_shifts: ArrayLike,
) -> list[Tensor]:
    """As `generate_novel_views` of several pictures (n, 3, height, width): for each view, (n, 3, height, width).

    Args:
        model: the renderer.
        imgs_source: (n, 3, height, width) in [0, 1].
        azimuth_source: (n,) of the pictures' cameras, in degrees.
        elevation_source: (n,) likewise.
        azimuth_shifts: (views,) in degrees.
        elevation_shifts: (views,) likewise.
    """
    angles = zip(np.atleast_1d(azimuth_source), np.atleast_1d(elevation_source), strict=True)
    each = [
        generate_novel_views(model, image, azimuth, elevation, azimuth_shifts, elevation_shifts).cpu()
        for image, (azimuth, elevation) in zip(imgs_source, angles, strict=True)
    ]
    return list(torch.stack(each, dim=1))


def full_rotation_angle_sequence(num_steps: int) -> Tensor:
    """Angles (num_steps,) once around, in degrees; the last is a step before 360."""
    return torch.arange(num_steps) * (360.0 / num_steps)


def sine_squared_angle_sequence(num_steps: int, start: float, end: float) -> Tensor:
    """Angles (num_steps,) from `start` smoothly to `end` and back, in degrees."""
    return start + (end - start) * torch.sin(torch.arange(num_steps) * (np.pi / num_steps)) ** 2


def save_img_sequence_as_gif(img_sequence: Sequence[Tensor], filename: str | os.PathLike[str], nrow: int = 4) -> None:
    """Write pictures (3, height, width), or grids of (n, 3, height, width), as a GIF.

    Args:
        img_sequence: a frame each, in [0, 1].
        filename: ends in .gif.
        nrow: pictures in a row of a grid.
    """
    if not len(img_sequence) or Path(filename).suffix.lower() != ".gif":
        raise EnrError(f"{len(img_sequence)} frames shall become {filename}; give at least one, and a name in .gif.")
    frames: list[Image.Image] = []
    for img in img_sequence:
        cells = list(to_uint8(img.detach().cpu()).reshape(-1, *img.shape[-2:], 3))
        rows = [cells[start : start + nrow] for start in range(0, len(cells), nrow)]
        frames.append(image_grid(rows) if img.ndim == 4 else Image.fromarray(cells[0]))
    save_gif(frames, Path(filename), MILLISECONDS, MILLISECONDS)
