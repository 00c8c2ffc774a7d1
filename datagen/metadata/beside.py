"""Small files beside a shard: that all of its meshes failed, and what they took until a manifest has it.

A planned shard of which every mesh failed is no HDF5 file; `<shard>.failed.json` in its place says so, so that it is
neither forgotten nor tried for ever. Times are noted shard by shard, since a run may be killed before its manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, cast

from enr import __version__
from enr.datagen.failures import Failure, from_config
from enr.datagen.metadata.manifest import MeshTimes
from enr.files import write_text
from enr.shards import read_meta
from enr.shards.config import ShardConfig

FAILED_FORMAT = "enr-failed-shard"
FAILED_SUFFIX = ".failed.json"
TIMES_SUFFIX = ".times.json"


class FailedShard(TypedDict):
    """The file in the place of a shard of which every mesh failed: what would have made it."""

    format: str
    enr_version: str
    blender_version: str
    config: ShardConfig


def failed_path(shard: Path) -> Path:
    """The file that stands in for a shard of which every mesh failed."""
    return shard.with_suffix(FAILED_SUFFIX)


def write_failed(shard: Path, config: ShardConfig, blender_version: str) -> None:
    """Say in a shard's place that every mesh of it failed; complete or absent.

    Raises:
        OSError: it cannot be written.
    """
    content: FailedShard = {
        "format": FAILED_FORMAT,
        "enr_version": __version__,
        "blender_version": blender_version,
        "config": config,
    }
    write_text(failed_path(shard), json.dumps(content, sort_keys=True, indent=1))


def read_failed(path: Path) -> FailedShard | None:
    """The content of a file made by `write_failed`; None if it is not there or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"] == FAILED_FORMAT and {"enr_version", "blender_version", "config"} <= content.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cast(FailedShard, content) if known else None


def failures_on_disk(shard: Path) -> dict[str, Failure]:
    """What failed in a shard when it was made, by scene id; nothing if it was not made yet."""
    if shard.exists():
        return from_config(read_meta(shard).config)
    failed = read_failed(failed_path(shard))
    return from_config(failed["config"]) if failed else {}


def note_times(shard: Path, times: Mapping[str, MeshTimes]) -> None:
    """Keep the times of a shard's meshes, by scene id.

    Raises:
        OSError: they cannot be written.
    """
    noted = {scene_id: asdict(item) for scene_id, item in times.items()}
    write_text(shard.with_suffix(TIMES_SUFFIX), json.dumps(noted))


def noted_times(shards: Sequence[Path]) -> dict[str, MeshTimes]:
    """What was kept of some shards, by scene id."""
    times: dict[str, MeshTimes] = {}
    for shard in shards:
        with suppress(OSError, ValueError, TypeError, AttributeError):  # not there, or damaged: times are no data
            noted = json.loads(shard.with_suffix(TIMES_SUFFIX).read_text(encoding="utf-8"))
            times |= {scene_id: MeshTimes(**item) for scene_id, item in noted.items()}
    return times


def forget_times(shards: Sequence[Path]) -> None:
    """Remove what was kept: a manifest has it now."""
    for shard in shards:
        shard.with_suffix(TIMES_SUFFIX).unlink(missing_ok=True)
