"""Fine-tuning: what a training takes from the checkpoint that it starts from, and what is said about it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enr.errors import EnrError
from enr.model.checkpoint import WEIGHTS_NAME
from enr.model.config import RendererConfig
from enr.model.description import CheckpointMetadata, StartedFrom
from enr.model.renderer import Renderer
from enr.pipelines.config import Preset
from enr.pipelines.data.views import ViewSet

CAMERA_ENTRIES = ("focal_px", "radius", "near", "far", "half_depth", "reaim", "background")
"""Entries of `RendererConfig` that no weight depends on; they come from the new shards."""

SIGHT_ENTRY = "sight_channels"
"""The one entry that weights need not fit: where it makes a difference, the estimate of the distance starts anew."""

MACHINE_ENTRIES = ("device", "precision", "threads")
"""Entries of `TrainConfig` that belong to the machine of the earlier training."""

RECORD: Final = "initialised_from"
"""The entry of `config.yaml` and of a checkpoint's metadata that says where the weights came from."""


@dataclass(frozen=True)
class Initial:
    """A checkpoint to start from.

    Attributes:
        path: where it lies.
        model: its renderer, in eval mode.
        metadata: what it says about its making.
    """

    path: Path
    model: Renderer
    metadata: CheckpointMetadata

    @property
    def config(self) -> RendererConfig:
        """Of its renderer."""
        return self.model.config

    @property
    def scene_ids(self) -> frozenset[str]:
        """Ids of the scenes that its weights were trained on, as far as it says so."""
        return frozenset(self.metadata.get("data", {}).get("trained_scene_ids", ()))

    def preset(self) -> Preset | None:
        """Its architecture and the settings of its own training; None where it does not say them."""
        train = self.metadata.get("train")
        if not isinstance(train, Mapping):
            return None
        kept = {name: value for name, value in train.items() if name not in MACHINE_ENTRIES}
        return Preset(str(self.metadata.get("preset", "")), False, self.architecture(), kept)

    def architecture(self) -> dict[str, object]:
        """Entries of its `RendererConfig` but for the camera."""
        return {name: value for name, value in self.config.to_dict().items() if name not in CAMERA_ENTRIES}

    def record(self) -> StartedFrom:
        """Where the weights came from, for `config.yaml` and for checkpoints; groups are all that they ever learned."""
        return {
            "checkpoint": str(self.path.resolve()),
            "sha256": _sha256(_weights_file(self.path)),
            "step": self.metadata.get("step"),
            "preset": self.metadata.get("preset"),
            "groups": sorted({*_groups(self.metadata), *earlier_groups(self.metadata)}),
            "scenes": len(self.scene_ids),
            RECORD: self.metadata.get(RECORD),
        }

    def describe(self) -> str:
        """Such as `runs/x/checkpoints/best (rot, step 1200)`."""
        step = f", step {self.metadata['step']}" if "step" in self.metadata else ""
        return f"{self.path} ({', '.join(_groups(self.metadata))}{step})"


def check_architecture(initial: Initial, wanted: Preset) -> None:
    """Check that a configuration asks for the checkpoint's architecture.

    Raises:
        EnrError: an entry differs; the message names it.
    """
    has = initial.architecture()
    defaults = {entry.name: entry.default for entry in dataclasses.fields(RendererConfig)}
    for name, value in has.items():
        if name == SIGHT_ENTRY or (wanted.any_size and name == "image_shape"):
            continue
        wants = wanted.model.get(name, defaults[name])
        if _plain(wants) != _plain(value):
            raise EnrError(
                f"--init {initial.path} has {name} = {value}, but {wants} is asked for; its weights fit its "
                f"own architecture alone: leave out --preset and --set {name}, or train without --init."
            )


def _plain(value: Any) -> Any:
    """Lists and tuples alike."""
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def check_size(initial: Initial, view_set: ViewSet) -> None:
    """Check that the shards' pictures are of the checkpoint's size.

    Raises:
        EnrError: they are not.
    """
    _, height, width = initial.config.image_shape
    if (height, width) != (view_set.height_px, view_set.width_px):
        raise EnrError(
            f"--init {initial.path} is for pictures of {width}x{height} px, the shards hold {view_set.width_px}x"
            f"{view_set.height_px} px; give shards made with --resolution {width}x{height}."
        )


