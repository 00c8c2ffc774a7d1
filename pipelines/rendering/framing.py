"""A photograph as a model's camera would have taken it: upright, without its plain background, the object framed.

The model knows objects at one scale. Where a picture's lens and distance are not said, the object is framed instead:
a virtual camera at the same place turns to the object and zooms, until the object fills what an object of the model's
data fills at its usual distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from enr.camera import focal_px_from_fov
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.rendering.parts import noteworthy_parts
from enr.pipelines.source_picture import fit_to_lens, read_upright

PLAIN = 12.0
"""Standard deviation, of 255, that the border of a plain background may have about its shade."""
DIFFERENCE = 24
"""By how much of 255 a channel departs from the background where the object is, or by more where the border spreads."""
SPREADS = 6
"""So many standard deviations of the border are told from an object."""
SEEN_LENGTH = 0.76
"""Longest side of an object's box in a picture, in object units at the object's distance: a mean of 0.77 over 40
built-in shapes, of 0.76 over 4,091 views of ShapeNet chairs (unit diagonal, elevation 0 to 45 degrees; 2026-11-30)."""
SEEN = 127
"""Alpha, of 255, above which the object is seen."""
SMALLEST_PX = 8
CHECKED_PX = 512
"""What a picture is checked at before a model is there; models' own pictures are smaller."""
MOST_PX = 2048
"""What is more than the largest models need by far."""


@dataclass(frozen=True)
class FramedPicture:
    """A picture that a model can be given.

    Attributes:
        image: (3, height, width) float32 in [0, 1], the model's size.
        notes: what was assumed, a sentence each.
    """

    image: torch.Tensor
    notes: tuple[str, ...]


def frame_picture(
    picture: Path | BinaryIO, config: RendererConfig, fov_deg: float | None = None, name: str | None = None
) -> FramedPicture:
    """Read a picture and frame the object in it.

    A picture of the model's own size is taken as it is: the model's own lens took it.

    Args:
        picture: a file that Pillow reads, or its open stream; of several frames, the first.
        config: of the model.
        fov_deg: horizontal field of view of the picture's camera, between 0 and 180 degrees; None: the object is
            framed.
        name: what messages call it; None: its path.

    Raises:
        EnrError: it cannot be read, shows nothing, or has a background that is not plain.
    """
    path = name or str(picture)
    notes: list[str] = []
    rgba = read_upright(picture, path, MOST_PX, notes)
    if min(rgba.shape[:2]) < SMALLEST_PX:
        size = f"{rgba.shape[1]}x{rgba.shape[0]}"
        raise EnrError(f"{path} has {size} pixels; give a picture of at least {SMALLEST_PX} pixels a side.")
    _, height, width = config.image_shape
    if fov_deg is None and rgba.shape[:2] == (height, width):
        notes.append(f"{path} has the model's own size and is taken to have the model's lens.")
        return FramedPicture(fit_to_lens(rgba, config, config.focal_px), tuple(notes))
    rgba, note = without_background(rgba, path)
    rgba[(rgba[..., 3] > SEEN) & ~noteworthy_parts(rgba[..., 3] > SEEN), 3] = 0  # stray pixels
    notes += [note] if note else []
    if fov_deg is not None:
        return FramedPicture(fit_to_lens(rgba, config, focal_px_from_fov(fov_deg, rgba.shape[1])), tuple(notes))
    square, box = _square_around(rgba[..., 3], config, path)
    notes.append(f"The object was found in columns {box[0]}-{box[1]} and rows {box[2]}-{box[3]} and framed.")
    if min(box[0], box[2]) == 0 or box[1] == rgba.shape[1] - 1 or box[3] == rgba.shape[0] - 1:
        notes.append("It touches the picture's border; take another picture if a part of it lies beyond.")
    cut = _cut(rgba, square)
    return FramedPicture(fit_to_lens(cut, config, config.focal_px * cut.shape[1] / width), tuple(notes))


