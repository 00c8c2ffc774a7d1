"""The page itself: what is gathered and rendered, through a template into one file that needs no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from enr import __version__, files
from enr.errors import EnrError
from enr.pipelines.evaluation.equivariance import ANGLE_DEG, DISTANCE, FEATURES, FEATURES_OTHER, PICTURE, PICTURE_OTHER
from enr.pipelines.evaluation.equivariance_report import summarise
from enr.pipelines.evaluation.report import FOREGROUND, MODEL, PSNR, SSIM
from enr.pipelines.evaluation.report_content import GroupContent
from enr.pipelines.evaluation.report_files import PAGE_NAME
from enr.pipelines.evaluation.report_table import POSE_IGNORED_DB, candidate_names
from enr.pipelines.reporting.charts import Chart, Line, make_chart
from enr.pipelines.reporting.gallery import Gallery, paint
from enr.pipelines.reporting.gather import Reported, gather, setting_of
from enr.pipelines.reporting.studio import FULL, QUICK, embed_gif
from enr.pipelines.training.runs import check_folder, latest_run
from enr.words import count_of, minutes_in_words

NAME_OF_SEVERAL = "enr-report.html"
SMOOTHED = 50
"""A training curve has about so many points, each the mean of neighbours."""
METRICS = (("PSNR dB", PSNR, 2), ("foreground dB", FOREGROUND, 2), ("SSIM", SSIM, 3))
STILL_DEG, STILL = 1.0, 0.01
"""Motions that turn or shift less than this have no chart of their own."""


@dataclass(frozen=True)
class ReportSettings:
    """What `enr report` is told.

    Attributes:
        runs: run folders or evaluations; none: the latest run.
        out: the file; None: `report.html` in the run's (or evaluation's) folder, of several `enr-report.html` here.
        quick: fewer pictures, in a second or two.
    """

    runs: tuple[Path, ...] = ()
    out: Path | None = None
    quick: bool = False

    @property
    def file(self) -> Path:
        """Where the page goes."""
        if self.out is not None:
            return self.out
        if len(self.runs) > 1:
            return Path(NAME_OF_SEVERAL)
        return (self.runs[0] if self.runs[0].is_dir() else self.runs[0].parent) / PAGE_NAME


def write_report(settings: ReportSettings) -> Path:
    """Write the page.

    Returns:
        The file.

    Raises:
        EnrError: there is no such run or evaluation, or the file cannot be written; nothing is written then.
    """
    if not settings.runs:
        settings = ReportSettings((latest_run(),), settings.out, settings.quick)
    runs = gather(settings.runs)
    file = settings.file
    check_folder(file.absolute().parent, "The folder of the report")
    if file.is_dir():
        raise EnrError(f"{file} is a folder; name a file for the report, such as {file / PAGE_NAME}.")
    effort = QUICK if settings.quick else FULL
    galleries: list[Gallery] = []
    for run in runs:
        galleries.append(paint(run, effort, galleries[0].wanted if galleries else {}))
    try:
        files.write_text(file, render_page(runs, galleries))
    except OSError as error:
        raise EnrError(f"The report cannot be written to {file} ({error.strerror}); name another file.") from error
    return file


def report_at_end(settings: ReportSettings, say: Callable[[str], None]) -> None:
    """Write a report after other work and name it; that there can be none is said, and is no failure."""
    try:
        say(f"Report: {write_report(settings)}")
    except EnrError as error:
        say(f"No report was written: {error}")


def render_page(runs: Sequence[Reported], galleries: Sequence[Gallery]) -> str:
    """The HTML of a page about these runs."""
    # Pictures, style and script are all inside; the template forbids the browser to load anything else.
    templates = Environment(
        loader=PackageLoader("enr.pipelines.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": number, "setting": setting_of}
    return templates.get_template("report.html").render(
        columns=[
            {
                "number": place,
                "is_data_new": all(gallery.data != other.data for other in galleries[:place]) or not gallery.data,
                **_column(run, gallery),
            }
            for place, (run, gallery) in enumerate(zip(runs, galleries, strict=True))
        ],
        tables=score_tables(runs),
        curves=_curves(runs),
        by_motion=_by_motion(runs, galleries),
        definitions=list(dict.fromkeys(run.evaluation["definition"] for run in runs if run.evaluation)),
        equivariance_keys=(FEATURES, FEATURES_OTHER, PICTURE, PICTURE_OTHER),
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A number as the page writes it; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:{'+' if signed else ''},.{digits}f}"


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one group and split.

    Attributes:
        title: which, and how many scenes.
        columns: numbers of the runs that were measured on it.
        metrics: name, key and digits of each.
        rows: for each candidate its name, whether it is the model, and the scores of each run (empty: not measured).
        top_db: the highest PSNR, for the length of the bars.
    """

    title: str
    columns: tuple[int, ...]
    metrics: tuple[tuple[str, str, int], ...]
    rows: tuple[tuple[str, bool, tuple[Mapping[str, float | None], ...]], ...]
    top_db: float


