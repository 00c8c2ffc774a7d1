"""Pictures of what shards hold: a contact sheet for each group, flag and pass, and the cameras in space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.metadata.contact_sheet import (
    Tile,
    choose_views,
    on_own_background,
    read_tiles,
    save_contact_sheet,
    save_tiles,
)
from enr.datagen.verify.inspection import Inspected, flagged_rows
from enr.shards import FLAGS, ShardMeta

FLAGGED_VIEWS = 96
"""Most views on a sheet of a flag."""
NOTHING = 255
"""Grey of pixels where nothing is, in pictures of passes."""


def save_sheets(shards: Sequence[Inspected], group: str, out: Path) -> list[Path]:
    """Contact sheets of the shards of a group: all views, one for each flag that occurs, one for each pass.

    Args:
        shards: of that group, at least one.
        group: its name, the beginning of the files' names.
        out: the folder.

    Raises:
        EnrError: a sheet cannot be written.
    """
    sheets = [save_contact_sheet([shard.path for shard in shards], out / f"{group}-views.png")]
    for flag in FLAGS:
        rows = _first(flagged_rows(shards, flag))
        if rows:
            tiles = read_tiles(rows, "images", on_own_background)
            sheets.append(save_tiles(tiles, out / f"{group}-flag-{flag}.png"))
    for name in sorted({name for shard in shards for name in shard.passes}):
        held = [shard.path for shard in shards if name in shard.passes]
        sheets.append(_save_pass(held, name, out / f"{group}-pass-{name}.png"))
    return sheets


def _save_pass(shards: Sequence[Path], name: str, path: Path) -> Path:
    rows, per_scene = choose_views(shards)
    if name == "depth":
        depths = np.stack(read_tiles(rows, name, lambda picture, _: picture))
        return save_tiles(list(depth_colours(depths)), path, per_scene)
    return save_tiles(read_tiles(rows, name, _PAINT[name]), path, per_scene)


def depth_colours(depth: NDArray[Any]) -> NDArray[np.uint8]:
    """(..., height, width, 3): bright for the nearest, dark for the farthest of all; white where nothing is."""
    from matplotlib import colormaps

    is_there = np.isfinite(depth)
    near, far = (float(depth[is_there].min()), float(depth[is_there].max())) if is_there.any() else (0.0, 1.0)
    share = (far - np.where(is_there, depth, far)) / max(far - near, 1e-9)
    colours = np.rint(255 * np.asarray(colormaps["viridis"](share))[..., :3]).astype(np.uint8)
    return np.where(is_there[..., None], colours, np.uint8(NOTHING))


def _normal_colours(normals: NDArray[Any], meta: ShardMeta) -> Tile:
    """Each axis from -1 to 1 as a colour from 0 to 255; white where nothing is."""
    is_there = (normals != 0).any(axis=-1, keepdims=True)
    colours = np.rint(127.5 * (np.clip(normals.astype(np.float32), -1, 1) + 1)).astype(np.uint8)
    return np.where(is_there, colours, np.uint8(NOTHING))


def _mask_colours(mask: NDArray[Any], meta: ShardMeta) -> Tile:
    """Black where something is."""
    return np.where(mask[..., None], np.uint8(0), np.uint8(NOTHING)).repeat(3, axis=-1)


_PAINT = {"normals": _normal_colours, "mask": _mask_colours}


def _first(rows: dict[Path, list[int]]) -> dict[Path, list[int]]:
    """At most `FLAGGED_VIEWS` of the views, evenly over all shards."""
    total = sum(map(len, rows.values()))
    step = max(1, -(-total // FLAGGED_VIEWS))
    return {path: numbers[::step] for path, numbers in rows.items()}
