"""Experiments as data: a YAML file each, laid out for a scale and checked.

A file holds the entries of `Experiment`, `datagen` for all sets, and `scales`: entries that a scale changes, laid over
the others (tables are merged, everything else is replaced, `null` in place of a table takes it out). A variant with
`each: [rot, trans]` in place of `sets` stands for one training on each of these sets, named `<variant>-<set>`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import yaml

from enr.checking import Count, Positive, Table, checked, nearest, option, validated
from enr.errors import EnrError
from enr.pipelines.config import find_key, flat
from enr.pipelines.config.data_sets import ConvertConfig, DatagenConfig
from enr.pipelines.evaluation.inputs import OPTION_OF, EvalSettings

Scale = Literal["tiny", "small", "paper"]
Kind = Literal["chair", "table", "mug", "car", "mountain"]
SCALES: tuple[Scale, ...] = get_args(Scale)
NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
SUFFIXES = (".yaml", ".yml")
EVAL_NAMES = {option: entry for entry, option in OPTION_OF.items()}
PLANNED = ("shards", "checkpoint", "predictions", "out", "runs")
"""Settings of an evaluation that the plan says."""


@checked("shapes")
@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Built-in shapes, for where no meshes are given.

    Attributes:
        count: of them.
        kinds: taken in turn.
    """

    count: Count
    kinds: tuple[Kind, ...] = ("chair",)


@checked("sets")
@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Shards that are made: rendered from the meshes, or converted from posed pictures that others made.

    Attributes:
        datagen: what is rendered, but for the meshes; None for posed pictures.
        convert: how the folder of posed pictures that the user gives is read; the set is left out where there is none.
    """

    datagen: DatagenConfig | None = None
    convert: ConvertConfig | None = None


@checked("variants")
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
    set: dict[str, object] = field(default_factory=dict)
    init: str = ""
    time: Positive = 1.0
    evaluations: tuple[str, ...] | None = None


@checked("evaluations")
@dataclass(frozen=True, kw_only=True)
class PlannedEvaluation:
    """A measurement of trained variants; a table.

    Attributes:
        title: above the table.
        sets: data sets that are measured on; those that a variant was trained on if empty.
        options: of `enr eval`, as they are written.
        settings: what they stand for.
    """

    title: str
    sets: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)
    settings: EvalSettings = field(default_factory=EvalSettings)


@checked("experiment")
@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment at one scale.

    Attributes:
        summary: one line for the list.
        follows: the section of the paper or of the report, and what is different here.
        shapes: for where no meshes are given.
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
    sets: dict[str, DataSet]
    preset: str
    set: dict[str, object] = field(default_factory=dict)
    minutes: Positive | None = None
    seeds: tuple[int, ...] = (0,)
    variants: dict[str, Variant]
    evaluations: dict[str, PlannedEvaluation]


def experiment_names() -> tuple[str, ...]:
    """Names of all experiments, sorted."""
    folder = resources.files("enr.pipelines.experiments") / "library"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def read_experiment(name: str, scale: Scale) -> Experiment:
    """An experiment at a scale.

    Args:
        name: of one of the project's, or the path of a YAML file.
        scale: which of its sizes.

    Raises:
        EnrError: there is none (the message names the nearest), or its file does not fit.
    """
    if name.endswith(SUFFIXES):
        return at_scale(_read_file(Path(name)), scale, name)
    if name not in experiment_names():
        file = next((Path(name + suffix) for suffix in SUFFIXES if Path(name + suffix).is_file()), None)
        if file:
            raise EnrError(f"There is no experiment {name!r}; did you mean {file}?")
        raise EnrError(f"There is no experiment {name!r}; {nearest(name, experiment_names())}")
    text = (resources.files("enr.pipelines.experiments") / "library" / f"{name}.yaml").read_text(encoding="utf-8")
    return at_scale(yaml.safe_load(text), scale, f"{name}.yaml")


def _read_file(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnrError(
            f"{path} cannot be read ({error.strerror or error}); give the file of an experiment, or a name that "
            "`enr reproduce --list` names."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise EnrError(f"{path} is no YAML ({reason}); see docs/experiments.md for what a file holds.") from error


def at_scale(content: object, scale: Scale, file: str = "The experiment") -> Experiment:
    """The experiment in a YAML file's content, laid out for a scale.

    Args:
        content: of the file.
        scale: which of its sizes.
        file: what a refusal calls it.

    Raises:
        EnrError: an entry is unknown, missing or does not fit; the message names the file and the entry.
    """
    with naming(f"{file}, scale {scale}"):
        common = dict(_table(content, "An experiment"))
        scales = _table(common.pop("scales", {}), "scales")
        for name in scales:
            if name not in SCALES:
                raise EnrError(f"scales.{name} is no scale; {nearest(name, SCALES)}")
        laid = merged(common, _table(scales.get(scale) or {}, f"scales.{scale}"))
        shared = _table(laid.pop("datagen", {}), "datagen")
        variants, evaluations, sets = (_table(laid.get(key, {}), key) for key in ("variants", "evaluations", "sets"))
        laid["sets"] = {name: _data_set(name, entry, shared) for name, entry in sets.items()}
        laid["variants"] = {name: _flat_set(entry) for name, entry in _each(variants).items()}
        laid["evaluations"] = {name: _evaluation(name, entry) for name, entry in evaluations.items()}
        experiment = validated(Experiment, _flat_set(laid), "experiment")
        _check_names(experiment)
        _check_keys(experiment)
        return experiment


def _flat_set(entry: Table) -> Table:
    """An entry whose `set` may hold sections, as one that names each key in full."""
    given = entry.get("set")
    return {**entry, "set": flat(given)} if isinstance(given, Mapping) else entry


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Name the place of what is refused inside."""
    try:
        yield
    except EnrError as error:
        raise EnrError(f"{place}: {error}") from error


