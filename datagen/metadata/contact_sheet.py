"""One picture that shows what a data set looks like: views of meshes under their names, parted by lines.

Small pictures are enlarged and large ones reduced by whole factors, so that a sheet of any data set can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from enr.compositing import over_background
from enr.errors import EnrError
from enr.files import replacing
from enr.shards import ShardMeta, open_shard, read_meta, read_tables

COLUMNS = 16
ROWS = 12
VIEWS_PER_SCENE = 8
LINE_PX = 1
LINE_GREY = 128
BORDER_PX = 3
BORDER_GREY = 48
"""Between meshes; thinner and lighter lines part the views of one."""
LABEL_PX = 14
TILE_PX = 160
"""Pictures are enlarged to at most this."""
SHEET_PX = 2048
"""About the width of the widest sheet."""

Tile = NDArray[np.uint8]
"""(height, width, 3)."""


@dataclass(frozen=True)
class SceneRows:
    """Some views of a mesh: its id, its shard, and their rows there."""

    scene_id: str
    shard: Path
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Strip:
    """Pictures that stand beside each other, under a name."""

    name: str
    tiles: tuple[Tile, ...]


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
    return save_strips(read_strips(choose_views(shards), "images", on_own_background), path)


def choose_views(shards: Sequence[Path]) -> list[SceneRows]:
    """As many scenes as fit on a sheet, evenly chosen, and several views of each where the scenes are few."""
    scenes = []
    for shard in shards:
        scene_of_view = read_tables(shard)[1]["scene_id"]
        edges = [0, *(np.flatnonzero(scene_of_view[1:] != scene_of_view[:-1]) + 1), len(scene_of_view)]
        scenes += [SceneRows(str(scene_of_view[a]), shard, tuple(range(a, b))) for a, b in itertools.pairwise(edges)]
    largest = max(len(scene.rows) for scene in scenes)
    per_scene = int(np.clip(COLUMNS * ROWS // len(scenes), 1, min(VIEWS_PER_SCENE, largest)))
    kept = np.unique(np.linspace(0, len(scenes) - 1, COLUMNS * ROWS // per_scene).round().astype(int))
    return [SceneRows(scenes[n].scene_id, scenes[n].shard, scenes[n].rows[:per_scene]) for n in kept]


def read_strips(
    scenes: Sequence[SceneRows], name: str, paint: Callable[[NDArray[Any], ShardMeta], Tile]
) -> list[Strip]:
    """Pictures of the data set `name` (`images` or a pass), made visible by `paint`, a strip for each scene."""
    strips = []
    for shard, group in itertools.groupby(scenes, key=lambda scene: scene.shard):
        meta = read_meta(shard)
        with open_shard(shard) as file:
            for scene in group:
                tiles = tuple(paint(file[name][row], meta) for row in scene.rows)
                strips.append(Strip(scene.scene_id, tiles))
    return strips


def save_strips(strips: Sequence[Strip], path: Path, legend: Strip | None = None) -> Path:
    """Save pictures of one size as a sheet, each strip under its name.

    Args:
        strips: at least one, of at least one picture each.
        path: the PNG to write.
        legend: a picture to explain the others, at the foot of the sheet under its own words.

    Returns:
        `path`.

    Raises:
        EnrError: it cannot be written.
    """
    height, width = strips[0].tiles[0].shape[:2]
    longest = max(len(strip.tiles) for strip in strips)
    # As many strips in a line as make about as many tiles across as there are lines.
    across = round(max(1.0, np.sqrt(len(strips) * longest) / longest))
    columns = min(across, max(1, COLUMNS // longest), len(strips))
    resize = _resizing(width, height, columns * longest)
    blocks = [_block(Strip(strip.name, tuple(map(resize, strip.tiles))), longest) for strip in strips]
    sheet = _grid(blocks, columns)
    if legend is not None:
        size = (sheet.shape[1], LABEL_PX)
        picture = np.asarray(Image.fromarray(legend.tiles[0]).resize(size, Image.Resampling.NEAREST))
        sheet = np.concatenate([sheet, label(legend.name, sheet.shape[1]), picture])
    try:
        with replacing(path) as partial:
            Image.fromarray(sheet).save(partial, format="PNG")
    except OSError as error:
        raise EnrError(
            f"{path} cannot be written ({error.strerror or error}); make room and run the same command again, "
            "finished shards are kept."
        ) from error
    return path


def on_own_background(view: NDArray[np.uint8], meta: ShardMeta) -> Tile:
    """RGB (height, width, 3) of a straight-alpha picture (height, width, 4) over the shard's background."""
    return over_background(view, meta.background)


def label(text: str, width_px: int) -> Tile:
    """A line of text (LABEL_PX, width, 3), black on white; what does not fit is cut off at its end, and so marked."""
    font = ImageFont.load_default(LABEL_PX - 3)
    shown = text
    while shown and font.getlength(shown) > width_px - 2:
        shown = shown.rstrip("…")[:-1] + "…" if len(shown) > 1 else ""
    line = Image.new("RGB", (width_px, LABEL_PX), "white")
    ImageDraw.Draw(line).text((1, 0), shown, fill="black", font=font)
    return np.asarray(line)


def _resizing(width: int, height: int, across: int) -> Callable[[Tile], Tile]:
    """How each picture is enlarged or reduced, by one whole factor, where `across` of them stand in a line."""
    zoom = min(TILE_PX // max(height, width), SHEET_PX // (across * width))
    factor = min(-(-across * width // SHEET_PX), height, width)
    if zoom > 1:
        return lambda tile: tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
    if factor > 1:
        return lambda tile: np.asarray(Image.fromarray(tile).reduce(factor))
    return lambda tile: tile


def _block(strip: Strip, length: int) -> Tile:
    """A strip as one picture: its name, and `length` places with lines between them, of which some may stay white."""
    height, width = strip.tiles[0].shape[:2]
    pitch = width + LINE_PX
    row = np.full((height, length * pitch - LINE_PX, 3), LINE_GREY, dtype=np.uint8)
    for place in range(length):
        row[:, place * pitch : place * pitch + width] = strip.tiles[place] if place < len(strip.tiles) else 255
    return np.concatenate([label(strip.name, row.shape[1]), row])


def _grid(blocks: Sequence[Tile], columns: int) -> Tile:
    """One picture of equally large ones with borders around them, filled up with white."""
    height, width = blocks[0].shape[:2]
    lines = -(-len(blocks) // columns)
    pitch = (height + BORDER_PX, width + BORDER_PX)
    size = (lines * pitch[0] + BORDER_PX, columns * pitch[1] + BORDER_PX, 3)
    sheet = np.full(size, BORDER_GREY, dtype=np.uint8)
    for number in range(lines * columns):
        top, left = (number // columns) * pitch[0] + BORDER_PX, (number % columns) * pitch[1] + BORDER_PX
        sheet[top : top + height, left : left + width] = blocks[number] if number < len(blocks) else 255
    return sheet
