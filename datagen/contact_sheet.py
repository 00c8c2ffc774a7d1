"""One picture that shows what a data set looks like."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.errors import EnrError
from enr.shards import PARTIAL_SUFFIX, open_shard, read_meta, read_tables

COLUMNS = 16
ROWS = 12
VIEWS_PER_SCENE = 8


def save_contact_sheet(shards: Sequence[Path], path: Path) -> Path:
    """Save a grid of views, evenly chosen over all scenes, on the shards' background.

    Args:
        shards: at least one shard; all of one picture size.
        path: the PNG to write.

    Returns:
        `path`.

    Raises:
        EnrError: it cannot be written.
    """
    tiles = []
    for shard, rows in _choose(shards).items():
        background = read_meta(shard).background
        with open_shard(shard) as file:
            tiles += [_over(file["images"][row], background) for row in rows]
    try:
        _save(Image.fromarray(_grid(tiles)), path)
    except OSError as error:
        raise EnrError(
            f"{path} cannot be written ({error.strerror or error}); make room and run the same command again, "
            "finished shards are kept."
        ) from error
    return path


def _save(image: Image.Image, path: Path) -> None:
    """Write a PNG; complete or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        image.save(partial, format="PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _choose(shards: Sequence[Path]) -> dict[Path, list[int]]:
    """Rows of views by shard: as many scenes as fit, several views of each where the scenes are few."""
    views = []
    for shard in shards:
        scene_of_view = read_tables(shard)[1]["scene_id"]
        edges = [0, *(np.flatnonzero(scene_of_view[1:] != scene_of_view[:-1]) + 1), len(scene_of_view)]
        views += [(shard, int(start), int(stop)) for start, stop in itertools.pairwise(edges)]
    per_scene = int(np.clip(COLUMNS * ROWS // len(views), 1, VIEWS_PER_SCENE))
    kept = np.unique(np.linspace(0, len(views) - 1, COLUMNS * ROWS // per_scene).round().astype(int))
    chosen: dict[Path, list[int]] = {}
    for number in kept:
        shard, start, stop = views[number]
        chosen.setdefault(shard, []).extend(range(start, min(start + per_scene, stop)))
    return chosen


def _over(rgba: NDArray[np.uint8], background: tuple[float, float, float]) -> NDArray[np.uint8]:
    """RGB (height, width, 3) of a straight-alpha picture (height, width, 4) over a background colour."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    colour = alpha * rgba[..., :3] + (1 - alpha) * 255 * np.asarray(background)
    return colour.round().astype(np.uint8)


def _grid(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One picture (rows * height, columns * width, 3) of equally large ones, filled up with white."""
    columns = min(COLUMNS, len(tiles))
    blanks = [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = np.array([*tiles, *blanks]).reshape(-1, columns, *tiles[0].shape)
    return rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * tiles[0].shape[1], 3)