def _table(entry: object, name: str) -> Table:
    if not isinstance(entry, Mapping):
        raise EnrError(f"{name} is {entry!r}; give a table of names and values.")
    return entry


def _data_set(name: str, entry: object, shared: Table) -> DataSet:
    """A data set, what is said for all of them included."""
    written = _table(entry or {}, f"sets.{name}")
    with naming(f"sets.{name}"):
        unknown = next((key for key in written if key not in ("datagen", "convert")), None)
        if unknown is not None:
            raise EnrError(f"There is no entry {unknown!r}; known are datagen, convert.")
        if "convert" in written:
            return DataSet(convert=ConvertConfig.of(_table(written["convert"], "convert")))
        own = _table(written.get("datagen") or {}, "datagen")
        return DataSet(datagen=DatagenConfig.of({**shared, **own}))


def _evaluation(name: str, entry: object) -> Table:
    """An evaluation's entries with the settings that its options stand for."""
    written = dict(_table(entry, f"evaluations.{name}"))
    with naming(f"evaluations.{name}"):
        options = _table(written.get("options") or {}, "options")
        known = {entry.name: entry.name for entry in dataclasses.fields(EvalSettings) if entry.name not in PLANNED}
        known = {key: value for key, value in known.items() if value not in EVAL_NAMES.values()} | EVAL_NAMES
        values: dict[str, object] = {}
        for written_key, value in options.items():
            key = written_key.replace("-", "_")
            if key not in known:
                raise EnrError(f"There is no option {option(key)} of enr eval; {nearest(key, known)}")
            is_single = known[key] in ("splits", "groups") and isinstance(value, str)
            values[known[key]] = [value] if is_single else value
        try:
            return {**written, "settings": validated(EvalSettings, values, "options")}
        except EnrError as error:
            said = str(error)
            for entry_name, option_name in OPTION_OF.items():
                said = said.replace(f"options.{entry_name}", f"options.{option_name}")
            raise EnrError(said) from error


def _each(variants: Table) -> dict[str, Table]:
    """The variants, those that are trained on each of several sets as one for each."""
    result: dict[str, Table] = {}
    for name, written in variants.items():
        entry = _table(written, f"variants.{name}")
        rest = {key: value for key, value in entry.items() if key != "each"}
        each = entry.get("each")
        if each is None:
            result[name] = rest
        elif isinstance(each, Sequence):
            result.update({f"{name}-{set_name}": {"label": name, **rest, "sets": [set_name]} for set_name in each})
    return result


def merged(below: Table, above: Table) -> dict[str, object]:
    """`above` laid over `below`: tables are merged, None in place of one takes it out, all else is replaced."""
    result = dict(below)
    for key, value in above.items():
        inside = result.get(key)
        if isinstance(inside, Mapping) and value is None:
            del result[key]
        elif isinstance(inside, Mapping) and isinstance(value, Mapping):
            result[key] = merged(inside, value)
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


def _check_known(place: str, names: Sequence[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise EnrError(f"{place} names {name!r}; known there are {', '.join(known) or 'none'}.")


def _check_keys(experiment: Experiment) -> None:
    """Refuse keys that no training has."""
    tables = {"set": experiment.set, **{f"variants.{name}.set": v.set for name, v in experiment.variants.items()}}
    for place, table in tables.items():
        with naming(place):
            for key in table:
                if find_key(key) == ("train", "seed"):
                    raise EnrError(f"{key} is not set here, all variants have the same seeds; use seeds: in its place.")
