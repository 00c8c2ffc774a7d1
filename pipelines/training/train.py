"""`enr train` as a function: shards to a run folder with checkpoints, measurements and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from enr import __version__
from enr.errors import EnrError
from enr.model.checkpoint import load_model, read_metadata
from enr.model.description import StartedFrom
from enr.pipelines.config import (
    Config,
    Preset,
    TrainSettings,
    check_agreement,
    find_key,
    key_values,
    override,
    validated_train,
)
from enr.pipelines.data.views import ViewSet
from enr.pipelines.machine import choose_device, describe, prepare_cpu
from enr.pipelines.training import runs
from enr.pipelines.training.initial import RECORD, Initial, inherit, said_of_start
from enr.pipelines.training.journal import Console
from enr.pipelines.training.loop import Task, TrainingLoop, TrainResult, stop_signals
from enr.pipelines.training.memory import check_batch, is_out_of_memory, out_of_memory, with_largest_batch
from enr.pipelines.training.prepare import metadata_of, resolve_config, said_of_data
from enr.pipelines.training.processes import THE_END, Processes, joined
from enr.pipelines.training.runs import Run
from enr.pipelines.training.trainer import Trainer, new_trainer
from enr.pipelines.training.validation import Scores, Validation
from enr.shards.find import intact_shards
from enr.words import count_of, minutes_in_words

__all__ = ["Say", "TrainSettings", "train"]

RESUMABLE_KEYS = ("steps", "max_minutes", "checkpoint_minutes", "log_every", "threads", "compile")
"""What may change when a run is resumed: how long it goes on, how fast and how often it speaks, not what it learns."""

AUTO = "auto"
"""In place of a batch size: as many scenes as fit."""

Say = Callable[[str], None]


def train(settings: TrainSettings, say: Say = print, stop: Callable[[int], bool] | None = None) -> TrainResult:
    """Train a model, or go on with a run.

    Args:
        settings: what is asked for.
        say: takes the lines for the user.
        stop: asked after each step, with its number, whether to save and end there; Ctrl-C, SIGTERM and SIGHUP do so
            too.

    Returns:
        The run, how far it came and its last scores.

    Raises:
        EnrError: the input does not fit (nothing was written then), the training diverged, or memory ran out.
    """
    try:
        with joined() as processes:
            return _lead(settings, say, stop, processes) if processes.is_first else _follow(processes)
    except OSError as error:
        raise EnrError(
            f"The run could not be written ({error}); free space or choose --runs, then --resume."
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error) from error


def _lead(settings: TrainSettings, say: Say, stop: Callable[[int], bool] | None, processes: Processes) -> TrainResult:
    """Train, and tell the other processes what to do."""
    console = Console(say, settings.show_progress)
    with _prepared(settings, console, processes) as task, stop_signals(console.say) as is_stopped:
        if processes.count > 1:
            console.say(f"{processes.count} processes share each batch of {count_of(task.config.batch_size, 'scene')}.")
            weights, state = task.trainer.best_estimate.state_dict(), task.trainer.state_dict()
            processes.send({"folder": str(task.run.folder), "config": task.run.config, "weights": weights, **state})
            processes.check(None)
        result = TrainingLoop(task, console).run(lambda step: is_stopped() or (stop is not None and stop(step)))
    if processes.count > 1:
        processes.agree(THE_END)
        processes.send({"folder": str(result.run.folder), **dataclasses.asdict(result), "run": None})
    return result


def _follow(processes: Processes) -> TrainResult:
    """Make the first process's steps, each with a share of the batch."""
    trainer, refusal = None, None
    started = processes.send()
    try:
        trainer = _taken_up(started, processes)
    except EnrError as error:
        refusal = str(error)
    processes.check(refusal)
    assert trainer is not None
    trainer.compile()
    with stop_signals(lambda _: None):  # the first one hears them, too, and says when to end
        while (rate := processes.agree(THE_END)) >= 0:
            trainer.train_step(rate)
    ended = processes.send()
    scores = Scores(**ended["scores"]) if ended["scores"] else None
    run = runs.open_run(Path(ended.pop("folder")))
    return TrainResult(**{**ended, "run": run, "scores": scores})


def _taken_up(started: dict[str, Any], processes: Processes) -> Trainer:
    """The first process's training at its present step."""
    run, config = Run(Path(started["folder"]), started["config"]), Config.from_dict(started["config"])
    trainer = _built(config, _same_data(run, ViewSet.open(run.shards)), StartingPoint(), processes)
    trainer.start_from(started["weights"])
    trainer.load_state_dict({**started, "rng_cuda": []})  # the renderer draws nothing on the device
    return trainer


