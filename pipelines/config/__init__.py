"""What can be configured, as one tree of typed, frozen, checked objects.

| object | what | its views |
|---|---|---|
| `data_sets.DatagenConfig` | a data set that is rendered | `enr datagen`'s options, an experiment's `datagen` |
| `data_sets.ConvertConfig` | a data set that is converted | `enr convert`'s options, an experiment's `convert` |
| `Config.model`, `Config.train` | a renderer and its training | presets, `--set`, `set=`, `config.yaml` |
| `TrainSettings` | a training that is asked for | `enr train`'s options, an experiment's `variants` |

Nothing here loads torch or Blender.
"""

from __future__ import annotations

from enr.pipelines.config.presets import (
    Preset,
    check_agreement,
    find_key,
    flat,
    key_values,
    known_keys,
    override,
    preset_names,
    read_preset,
)
from enr.pipelines.config.resolved import Config, resolve, validated_train
from enr.pipelines.config.training import (
    RUNS,
    Assignments,
    Clock,
    Device,
    Precision,
    TrainConfig,
    TrainSettings,
    shards_or_default,
)

__all__ = [
    "RUNS",
    "Assignments",
    "Clock",
    "Config",
    "Device",
    "Precision",
    "Preset",
    "TrainConfig",
    "TrainSettings",
    "check_agreement",
    "find_key",
    "flat",
    "key_values",
    "known_keys",
    "override",
    "preset_names",
    "read_preset",
    "resolve",
    "shards_or_default",
    "validated_train",
]
