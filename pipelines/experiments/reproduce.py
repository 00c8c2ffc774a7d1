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

import torch

from enr import __version__
from enr.datagen.convert.conversion import ConvertSettings, convert
from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings
from enr.datagen.shapes.catalogue import write_shapes
from enr.errors import EnrError
from enr.files import lock, replacing
from enr.model.checkpoint import read_metadata
from enr.pipelines.config import Config
from enr.pipelines.evaluation.evaluate import evaluate
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.experiments.begun import keep_record
from enr.pipelines.experiments.experiment_plan import (
    SHAPES_SEED,
    AnyStep,
    Plan,
    ReproduceSettings,
    make_plan,
    shapes_line,
)
from enr.pipelines.experiments.source import source_version
from enr.pipelines.experiments.table import DONE_NAME, REPORT_NAME, read_json, write_table
from enr.pipelines.machine import choose_device, describe, describe_machine
from enr.pipelines.training.loop import DivergedError, Moment, progress
from enr.pipelines.training.runs import Run, check_folder, latest_run, open_run, standing
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
        if not _do(plan, step, lambda line: say(f"    {line}")):
            return Reproduced(table, is_finished=False)
        if step.command == "eval":
            table = write_table(plan)
    return Reproduced(table, is_finished=True)


def _do(plan: Plan, step: AnyStep, say: Say) -> bool:
    """Do a step, or see that it is done; False if a wish to stop ended it."""
    asked = step.asked
    if isinstance(asked, GenerateSettings):
        _render(plan, step.name, asked, say)
        return True
    _claim(plan, step)
    if isinstance(asked, TrainSettings):
        return _train(plan, step, asked, say)
    if isinstance(asked, ConvertSettings):
        _convert(plan, asked, say)
    else:
        _evaluate(plan, step, asked, say)
    return True


def _render(plan: Plan, name: str, asked: GenerateSettings, say: Say) -> None:
    summary = generate(asked, progress=plan.settings.show_progress)
    if not summary.scenes:
        reason = next(iter(summary.failures.values()), "no mesh was found")
        raise EnrError(f"No mesh of the set {name} could be rendered ({reason}); run `enr doctor`.")
    failed = f", {len(summary.failures)} failed" if summary.failures else ""
    made = f"{summary.images_made} made now" if summary.images_made else "all were there"
    say(f"{summary.images} pictures of {summary.scenes} meshes{failed}; {made}")


def _convert(plan: Plan, asked: ConvertSettings, say: Say) -> None:
    """Posed pictures become shards all at once, or not at all."""
    if any(asked.out.glob("*.h5")):
        say("done already")
        return
    converted = convert(asked, progress=plan.settings.show_progress)
    say(f"{converted.images} pictures")


def _train(plan: Plan, step: AnyStep, asked: TrainSettings, say: Say) -> bool:
    """Train, or go on with the run that was begun; False if it was stopped."""
    if (step.folder / DONE_NAME).is_file():
        say("done already")
        return True
    run = _begun_run(step.folder)
    if run is not None and _is_over(run):
        _write_done(step, run)
        return True
    if run is not None:
        asked = TrainSettings(resume=run.folder, runs=asked.runs)
    elif asked.init is not None:
        asked = replace(asked, init=latest_run(asked.init))
    try:
        outcome = train(replace(asked, show_progress=plan.settings.show_progress), say=say)
    except DivergedError as error:
        say(str(error))
        _write_done(step, _begun_run(step.folder), diverged=str(error))
        return True
    if outcome.is_finished:
        _write_done(step, outcome.run)
    return outcome.is_finished


def _evaluate(plan: Plan, step: AnyStep, asked: EvalSettings, say: Say) -> None:
    runs = asked.checkpoint
    assert runs is not None
    if (step.folder / REPORT_NAME).is_file():
        say("done already")
    elif read_json(runs / DONE_NAME).get("diverged"):
        say("left out: the training diverged")
    else:
        evaluate(replace(asked, checkpoint=latest_run(runs)))


def _claim(plan: Plan, step: AnyStep) -> None:
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


def _write_done(step: AnyStep, run: Run | None, diverged: str = "") -> None:
    """Say what a training took, on which machine."""
    metadata = read_metadata(standing(run.last)) if run else {}
    done: dict[str, object] = {
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
