"""Experiments as data: a YAML file each, laid out for a scale and checked.

A file holds the entries of `Experiment` and `scales`: entries that a scale changes, laid over the others (tables are
merged, everything else is replaced, `null` in place of a table takes it out). A variant with `each: [rot, trans]` in
place of `sets` stands for one training on each of these sets, named `<variant>-<set>`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, get_args

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from enr.errors import EnrError

Scale = Literal["tiny", "small", "paper"]
Kind = Literal["chair", "table", "mug"]
Options = dict[str, Any]
"""Options of a command by their names without dashes in front: `views: 50`, `box: [0, 0, -1, 1, -1, 1]`, `ssim: true`.
"""
SCALES: tuple[Scale, ...] = get_args(Scale)
NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
STRICT = ConfigDict(extra="forbid")


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Built-in shapes, for where no meshes are given.

    Attributes:
        count: of them.
        kinds: taken in turn.
        stand_for: what they only stand in for, such as cars; empty where they are what the experiment is about.
    """

    count: int
    kinds: tuple[Kind, ...] = ("chair",)
    stand_for: str = ""


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Shards that are made: rendered from the meshes, or converted from posed pictures that others made.

    Attributes:
        datagen: options of `enr datagen`, over the experiment's.
        convert: options of `enr convert`, for the folder of posed pictures that the user gives; the set is left out
            where there is none.
    """

    datagen: Options = field(default_factory=dict)
    convert: Options = field(default_factory=dict)


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class Variant:
    """A training that is compared with the others.

    Attributes:
        label: its row in the table; its name if empty.
        sets: the data sets that it is trained on.
        preset: over the experiment's.
        set: what `enr train --set` changes, over the experiment's.
        init: the variant whose weights it starts from.
        time: its share of the experiment's minutes; 1 but for what is to show the worth of time.
        evaluations: those that it takes part in; all if None.
    """

    label: str = ""
    sets: tuple[str, ...]
    preset: str = ""
    set: Options = field(default_factory=dict)
    init: str = ""
    time: float = 1.0
    evaluations: tuple[str, ...] | None = None


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A measurement of trained variants; a table.

    Attributes:
        title: above the table.
        sets: data sets that are measured on; those that a variant was trained on if empty.
        options: of `enr eval`.
    """

    title: str
    sets: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment at one scale.

    Attributes:
        summary: one line for the list.
        follows: the section of the paper or of the report, and what is different here.
        shapes: for where no meshes are given.
        datagen: options of `enr datagen` for all rendered sets.
        sets: data sets by name.
        preset: of all variants.
        set: what `enr train --set` changes in all variants.
        minutes: of training, the same for all variants; None leaves it to the steps.
        seeds: each variant is trained with each of them.
        variants: by name, in the table's order; one that starts from another's weights comes after it.
        evaluations: by name.
    """

    summary: str
    follows: str
    shapes: Shapes
    datagen: Options
    sets: dict[str, DataSet]
    preset: str
    set: Options = field(default_factory=dict)
    minutes: float | None = None
    seeds: tuple[int, ...] = (0,)
    variants: dict[str, Variant]
    evaluations: dict[str, Evaluation]


def experiment_names() -> tuple[str, ...]:
    """Names of all experiments, sorted."""
    folder = resources.files("enr.pipelines") / "experiments" / "library"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def read_experiment(name: str, scale: Scale) -> Experiment:
    """The experiment of that name at that scale.

    Raises:
        EnrError: there is none; the message names the nearest.
    """
    names = experiment_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}."
        raise EnrError(f"There is no experiment {name!r}; {hint}")
    text = (resources.files("enr.pipelines") / "experiments" / "library" / f"{name}.yaml").read_text(encoding="utf-8")
    return at_scale(yaml.safe_load(text), scale)


def at_scale(content: Mapping[str, Any], scale: Scale) -> Experiment:
    """The experiment in a YAML file's content, laid out for a scale.

    Raises:
        EnrError: an entry is unknown, missing or does not fit.
    """
    common = {key: value for key, value in content.items() if key != "scales"}
    laid = merged(common, content.get("scales", {}).get(scale) or {})
    laid["variants"] = _each(laid.get("variants", {}))
    try:
        experiment = TypeAdapter(Experiment).validate_python(laid)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EnrError(f"The experiment's {place} at scale {scale} does not fit: {first['msg']}.") from error
    _check_names(experiment)
    return experiment


def _each(variants: Mapping[str, Any]) -> dict[str, Any]:
    """The variants, those that are trained on each of several sets as one for each."""
    result: dict[str, Any] = {}
    for name, entry in variants.items():
        if "each" not in entry:
            result[name] = entry
            continue
        rest = {key: value for key, value in entry.items() if key != "each"}
        result.update({f"{name}-{set_name}": {"label": name, **rest, "sets": [set_name]} for set_name in entry["each"]})
    return result


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: tables are merged, None in place of one takes it out, all else is replaced."""
    result = dict(below)
    for key, value in above.items():
        is_table = isinstance(result.get(key), Mapping)
        if is_table and value is None:
            del result[key]
        elif is_table and isinstance(value, Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _check_names(experiment: Experiment) -> None:
    """Refuse names that stand for nothing, and those that folders cannot have."""
    for table in (experiment.sets, experiment.variants, experiment.evaluations):
        for name in table:
            if not NAME.fullmatch(name):
                raise EnrError(
                    f"The experiment names {name!r}, which becomes a folder; give letters, digits and dashes."
                )
    trained: list[str] = []
    for name, variant in experiment.variants.items():
        _check_known(f"variants.{name}.sets", variant.sets, experiment.sets)
        _check_known(f"variants.{name}.evaluations", variant.evaluations or (), experiment.evaluations)
        _check_known(f"variants.{name}.init", (variant.init,) if variant.init else (), trained)
        trained.append(name)
    for name, evaluation in experiment.evaluations.items():
        _check_known(f"evaluations.{name}.sets", evaluation.sets, experiment.sets)


def _check_known(place: str, names: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise EnrError(f"The experiment's {place} names {name!r}; known there are {', '.join(known) or 'none'}.")
