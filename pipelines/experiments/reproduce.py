"""`enr reproduce`: an experiment from meshes to its table, through the functions of the commands that it prints.

| in the folder | what |
|---|---|
| `meshes/` | the built-in shapes, where no meshes were given |
| `shards/<set>/` | one folder for each data set |
| `runs/<variant>-seed<n>/` | one run folder, `command.txt` and, at its end, `done.json` |
| `evals/<variant>-seed<n>/<evaluation>/` | what `enr eval` leaves, and `command.txt` |
| `table.md`, `table.json` | the result |
| `command.json` | the command that began it |

Whatever is there is not made again, so that the same command goes on after an interruption.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from enr import __version__
from enr.datagen.convert.conversion import convert
from enr.datagen.generate import generate
from enr.datagen.shapes.library import write_shapes
from enr.errors import EnrError
from enr.files import lock, replacing
from enr.model.checkpoint import read_metadata
from enr.pipelines.config import Config
from enr.pipelines.evaluation.evaluate import evaluate
from enr.pipelines.experiments.plan import SHAPES_SEED, Plan, ReproduceSettings, make_plan, shapes_line
from enr.pipelines.experiments.record import keep_record
from enr.pipelines.experiments.source import source_version
from enr.pipelines.experiments.step import Step, settings_of
from enr.pipelines.experiments.table import DONE_NAME, REPORT_NAME, read_json, write_table
from enr.pipelines.machine import choose_device, describe
from enr.pipelines.speed.benchmark import describe_machine
from enr.pipelines.training.runs import Run, check_folder, latest_run, open_run, standing
from enr.pipelines.training.schedule import Moment, progress
from enr.pipelines.training.session import DivergedError
from enr.pipelines.training.train import TrainSettings, train

COMMAND_NAME = "command.txt"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Reproduced:
    """What `reproduce` left.

    Attributes:
        table: the tables in Markdown; None where nothing was evaluated yet.
        is_finished: False where a wish to stop ended it earlier.
    """

    table: Path | None
    is_finished: bool


def reproduce(
    settings: ReproduceSettings, say: Say = print, should_stop: Callable[[], bool] = lambda: False
) -> Reproduced:
    """Do an experiment, or go on with it.

    Args:
        settings: what is asked for.
        say: takes the lines for the user.
        should_stop: asked before each step whether to end there.

    Raises:
        EnrError: the experiment, the meshes or the folder do not fit; or what the commands say. What is finished stays.
        KeyboardInterrupt: while data were made or a model was measured; what is finished stays.
    """
    plan = make_plan(settings)
    check_folder(plan.folder, "--out")
    plan.folder.mkdir(parents=True, exist_ok=True)
    held = lock(plan.folder / ".lock")
    if held is None:
        raise EnrError(f"Another enr reproduce works in {plan.folder}; wait for it, or give another --out.")
    with closing(held):
        try:
            keep_record(plan)
            return _work(plan, say, should_stop)
        except OSError as error:
            raise EnrError(
                f"{plan.folder} could not be written ({error}); free space or mend it, and the same command goes on."
            ) from error


def _work(plan: Plan, say: Say, should_stop: Callable[[], bool]) -> Reproduced:
    for note in plan.notes:
        say(f"Note: {note}")
    if plan.shapes:
        say(shapes_line(plan))
        write_shapes(plan.meshes[0], plan.shapes, SHAPES_SEED, plan.experiment.shapes.kinds)
    table = write_table(plan)
    for number, step in enumerate(plan.steps, start=1):
        if should_stop():
            return Reproduced(table, is_finished=False)
        say(f"[{number}/{len(plan.steps)}] {step.line}")
        if not _DO[step.command](plan, step, lambda line: say(f"    {line}")):
            return Reproduced(table, is_finished=False)
        if step.command == "eval":
            table = write_table(plan)
    return Reproduced(table, is_finished=True)


def _render(plan: Plan, step: Step, say: Say) -> bool:
    summary = generate(settings_of(step), progress=plan.settings.show_progress)
    if not summary.scenes:
        reason = next(iter(summary.failures.values()), "no mesh was found")
        raise EnrError(f"No mesh of the set {step.name} could be rendered ({reason}); run `enr doctor`.")
    failed = f", {len(summary.failures)} failed" if summary.failures else ""
    made = f"{summary.images_made} made now" if summary.images_made else "all were there"
    say(f"{summary.images} pictures of {summary.scenes} meshes{failed}; {made}")
    return True


def _convert(plan: Plan, step: Step, say: Say) -> bool:
    """Posed pictures become shards all at once, or not at all."""
    _claim(plan, step)
    if any(step.folder.glob("*.h5")):
        say("done already")
        return True
    converted = convert(settings_of(step), progress=plan.settings.show_progress)
    say(f"{converted.images} pictures")
    return True


def _train(plan: Plan, step: Step, say: Say) -> bool:
    _claim(plan, step)
    if (step.folder / DONE_NAME).is_file():
        say("done already")
        return True
    run = _begun_run(step.folder)
    if run is not None and _is_over(run):
        _write_done(step, run)
        return True
    asked: TrainSettings = settings_of(_with_runs(step))
    if run is not None:
        asked = TrainSettings(resume=run.folder, runs=asked.runs)
    try:
        outcome = train(replace(asked, show_progress=plan.settings.show_progress), say=say)
    except DivergedError as error:
        say(str(error))
        _write_done(step, _begun_run(step.folder), diverged=str(error))
        return True
    if outcome.is_finished:
        _write_done(step, outcome.run)
    return outcome.is_finished


def _evaluate(plan: Plan, step: Step, say: Say) -> bool:
    _claim(plan, step)
    if (step.folder / REPORT_NAME).is_file():
        say("done already")
    elif read_json(plan.folder / "runs" / step.name.split()[0] / DONE_NAME).get("diverged"):
        say("left out: the training diverged")
    else:
        evaluate(settings_of(_with_runs(step)))
    return True


_DO: dict[str, Callable[[Plan, Step, Say], bool]] = {
    "datagen": _render,
    "convert": _convert,
    "train": _train,
    "eval": _evaluate,
}
"""What each command does; False if a wish to stop ended it."""


def _claim(plan: Plan, step: Step) -> None:
    """Note what a folder is for; refuse to go on with what was begun by another command.

    Raises:
        EnrError: it was.
    """
    path = step.folder / COMMAND_NAME
    line = step.line.replace(str(plan.folder), "OUT")
    if path.is_file() and path.read_text(encoding="utf-8").strip() != line:
        raise EnrError(
            f"{step.folder} was begun by another command (see {path}); give another --out, or remove that folder."
        )
    with replacing(path) as partial:
        partial.write_text(line + "\n", encoding="utf-8")


def _with_runs(step: Step) -> Step:
    """The step with run folders in place of their patterns, as a shell would call it."""
    return replace(step, arguments=tuple(_found_run(argument) for argument in step.arguments))


def _found_run(argument: str) -> str:
    return str(latest_run(Path(argument).parent)) if Path(argument).name.startswith("*-") else argument


def _begun_run(root: Path) -> Run | None:
    """The run in a variant's folder that holds a checkpoint, if there is one."""
    try:
        return open_run(latest_run(root))
    except EnrError:
        return None


def _is_over(run: Run) -> bool:
    metadata = read_metadata(standing(run.last))
    moment = Moment(int(metadata["step"]), float(metadata["elapsed_s"]))
    return progress(Config.from_dict(run.config).train, moment) >= 1


def _write_done(step: Step, run: Run | None, diverged: str = "") -> None:
    """Say what a training took, on which machine."""
    metadata = read_metadata(standing(run.last)) if run else {}
    done: dict[str, Any] = {
        "command": step.line,
        "run": run.folder.name if run else None,
        "diverged": diverged,
        "steps": metadata.get("step"),
        "minutes": metadata["elapsed_s"] / 60 if metadata else None,
        "device": _device(run) if run else None,
        "machine": describe_machine(),
        "enr_version": __version__,
        "source": source_version(),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with replacing(step.folder / DONE_NAME) as partial:
        partial.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")


def _device(run: Run) -> str:
    config = Config.from_dict(run.config).train
    words = describe(choose_device(config.device), config.precision)
    return f"{words}, torch {torch.__version__}"
