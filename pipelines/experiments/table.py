"""The tables of `enr reproduce`: a row for each variant, mean and spread over its seeds, all from `enr eval`'s JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from enr.camera import GROUPS
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.files import replacing, write_json
from enr.pipelines.evaluation.floors import BLIND_FLOORS, FLOORS, MEAN_OF_TARGETS
from enr.pipelines.evaluation.report import FEWER_SOURCES, FOREGROUND, MODEL, PSNR, SSIM
from enr.pipelines.evaluation.report_content import GroupContent, ReportContent
from enr.pipelines.evaluation.report_files import JSON_NAME, with_present_names
from enr.pipelines.experiments.experiment_plan import Plan, Trained, eval_folder, evaluations_of, run_root
from enr.words import count_of

REPORT_NAME = JSON_NAME
DONE_NAME = "done.json"
TABLE_NAME, TABLE_JSON_NAME = "table.md", "table.json"
FORMAT, FORMAT_VERSION = "enr-reproduce", 1
NONE = "-"


@dataclass(frozen=True)
class Column:
    """A number of each row.

    Attributes:
        name: in the JSON.
        header: in the table.
        digits: after the point.
        signed: whether it is a difference.
    """

    name: str
    header: str
    digits: int = 2
    signed: bool = False


COLUMNS = (
    Column(PSNR, "PSNR dB"),
    Column(FOREGROUND, "foreground dB"),
    Column(SSIM, "SSIM", digits=3),
    Column("silhouette_iou", "silhouette IoU", digits=3),
    Column("chroma_correlation", "chroma corr."),
    Column("lead_db", "over trivial baselines dB", signed=True),
    Column("oracle_lead_db", "over the mean of the targets dB", signed=True),
    Column("pose_gap_db", "wrong-pose loss dB"),
    Column("minutes", "minutes", digits=1),
    Column("steps", "steps", digits=0),
)
FLOOR_LABELS = {
    "background": "bare background",
    "copied_input": "copy of the input view",
    "mean_of_targets": "mean of the targets (oracle)",
}


@dataclass(frozen=True)
class Row:
    """A variant in a table.

    Attributes:
        variant: its name.
        label: for people.
        seeds: those that are measured.
        diverged: seeds whose training diverged.
        values: by column, a number for each measured seed; NaN where there is none.
        floors: by floor and metric, a number for each measured seed.
    """

    variant: str
    label: str
    seeds: tuple[int, ...]
    diverged: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]
    floors: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True)
class TableSection:
    """A table: one evaluation, group and split."""

    evaluation: str
    title: str
    group: str
    split: str
    scenes: tuple[int, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def write_table(plan: Plan) -> Path | None:
    """Write the tables of what has been evaluated so far; None where nothing has."""
    sections = make_sections(plan)
    if not sections:
        return None
    facts = make_facts(plan)
    path = plan.folder / TABLE_NAME
    with replacing(path) as partial:
        partial.write_text(format_tables(plan, sections, facts), encoding="utf-8")
    write_json(plan.folder / TABLE_JSON_NAME, as_dict(plan, sections, facts))
    return path


def make_sections(plan: Plan) -> tuple[TableSection, ...]:
    """The tables of what has been evaluated, in the order of the experiment's evaluations."""
    return tuple(
        _section(plan, name, group, split)
        for name in plan.experiment.evaluations
        for group, split in _parts(plan, name)
    )


def spread(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample, n - 1) of the numbers that are not NaN; NaN where there are too few."""
    kept = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(kept) if kept else math.nan
    return mean, statistics.stdev(kept) if len(kept) > 1 else math.nan


def read_json(path: Path) -> dict[str, Any]:
    """A file's content; nothing where there is no such file.

    Raises:
        EnrError: it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EnrError(f"{path} is damaged ({error}); remove it, and what it tells of is done again.") from error
    if not isinstance(content, dict):
        raise EnrError(f"{path} is damaged (no JSON object); remove it, and what it tells of is done again.")
    return content


def _parts(plan: Plan, name: str) -> list[tuple[str, str]]:
    """Groups and splits that were measured, by any variant and seed."""
    reports = (_report(plan, trained, name) for trained in plan.trained)
    return list(dict.fromkeys((part["group"], part["split"]) for report in reports for part in report["results"]))


def _report(plan: Plan, trained: Trained, name: str) -> ReportContent:
    """What `enr eval` wrote; no results where it has not."""
    return with_present_names(read_json(eval_folder(plan, trained, name) / REPORT_NAME))


def _section(plan: Plan, name: str, group: str, split: str) -> TableSection:
    rows: list[Row] = []
    scenes: set[int] = set()
    for variant in plan.experiment.variants:
        if name not in evaluations_of(plan, variant) or group not in _groups(plan, variant, name):
            continue
        parts = {seed: _part(plan, Trained(variant, seed), name, (group, split)) for seed in plan.experiment.seeds}
        measured = {seed: part for seed, part in parts.items() if part}
        scenes.update(part["scenes"] for part in measured.values())
        rows += _rows(plan, variant, measured)
    title, notes = plan.experiment.evaluations[name].title, _notes(plan, name, group)
    return TableSection(name, title, group, split, tuple(sorted(scenes)), tuple(rows), notes)