def score_tables(runs: Sequence[Reported]) -> list[ScoreTable]:
    """A table for each group and split that any of the runs was evaluated on."""
    found = [{(result["group"], result["split"]): result for result in run.results} for run in runs]
    tables = []
    for key in dict.fromkeys(key for results in found for key in results):
        columns = tuple(place for place, of_run in enumerate(found) if key in of_run)
        results = [found[place][key] for place in columns]
        scores = [result["scores"] for result in results]
        measured = runs[columns[0]].evaluation or {}
        names = candidate_names(measured["background"], not measured.get("predictions"))
        rows = tuple(
            (
                names.get(candidate, candidate.replace("_", " ")),
                candidate == MODEL,
                tuple(one.get(candidate, {}) for one in scores),
            )
            for candidate in dict.fromkeys(name for one in scores for name in one)
        )
        counts = sorted({result["scenes"] for result in results})
        title = f"{key[0]}, {key[1]}: {' or '.join(f'{count:,}' for count in counts)} unseen scenes"
        if key[1] == "train":
            title = title.replace("unseen ", "")
        shown = tuple(entry for entry in METRICS if any(entry[1] in row for _, _, row_of in rows for row in row_of))
        top_db = max(row.get(PSNR) or 0 for _, _, row_of in rows for row in row_of)
        tables.append(ScoreTable(title, columns, shown, rows, top_db))
    return tables


def _column(reported: Reported, gallery: Gallery) -> dict[str, Any]:
    """What the template is told of one run."""
    return {
        "name": reported.name,
        "run": reported,
        "gallery": gallery,
        "said": [_said(result) for result in reported.results],
        "gif": embed_gif(reported.gif, f"The same scenes again and again as {reported.name} learned")
        if reported.gif
        else None,
        "timings": _timings(reported, gallery),
        "distances": [result["distance"] for result in reported.results if result.get("distance")],
        "equivariance": [result["equivariance"] for result in reported.results if result.get("equivariance")],
        "others": [(setting_of(one), result) for one in reported.evaluations[1:] for result in one["results"]],
        "config": yaml.safe_dump(reported.run.config, sort_keys=False) if reported.run else "",
    }


def _said(result: GroupContent) -> str:
    """A result in a sentence."""
    lead, gap = result["lead_db"], result["pose_gap_db"]
    beaten = f"{number(lead)} dB above" if lead > 0 else f"NOT above ({number(lead, signed=True)} dB)"
    used = "uses the pose" if gap >= POSE_IGNORED_DB else "hardly uses the pose"
    return (
        f"{number(result['scores'][MODEL][PSNR])} dB on {count_of(result['scenes'], 'scene')} ({result['group']}, "
        f"{result['split']}), {beaten} the better trivial baseline; it {used}: a wrong one costs {number(gap)} dB."
    )


