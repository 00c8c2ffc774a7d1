"""Views as files: one picture, a sheet, or an animation."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.errors import EnrError
from enr.files import replacing
from enr.pipelines.pictures import image_grid, save_animation, save_picture
from enr.pipelines.rendering.maps import SceneMaps, depth_pictures, opacity_pictures

COLUMNS = 7
MIN_SIZE_PX, MAX_SIZE_PX = 16, 2048
STILL = (".png",)
MOVING = (".gif", ".webp", ".mp4")
FRAMES_PER_SECOND = 12.5


def check_output(path: Path, several: bool) -> Path:
    """The path itself, if views can be written there.

    Raises:
        EnrError: its ending is of no kind that is written, or its folder is missing or closed.
    """
    kinds = (*MOVING, *STILL) if several else STILL
    if not several and path.suffix.lower() in MOVING:
        raise EnrError(
            f"{path.name} is the name of an animation, and a single view was asked for; give a name that ends in "
            f"{STILL[0]}, or a path such as --orbit."
        )
    if path.suffix.lower() not in kinds:
        raise EnrError(
            f"The output is named {path.name}; {'views' if several else 'a single view'} "
            f"can be written under a name that ends in {' or '.join(kinds)}."
        )
    if not path.parent.is_dir():
        raise EnrError(f"The folder of {path} does not exist; make it, or give another --out.")
    if not os.access(path.parent, os.W_OK):
        raise EnrError(f"The folder {path.parent} cannot be written to; give another --out.")
    if path.suffix.lower() == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise EnrError(
            "MP4 needs imageio-ffmpeg; run `pip install -e '.[video]'` in the clone of enr, or name a .gif or .webp."
        )
    return path


def check_kept(inputs: Iterable[Path | None], outputs: Iterable[Path]) -> None:
    """Refuse to replace what is read.

    Raises:
        EnrError: an output is one of the inputs.
    """
    for output in outputs:
        if any(path and path.exists() and output.exists() and path.samefile(output) for path in inputs):
            raise EnrError(f"{output} is read, and would be replaced by what is rendered; give another --out.")


def map_path(path: Path, kind: str) -> Path:
    """Where `write_maps` writes depth or opacity of the views of `path`."""
    return path.with_stem(f"{path.stem}-{kind}")


def check_size(size_px: int) -> int:
    """The width that views are shown in, in pixels.

    Raises:
        EnrError: it is no whole number, too small to see, or larger than any view is worth.
    """
    if isinstance(size_px, bool) or not isinstance(size_px, Integral):
        raise EnrError(f"size_px is {size_px!r}; give a whole number of pixels, {MIN_SIZE_PX} to {MAX_SIZE_PX}.")
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise EnrError(f"The views are to be {size_px} px wide; give {MIN_SIZE_PX} to {MAX_SIZE_PX} px.")
    return size_px


def write_views(
    views: NDArray[np.uint8],
    source: NDArray[np.uint8] | None,
    path: Path,
    size_px: int,
    truth: NDArray[np.uint8] | None = None,
) -> Path:
    """Write views (n, height, width, 3): a single one as it is, several as an animation or as a sheet.

    Args:
        views: what was rendered.
        source: the picture, which a sheet shows first; None for none.
        path: where to.
        size_px: how wide each is shown, at least.
        truth: as `views`; it stands below them, and beside them in an animation.

    Raises:
        EnrError: see `check_output` and `check_size`; or the file cannot be written.
    """
    check_output(path, several=len(views) > 1)
    check_size(size_px)
    shown = [enlarged(view, size_px) for view in views]
    true = [] if truth is None else [enlarged(view, size_px) for view in truth]
    try:
        if path.suffix.lower() in MOVING:
            beside = [_side_by_side(*pair) for pair in zip(shown, true, strict=True)] if true else shown
            return _save_mp4(beside, path) if path.suffix.lower() == ".mp4" else save_animation(beside, path)
        if len(shown) == 1 and not true:
            return save_picture(shown[0], path)
        return save_picture(_sheet(shown, [] if source is None else [enlarged(source, size_px)], true), path)
    except OSError as error:
        raise EnrError(f"{path} cannot be written ({error.strerror}); free space, or give another --out.") from error


def write_maps(
    maps: SceneMaps, centre_depth: NDArray[np.float64], path: Path, size_px: int, kinds: Sequence[str]
) -> list[Path]:
    """Write depth and opacity beside the views of `path`, with `-depth` and `-opacity` before its ending.

    Args:
        maps: of the views.
        centre_depth: see `depth_pictures`.
        path: where the views are written.
        size_px: see `write_views`.
        kinds: which of `depth` and `opacity`.
    """
    pictures = {"depth": depth_pictures(maps.depth, centre_depth), "opacity": opacity_pictures(maps.opacity)}
    return [write_views(pictures[kind], None, map_path(path, kind), size_px) for kind in kinds]


def _sheet(shown: list[Image.Image], source: list[Image.Image], truth: list[Image.Image]) -> Image.Image:
    """The picture and all views in reading order, the truth below each row."""
    cells: list[NDArray[np.uint8] | None] = [np.asarray(image) for image in (*source, *shown)]
    if not truth:
        rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
        return image_grid(rows, row_labels=["picture"] if source else [])
    below: list[NDArray[np.uint8] | None] = [*[None] * len(source), *(np.asarray(image) for image in truth)]
    starts = range(0, len(cells), COLUMNS)
    rows = [row[start : start + COLUMNS] for start in starts for row in (cells, below)]
    return image_grid(rows, row_labels=["picture,\nviews", "truth", *["views", "truth"] * (len(starts) - 1)])


def _side_by_side(view: Image.Image, truth: Image.Image) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(view), np.asarray(truth)], axis=1))


def _save_mp4(frames: list[Image.Image], path: Path) -> Path:
    """H.264, which wants even sides: a row or column is repeated."""
    import imageio_ffmpeg

    even = ((0, frames[0].height % 2), (0, frames[0].width % 2), (0, 0))
    pictures = [np.pad(np.asarray(frame), even, mode="edge") for frame in frames]
    size = (pictures[0].shape[1], pictures[0].shape[0])
    with replacing(path) as partial:
        writer = imageio_ffmpeg.write_frames(
            str(partial), size, fps=FRAMES_PER_SECOND, macro_block_size=2, quality=8, output_params=["-f", "mp4"]
        )
        writer.send(None)
        for picture in pictures:
            writer.send(np.ascontiguousarray(picture))
        writer.close()
    return path


def enlarged(view: NDArray[np.uint8], size_px: int) -> Image.Image:
    """A view (height, width, 3), as wide as `size_px` and smooth, or as it is where it is no smaller."""
    image = Image.fromarray(view)
    if image.width >= size_px:
        return image
    return image.resize((size_px, round(size_px * image.height / image.width)), Image.Resampling.BICUBIC)
