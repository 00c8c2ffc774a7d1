"""A photograph as a model's camera would have taken it: upright, without its plain background, the object framed.

The model knows objects through one lens, at about one distance. A picture whose lens is known is seen through the
model's as it is, where the object is then about as large as the model knows objects. Else the object is framed: a
virtual camera at the same place turns to the object and zooms, until the object fills what an object of the model's
data fills at its usual distance.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from enr.camera import Array, focal_px_from_fov, intrinsics
from enr.datagen.cameras.pose_files import GivenCameras
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.parts import noteworthy_parts
from enr.pipelines.source_picture import UprightPicture, check_object, fit_to_lens, read_upright

PLAIN = 12.0
"""Standard deviation, of 255, that the border of a plain background may have about its shade."""
DIFFERENCE = 24
"""By how much of 255 a channel departs from the background where the object is, or by more where the border spreads."""
OWN_DIFFERENCE = 5
"""The same in a picture of the model's own size, which may be one of its own data: the model tells no less apart."""
SPREADS = 6
"""So many standard deviations of the border are told from an object."""
SEEN_LENGTH = 0.76
"""Longest side of an object's box in a picture, in object units at the object's distance: a mean of 0.77 over 40
built-in shapes, of 0.76 over 4,091 views of ShapeNet chairs (unit diagonal, elevation 0 to 45 degrees; 2026-11-30)."""
SEEN = 127
"""Alpha, of 255, above which the object is seen."""
SAME_LENS = 1e-3
KNOWN_SIZES = (0.6, 1.5)
"""An object as large as this, told from the usual size, needs no framing: distances from 0.7 to 1.7 times the usual."""
SMALLEST_PX, SMALLEST_OBJECT_PX = 8, 4
CHECKED_PX = 512
"""What a picture is checked at before a model is there; models' own pictures are smaller."""
MOST_PX = 2048
"""What is more than the largest models need by far."""


class NotPlain(EnrError):
    """A background that an object cannot be told from."""


@dataclass(frozen=True)
class FramedPicture:
    """A picture that a model can be given.

    Attributes:
        image: (3, height, width) float32 in [0, 1], the model's size.
        notes: what was assumed, a sentence each.
        zoom: how many times as long as the model's lens its own is after the framing: the object is so many times as
            far away as the model sees it. 1 where the lens is the model's, and where nobody knows.
    """

    image: torch.Tensor
    notes: tuple[str, ...]
    zoom: float = 1.0


@dataclass(frozen=True)
class Said:
    """What is said of a picture, beside the file itself.

    Attributes:
        fov_deg: horizontal field of view of its camera, between 0 and 180 degrees; None: by its EXIF data, if at all.
        name: what messages call it; None: its path.
        cameras: its own camera with its lens, if that is known (one, as pose files name them): the picture is one of
            several, and is neither turned nor zoomed.
    """

    fov_deg: float | None = None
    name: str | None = None
    cameras: GivenCameras | None = None


def frame_picture(picture: Path | BinaryIO, config: RendererConfig, said: Said = Said()) -> FramedPicture:
    """Read a picture and frame the object in it, or see it through the model's lens as it is.

    A picture of the model's own size is taken as it is: the model's own lens took it.

    Args:
        picture: a file that Pillow reads, or its open stream; of several frames, the first.
        config: of the model.
        said: what is known of it.

    Raises:
        EnrError: it cannot be read, shows nothing or a few pixels, or has a background that is not plain; or it is one
            of several and its lens is not known.
    """
    path = said.name or str(picture)
    notes: list[str] = []
    upright = read_upright(picture, path, MOST_PX, notes)
    height, width = upright.rgba.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise EnrError(f"{path} has {width}x{height} pixels; give a picture of at least {SMALLEST_PX} pixels a side.")
    lens = _lens(upright, said, path, notes)
    if (height, width) == config.image_shape[1:]:
        own = intrinsics(config.focal_px, width, height)
        if lens is None or np.allclose(lens, own, rtol=SAME_LENS):
            notes += [] if lens is not None else [f"{path} has the model's own size and is taken to have its lens."]
            image = fit_to_lens(upright.rgba, config, own)
            _check_own_size(image, path)
            return FramedPicture(image, tuple(notes))
    rgba, note = without_background(upright.rgba, path)
    rgba[(rgba[..., 3] > SEEN) & ~noteworthy_parts(rgba[..., 3] > SEEN), 3] = 0  # stray pixels
    notes += [note] if note else []
    box = _box_of(rgba[..., 3], path)
    if min(box[0], box[2]) == 0 or box[1] == width - 1 or box[3] == height - 1:
        notes.append("The object touches the picture's border; take another picture if a part of it lies beyond.")
    fits = lens is not None and _fits(box, lens, config)
    if said.cameras is not None:
        if lens is None:
            raise EnrError(
                f"The lens of {path} is not known, and a picture with a pose cannot be framed; say --fov-deg, or name "
                "the lens in the pose file."
            )
        notes += (
            [] if fits else [f"{path} shows the object much larger, smaller or further aside than the model knows."]
        )
    if lens is not None and (fits or said.cameras is not None):
        framed = FramedPicture(fit_to_lens(rgba, config, lens), tuple(notes))
    else:
        framed = _framed(rgba, box, config, lens, notes)
    check_object(framed.image, path, config)
    return framed


