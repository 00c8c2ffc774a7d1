"""Presets, `--set key=value` and what the shards say, resolved into one checked configuration."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.losses import LossWeights

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
Clock = Literal["wall", "process"]
T = TypeVar("T")

MAX_SEED = 2**63
"""Torch takes no larger seed."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a renderer is trained. Numbers that a run needs to be made again; nothing about its data or its model.

    Attributes:
        steps: training ends after so many steps (None: by minutes alone)...
        max_minutes: ...or after so many minutes of training, whichever comes first (None: by steps alone).
        clock: what minutes are: `wall`, or `process`, the processor time of this process, which compares models fairly
            on a busy machine (CPU alone, the same number of threads).
        batch_size: scenes a step.
        targets: targets of each encoded source; targets + 1 views of each scene are all rendered from each other, so
            1 means pairs, used in both directions.
        sources: each target is predicted from 1 to so many sources, as many in a whole step, drawn anew for each step;
            targets + sources views of each scene are needed.
        distance_dropout: share of the pictures whose distance the renderer is not told, so that it learns to do
            without; where the depth range travels alone.
        ema: share of the old weights that their moving average keeps at each step (0: no average); the average is
            what is measured and kept.
        learning_rate: Adam's, between warm-up and decay.
        muon_learning_rate: Muon's, for matrices, over the same course; 0: Adam for all (`training/muon.py`).
        warmup_steps: steps over which the learning rate rises from 0.
        decay: last share of the training over which it falls to 0 again.
        clip_norm: longest gradient; 0 for no limit.
        loss: weights of its parts.
        lpips_weights: file or folder of the weights that `loss.lpips` needs (`enr.model.lpips`).
        seed: of the weights and of the pairs.
        device: `auto` takes a GPU where torch sees one.
        precision: `auto` takes bfloat16 where the device multiplies it quickly.
        threads: of torch on the CPU; 0 leaves its choice.
        validations: how often the held-out scenes are measured, evenly over the training.
        validation_pictures: how many pictures of held-out scenes are measured.
        frames: how often the fixed pictures are rendered, evenly over the training.
        frame_scenes: how many of them there are.
        checkpoint_minutes: longest time without a checkpoint.
        log_every: steps between two lines of measurements.
    """

    steps: int | None = 100_000
    max_minutes: float | None = None
    clock: Clock = "wall"
    batch_size: int = 16
    targets: int = 1
    sources: int = 1
    distance_dropout: float = 0.3
    ema: float = 0.0
    learning_rate: float = 2e-4
    muon_learning_rate: float = 0.0
    warmup_steps: int = 100
    decay: float = 0.3
    clip_norm: float = 1.0
    loss: LossWeights = field(default_factory=LossWeights)
    lpips_weights: str | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = 0
    validations: int = 20
    validation_pictures: int = 256
    frames: int = 24
    frame_scenes: int = 6
    checkpoint_minutes: float = 5.0
    log_every: int = 20

    def __post_init__(self) -> None:
        if self.steps is None and self.max_minutes is None:
            raise EnrError("train.steps is null and no minutes are given; give --max-minutes M, or a number of steps.")
        if self.steps is not None:
            _check_bound("steps", self.steps, self.steps >= 1, "at least 1")
        for name in (
            "batch_size",
            "targets",
            "sources",
            "validations",
            "validation_pictures",
            "frames",
            "frame_scenes",
            "log_every",
        ):
            _check_bound(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "muon_learning_rate", "clip_norm", "seed", "threads"):
            _check_bound(name, getattr(self, name), getattr(self, name) >= 0, "not negative")
        for name in ("learning_rate", "checkpoint_minutes"):
            _check_bound(name, getattr(self, name), getattr(self, name) > 0, "positive")
        _check_bound("seed", self.seed, self.seed < MAX_SEED, "below 2**63")
        _check_bound("distance_dropout", self.distance_dropout, 0 <= self.distance_dropout <= 1, "in [0, 1]")
        _check_bound("ema", self.ema, 0 <= self.ema < 1, "in [0, 1)")
        _check_bound("decay", self.decay, 0 < self.decay <= 1, "in (0, 1]")
        if self.loss.lpips and not self.lpips_weights:
            raise EnrError(
                f"train.loss.lpips is {self.loss.lpips} and no weights are given; they are never downloaded: name a "
                "file or folder with --set lpips_weights=PATH."
            )
        if self.lpips_weights and not self.loss.lpips:
            raise EnrError("train.lpips_weights is given, but loss.lpips is 0; give it a weight, or leave both out.")
        if self.max_minutes is not None:
            _check_bound("max_minutes", self.max_minutes, self.max_minutes > 0, "positive")

    @property
    def views_per_scene(self) -> int:
        """Views of each scene that a step takes."""
        return self.targets + self.sources


@dataclass(frozen=True)
class Preset:
    """A named starting point.

    Attributes:
        name: of its YAML file.
        any_size: whether it takes pictures of other sizes than its own.
        model: entries of `RendererConfig` but for the camera.
        train: entries of `TrainConfig`.
    """

    name: str
    any_size: bool
    model: dict[str, Any]
    train: dict[str, Any]

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the pictures that it is for.

        Raises:
            EnrError: an override made `image_shape` something else than three whole numbers.
        """
        shape = self.model["image_shape"]
        if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(type(size) is int for size in shape):
            raise EnrError(f"model.image_shape is {shape!r}; give channels, height and width, such as [3,64,64].")
        return shape[1], shape[2]