@dataclass(frozen=True)
class StartingPoint:
    """What a training begins with.

    Attributes:
        shards: files that are what was written.
        run: that goes on; None: a new one.
        state: that `run` was saved with.
        initial: the checkpoint that the weights come from, of `run` or another; None: they are drawn.
    """

    shards: tuple[Path, ...] = ()
    run: Run | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    initial: Initial | None = None

    @property
    def record(self) -> StartedFrom | None:
        """Where the weights came from before the run's first step."""
        if self.initial is None:
            return None
        return self.initial.metadata.get(RECORD) if self.run else self.initial.record()


@contextmanager
def _prepared(settings: TrainSettings, console: Console, processes: Processes) -> Iterator[Task]:
    """A training at its first step or at that of its resumption; nobody else trains in its folder inside."""
    with ExitStack() as held:
        start = _starting_point(settings, held)
        view_set = ViewSet.read(start.shards)
        if start.run:
            view_set = _same_data(start.run, view_set)
            config = _extended(start.run, settings, start.state)
        else:
            config = _resolved(settings, view_set, start.initial, console, processes)
        trainer = _built(config, view_set, start, processes)
        metadata, record = metadata_of(config, view_set), start.record
        if start.initial and record:
            metadata = inherit(metadata, record, start.initial.scene_ids)
        views = Validation.choose(view_set, config.train, trainer.device)
        if start.run:
            run = start.run.with_entries({"shards": [str(path) for path in view_set.paths], **config.to_dict()})
            console.say(f"Going on with {run.folder} after step {trainer.step}{_until(config, start.state)}.")
        else:
            run = runs.create_run(settings.runs, settings.name or config.preset, _described(config, view_set, record))
            held.enter_context(runs.held(run))
            _say_what_begins(view_set, config, views, console)
        runs.write_config(run)
        yield Task(run, config.train, trainer, views, metadata, start.state)


def _starting_point(settings: TrainSettings, held: ExitStack) -> StartingPoint:
    """Refuse what cannot be written or does not go with a run that goes on, which is held from here on."""
    options: dict[str, object] = {name: getattr(settings, name) for name in ("batch_size", "max_minutes", "compile")}
    if settings.resume and settings.max_minutes is not None:  # the entry counts all minutes
        options["max_minutes"] = f"{settings.max_minutes:g} (further ones)"
    check_agreement(options, settings.assignments)
    run, state, initial = None, {}, None
    checkpoint = runs.latest_run(settings.runs) if settings.init == Path(runs.LATEST) else settings.init
    if settings.resume:
        _check_resumption(settings)
        run = runs.open_run(settings.resume)
        held.enter_context(runs.held(run))
        state, checkpoint = runs.load_state(run.last), run.last
    else:
        runs.check_folder(settings.runs, "--runs")
        runs.check_name(settings.name or "")
    if checkpoint:
        checkpoint, _ = runs.find_checkpoint(checkpoint)
    files = intact_shards(settings.shards or (run.shards if run else ()))
    if checkpoint:
        metadata = read_metadata(checkpoint)
        initial = Initial(checkpoint, load_model(checkpoint), metadata)
    return StartingPoint(files, run, state, initial)


def _check_resumption(settings: TrainSettings) -> None:
    """Refuse what would make another training of it."""
    if settings.init:
        raise EnrError(
            f"--init {settings.init} does not go with --resume; a run that is resumed goes on with its own weights."
        )
    if settings.batch_size:
        raise EnrError(f"--batch-size {settings.batch_size} does not go with --resume; a run keeps its batch size.")
    if settings.name is not None:
        raise EnrError(f"--name {settings.name} does not go with --resume; a run keeps its folder.")
    if settings.preset:
        raise EnrError(f"--preset {settings.preset} does not go with --resume; a run keeps its preset.")
    for key, _ in key_values(settings.assignments):
        if find_key(key)[-1] not in RESUMABLE_KEYS:
            raise EnrError(
                f"--set {key} does not go with --resume, which would no longer be the same training; "
                f"only {', '.join(RESUMABLE_KEYS)} may change."
            )


def _resolved(
    settings: TrainSettings, view_set: ViewSet, initial: Initial | None, console: Console, processes: Processes
) -> Config:
    """The configuration of a new training, after a line about each choice that was made for the user."""
    assignments = key_values(settings.assignments)
    if settings.max_minutes is not None:
        assignments.append(("max_minutes", settings.max_minutes))
    if settings.compile is not None:
        assignments.append(("compile", settings.compile))
    if settings.batch_size not in (None, AUTO):
        assignments.append(("batch_size", settings.batch_size))
    config, words = resolve_config(view_set, settings.preset, assignments, initial)
    console.say(words)
    if settings.batch_size == AUTO:
        console.say("Measuring how many scenes of a batch fit into memory ...")
        config, words = with_largest_batch(config, view_set, processes.count)
        console.say(words)
    check_batch(config.train, view_set, choose_device(config.train.device))
    for line in said_of_start(initial, config.model, view_set) if initial else ():
        console.say(line)
    return config


