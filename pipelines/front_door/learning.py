"""`enr.train`, `enr.evaluate` and `enr.load_model`: shards to a run, a run to numbers and to its model."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from enr.camera import Group
from enr.errors import EnrError
from enr.pipelines.front_door.given import (
    PathInput,
    PathsInput,
    check_keywords,
    check_scalars,
    checked,
    many_paths,
    one_path,
)
from enr.shards import Split
from enr.words import count_of

if TYPE_CHECKING:
    from enr.model import Renderer
    from enr.pipelines.evaluation.report import GroupReport, Report

LATEST = "latest"
Protocol = Literal["apple"]


@dataclass(frozen=True)
class TrainedRun:
    """A run folder: a path, which other calls take as it is.

    Attributes:
        folder: the run folder.
        step: steps done in all.
        is_finished: False where it was stopped before its end.
        psnr_db: of the best checkpoint on validation; NaN where there was no validation.
    """

    folder: Path
    step: int
    is_finished: bool
    psnr_db: float

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        best = "" if not math.isfinite(self.psnr_db) else f", {self.psnr_db:.2f} dB on validation"
        return f"<TrainedRun {self.folder}: {count_of(self.step, 'step')}{best}>"


@checked
def train(
    shards: PathsInput | None = None,
    *,
    preset: str | None = None,
    set: Mapping[str, object] | None = None,
    batch_size: int | Literal["auto"] | None = None,
    max_minutes: float | None = None,
    compile: Literal["auto", "on", "off"] | None = None,
    resume: PathInput | bool | None = None,
    init: PathInput | None = None,
    name: str | None = None,
    runs: PathInput = "runs",
    quiet: bool = False,
) -> TrainedRun:
    """Train a renderer on shards, as `enr train` does.

    Args:
        shards: `.h5` files or folders of them, one or many, or what `enr.generate` returned; None: the folder `shards`.
        preset: such as small-64; None takes what fits.
        set: entries of the preset to change, such as `{"learning_rate": 1e-4, "loss.ssim": 0}`.
        batch_size: scenes a step; `auto`: as many as fit into memory.
        max_minutes: end after so many (further) minutes.
        compile: whether training steps are compiled; `auto`, which is the default: where that pays.
        resume: go on with this run folder, or with the `latest` (True).
        init: start from the weights of a run, a checkpoint, a published `.pt`, or of the `latest` run.
        name: last part of the run folder's name.
        runs: folder of all runs.
        quiet: print nothing.

    Raises:
        EnrError: something does not fit; the message says what to do.
    """
    # Torch comes later: a mistake is answered at once.
    from enr.pipelines.config import TrainSettings, shards_or_default
    from enr.pipelines.training.runs import named_run

    _check_table(set)
    going_on = LATEST if resume is True else None if resume is False else resume
    run = None if going_on is None else named_run(one_path(going_on, "resume"), one_path(runs, "runs"))
    paths = shards_or_default(() if shards is None else many_paths(shards, "shards"), run)
    settings = TrainSettings(
        shards=paths,
        preset=preset,
        assignments=dict(set or {}),
        batch_size=batch_size,
        max_minutes=max_minutes,
        compile=compile,
        resume=run,
        init=None if init is None else one_path(init, "init"),
        runs=one_path(runs, "runs"),
        name=name,
        show_progress=not quiet and sys.stderr.isatty(),
    )
    from enr.pipelines.training import train as training

    result = training.train(settings, say=(lambda _: None) if quiet else print)
    return TrainedRun(result.run.folder, result.step, result.is_finished, result.best_psnr_db)


def _check_table(given: object) -> None:
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(key, str) for key in given)):
        raise EnrError(
            f"set is given as {given!r}; give a table of keys and values, such as {{'learning_rate': 1e-4}}."
        )


class EvalOptions(TypedDict, total=False):
    """The options of `enr eval`, by name; what is left out is what the command takes without it."""

    psnr: bool
    ssim: bool
    untrained: bool
    equivariance: bool
    runs: PathInput
    predictions: PathInput | None
    split: Split | Sequence[Split]
    groups: Group | Sequence[Group]
    any_group: bool
    source: int | None
    sources: int
    known_distance: bool
    protocol: Protocol | None
    max_scenes: int | None
    seed: int
    batch_size: int
    device: str
    out: PathInput | None


@dataclass(frozen=True)
class Evaluation:
    """The numbers of an evaluation; each table's key is the group, or `group/split` where a group has several splits.

    Attributes:
        report: everything, scene by scene.
    """

    report: Report

    def _by_group(self, candidate: str, metric: str) -> dict[str, float]:
        scores = {self._key(part): part.scores.get(candidate, {}).get(metric) for part in self.report.groups}
        return {key: value for key, value in scores.items() if value is not None}

    def _key(self, part: GroupReport) -> str:
        alone = sum(other.group == part.group for other in self.report.groups) == 1
        return part.group if alone else f"{part.group}/{part.split}"

    @property
    def psnr_db(self) -> dict[str, float]:
        """Mean PSNR of the model (or of the predictions), in dB."""
        return self._by_group("model", "psnr_db")

    @property
    def foreground_psnr_db(self) -> dict[str, float]:
        """The same over the foreground."""
        return self._by_group("model", "psnr_foreground_db")

    @property
    def ssim(self) -> dict[str, float]:
        """Mean SSIM, if it was asked for."""
        return self._by_group("model", "ssim")

    @property
    def wrong_pose_psnr_db(self) -> dict[str, float]:
        """PSNR when the model is given another view's pose: one that loses nothing ignores the pose."""
        return self._by_group("wrong_pose", "psnr_db")

    @property
    def baselines_psnr_db(self) -> dict[str, dict[str, float]]:
        """PSNR of the trivial baselines and of the mean of the targets, an oracle, by name and group."""
        return {name: self._by_group(name, "psnr_db") for name in ("background", "copied_input", "mean_of_targets")}

    @property
    def table(self) -> str:
        """What `enr eval` prints."""
        from enr.pipelines.evaluation.report_table import format_report

        return format_report(self.report)

    @property
    def json_path(self) -> Path:
        """The file with every number."""
        return self.report.json_path

    @property
    def pictures(self) -> tuple[Path, ...]:
        """Sources, truths and predictions, from the best scene to the worst."""
        return self.report.pictures

    def __repr__(self) -> str:
        numbers = ", ".join(f"{key} {value:.2f} dB" for key, value in self.psnr_db.items())
        return f"<Evaluation: {numbers}; {self.json_path}>"