@dataclass(frozen=True)
class Config:
    """A resolved configuration: the preset's name, the renderer and its training."""

    preset: str
    model: RendererConfig
    train: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return {"preset": self.preset, "model": self.model.to_dict(), "train": dataclasses.asdict(self.train)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The configuration that `to_dict` gave.

        Raises:
            EnrError: an entry is unknown or does not fit.
        """
        model = _validated(RendererConfig, values["model"], "model")
        return cls(str(values.get("preset", "")), model, validated_train(values["train"]))


def preset_names() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    folder = resources.files("enr.pipelines") / "presets"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def read_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        EnrError: there is none.
    """
    if name not in preset_names():
        raise EnrError(f"There is no preset {name!r}; {_nearest(name, preset_names())}")
    text = (resources.files("enr.pipelines") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return Preset(name, bool(content.get("any_size", False)), content["model"], content.get("train", {}))


def override(preset: Preset, assignments: Sequence[str]) -> Preset:
    """The preset with `key=value` assignments laid over it.

    Args:
        preset: the starting point.
        assignments: such as `learning_rate=1e-4`, `loss.ssim=0`, `model.warp=rigid`; values are YAML.

    Raises:
        EnrError: no `=`, or an unknown key (with the nearest known one).
    """
    sections: dict[str, dict[str, Any]] = {"model": dict(preset.model), "train": _copy(preset.train)}
    any_size = preset.any_size
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise EnrError(f"--set {assignment} has no value; write --set key=value.")
        section, *path = find_key(key.strip())
        any_size = any_size and path != ["image_shape"]  # a size that is asked for must be the shards'
        place = sections[section]
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = _read_value(key, text)
    return dataclasses.replace(preset, any_size=any_size, model=sections["model"], train=sections["train"])


def known_keys() -> dict[str, tuple[str, ...]]:
    """Every name that `--set` knows, and the place that it stands for, such as ("train", "loss", "ssim").

    The section may be left out: `warp` is `model.warp`, `steps` is `train.steps`.
    """
    paths = [("model", entry.name) for entry in dataclasses.fields(RendererConfig)]
    paths += [("train", entry.name) for entry in dataclasses.fields(TrainConfig) if entry.name != "loss"]
    nested = [("train", "loss", entry.name) for entry in dataclasses.fields(LossWeights)]
    known: dict[str, tuple[str, ...]] = {}
    for path in [*paths, *nested]:
        known[".".join(path)] = known[".".join(path[1:])] = path
    return known


def find_key(key: str) -> tuple[str, ...]:
    """The place that a key of `--set` stands for.

    Raises:
        EnrError: it is unknown; the message names the nearest known one.
    """
    known = known_keys()
    if key not in known:
        raise EnrError(f"--set does not know {key!r}; {_nearest(key, known)}")
    return known[key]


def resolve(preset: Preset, camera: Mapping[str, Any], size_px: tuple[int, int]) -> Config:
    """The configuration for data of one camera and picture size.

    Args:
        preset: with its overrides.
        camera: entries of `RendererConfig` that the data decides (lens, distance, near, far, background).
        size_px: (height, width) of the data's pictures.

    Raises:
        EnrError: the preset is for another size, or an entry does not fit.
    """
    model = dict(preset.model)
    if preset.any_size:
        model["image_shape"] = [3, *size_px]
    elif preset.size_px != size_px:
        height, width = preset.size_px
        raise EnrError(
            f"The preset {preset.name} is for pictures of {width}x{height} px, the shards hold {size_px[1]}x"
            f"{size_px[0]} px; choose another --preset, or add --set image_shape=[3,{size_px[0]},{size_px[1]}]."
        )
    return Config(
        preset.name,
        _validated(RendererConfig, {**camera, **model}, "model"),
        validated_train(preset.train),
    )


def validated_train(values: Mapping[str, Any]) -> TrainConfig:
    """The training configuration in plain values.

    Raises:
        EnrError: an entry is unknown or does not fit.
    """
    return _validated(TrainConfig, values, "train")


def _validated(kind: type[T], values: Mapping[str, Any], section: str) -> T:
    """`values` as the dataclass `kind`, types checked; unknown keys are refused."""
    known = [entry.name for entry in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise EnrError(f"The {section} configuration has no entry {unknown!r}; {_nearest(str(unknown), known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or section
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise EnrError(f"{section}.{place} is {first['input']!r}: {reason}; give a value that fits.") from error


def _read_value(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise EnrError(
            f"--set {key}={text} has a value that is not YAML; quote it or write a list as [1,2]."
        ) from error


def _nearest(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _check_bound(name: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise EnrError(f"train.{name} is {value}; it must be {expected}.")
