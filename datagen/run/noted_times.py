"""What meshes took, kept beside each shard until a manifest takes it up, since a run may be killed before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from enr.datagen.metadata.manifest import MeshTimes, write_text


def note_times(shard: Path, times: Mapping[str, MeshTimes]) -> None:
    """Keep the times of a shard's meshes, by scene id.

    Raises:
        OSError: they cannot be written.
    """
    write_text(_path(shard), json.dumps({scene_id: asdict(item) for scene_id, item in times.items()}))


def noted_times(shards: Sequence[Path]) -> dict[str, MeshTimes]:
    """What was kept of some shards, by scene id."""
    times: dict[str, MeshTimes] = {}
    for shard in shards:
        with suppress(OSError, ValueError, TypeError, AttributeError):  # not there, or damaged: times are no data
            noted = json.loads(_path(shard).read_text(encoding="utf-8"))
            times |= {scene_id: MeshTimes(**item) for scene_id, item in noted.items()}
    return times


def forget_times(shards: Sequence[Path]) -> None:
    """Remove what was kept: a manifest has it now."""
    for shard in shards:
        _path(shard).unlink(missing_ok=True)


def _path(shard: Path) -> Path:
    return shard.with_suffix(".times.json")