def _check_own_size(image: torch.Tensor, path: str) -> None:
    """Refuse a picture of the model's own size in which nothing is seen, be its shade the model's background or not."""
    rgba = np.dstack([to_uint8(image), np.full(image.shape[1:], 255, np.uint8)])
    with suppress(NotPlain):
        _box_of(without_background(rgba, path, OWN_DIFFERENCE)[0][..., 3], path)


def _framed(
    rgba: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    config: RendererConfig,
    lens: Array | None,
    notes: list[str],
) -> FramedPicture:
    """The object as large as the model knows objects, in the middle."""
    longest = max(box[1] - box[0], box[3] - box[2]) + 1
    side = longest * config.image_shape[2] / (SEEN_LENGTH * config.focal_px / config.radius)
    cut = _cut(rgba, ((box[0] + box[1] + 1) / 2, (box[2] + box[3] + 1) / 2, side))
    like_model = config.focal_px * cut.shape[1] / config.image_shape[2]
    zoom = 1.0 if lens is None else float(lens[0, 0]) / like_model
    notes.append(f"The object was found in columns {box[0]}-{box[1]} and rows {box[2]}-{box[3]} and framed.")
    if lens is not None:
        notes.append(f"By its lens it is {zoom:.2f} times as far away as the framed picture makes it look.")
    return FramedPicture(fit_to_lens(cut, config, like_model), tuple(notes), zoom)


def _lens(upright: UprightPicture, said: Said, path: str, notes: list[str]) -> Array | None:
    """K (3, 3) of the picture, as its camera, an option or its EXIF data say; None where nothing does."""
    height, width = upright.rgba.shape[:2]
    if said.cameras is not None and said.cameras.brings_lens:
        try:
            fitted = said.cameras.fitted(width, height)
        except EnrError:
            raise EnrError(
                f"{path} has {width}x{height} px, and the lens in the pose file is of pictures of another shape; give "
                "the pictures that the poses belong to."
            ) from None
        return None if fitted.K is None else fitted.K[0]
    focal_px = upright.focal_px if said.fov_deg is None else focal_px_from_fov(said.fov_deg, width)
    if focal_px is None:
        return None
    if said.fov_deg is None:
        fov_deg = float(np.rad2deg(2 * np.arctan2(width / 2, focal_px)))
        notes.append(
            f"By its EXIF data the camera saw {fov_deg:.1f} degrees from left to right (--fov-deg says otherwise)."
        )
    return intrinsics(focal_px, width, height)


def _fits(box: tuple[int, int, int, int], lens: Array, config: RendererConfig) -> bool:
    """Whether an object in a box of pixels is wholly seen through the model's lens, about as large as usual."""
    edges = np.array([[box[0], box[1] + 1], [box[2], box[3] + 1]], dtype=np.float64)
    seen = (edges - lens[:2, 2:]) / np.diag(lens)[:2, None] * config.focal_px
    half = np.array([[config.image_shape[2]], [config.image_shape[1]]]) / 2
    share = np.ptp(seen, axis=1).max() / (SEEN_LENGTH * config.focal_px / config.radius)
    return bool((np.abs(seen) <= half).all() and KNOWN_SIZES[0] <= share <= KNOWN_SIZES[1])


def check_picture(picture: Path) -> None:
    """Check what can be told of a picture before a model is there; a small one may be of the model's own size.

    Raises:
        EnrError: it cannot be read, or is larger than any model's and has a background that is not plain.
    """
    rgba = read_upright(picture, str(picture), CHECKED_PX).rgba
    if max(rgba.shape[:2]) == CHECKED_PX:
        without_background(rgba, str(picture))


def without_background(
    rgba: NDArray[np.uint8], path: str, difference: float = DIFFERENCE
) -> tuple[NDArray[np.uint8], str]:
    """A picture (height, width, 4) with alpha 0 where its plain background was, and what was done in words.

    A picture with transparency has none. The background may become darker from one side to the other.

    Args:
        rgba: straight alpha.
        path: what a refusal calls it.
        difference: see `DIFFERENCE`.

    Raises:
        NotPlain: the background is not plain.
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
        raise NotPlain(
            f"The background of {path} is not plain, so the object cannot be told from it; cut the object out (save it "
            "as a PNG with transparency) or take the picture before a plain wall."
        )
    difference = max(difference, SPREADS * spread)
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


def _box_of(alpha: NDArray[np.uint8], path: str) -> tuple[int, int, int, int]:
    """The object's first and last column, and its first and last row."""
    rows, columns = np.flatnonzero((alpha > SEEN).any(1)), np.flatnonzero((alpha > SEEN).any(0))
    if not len(rows):
        raise EnrError(f"Nothing is seen in {path} but its background; give a picture of an object.")
    left, right, top, bottom = int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])
    if max(right - left, bottom - top) + 1 < SMALLEST_OBJECT_PX:
        raise EnrError(
            f"What is seen in {path} is {right - left + 1}x{bottom - top + 1} px large (columns {left}-{right}, rows "
            f"{top}-{bottom}), too few to recognise an object by; give a picture in which it is {SMALLEST_OBJECT_PX} "
            "px long at the least."
        )
    return left, right, top, bottom


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
