"""A preset, what is set over it and what the shards say, resolved into one checked configuration: `config.yaml`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from enr.checking import Table, validated
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.config.presets import Preset
from enr.pipelines.config.training import TrainConfig


@dataclass(frozen=True)
class Config:
    """A resolved configuration: the preset's name, the renderer and its training."""

    preset: str
    model: RendererConfig
    train: TrainConfig

    def to_dict(self) -> dict[str, object]:
        """Plain values for YAML."""
        return {"preset": self.preset, "model": self.model.to_dict(), "train": dataclasses.asdict(self.train)}

    @classmethod
    def from_dict(cls, values: Table) -> Config:
        """The configuration that `to_dict` gave, of this version or an earlier one.

        Raises:
            EnrError: an entry is missing, unknown or does not fit.
        """
        model, train = (_section(values, name) for name in ("model", "train"))
        return cls(str(values.get("preset", "")), validated(RendererConfig, model, "model"), validated_train(train))


def _section(values: Table, name: str) -> Table:
    section = values.get(name)
    if not isinstance(section, Mapping):
        raise EnrError(f"The configuration has no section {name}; give a run's config.yaml, or what holds the same.")
    return section


def resolve(preset: Preset, camera: Table, size_px: tuple[int, int]) -> Config:
    """The configuration for data of one camera and picture size.

    Args:
        preset: with its overrides.
        camera: entries of `RendererConfig` that the data decides (lens, distance, near, far, background).
        size_px: (height, width) of the data's pictures.

    Raises:
        EnrError: the preset is for another size, or an entry does not fit.
    """
    model = dict(preset.model)
    if model.get("depth_range") != "travelling":
        camera = {name: value for name, value in camera.items() if name != "reaim"}
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
        validated(RendererConfig, {**camera, **model}, "model"),
        validated_train(preset.train),
    )


def validated_train(values: Table) -> TrainConfig:
    """The training configuration in plain values.

    Raises:
        EnrError: an entry is unknown or does not fit.
    """
    return validated(TrainConfig, values, "train")
