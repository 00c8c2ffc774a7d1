"""Pictures that others made, as RGBA with straight alpha that gives them back exactly over white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.errors import EnrError

SOLID_BELOW = 250
"""A pixel of an opaque picture belongs to the object's silhouette where a channel is below this."""

RIM_ALPHA = 85
"""Alpha of a pixel that is nearly but not quite white: a third of 255, so that a colour exists that gives it back."""

Pixels = NDArray[np.uint8]


def read_picture(path: Path) -> Pixels:
    """A picture (height, width, 4) uint8; see `cut_out` for one that has no transparency of its own.

    Raises:
        EnrError: it cannot be read, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise EnrError(f"{path} has more than 8 bits a channel ({image.mode}); convert it to 8 bits.")
            pixels: Pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EnrError(f"{path} cannot be read as a picture ({reason}); unpack it again.") from error
    return cut_out(pixels[..., :3]) if (pixels[..., 3] == 255).all() else pixels


def cut_out(rgb: Pixels) -> Pixels:
    """An opaque picture over white as straight-alpha RGBA whose composite over white is that picture, bit for bit.

    Alpha is 255 where a channel is below `SOLID_BELOW` (the silhouette), 0 where the pixel is white, and `RIM_ALPHA`
    on what little lies between, mostly the rim of the object, as it would be in a render with an alpha of its own.

    Args:
        rgb: (height, width, 3) uint8.

    Returns:
        (height, width, 4) uint8.
    """
    darkest = rgb.min(axis=-1)
    rim = (darkest >= SOLID_BELOW) & (darkest < 255)
    alpha = np.where(darkest < SOLID_BELOW, 255, np.where(rim, RIM_ALPHA, 0)).astype(np.uint8)
    deepened = 255 - (255 // RIM_ALPHA) * (255 - rgb.astype(np.int16))
    colour = np.where(rim[..., None], deepened, rgb).astype(np.uint8)
    return np.concatenate([colour, alpha[..., None]], axis=-1)


def touches_border(alpha: Pixels) -> NDArray[np.bool_]:
    """(views,) whether the object's silhouette reaches the border of pictures with alpha (views, height, width)."""
    solid = alpha >= 128
    edges = (solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1])
    reached: NDArray[np.bool_] = np.any([edge.any(axis=1) for edge in edges], axis=0)
    return reached