def _built(config: Config, view_set: ViewSet, start: StartingPoint, processes: Processes) -> Trainer:
    """The trainer on this machine, with the weights and at the step that it begins with."""
    prepare_cpu(config.train.threads)
    processes.check_device(choose_device(config.train.device))
    torch.backends.cudnn.benchmark = True  # the shapes are the same in every step, so choosing pays
    torch.manual_seed(config.train.seed)
    trainer = new_trainer(config, view_set, processes)
    if start.initial:
        trainer.start_from(start.initial.model.state_dict())
    if start.run:
        try:
            trainer.load_state_dict(start.state)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise EnrError(
                f"The trainer's state in {start.run.last} does not fit its model; start a new training."
            ) from error
    return trainer


def _described(config: Config, view_set: ViewSet, record: StartedFrom | None) -> dict[str, object]:
    """What `config.yaml` says of a new training."""
    return {
        "enr_version": __version__,
        "shards": [str(path) for path in view_set.paths],
        "data_fingerprint": view_set.fingerprint(),
        "shard_fingerprints": view_set.shard_fingerprints(),
        **config.to_dict(),
        **({RECORD: record} if record else {}),
    }


def _until(config: Config, state: Mapping[str, Any]) -> str:
    """What a resumed training has left, in words."""
    limits = []
    if config.train.steps is not None:
        limits.append(f"step {config.train.steps:,}")
    if config.train.max_minutes is not None:
        limits.append(f"{minutes_in_words(config.train.max_minutes - state['elapsed_s'] / 60)} from now")
    return f"; it ends at {' or '.join(limits)}" if limits else ""


def _extended(run: Run, settings: TrainSettings, state: Mapping[str, Any]) -> Config:
    """The run's configuration with a later end; there must be something left to do."""
    config = Config.from_dict(run.config)
    before = Preset(config.preset, False, {}, dataclasses.asdict(config.train))
    train = validated_train(override(before, settings.assignments).train)
    if settings.compile is not None:
        train = dataclasses.replace(train, compile=settings.compile)
    if settings.max_minutes is not None:
        train = dataclasses.replace(train, max_minutes=state["elapsed_s"] / 60 + settings.max_minutes)
    if train.steps is not None and (done := state["step"]) >= train.steps:
        stands = (
            f"finished: its {count_of(train.steps, 'step')} are done; go on with more"
            if train.steps == config.train.steps
            else f"at step {done}, and is to end at step {train.steps}; give more than {done}"
        )
        raise EnrError(f"{run.folder} is {stands}, such as --set steps={2 * done}.")
    if train.max_minutes is not None and state["elapsed_s"] >= 60 * train.max_minutes:
        raise EnrError(
            f"{run.folder} is finished: its {minutes_in_words(train.max_minutes)} are over; go on with further ones, "
            "such as --max-minutes 10."
        )
    return dataclasses.replace(config, train=train)


def _same_data(run: Run, view_set: ViewSet) -> ViewSet:
    """The view set in the run's order of shards, which may have moved, been renamed or be given in another order.

    Pairs are drawn by number: there must be the same scenes in the same order.
    """
    order, found = run.config.get("shard_fingerprints"), view_set.shard_fingerprints()
    if isinstance(order, list) and order != found and sorted(order) == sorted(found):
        view_set = view_set.in_order([found.index(fingerprint) for fingerprint in order])
    recorded = run.config.get("data_fingerprint")
    if recorded is not None and recorded != view_set.fingerprint():
        raise EnrError(
            f"The shards are not those that {run.folder} was trained on (other scenes, views, cameras or pictures); "
            "give the same ones, or start a new training."
        )
    return view_set


def _say_what_begins(view_set: ViewSet, config: Config, views: Validation, console: Console) -> None:
    said = [*said_of_data(view_set, config), *views.notes]
    train_scenes, val_scenes = view_set.scenes("train"), view_set.scenes("val")
    groups = ", ".join(sorted({scene.group for scene in train_scenes}))
    count = sum(scene.count for scene in train_scenes)
    device = describe(choose_device(config.train.device), config.train.precision)
    limits = []
    if config.train.steps is not None:
        limits.append(count_of(config.train.steps, "step"))
    if config.train.max_minutes is not None:
        limits.append(f"{minutes_in_words(config.train.max_minutes)} (max_minutes)")
    seen = f"{count_of(len(train_scenes), 'scene')} ({count_of(count, 'view')}, {groups})"
    aimed = ", cameras re-aimed at their objects" if config.model.reaim else ""
    console.say(f"Training on {seen}{aimed}, validating on {len(val_scenes)}; {device}.")
    console.say(f"It ends after {' or '.join(limits)}; Ctrl-C saves and ends it earlier.")
    for line in said:
        console.say(line)
