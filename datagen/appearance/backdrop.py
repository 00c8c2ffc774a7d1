"""Pictures with something behind the object: a picture file, or the surroundings that the worker saw."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from enr.datagen.appearance.look import SURROUNDINGS, Look, PictureFile
from enr.errors import EnrError


def put_behind(
    look: Look, images: NDArray[np.uint8], passes: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """The pictures and passes as they are stored: opaque where a look has something behind the object.

    Args:
        look: of the pictures.
        images: (views, height, width, 4), straight alpha.
        passes: as the worker made them.

    Raises:
        EnrError: the picture file cannot be read.
    """
    stored = {name: pictures for name, pictures in passes.items() if name != SURROUNDINGS}
    if look.backdrop is not None:
        return over(images, read_backdrop(look.backdrop, images.shape[2], images.shape[1])), stored
    if look.hdri_background:
        return over(images, passes[SURROUNDINGS]), stored
    return images, stored


def over(images: NDArray[np.uint8], behind: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Opaque pictures (views, height, width, 4) of straight-alpha ones over others (..., height, width, 3), in sRGB.

    Mixed as readers mix a background colour, so that a picture of one colour is the same as that colour.
    """
    result = np.full_like(images, 255)
    for number, image in enumerate(images):
        alpha = image[..., 3:].astype(np.float64) / 255
        below = behind if behind.ndim == 3 else behind[number]
        result[number, ..., :3] = np.round(alpha * image[..., :3] + (1 - alpha) * below)
    return result


@lru_cache(maxsize=4)
def read_backdrop(file: PictureFile, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """A picture file as sRGB (height, width, 3), scaled to fill the frame and cut around its middle.

    Raises:
        EnrError: it cannot be read, or has changed since the run began.
    """
    if PictureFile.open(file.path) != file:
        raise EnrError(f"{file.path} changed while it was in use; run the same command again.")
    try:
        with Image.open(file.path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (width_px, height_px), Image.Resampling.LANCZOS))
    except OSError as error:
        raise EnrError(f"{file.path} is not a picture that can be read; give a PNG or JPEG file.") from error
