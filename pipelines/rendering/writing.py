"""Views as files: one picture, a sheet, or an animation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.errors import EnrError
from enr.pipelines.pictures import image_grid, save_animation, save_picture

COLUMNS = 7
MIN_SIZE_PX, MAX_SIZE_PX = 16, 2048
STILL = (".png",)
MOVING = (".gif", ".webp")


def check_output(path: Path, several: bool) -> Path:
    """The path itself, if views can be written there.

    Raises:
        EnrError: its ending is of no kind that is written, or its folder is missing or closed.
    """
    kinds = (*MOVING, *STILL) if several else STILL
    if path.suffix.lower() not in kinds:
        raise EnrError(f"The output is named {path.name}; give a name that ends in {' or '.join(kinds)}.")
    if not path.parent.is_dir():
        raise EnrError(f"The folder of {path} does not exist; make it, or give another --out.")
    if not os.access(path.parent, os.W_OK):
        raise EnrError(f"The folder {path.parent} cannot be written to; give another --out.")
    return path


def check_size(size_px: int) -> int:
    """The width that views are shown in, in pixels.

    Raises:
        EnrError: it is too small to see, or larger than any view is worth.
    """
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise EnrError(f"The views are to be {size_px} px wide; give {MIN_SIZE_PX} to {MAX_SIZE_PX} px.")
    return size_px


def write_views(views: NDArray[np.uint8], source: NDArray[np.uint8], path: Path, size_px: int) -> Path:
    """Write views (n, height, width, 3): a single one as it is, several as an animation or as a sheet with the source.

    Raises:
        EnrError: see `check_output` and `check_size`; or the file cannot be written.
    """
    check_output(path, several=len(views) > 1)
    check_size(size_px)
    try:
        return _write([enlarged(view, size_px) for view in views], enlarged(source, size_px), path)
    except OSError as error:
        raise EnrError(f"{path} cannot be written ({error.strerror}); free space, or give another --out.") from error


def _write(shown: list[Image.Image], source: Image.Image, path: Path) -> Path:
    if path.suffix.lower() in MOVING:
        return save_animation(shown, path)
    if len(shown) == 1:
        return save_picture(shown[0], path)
    cells = [np.asarray(image) for image in (source, *shown)]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return save_picture(image_grid(rows, row_labels=["picture"]), path)


def enlarged(view: NDArray[np.uint8], size_px: int) -> Image.Image:
    """A view (height, width, 3), as wide as `size_px` and smooth, or as it is where it is no smaller."""
    image = Image.fromarray(view)
    if image.width >= size_px:
        return image
    return image.resize((size_px, round(size_px * image.height / image.width)), Image.Resampling.BICUBIC)
