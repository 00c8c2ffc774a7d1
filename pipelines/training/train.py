"""`enr train` as a function: shards to a run folder with checkpoints, measurements and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from enr import __version__
from enr.errors import EnrError
from enr.model.checkpoint import load_model, read_metadata
from enr.model.renderer import Renderer
from enr.pipelines.config import Config, Preset, TrainSettings, find_key, key_values, override, validated_train
from enr.pipelines.data.views import ViewSet
from enr.pipelines.machine import choose_device, describe, prepare_cpu
from enr.pipelines.training import runs
from enr.pipelines.training.initial import RECORD, Initial, inherit, said_of_start
from enr.pipelines.training.journal import Console
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.loop import Task, TrainingLoop, TrainResult, stop_signals
from enr.pipelines.training.memory import check_batch, is_out_of_memory, out_of_memory, with_largest_batch
from enr.pipelines.training.prepare import metadata_of, resolve_config, said_of_data
from enr.pipelines.training.processes import THE_END, Processes, joined
from enr.pipelines.training.runs import Run
from enr.pipelines.training.trainer import Trainer
from enr.pipelines.training.validation import Scores, Validation
from enr.words import count_of, minutes_in_words

__all__ = ["Say", "TrainSettings", "train"]

RESUMABLE_KEYS = ("steps", "max_minutes", "checkpoint_minutes", "log_every", "threads")
"""What may change when a run is resumed: how long it goes on and how often it speaks, not what it learns."""

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
    model = Renderer(config.model)
    model.load_state_dict(started["weights"])
    trainer = _build(config, _same_data(run, ViewSet.open(run.shards)), model, processes)
    trainer.load_state_dict({**started, "rng_cuda": []})  # the renderer draws nothing on the device
    return trainer


@contextmanager
def _prepared(settings: TrainSettings, console: Console, processes: Processes) -> Iterator[Task]:
    """A training at its first step or at that of its resumption; nobody else trains in its folder inside."""
    if settings.resume:
        run = runs.open_run(settings.resume)
        with runs.held(run):
            yield _resume(run, settings, console, processes)
    else:
        task = _begin(settings, console, processes)
        with runs.held(task.run):
            yield task


def _begin(settings: TrainSettings, console: Console, processes: Processes) -> Task:
    runs.check_folder(settings.runs, "--runs")
    runs.check_name(settings.name or "")
    view_set = ViewSet.open(settings.shards)
    assignments = key_values(settings.assignments)
    if settings.max_minutes is not None:
        assignments.append(("max_minutes", settings.max_minutes))
    if settings.batch_size not in (None, AUTO):
        assignments.append(("batch_size", settings.batch_size))
    initial = Initial.open(settings.init) if settings.init else None
    config, words = resolve_config(view_set, settings.preset, assignments, initial)
    lines = [words]
    if settings.batch_size == AUTO:
        config, words = with_largest_batch(config, view_set, processes.count)
        lines.append(words)
    check_batch(config.train, view_set, choose_device(config.train.device))
    for line in (*lines, *(said_of_start(initial, config.model, view_set) if initial else ())):
        console.say(line)
    torch.manual_seed(config.train.seed)
    model = Renderer(config.model)
    if initial:
        model.load_state_dict(initial.model.state_dict())
    trainer = _build(config, view_set, model, processes)
    metadata = metadata_of(config, view_set)
    described: dict[str, Any] = {
        "enr_version": __version__,
        "shards": [str(path) for path in view_set.paths],
        "data_fingerprint": view_set.fingerprint(),
        "shard_fingerprints": view_set.shard_fingerprints(),
        **config.to_dict(),
    }
    if initial:
        described[RECORD] = initial.record()
        metadata = inherit(metadata, described[RECORD], initial.scene_ids)
    views = Validation.choose(view_set, config.train, trainer.device)
    run = runs.create_run(settings.runs, settings.name or config.preset, described)
    _say_what_begins(view_set, config, views, console)
    return Task(run, config.train, trainer, views, metadata)


def _resume(run: Run, settings: TrainSettings, console: Console, processes: Processes) -> Task:
    if settings.init:
        raise EnrError(
            f"--init {settings.init} does not go with --resume; a run that is resumed goes on with its own weights."
        )
    if settings.batch_size:
        raise EnrError(f"--batch-size {settings.batch_size} does not go with --resume; a run keeps its batch size.")
    if settings.preset:
        raise EnrError(f"--preset {settings.preset} does not go with --resume; a run keeps its preset.")
    state = runs.load_state(run.last)
    config = _extended(Config.from_dict(run.config), settings, state["elapsed_s"])
    view_set = _same_data(run, ViewSet.open(settings.shards or run.shards))
    _check_unfinished(run, config, state)
    trainer = _build(config, view_set, load_model(run.last), processes)
    _restore(trainer, state, run)
    views = Validation.choose(view_set, config.train, trainer.device)
    metadata, before = metadata_of(config, view_set), read_metadata(run.last)
    if record := before.get(RECORD):
        metadata = inherit(metadata, record, before["data"]["trained_scene_ids"])
    paths = [str(path) for path in view_set.paths]
    run = Run(run.folder, {**run.config, "shards": paths, **config.to_dict()})
    runs.write_config(run)
    console.say(f"Going on with {run.folder} after step {trainer.step}{_until(config, state)}.")
    return Task(run, config.train, trainer, views, metadata, state)


def _check_unfinished(run: Run, config: Config, state: dict[str, Any]) -> None:
    """There must be something left to do."""
    steps, minutes = config.train.steps, config.train.max_minutes
    if steps is not None and state["step"] >= steps:
        raise EnrError(
            f"{run.folder} is finished: its {count_of(steps, 'step')} are done; go on with more, such as "
            f"--set steps={2 * steps}."
        )
    if minutes is not None and state["elapsed_s"] >= 60 * minutes:
        raise EnrError(
            f"{run.folder} is finished: its {minutes_in_words(minutes)} are over; go on with further ones, such as "
            "--max-minutes 10."
        )


def _until(config: Config, state: dict[str, Any]) -> str:
    """What a resumed training has left, in words."""
    limits = []
    if config.train.steps is not None:
        limits.append(f"step {config.train.steps:,}")
    if config.train.max_minutes is not None:
        limits.append(f"{minutes_in_words(config.train.max_minutes - state['elapsed_s'] / 60)} from now")
    return f"; it ends at {' or '.join(limits)}" if limits else ""


def _build(config: Config, view_set: ViewSet, model: Renderer, processes: Processes) -> Trainer:
    prepare_cpu(config.train.threads)
    how, device = config.train, choose_device(config.train.device)
    processes.check_device(device)
    torch.backends.cudnn.benchmark = True  # the shapes are the same in every step, so choosing pays
    share = processes.share_of(how.batch_size)
    loader = PairLoader(view_set, "train", how.batch_size, how.seed, how.views_per_scene, how.sources, share)
    return Trainer(model, loader, how, device, processes)


def _restore(trainer: Trainer, state: dict[str, Any], run: Run) -> None:
    try:
        trainer.load_state_dict(state)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise EnrError(f"The trainer's state in {run.last} does not fit its model; start a new training.") from error


def _extended(config: Config, settings: TrainSettings, elapsed_s: float) -> Config:
    """The run's configuration with a later end."""
    for key, _ in key_values(settings.assignments):
        if find_key(key)[-1] not in RESUMABLE_KEYS:
            raise EnrError(
                f"--set {key} does not go with --resume, which would no longer be the same training; "
                f"only {', '.join(RESUMABLE_KEYS)} may change."
            )
    before = Preset(config.preset, False, {}, dataclasses.asdict(config.train))
    train = validated_train(override(before, settings.assignments).train)
    if settings.max_minutes is not None:
        train = dataclasses.replace(train, max_minutes=elapsed_s / 60 + settings.max_minutes)
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
    console.say(f"Training on {seen}, validating on {len(val_scenes)}; {device}.")
    console.say(f"It ends after {' or '.join(limits)}; Ctrl-C saves and ends it earlier.")
    for line in said:
        console.say(line)