def _timings(reported: Reported, gallery: Gallery) -> list[tuple[str, str]]:
    train, validation = reported.lines("train"), reported.lines("validation")
    rows = []
    if reported.metrics:
        last = reported.metrics[-1]
        rows += [("steps", f"{last['step']:,}"), ("training", minutes_in_words(last["elapsed_s"] / 60))]
    if train:
        rates = sorted(line["images_per_s"] for line in train if "images_per_s" in line)
        rows += [("while training", f"{rates[len(rates) // 2]:.0f} images/s (median)")] if rates else []
    if validation:
        rows.append(("best validation", f"{max(line['psnr_db'] for line in validation):.2f} dB"))
    if reported.results:
        rows.append(("evaluation", f"{sum(result['seconds'] for result in reported.results):.1f} s"))
    if math.isfinite(gallery.frame_ms):
        rows.append(("a frame, as this page was made", f"{gallery.frame_ms:.1f} ms"))
    return rows


def _curves(runs: Sequence[Reported]) -> list[Chart]:
    """PSNR and loss over minutes of training."""
    psnr, loss = [], []
    alone = len(runs) == 1
    for colour, run in enumerate(runs):
        train, validation = run.lines("train"), run.lines("validation")
        minutes, smooth = _smooth(train, "psnr_db")
        psnr += [Line("training", minutes, smooth, colour, "faint")] if alone else []
        checked = [line["elapsed_s"] / 60 for line in validation]
        psnr.append(
            Line(run.name if not alone else "validation", checked, _values(validation, "psnr_db"), colour, "marked")
        )
        if alone:
            psnr.append(Line("wrong-pose control", checked, _values(validation, "swapped_db"), 1, "dashed"))
            psnr.append(Line("all background", checked, _values(validation, "background_db"), 2, "dashed"))
        loss.append(Line("" if alone else run.name, *_smooth(train, "loss"), colour))
    highest = sorted(y for line in loss for _, y in line.points)
    # Of many points the few highest, from before it learned, are cut off; of few, each tells something.
    top = highest[int(0.98 * (len(highest) - 1))] if len(highest) >= SMOOTHED else None
    charts = (
        make_chart(
            "PSNR while it learned" if alone else "PSNR on validation", ("minutes of training", "PSNR in dB"), psnr
        ),
        make_chart("Training loss", ("minutes of training", "loss"), loss, top=top),
    )
    return [chart for chart in charts if chart]


def _values(lines: Sequence[dict[str, Any]], key: str) -> list[float | None]:
    return [line.get(key) for line in lines]


def _smooth(lines: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Minutes and values; where there are many, means of neighbours."""
    kept = [(line["elapsed_s"] / 60, line[key]) for line in lines if isinstance(line.get(key), int | float)]
    size = max(1, len(kept) // SMOOTHED)
    groups = [np.array(kept[start : start + size]).mean(axis=0) for start in range(0, len(kept), size)]
    return [float(group[0]) for group in groups], [float(group[1]) for group in groups]


def _by_motion(runs: Sequence[Reported], galleries: Sequence[Gallery]) -> list[Chart]:
    """PSNR by how far the camera turned, and by how far the object was shifted: means of all views, some as dots."""
    charts = []
    for title, label, name, bins, least in (
        ("PSNR by the angle of the motion", "turn in degrees", ANGLE_DEG, "by_angle_deg", STILL_DEG),
        ("PSNR by the distance of the motion", "shift in object units", DISTANCE, "by_distance", STILL),
    ):
        lines = []
        for colour, (run, gallery) in enumerate(zip(runs, galleries, strict=True)):
            views = gallery.measured
            measured: list[tuple[str, Any]] = [
                (result["group"], result["by_motion"]) for result in run.results if result.get("by_motion")
            ]
            if not measured and views is not None:
                measured = [("", summarise(views))]
            if views is not None and np.ptp(views[name]) > least:
                lines.append(Line("", views[name].tolist(), views[PSNR].tolist(), colour, "dots"))
            for group, part in measured:
                means = [one for one in part[bins] if one["pairs"]]
                if len(means) > 1 and means[-1][name] - means[0][name] > least:
                    called = " ".join(["mean" if len(runs) == 1 else run.name, *([group] if len(measured) > 1 else [])])
                    lines.append(Line(called, _values(means, name), _values(means, PSNR), colour, "marked"))
        chart = make_chart(title, (label, "PSNR in dB"), lines)
        charts += [chart] if chart else []
    return charts
