"""Pictures of what shards hold: a contact sheet for each group, flag and pass, and the cameras in space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.metadata.contact_sheet import (
    SceneRows,
    Strip,
    Tile,
    choose_views,
    on_own_background,
    read_strips,
    save_contact_sheet,
    save_strips,
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
    ids = {shard.path: shard.views["scene_id"].tolist() for shard in shards}
    for flag in FLAGS:
        rows = flagged_rows(shards, flag)
        if rows:
            step = max(1, -(-sum(map(len, rows.values())) // FLAGGED_VIEWS))
            scenes = [SceneRows(ids[path][row], path, (row,)) for path in rows for row in rows[path][::step]]
            strips = read_strips(scenes, "images", on_own_background)
            sheets.append(save_strips(strips, out / f"{group}-flag-{flag}.png"))
    for name in sorted({name for shard in shards for name in shard.passes}):
        held = [shard.path for shard in shards if name in shard.passes]
        sheets.append(_save_pass(held, name, out / f"{group}-pass-{name}.png"))
    return sheets


def _save_pass(shards: Sequence[Path], name: str, path: Path) -> Path:
    scenes = choose_views(shards)
    if name != "depth":
        return save_strips(read_strips(scenes, name, _PAINT[name]), path)
    depths = read_strips(scenes, name, lambda picture, _: picture)
    near, far = depth_range(np.stack([tile for strip in depths for tile in strip.tiles]))
    strips = [Strip(strip.name, tuple(depth_colours(tile, near, far) for tile in strip.tiles)) for strip in depths]
    ramp = depth_colours(np.linspace(near, far, 256)[None], near, far)
    return save_strips(strips, path, Strip(f"depth from {near:.3g} (left) to {far:.3g} object units", (ramp,)))


def depth_range(depth: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest depth (...) where something is; 0 and 1 where nothing is."""
    there = depth[np.isfinite(depth)]
    return (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)


def depth_colours(depth: NDArray[Any], near: float, far: float) -> NDArray[np.uint8]:
    """(..., 3): bright at the depth `near`, dark at `far`; white where nothing is."""
    from matplotlib import colormaps

    is_there = np.isfinite(depth)
    share = (far - np.where(is_there, depth, far)) / max(far - near, 1e-9)
    colours = np.rint(255 * np.asarray(colormaps["viridis"](share))[..., :3]).astype(np.uint8)
    return np.where(is_there[..., None], colours, np.uint8(NOTHING))


def _normal_colours(normals: NDArray[Any], meta: ShardMeta) -> Tile:
    """Each axis from -1 to 1 as a colour from 0 to 255; white where nothing is."""
    is_there = (normals != 0).any(axis=-1, keepdims=True)
    colours = np.rint(127.5 * (np.clip(normals.astype(np.float32), -1, 1) + 1)).astype(np.uint8)
    return np.where(is_there, colours, np.uint8(NOTHING))


_PAINT = {
    "normals": _normal_colours,
    "mask": lambda mask, _: np.where(mask[..., None], np.uint8(0), np.uint8(NOTHING)).repeat(3, axis=-1),
}
