"""Any picture of an object, fitted to a trained model's lens and size: what the model can be given as its source."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from enr.camera import Array
from enr.datagen.convert.resample import covered_shares
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.sighting import find_boxes

FEW_PX = 4
"""A picture's object is not made smaller than this, nor than `FEW_SHARE` of the model's picture."""
FEW_SHARE = 1 / 16
DIFFERENCE = 24 / 255
"""By how much a channel departs from the model's background where an object is; a JPEG's noise does not."""


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
            pixels; or a model whose depth range travels is to find its object in a single pixel.
    """
    rgba = read_upright(Path(path))
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
    if config.has_travelling_range:
        _check_object(picture, path, config)
    return picture


def fit_to_lens(rgba: NDArray[np.uint8], config: RendererConfig, focal_px: float) -> torch.Tensor:
    """A picture (height, width, 4) through the model's lens, over its background; see `read_source_picture`."""
    height_px, width_px = rgba.shape[:2]
    rows = _shares(height_px, config.image_shape[1], focal_px / config.focal_px)
    columns = _shares(width_px, config.image_shape[2], focal_px / config.focal_px)
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


def _check_object(picture: torch.Tensor, path: Path, config: RendererConfig) -> None:
    """Refuse what nobody can tell the place of an object from."""
    size = find_boxes(picture[None], torch.tensor(config.background)).size[0].tolist()
    if 0 < max(size) <= 1:
        raise EnrError(
            f"{path} shows a single pixel that differs from the background, at the model's size of "
            f"{config.image_shape[2]}x{config.image_shape[1]} px; give a picture that shows more of its object."
        )


def _shares(size_px: int, new_size_px: int, pixel: float) -> Array:
    """Shares (new, old) of the old pixels in new ones that are `pixel` old ones wide, both centred alike."""
    edges = size_px / 2 + pixel * (np.arange(new_size_px + 1) - new_size_px / 2)
    return covered_shares(edges, size_px)


def read_upright(
    picture: Path | BinaryIO, name: str | None = None, most_px: int | None = None, notes: list[str] | None = None
) -> NDArray[np.uint8]:
    """A picture (height, width, 4), straight alpha, turned as its EXIF data say; of several frames the first.

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
        with Image.open(picture) as image:
            if image.mode[0] in "IF":
                raise EnrError(f"{name} has more than 8 bits a channel ({image.mode}); convert it to 8 bits.")
            frames = getattr(image, "n_frames", 1)
            notes += [f"Of its {frames} frames the first is taken."] if frames > 1 else []
            if most_px is not None and max(image.size) > most_px:
                notes.append(f"Of its {image.width}x{image.height} pixels no more than {most_px} a side are kept.")
                image.thumbnail((most_px, most_px))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except FileNotFoundError as error:
        raise EnrError(f"{name} does not exist; give a PNG or JPEG file.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EnrError(f"{name} cannot be read as a picture ({reason}); give a PNG or JPEG file.") from error
