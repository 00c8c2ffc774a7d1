"""Why a mesh has no pictures: a kind that can be counted, and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enr.shards.config import FailureEntry, ShardConfig

BAD_MESH = "bad_mesh"
UNREADABLE = "unreadable"
CRASH = "crash"
TIME = "time"
MEMORY = "memory"
ERROR = "error"
FLAGGED = "flagged"
TRANSIENT = (UNREADABLE, CRASH, TIME, MEMORY, ERROR)
"""Kinds that another try may mend, on another day or with other limits; a bad mesh or view stays one."""


@dataclass(frozen=True)
class Failure:
    """Why a mesh has no pictures.

    Attributes:
        kind: `bad_mesh` (nothing in it can be rendered), `unreadable` (its file could not be read), `crash` (Blender
            died), `time` or `memory` (it needed more than it was allowed), `error` (anything unexpected),
            `flagged` (a view is bad, see `enr.datagen.flags`).
        reason: in words, with the tail of Blender's own.
    """

    kind: str
    reason: str

    @property
    def is_transient(self) -> bool:
        """Whether another try may succeed."""
        return self.kind in TRANSIENT


def to_config(failures: Mapping[str, Failure]) -> dict[str, FailureEntry]:
    """Failures by scene id as JSON, for a shard's config."""
    return {scene_id: {"kind": failure.kind, "reason": failure.reason} for scene_id, failure in failures.items()}


def from_config(config: ShardConfig) -> dict[str, Failure]:
    """The failures by scene id of the shard that was made with this config."""
    stored = dict(config.get("failures", {}))
    return {scene_id: _read(entry) for scene_id, entry in stored.items()}


def _read(entry: Any) -> Failure:
    """An entry; earlier versions stored the words alone."""
    return Failure(entry["kind"], entry["reason"]) if isinstance(entry, dict) else Failure(ERROR, str(entry))
