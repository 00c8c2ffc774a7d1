"""What stands beside a checkpoint's weights, as JSON holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class TrainedShard(TypedDict, total=False):
    """A shard that was trained on: its file, group and seed, and how many views it holds."""

    path: str
    group: str
    seed: int
    views: int


class TrainedData(TypedDict, total=False):
    """What weights were trained on.

    Attributes:
        groups: of the scenes that were trained on.
        shards: the files.
        made_with: how the pictures were made, each way once.
        scenes: how many, by group and split.
        trained_scene_ids: of the split train.
    """

    groups: list[str]
    shards: list[TrainedShard]
    made_with: Sequence[Mapping[str, Any]]
    scenes: dict[str, dict[str, int]]
    trained_scene_ids: list[str]


class StartedFrom(TypedDict, total=False):
    """The checkpoint that a training started from.

    Attributes:
        checkpoint: its path.
        sha256: of its weights.
        step: of its training.
        preset: its own.
        groups: all that its weights ever learned.
        scenes: how many it was trained on.
        initialised_from: what it started from itself, if anything.
    """

    checkpoint: str
    sha256: str
    step: int | None
    preset: str | None
    groups: list[str]
    scenes: int
    initialised_from: StartedFrom | None


class CheckpointMetadata(TypedDict, total=False):
    """What a checkpoint says of its making.

    Attributes:
        source: of a checkpoint of another implementation, which.
        enr_version: that wrote it.
        preset: of its configuration.
        group, groups: that it learned; a single one may stand alone.
        data: what it was trained on.
        train: entries of its `TrainConfig`.
        machine: where it was trained, such as `device`, `torch`, `cores`, `processor`.
        step: of the training.
        elapsed_s: seconds of training until then.
        validation: means over held-out scenes, where there are some.
        initialised_from: the checkpoint that the training started from, if there was one.
    """

    source: str
    enr_version: str
    preset: str
    group: str | list[str]
    groups: str | list[str]
    data: TrainedData
    train: Mapping[str, Any]
    machine: Mapping[str, object]
    step: int
    elapsed_s: float
    validation: Mapping[str, Any] | None
    initialised_from: StartedFrom | None


class Description(TypedDict):
    """The JSON file: its format, the entries of the `RendererConfig`, and how it was made."""

    format: str
    format_version: int
    config: Mapping[str, object]
    metadata: CheckpointMetadata
