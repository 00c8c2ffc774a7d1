"""Grids, contact sheets and GIFs of pictures, with Pillow and NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from enr.compositing import over_background
from enr.files import replacing

GAP_PX = 2
FONT_PX = 12
PAPER = (255, 255, 255)
FRAME = (208, 208, 208)
INK = (32, 32, 32)

Picture = NDArray[np.uint8]
"""(height, width, 3) uint8."""


def to_uint8(images: ArrayLike) -> NDArray[np.uint8]:
    """Pictures (..., height, width, 3) uint8 of float images (..., 3, height, width) in [0, 1], clamped.

    Takes NumPy arrays and torch tensors on the CPU without gradients.
    """
    values = np.asarray(images, dtype=np.float64).clip(0.0, 1.0)
    return np.moveaxis(np.rint(values * 255).astype(np.uint8), -3, -1)


def image_grid(
    rows: Sequence[Sequence[Picture | None]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    zoom: int = 1,
) -> Image.Image:
    """One picture of rows of pictures, with a thin frame between them.

    Args:
        rows: pictures (height, width, 3) uint8; None leaves a cell empty, rows may differ in length.
        row_labels: a label to the left of each row; may hold line breaks.
        column_labels: a label above each column; may hold line breaks.
        zoom: each pixel becomes zoom x zoom pixels.
    """
    height, width = (zoom * side for side in _largest(rows))
    columns = max([len(column_labels), *(len(row) for row in rows)], default=0)
    left = max((_text_size(label)[0] + 2 * GAP_PX for label in row_labels), default=0)
    top = max((_text_size(label)[1] + 2 * GAP_PX for label in column_labels), default=0)
    cell_width = max([width, *(_text_size(label)[0] for label in column_labels)])
    cell_height = max([height, *(_text_size(label)[1] for label in row_labels)])
    pitch = (cell_width + GAP_PX, cell_height + GAP_PX)
    sheet = Image.new("RGB", (left + columns * pitch[0] + GAP_PX, top + len(rows) * pitch[1] + GAP_PX), PAPER)
    for row_index, row in enumerate(rows):
        for column_index, picture in enumerate(row):
            corner = (left + GAP_PX + column_index * pitch[0], top + GAP_PX + row_index * pitch[1])
            _paste(sheet, picture, (corner[0] + (cell_width - width) // 2, corner[1]), zoom)
    _write_labels(sheet, row_labels, lambda index: (left // 2, top + GAP_PX + index * pitch[1] + cell_height // 2))
    _write_labels(sheet, column_labels, lambda index: (left + GAP_PX + index * pitch[0] + cell_width // 2, top // 2))
    return sheet


def contact_sheet(
    views: NDArray[np.uint8],
    background: Sequence[float] = (1.0, 1.0, 1.0),
    columns: int | None = None,
    zoom: int = 1,
) -> Image.Image:
    """One picture of many views (n, height, width, 4) uint8 RGBA over a background, in reading order.

    Args:
        views: RGBA with straight alpha, as shards store them.
        background: red, green, blue in [0, 1].
        columns: pictures in a row; about a square without it.
        zoom: each pixel becomes zoom x zoom pixels.
    """
    pictures = list(over_background(views, background))
    columns = columns or max(1, math.ceil(math.sqrt(len(pictures))))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return image_grid(rows, zoom=zoom)


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture so that `path` is complete or absent; the folder is made. Returns `path`."""
    return _publish(
        path, lambda partial: picture.save(partial, format=Image.registered_extensions()[path.suffix.lower()])
    )


def save_gif(frames: Sequence[Image.Image], path: Path, milliseconds: int = 150, last_milliseconds: int = 1500) -> Path:
    """Write frames of one size as a GIF that plays for ever and rests on its last frame. Returns `path`.

    Args:
        frames: at least one picture.
        path: the file; its folder is made; it is complete or absent.
        milliseconds: how long each frame is shown.
        last_milliseconds: how long the last one is.
    """
    # Without dithering the frames do not shimmer; one palette a frame keeps their colours.
    indexed = [frame.convert("RGB").quantize(256, dither=Image.Dither.NONE) for frame in frames]
    durations = [milliseconds] * (len(indexed) - 1) + [last_milliseconds]
    options: dict[str, Any] = {"save_all": True, "append_images": indexed[1:], "duration": durations, "loop": 0}
    return _publish(path, lambda partial: indexed[0].save(partial, format="GIF", disposal=1, **options))


def save_animation(frames: Sequence[Image.Image], path: Path, milliseconds: int = 80) -> Path:
    """Write frames of one size as a GIF, or without loss as a WebP, that plays evenly for ever. Returns `path`."""
    if path.suffix.lower() != ".webp":
        return save_gif(frames, path, milliseconds, milliseconds)
    options: dict[str, Any] = {"save_all": True, "append_images": list(frames[1:]), "duration": milliseconds, "loop": 0}
    return _publish(path, lambda partial: frames[0].save(partial, format="WEBP", lossless=True, **options))


def _largest(rows: Sequence[Sequence[Picture | None]]) -> tuple[int, int]:
    shapes = [picture.shape[:2] for row in rows for picture in row if picture is not None]
    return max((height for height, _ in shapes), default=0), max((width for _, width in shapes), default=0)


def _paste(sheet: Image.Image, picture: Picture | None, corner: tuple[int, int], zoom: int) -> None:
    if picture is None:
        return
    image = Image.fromarray(np.ascontiguousarray(picture))
    image = image.resize((zoom * image.width, zoom * image.height), Image.Resampling.NEAREST)
    left, top = corner
    box = (left - 1, top - 1, left + image.width, top + image.height)
    ImageDraw.Draw(sheet).rectangle(box, outline=FRAME)
    sheet.paste(image, corner)


def _write_labels(sheet: Image.Image, labels: Sequence[str], centre_of: Callable[[int], tuple[int, int]]) -> None:
    draw = ImageDraw.Draw(sheet)
    for index, label in enumerate(labels):
        draw.text(centre_of(index), label, fill=INK, font=_font(), anchor="mm", align="center")


def _text_size(label: str) -> tuple[int, int]:
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top, right, bottom = draw.multiline_textbbox((0, 0), label, font=_font())
    return math.ceil(right - left) + 2 * GAP_PX, math.ceil(bottom - top) + 2 * GAP_PX


def _font() -> Any:
    return ImageFont.load_default(FONT_PX)


def _publish(path: Path, write: Callable[[Path], None]) -> Path:
    """Write under another name first, then rename: a reader never meets half a picture."""
    with replacing(path) as partial:
        write(partial)
    return path