def check_picture(picture: Path) -> None:
    """Check what can be told of a picture before a model is there; a small one may be of the model's own size.

    Raises:
        EnrError: it cannot be read, or is larger than any model's and has a background that is not plain.
    """
    rgba = read_upright(picture, str(picture), CHECKED_PX)
    if max(rgba.shape[:2]) == CHECKED_PX:
        without_background(rgba, str(picture))


def without_background(rgba: NDArray[np.uint8], path: str) -> tuple[NDArray[np.uint8], str]:
    """A picture (height, width, 4) with alpha 0 where its plain background was, and what was done in words.

    A picture with transparency has none. The background may become darker from one side to the other.

    Raises:
        EnrError: the background is not plain.
    """
    if (rgba[..., 3] < 255).any():
        return rgba.copy(), ""
    shade = _shade(rgba)
    away = np.abs(rgba[..., :3] - shade).max(-1)
    border = np.concatenate([away[0], away[-1], away[:, 0], away[:, -1]])
    # Most of the border: an object may touch an edge or two.
    near = border <= DIFFERENCE
    spread = float(np.sqrt(np.mean(border[near] ** 2))) if near.any() else np.inf
    if near.mean() < 0.7 or spread > PLAIN:
        raise EnrError(
            f"The background of {path} is not plain, so the object cannot be told from it; cut the object out (save it "
            "as a PNG with transparency) or take the picture before a plain wall."
        )
    difference = max(DIFFERENCE, SPREADS * spread)
    out = rgba.copy()
    out[..., 3] = np.rint(255 * np.clip(2 * away / difference - 1, 0, 1)).astype(np.uint8)
    colour = np.median(shade, axis=(0, 1))
    return out, f"Its plain background (about {', '.join(str(round(float(c))) for c in colour)} of 255) was removed."


def _shade(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The background's colour (height, width, 3): the plane that most of the border lies near.

    Least absolute differences, by least squares with weights: an object that touches an edge does not tilt it.
    """
    height, width = rgba.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    places = np.stack([np.ones_like(x), x, y], axis=-1)
    at, colours = (
        np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]]).astype(np.float64)
        for grid in (places, rgba[..., :3])
    )
    weights = np.ones(len(at))
    for _ in range(20):
        root = np.sqrt(weights)[:, None]
        plane = np.linalg.lstsq(at * root, colours * root, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(colours - at @ plane).max(-1), 1.0)
    return places @ plane.astype(np.float32)


def _square_around(
    alpha: NDArray[np.uint8], config: RendererConfig, path: str
) -> tuple[tuple[float, float, float], tuple[int, int, int, int]]:
    """The square (centre column, centre row, side) that the model's picture is cut from, and the object's box."""
    rows, columns = np.flatnonzero((alpha > SEEN).any(1)), np.flatnonzero((alpha > SEEN).any(0))
    if not len(rows):
        raise EnrError(f"Nothing is seen in {path} but its background; give a picture of an object.")
    box = (int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1]))
    longest = max(box[1] - box[0], box[3] - box[2]) + 1
    _, _, width = config.image_shape
    usual_px = SEEN_LENGTH * config.focal_px / config.radius
    return ((box[0] + box[1] + 1) / 2, (box[2] + box[3] + 1) / 2, longest * width / usual_px), box


def _cut(rgba: NDArray[np.uint8], square: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The square's pixels; what lies beyond the picture is transparent."""
    column, row, side = square
    half = max(round(side / 2), 1)
    padded = np.zeros((2 * half, 2 * half, 4), dtype=np.uint8)
    left, top = round(column) - half, round(row) - half
    height, width = rgba.shape[:2]
    rows = slice(max(top, 0), min(top + 2 * half, height))
    columns = slice(max(left, 0), min(left + 2 * half, width))
    padded[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = rgba[rows, columns]
    return padded