def said_of_start(initial: Initial, config: RendererConfig, view_set: ViewSet) -> list[str]:
    """Lines about a start from a checkpoint: what the new camera changes, and scenes that are held out too late."""
    words = _said_of_camera(initial.config, config)
    if config.has_travelling_range and _estimates(config) != _estimates(initial.config):
        words.append(
            "The estimate of the distance starts anew: it looks at pictures through another network or camera."
        )
    return [*words, *_said_of_scenes(initial, view_set)]


def inherit(metadata: CheckpointMetadata, record: StartedFrom, scene_ids: Iterable[str]) -> CheckpointMetadata:
    """Metadata of a training that started from a checkpoint.

    Its groups remain those of the new data; its trained scenes are those of both trainings.

    Args:
        metadata: of the new training.
        record: of the checkpoint.
        scene_ids: that the checkpoint's weights were trained on.
    """
    data = metadata["data"]
    ids = sorted({*data["trained_scene_ids"], *scene_ids})
    return {**metadata, "data": {**data, "trained_scene_ids": ids}, RECORD: record}


def earlier_groups(metadata: CheckpointMetadata) -> tuple[str, ...]:
    """The groups that a checkpoint's weights learned before the training that made it."""
    return tuple((metadata.get(RECORD) or {}).get("groups", ()))


def _groups(metadata: CheckpointMetadata) -> tuple[str, ...]:
    stated = metadata.get("groups", metadata.get("group", ()))
    return (stated,) if isinstance(stated, str) else tuple(stated)


def _estimates(config: RendererConfig) -> tuple[bool, tuple[int, ...]]:
    """What the weights of the estimate of the distance belong to."""
    return config.reaim, config.glance_channels


def _said_of_camera(old: RendererConfig, new: RendererConfig) -> list[str]:
    names = ("focal_px", "radius", "near", "far", *(("half_depth",) if new.has_travelling_range else ()))
    changes = [
        f"{name} {getattr(new, name):.4g} (was {getattr(old, name):.4g})"
        for name in names
        if abs(getattr(new, name) / getattr(old, name) - 1) > 1e-3
    ]
    if new.background != old.background:
        changes.append(f"background {new.background} (was {old.background})")
    if new.reaim != old.reaim:
        changes.append(f"reaim {str(new.reaim).lower()} (was {str(old.reaim).lower()})")
    if not changes:
        return []
    stretch = _stretch(old, new)
    words = f"The camera is that of the shards: {', '.join(changes)}."
    if abs(stretch - 1) > 1e-3:
        words += f" A cell of the scene is {stretch:.3g} times as deep as when the weights learned what it holds."
    return [words]


def _stretch(old: RendererConfig, new: RendererConfig) -> float:
    """How many times as deep a cell has become."""
    if new.warp == "conditioned":
        return 1.0
    if new.warp == "rigid":
        return new.half_side / old.half_side
    if new.has_travelling_range:
        return new.half_depth / old.half_depth
    return (new.far - new.near) / (old.far - old.near)


def _said_of_scenes(initial: Initial, view_set: ViewSet) -> list[str]:
    held_out = {scene.scene_id for scene in view_set.all_scenes if scene.split != "train" and not scene.is_held_out}
    if held_out and not initial.scene_ids:
        return ["The checkpoint does not say what it was trained on: it may have seen scenes that are held out here."]
    seen = sorted(held_out & initial.scene_ids)
    if not seen:
        return []
    return [
        f"The checkpoint was TRAINED on {len(seen)} of the {len(held_out)} scenes that these shards hold out (first: "
        f"{seen[0]}): scores on them are not of unseen objects."
    ]


def _weights_file(path: Path) -> Path:
    if path.suffix in (".pt", ".pth"):
        return path
    return path / WEIGHTS_NAME if path.is_dir() else path.with_name(WEIGHTS_NAME)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**22):
            digest.update(piece)
    return digest.hexdigest()