def _notes(plan: Plan, name: str, group: str) -> tuple[str, ...]:
    """What the evaluations had to say that is not about another group, each once."""
    others = tuple(f"{other}{mark}" for other in GROUPS if other != group for mark in ": ")
    said = [note for trained in plan.trained for note in _report(plan, trained, name).get("notes", ())]
    return tuple(dict.fromkeys(note for note in said if not note.startswith(others)))


def _groups(plan: Plan, variant: str, name: str) -> set[str]:
    """The groups on which an evaluation measures a variant; all where only pictures or pose files know them."""
    experiment = plan.experiment
    sets = [experiment.sets[entry] for entry in experiment.evaluations[name].sets or experiment.variants[variant].sets]
    if any(entry.datagen is None or entry.datagen.poses for entry in sets):
        return set(GROUPS)
    return {entry.datagen.group or "rototrans" for entry in sets if entry.datagen}


def _part(plan: Plan, trained: Trained, name: str, wanted: tuple[str, str]) -> GroupContent:
    parts = _report(plan, trained, name)["results"]
    return next((part for part in parts if (part["group"], part["split"]) == wanted), GroupContent())


def _rows(plan: Plan, variant: str, measured: Mapping[int, GroupContent]) -> list[Row]:
    """The variant's row; where it was given several source pictures, one for each number of them, the fewest first."""
    label = plan.experiment.variants[variant].label or variant
    first: GroupContent = next(iter(measured.values()), GroupContent(scores={}))
    fewer = {name: number for number, name in FEWER_SOURCES.items() if name in first["scores"]}
    rows = [_row(plan, variant, measured, name) for name in (*fewer, MODEL)]
    if not fewer:
        return [replace(rows[0], label=label)]
    numbers = [*fewer.values(), first["per_scene"][0]["sources"]]
    words = [f"{label}; given {count_of(number, 'source')}" for number in numbers]
    return [replace(row, label=said) for row, said in zip(rows, words, strict=True)]


def _row(plan: Plan, variant: str, measured: Mapping[int, GroupContent], candidate: str) -> Row:
    done = {seed: read_json(run_root(plan, Trained(variant, seed)) / DONE_NAME) for seed in plan.experiment.seeds}
    numbers = [_numbers(part, done[seed], candidate) for seed, part in measured.items()]
    return Row(
        variant=variant,
        label=variant,
        seeds=tuple(measured),
        diverged=tuple(seed for seed, said in done.items() if said.get("diverged")),
        values={column.name: tuple(entry[column.name] for entry in numbers) for column in COLUMNS},
        floors={
            floor: {
                metric: tuple(_number(part["scores"][floor].get(metric)) for part in measured.values())
                for metric in (PSNR, FOREGROUND, SSIM)
            }
            for floor in FLOORS
        },
    )


def _numbers(part: GroupContent, done: Mapping[str, Any], candidate: str) -> dict[str, float]:
    """A seed's numbers by column; silhouettes, chroma and other poses are of the model with all its sources."""
    scores = {name: {metric: _number(value) for metric, value in row.items()} for name, row in part["scores"].items()}
    own = scores[candidate]
    found = {
        **(part if candidate == MODEL else {}),
        **own,
        "lead_db": own[PSNR] - max(scores[floor][PSNR] for floor in BLIND_FLOORS),
        "oracle_lead_db": own[PSNR] - scores[MEAN_OF_TARGETS][PSNR],
        "minutes": done.get("minutes"),
        "steps": done.get("steps"),
    }
    return {column.name: _number(found.get(column.name)) for column in COLUMNS}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def format_tables(plan: Plan, sections: Sequence[TableSection], facts: Mapping[str, str]) -> str:
    """Everything as Markdown."""
    head = f"# {plan.settings.title}, {plan.settings.scale}\n\n{plan.experiment.summary}\n\nIt follows "
    tables = [f"## {section_title(section)}\n\n{format_section(section)}" for section in sections]
    lines = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return "\n\n".join([head + plan.experiment.follows.strip(), *tables, f"## Facts\n\n{lines}"]) + "\n"


def section_title(section: TableSection) -> str:
    """Such as `unseen scenes: rot, test (51 scenes)`."""
    counts = " or ".join(str(count) for count in section.scenes)
    return f"{section.title}: {section.group}, {section.split} ({counts} scenes)"


