"""Presets, and what is laid over them: `--set key=value`, a table from Python or an experiment's `set`, all alike."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import yaml

from enr.checking import Table, nearest, option
from enr.errors import EnrError
from enr.model.config import LossWeights, RendererConfig
from enr.pipelines.config.training import Assignments, TrainConfig

OTHERS_NAMES = {"lr": "learning_rate", "bs": "batch_size", "iterations": "steps", "epochs": "steps"}
"""What other programs call some keys, which is not near enough to be guessed."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True)
class Preset:
    """A named starting point.

    Attributes:
        name: of its YAML file.
        any_size: whether it takes pictures of other sizes than its own.
        model: entries of `RendererConfig` but for the camera, as they are written.
        train: entries of `TrainConfig`, likewise.
    """

    name: str
    any_size: bool
    model: Table
    train: Table

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


def preset_names() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    folder = resources.files("enr.pipelines.config") / "presets"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def read_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        EnrError: there is none.
    """
    if name not in preset_names():
        raise EnrError(f"There is no preset {name!r}; {nearest(name, preset_names())}")
    text = (resources.files("enr.pipelines.config") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return Preset(name, bool(content.get("any_size", False)), content["model"], content.get("train", {}))


def override(preset: Preset, assignments: Assignments) -> Preset:
    """The preset with assignments laid over it, the later over the earlier.

    Args:
        preset: the starting point.
        assignments: such as `learning_rate=1e-4`, `loss.ssim=0`, `model.warp=rigid`; text is read as YAML.

    Raises:
        EnrError: no `=`, or an unknown key (with the nearest known one).
    """
    sections: dict[str, dict[str, object]] = {"model": dict(preset.model), "train": dict(preset.train)}
    any_size = preset.any_size
    for key, value in key_values(assignments):
        section, *path, last = find_key(key)
        any_size = any_size and last != "image_shape"  # a size that is asked for must be the shards'
        place = sections[section]
        for part in path:
            inside = place.get(part, {})
            place[part] = dict(inside) if isinstance(inside, Mapping) else {}
            place = place[part]  # type: ignore[assignment]
        place[last] = read_value(value, key)
    return dataclasses.replace(preset, any_size=any_size, model=sections["model"], train=sections["train"])


def key_values(assignments: Assignments) -> list[tuple[str, object]]:
    """Keys and values in their order.

    Raises:
        EnrError: a text has no `=`.
    """
    if isinstance(assignments, Mapping):
        return list(flat(assignments).items())
    found: list[tuple[str, object]] = []
    for assignment in [assignments] if isinstance(assignments, str) else assignments:
        if isinstance(assignment, tuple):
            found += flat(dict([assignment])).items()
            continue
        key, equals, text = assignment.partition("=")
        if not equals:
            raise EnrError(f"--set {assignment} has no value; write --set key=value.")
        found += flat({key.strip(): text}).items()
    return found


def check_agreement(options: Table, assignments: Assignments) -> None:
    """Refuse an option and a `--set` of the same entry that are not the same.

    Args:
        options: entries of `train` that have an option of their own; None: it was not given.
        assignments: what is set beside them.

    Raises:
        EnrError: two of them contradict each other.
    """
    for key, value in key_values(assignments):
        name = find_key(key)[-1]
        given, other = options.get(name), read_value(value, key)
        if isinstance(other, bool):
            other = "on" if other else "off"  # as YAML reads them
        if given is not None and str(given) != str(other) and given != other:
            raise EnrError(f"{option(name)} {given} and --set {key}={value} contradict each other; give one of them.")


def flat(table: Table) -> dict[str, object]:
    """Keys and values of a table, those of sections inside it under their whole names: `loss: {l1: 0}` is `loss.l1`."""
    known, result = known_keys(), dict[str, object]()
    for key, value in table.items():
        is_text = isinstance(value, str) and value.lstrip().startswith("{")
        inside = read_value(value, key) if is_text and key not in known else value
        if isinstance(inside, Mapping) and inside and key not in known:
            result.update(flat({f"{key}.{entry}": held for entry, held in inside.items()}))
        else:
            result[key] = value
    return result


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


def read_value(value: object, key: str = "") -> object:
    """A value of a configuration: text is read as YAML, anything else is what it is.

    Raises:
        EnrError: it is no YAML.
    """
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
        return float(read) if isinstance(read, str) and NUMBER.fullmatch(read) else read  # YAML 1.1 has no 1e-4
    except (yaml.YAMLError, RecursionError) as error:
        raise EnrError(
            f"--set {key}={value} has a value that is not YAML; quote it or write a list as [1,2]."
        ) from error


def find_key(key: str) -> tuple[str, ...]:
    """The place that a key of `--set` stands for.

    Raises:
        EnrError: it is unknown; the message names the nearest known one.
    """
    known = known_keys()
    if key in known:
        return known[key]
    if not key:
        raise EnrError("--set is given no key; write --set key=value.")
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        raise EnrError(f"{key} is a section; write an entry of it, such as {inside[0]}=0.")
    usual = OTHERS_NAMES.get(key.rpartition(".")[2].lower())
    said = f"did you mean {usual}?" if usual else nearest(key, known)
    raise EnrError(
        f"--set does not know {key!r}; {said if said.startswith('did') else 'docs/training.md names all keys.'}"
    )