@checked
def evaluate(
    checkpoint: PathInput | None = None, shards: PathsInput | None = None, **options: Unpack[EvalOptions]
) -> Evaluation:
    """Measure a checkpoint on scenes that it was not trained on, as `enr eval` does.

    Args:
        checkpoint: a run (what `enr.train` returned), a checkpoint, a published `.pt`, or `latest`; None: the latest.
        shards: `.h5` files or folders of them, one or many; None: those of the run.
        options: those of `enr eval`, by name, with its defaults.

    Raises:
        EnrError: something does not fit; the message says what to do.
    """
    from enr.pipelines.evaluation import evaluate as evaluation
    from enr.pipelines.evaluation.inputs import EvalSettings

    check_keywords(evaluate, options, EvalOptions.__annotations__)
    check_scalars(options, EvalOptions.__annotations__)
    values = {name: value for name, value in options.items() if name not in ("psnr", "ssim", "split", "groups")}
    for name in ("runs", "predictions", "out"):
        if values.get(name) is not None:
            values[name] = one_path(values[name], name)
    settings = EvalSettings(
        checkpoint=None if checkpoint in (None, LATEST) else one_path(checkpoint, "checkpoint"),
        shards=() if shards is None else many_paths(shards, "shards"),
        with_ssim=bool(options.get("ssim", False)),
        splits=_listed(options.get("split", ())),  # type: ignore[arg-type]
        groups=_listed(options.get("groups", ())),  # type: ignore[arg-type]
        **values,  # type: ignore[arg-type]
    )
    return Evaluation(evaluation.evaluate(settings))


def _listed(given: object) -> tuple[object, ...]:
    """Several words, or a single one, as a tuple of them."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)


@checked
def report(runs: PathsInput | None = None, *, out: PathInput | None = None, quick: bool = False) -> Path:
    """One HTML page about runs, side by side, as `enr report` writes it; needs no other file and no network.

    Args:
        runs: run folders (what `enr.train` returned) or evaluations (their folders), one or many; None: the latest run.
        out: the file; None: `report.html` in the run's folder, of several runs `enr-report.html`.
        quick: fewer pictures, in a second or two.

    Returns:
        The file.

    Raises:
        EnrError: something does not fit; the message says what to do.
    """
    from enr.pipelines.reporting.write import ReportSettings, write_report

    file = None if out is None else one_path(out, "out")
    folders = () if runs is None else many_paths(runs, "runs")
    return write_report(ReportSettings(folders, file, quick))


@checked
def load_model(which: PathInput = LATEST, *, device: str = "cpu") -> Renderer:
    """A trained renderer, in evaluation mode.

    Args:
        which: a run (what `enr.train` returned), a checkpoint folder or file, a published `.pt`, `latest`, or
            `shapes`, the model that comes with enr.
        device: auto, cpu, cuda, cuda:1 ...

    Raises:
        EnrError: there is none, or it cannot be read.
    """
    from enr.model.checkpoint import load_model as load
    from enr.pipelines.machine import pick_device
    from enr.pipelines.training.runs import find_checkpoint, latest_run

    path, _ = find_checkpoint(latest_run() if which == LATEST else one_path(which, "The model"))
    return load(path, pick_device(device))