def format_section(section: TableSection) -> str:
    """A table in Markdown: the variants, then the floors; what is to be said under it."""
    used = [
        column
        for column in COLUMNS
        if any(not math.isnan(value) for row in section.rows for value in row.values[column.name])
    ]
    lines = [[row.label, *(_cell(row, column) for column in used)] for row in section.rows]
    lines += [[FLOOR_LABELS[floor], *_floor_cells(section, floor, used)] for floor in FLOORS]
    headers = ["", *(column.header for column in used)]
    align = ("left", *["right"] * len(used))
    table = tabulate(lines, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    return "\n\n".join([table, *(f"Note: {note}" for note in section.notes)])


def _cell(row: Row, column: Column) -> str:
    mean, deviation = spread(row.values[column.name])
    if column.name == "minutes" and mean < 1:
        column = replace(column, digits=2)
    diverged = f"{len(row.diverged)} diverged" if column.name == PSNR and row.diverged else ""
    if math.isnan(mean):
        return diverged or NONE
    words = _digits(mean, column)
    if not math.isnan(deviation):
        words += f" ± {deviation:.{column.digits}f}"
    return f"{words} ({diverged})" if diverged else words


def _floor_cells(section: TableSection, floor: str, used: Sequence[Column]) -> list[str]:
    """A floor's numbers, or their range where the variants were measured on different data."""
    cells = []
    for column in used:
        values = [value for row in section.rows for value in row.floors[floor].get(column.name, ())]
        words = [_digits(value, column) for value in sorted(values) if not math.isnan(value)]
        cells.append("" if not words else words[0] if words[0] == words[-1] else f"{words[0]} to {words[-1]}")
    return cells


def _digits(value: float, column: Column) -> str:
    value = round(value, column.digits) + 0.0  # no minus before a zero
    return f"{value:+.{column.digits}f}" if column.signed else f"{value:.{column.digits}f}"


def make_facts(plan: Plan) -> dict[str, str]:
    """What the numbers belong to."""
    done = [read_json(run_root(plan, trained) / DONE_NAME) for trained in plan.trained]
    reports = [
        _report(plan, trained, name) for trained in plan.trained for name in evaluations_of(plan, trained.variant)
    ]
    measured = [report for report in reports if report.get("checkpoint_metadata")]
    clocks = (report["checkpoint_metadata"].get("train", {}).get("clock", "wall") for report in measured)
    seeds = ", ".join(map(str, plan.experiment.seeds))
    return {
        "command": plan.line,
        "hardware": _distinct(_hardware(entry) for entry in done if entry.get("machine")),
        "made by": _distinct(entry["source"] for entry in done if entry.get("source")),
        "trained": _days(entry["time"] for entry in done if entry.get("time")),
        "seeds": f"{seeds}; ± is the standard deviation over seeds" if len(plan.experiment.seeds) > 1 else seeds,
        "meshes": ", ".join(map(str, plan.settings.meshes)) or count_of(plan.shapes, "built-in shape"),
        "views of each mesh": _views(plan),
        "trained and measured with": _distinct(_data(report) for report in measured),
        "minutes": f"{_distinct(clocks)} time, validations and pictures included; minutes and steps are the whole "
        "training's, the measured checkpoint is the best on validation where enough objects are held out to choose by",
    }


def _hardware(done: Mapping[str, Any]) -> str:
    machine = done["machine"]
    return f"{done.get('device') or 'no device'}; {machine['cores']} cores, {machine['processor']}, {machine['system']}"


def _data(report: Mapping[str, Any]) -> str:
    """A report's checkpoint in words: how much it was trained on."""
    data, size = report["checkpoint_metadata"].get("data", {}), report.get("image_shape", [3, 0, 0])
    groups = [
        f"{group} {' + '.join(f'{count} {split}' for split, count in counts.items() if count)}"
        for group, counts in data.get("scenes", {}).items()
    ]
    pictures = sum(shard.get("views", 0) for shard in data.get("shards", ()))
    return f"{', '.join(groups)} scenes, {pictures} pictures of {size[2]}x{size[1]} px"


def _views(plan: Plan) -> str:
    """Pictures of each mesh by data set, such as `rot 8, rototrans 8`."""
    asked = {step.name: step.asked for step in plan.steps}
    return ", ".join(f"{name} {one.views}" for name, one in asked.items() if isinstance(one, GenerateSettings))


def _days(times: Iterable[str]) -> str:
    days = sorted({time[:10] for time in times})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else NONE


def _distinct(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words)) or NONE


def as_dict(plan: Plan, sections: Sequence[TableSection], facts: Mapping[str, str]) -> dict[str, object]:
    """The tables as JSON holds them (with NaN still in it)."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "experiment": plan.settings.title,
        "scale": plan.settings.scale,
        "facts": dict(facts),
        "tables": [
            {
                "evaluation": section.evaluation,
                "title": section.title,
                "group": section.group,
                "split": section.split,
                "scenes": list(section.scenes),
                "notes": list(section.notes),
                "rows": [_row_dict(row) for row in section.rows],
            }
            for section in sections
        ],
    }


def _row_dict(row: Row) -> dict[str, object]:
    summary = {name: spread(values) for name, values in row.values.items()}
    return {
        "variant": row.variant,
        "label": row.label,
        "seeds": list(row.seeds),
        "diverged_seeds": list(row.diverged),
        "mean": {name: mean for name, (mean, _) in summary.items()},
        "standard_deviation": {name: deviation for name, (_, deviation) in summary.items()},
        "by_seed": {name: list(values) for name, values in row.values.items()},
        "floors": {
            floor: {metric: spread(values)[0] for metric, values in metrics.items()}
            for floor, metrics in row.floors.items()
        },
    }
