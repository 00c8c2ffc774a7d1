"""Any picture of an object, fitted to a trained model's lens and size: what the model can be given as its source."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from enr.camera import Array, intrinsics
from enr.datagen.convert.resample import covered_shares
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.sighting import find_boxes

FEW_PX = 4
"""A picture's object is not made smaller than this, nor than `FEW_SHARE` of the model's picture."""
FEW_SHARE = 1 / 16
DIFFERENCE = 24 / 255
"""By how much a channel departs from the model's background where an object is; a JPEG's noise does not."""
FILM_DIAGONAL_MM = float(np.hypot(36, 24))
OTHER_SHAPE = 0.02
"""By so much the shorter side's share of the longer may differ where EXIF data are of this picture."""
UNITS_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Millimetres in each unit of `FocalPlaneResolutionUnit`."""
BELIEVED_DEG = (2.0, 150.0)
"""Fields of view that lenses of photographs have."""


def read_source_picture(path: Path, config: RendererConfig, focal_px: float | None = None) -> torch.Tensor:
    """A picture as the model's camera would have taken it: its angles of view are kept, what lacks is background.

    The picture is put over the model's background by its alpha, where it has one. Its principal point is taken to be
    its centre. Every new pixel is the mean over its area. It is turned as its EXIF data say; of several frames the
    first is taken.

    Args:
        path: a file that Pillow reads, of any size and 8 bits a channel.
        config: of the model.
        focal_px: focal length of the picture's camera in pixels of the picture.

    Returns:
        (3, height, width) float32 in [0, 1], the model's size.

    Raises:
        EnrError: the file cannot be read, the focal length is unknown or not positive, or shrinks the object to a few
            pixels; or it shows nothing to the model, or a single pixel.
    """
    rgba = read_upright(Path(path)).rgba
    if focal_px is None:
        like = config.focal_px * rgba.shape[1] / config.image_shape[2]
        raise EnrError(
            f"The lens of {path} is not known; give its focal length in pixels. If it shows as much as the pictures "
            f"that the model was trained on, from border to border, that is focal_px={like:.6g}."
        )
    if not (np.isfinite(focal_px) and focal_px > 0):
        raise EnrError(f"The focal length of {path} is given as {focal_px} px; give a number of pixels above 0.")
    _check_shrinking(rgba, path, config, focal_px)
    picture = fit_to_lens(rgba, config, focal_px)
    check_object(picture, str(path), config)
    return picture


def fit_to_lens(rgba: NDArray[np.uint8], config: RendererConfig, lens: float | Array) -> torch.Tensor:
    """A picture (height, width, 4) through the model's lens, over its background; see `read_source_picture`.

    Args:
        rgba: straight alpha.
        config: of the model.
        lens: focal length in pixels, or K (3, 3).
    """
    height_px, width_px = rgba.shape[:2]
    K = intrinsics(lens, width_px, height_px) if isinstance(lens, int | float) else lens
    columns, rows = (
        _shares(size_px, new_px, K[axis, axis] / config.focal_px, K[axis, 2])
        for axis, (size_px, new_px) in enumerate(
            ((width_px, config.image_shape[2]), (height_px, config.image_shape[1]))
        )
    )
    background = np.asarray(config.background, dtype=np.float64)
    over_background = (rgba[..., :3] / 255.0 - background) * (rgba[..., 3:] / 255.0)
    fitted = np.einsum("yh,hwc,xw->cyx", rows, over_background, columns, optimize=True) + background[:, None, None]
    return torch.from_numpy(fitted.clip(0, 1).astype(np.float32))


def _check_shrinking(rgba: NDArray[np.uint8], path: Path, config: RendererConfig, focal_px: float) -> None:
    """Refuse a lens that leaves a few pixels of the object; the model's own lens leaves what there is."""
    away = np.abs(rgba[..., :3] / 255.0 - np.asarray(config.background)) * (rgba[..., 3:] / 255.0)
    differs = away.max(-1) > DIFFERENCE
    longest = max(int(np.ptp(np.flatnonzero(differs.any(axis)))) + 1 if differs.any() else 0 for axis in (0, 1))
    width = config.image_shape[2]
    left_px = longest * config.focal_px / focal_px
    if focal_px > config.focal_px and 0 < left_px < max(FEW_PX, FEW_SHARE * width):
        raise EnrError(
            f"With focal_px={focal_px:.6g} the object in {path}, {longest} px long, would shrink to {left_px:.1f} px "
            f"at the model's size of {width}x{config.image_shape[1]} px; give the focal length "
            f"that fits: with focal_px={2 * longest * config.focal_px / width:.6g} it fills half of "
            "the model's picture."
        )


