"""One picture that shows what a data set looks like: views beside each other, parted by thin lines.

Small pictures are enlarged and large ones reduced by whole factors, so that a sheet of any data set can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.compositing import over_background
from enr.errors import EnrError
from enr.files import replacing
from enr.shards import ShardMeta, open_shard, read_meta, read_tables

COLUMNS = 16
ROWS = 12
VIEWS_PER_SCENE = 8
LINE_PX = 1
LINE_GREY = 128
TILE_PX = 160
"""Pictures are enlarged to at most this."""
SHEET_PX = 2048
"""About the width of the widest sheet."""

Tile = NDArray[np.uint8]
"""(height, width, 3)."""
Rows = Mapping[Path, Sequence[int]]
"""Rows of views by shard."""


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
    rows, per_scene = choose_views(shards)
    return save_tiles(read_tiles(rows, "images", on_own_background), path, per_scene)


def choose_views(shards: Sequence[Path]) -> tuple[dict[Path, list[int]], int]:
    """Rows of views by shard: as many scenes as fit, several views of each where the scenes are few; and how many."""
    views = []
    for shard in shards:
        scene_of_view = read_tables(shard)[1]["scene_id"]
        edges = [0, *(np.flatnonzero(scene_of_view[1:] != scene_of_view[:-1]) + 1), len(scene_of_view)]
        views += [(shard, int(start), int(stop)) for start, stop in itertools.pairwise(edges)]
    largest = max(stop - start for _, start, stop in views)
    per_scene = int(np.clip(COLUMNS * ROWS // len(views), 1, min(VIEWS_PER_SCENE, largest)))
    kept = np.unique(np.linspace(0, len(views) - 1, COLUMNS * ROWS // per_scene).round().astype(int))
    chosen: dict[Path, list[int]] = {}
    for number in kept:
        shard, start, stop = views[number]
        chosen.setdefault(shard, []).extend(range(start, min(start + per_scene, stop)))
    return chosen, per_scene


def read_tiles(rows: Rows, name: str, paint: Callable[[NDArray[Any], ShardMeta], Tile]) -> list[Tile]:
    """Pictures of the data set `name` (`images` or a pass), made visible by `paint`."""
    tiles = []
    for shard, numbers in rows.items():
        meta = read_meta(shard)
        with open_shard(shard) as file:
            tiles += [paint(file[name][row], meta) for row in numbers]
    return tiles


def save_tiles(tiles: Sequence[Tile], path: Path, per_scene: int = 1) -> Path:
    """Save pictures of one size as a sheet; `per_scene` of them that belong together stay in one line.

    Raises:
        EnrError: it cannot be written.
    """
    try:
        _save(Image.fromarray(_grid(_sized(tiles, columns := _columns(len(tiles), per_scene)), columns)), path)
    except OSError as error:
        raise EnrError(
            f"{path} cannot be written ({error.strerror or error}); make room and run the same command again, "
            "finished shards are kept."
        ) from error
    return path


def on_own_background(view: NDArray[np.uint8], meta: ShardMeta) -> Tile:
    """RGB (height, width, 3) of a straight-alpha picture (height, width, 4) over the shard's background."""
    return over_background(view, meta.background)


def _columns(tiles: int, per_scene: int) -> int:
    """Tiles in a line: whole scenes, about as many as there are lines."""
    scenes = round(max(1.0, np.sqrt(tiles) / per_scene))
    return min(per_scene * min(scenes, max(1, COLUMNS // per_scene)), tiles)


def _sized(tiles: Sequence[Tile], columns: int) -> list[Tile]:
    """Tiles enlarged or reduced by one whole factor."""
    height, width = tiles[0].shape[:2]
    zoom = min(TILE_PX // max(height, width), SHEET_PX // (columns * width))
    if zoom > 1:
        return [tile.repeat(zoom, axis=0).repeat(zoom, axis=1) for tile in tiles]
    factor = min(-(-columns * width // SHEET_PX), height, width)
    return [np.asarray(Image.fromarray(tile).reduce(factor)) for tile in tiles] if factor > 1 else list(tiles)


def _grid(tiles: Sequence[Tile], columns: int) -> Tile:
    """One picture of equally large ones with lines between them, filled up with white."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    pitch = (height + LINE_PX, width + LINE_PX)
    sheet = np.full((rows * pitch[0] + LINE_PX, columns * pitch[1] + LINE_PX, 3), LINE_GREY, dtype=np.uint8)
    for number in range(rows * columns):
        top, left = (number // columns) * pitch[0] + LINE_PX, (number % columns) * pitch[1] + LINE_PX
        sheet[top : top + height, left : left + width] = tiles[number] if number < len(tiles) else 255
    return sheet


def _save(image: Image.Image, path: Path) -> None:
    """Write a PNG; complete or as it was."""
    with replacing(path) as partial:
        image.save(partial, format="PNG")