def check_object(picture: torch.Tensor, name: str, config: RendererConfig) -> None:
    """Check that a picture (3, height, width), as the model is given it, shows something.

    Raises:
        EnrError: nothing in it differs from the model's background, or a single pixel.
    """
    longest = float(find_boxes(picture[None], torch.tensor(config.background)).size.max())
    if longest <= 1:
        shown = "a single pixel that differs" if longest else "nothing that differs"
        raise EnrError(
            f"{name} shows {shown} from the background, at the model's size of "
            f"{config.image_shape[2]}x{config.image_shape[1]} px; give a picture that shows more of its object."
        )


def _shares(size_px: int, new_size_px: int, pixel: float, centre_px: float) -> Array:
    """Shares (new, old) of the old pixels in new ones that are `pixel` old ones wide, centred at an old place."""
    edges = centre_px + pixel * (np.arange(new_size_px + 1) - new_size_px / 2)
    return covered_shares(edges, size_px)


@dataclass(frozen=True)
class UprightPicture:
    """A picture as it was read.

    Attributes:
        rgba: (height, width, 4) uint8, straight alpha.
        focal_px: focal length of its camera in its pixels, as its EXIF data say; None where they do not.
    """

    rgba: NDArray[np.uint8]
    focal_px: float | None


def focal_px_by_exif(image: Image.Image) -> float | None:
    """Focal length in pixels of a picture that was not cropped, as its EXIF data say; None where they do not.

    `FocalLengthIn35mmFilm` tells the field of view along the diagonal. Without it, `FocalLength` in millimetres and
    `FocalPlaneXResolution` in pixels of the original per unit. Where the data are of a picture of another shape, they
    are not believed.
    """
    tags = image.getexif().get_ifd(ExifTags.IFD.Exif)

    def number(tag: ExifTags.Base) -> float:
        """A tag's value; 0 where there is none."""
        try:
            value = float(tags.get(tag, 0))
        except (TypeError, ValueError, ZeroDivisionError):
            return 0.0
        return value if np.isfinite(value) else 0.0

    stated = number(ExifTags.Base.ExifImageWidth), number(ExifTags.Base.ExifImageHeight)
    sides = sorted(stated if min(stated) > 0 else image.size)
    if abs(sides[0] / sides[1] - min(image.size) / max(image.size)) > OTHER_SHAPE:
        return None
    focal_px = number(ExifTags.Base.FocalLengthIn35mmFilm) / FILM_DIAGONAL_MM * np.hypot(*image.size)
    across, down = number(ExifTags.Base.FocalPlaneXResolution), number(ExifTags.Base.FocalPlaneYResolution)
    if not focal_px and (not down or abs(down / max(across, 1e-9) - 1) < OTHER_SHAPE):
        unit_mm = UNITS_MM.get(int(number(ExifTags.Base.FocalPlaneResolutionUnit)), UNITS_MM[2])
        focal_px = number(ExifTags.Base.FocalLength) * across / unit_mm * max(image.size) / sides[1]
    fov_deg = np.rad2deg(2 * np.arctan2(image.width / 2, focal_px))
    return float(focal_px) if BELIEVED_DEG[0] <= fov_deg <= BELIEVED_DEG[1] else None


def read_upright(
    picture: Path | BinaryIO, name: str | None = None, most_px: int | None = None, notes: list[str] | None = None
) -> UprightPicture:
    """A picture, turned as its EXIF data say; of several frames the first.

    Args:
        picture: a file that Pillow reads, or its open stream; 8 bits a channel.
        name: what a refusal calls it; None: its path.
        most_px: a picture with a longer side is made smaller as it is read: a photograph of 50 megapixels would take
            gigabytes; None: as it is.
        notes: what was done to it is added here, a sentence each.

    Raises:
        EnrError: it cannot be read.
    """
    name, notes = name or str(picture), [] if notes is None else notes
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(picture) as image,
        ):
            if image.mode[0] in "IF":
                raise EnrError(f"{name} has more than 8 bits a channel ({image.mode}); convert it to 8 bits.")
            frames = getattr(image, "n_frames", 1)
            notes += [f"Of its {frames} frames the first is taken."] if frames > 1 else []
            focal_px, longest = focal_px_by_exif(image), max(image.size)
            if most_px is not None and longest > most_px:
                notes.append(f"Of its {image.width}x{image.height} pixels no more than {most_px} a side are kept.")
                image.thumbnail((most_px, most_px))
            focal_px = None if focal_px is None else focal_px * max(image.size) / longest
            return UprightPicture(np.asarray(ImageOps.exif_transpose(image).convert("RGBA")), focal_px)
    except FileNotFoundError as error:
        raise EnrError(f"{name} does not exist; give a PNG or JPEG file.") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise EnrError(f"{name} has more than {most} million pixels; give it smaller.") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EnrError(f"{name} cannot be read as a picture ({reason}); give a PNG or JPEG file.") from error
