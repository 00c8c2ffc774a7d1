"""The loop of a training, from top to bottom: the steps, their learning rate, what is due between them, how it stops.

Everything that is due is a function of the progress, a number from 0 to 1. Where only the steps are limited it does not
depend on the clock, so a resumed training repeats the uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from enr.errors import EnrError
from enr.model.description import CheckpointMetadata
from enr.pipelines.config import TrainConfig
from enr.pipelines.threads import ThreadWatch
from enr.pipelines.training.initial import RECORD
from enr.pipelines.training.journal import Console, Journal, Stopwatch
from enr.pipelines.training.runs import Run, save_checkpoint
from enr.pipelines.training.trainer import StepResult, Trainer
from enr.pipelines.training.validation import Scores, Validation, find_faults
from enr.words import count_of, minutes_in_words

PATIENCE = 0.15
"""A model has this share of the training before it is told that it does not learn, ..."""

PATIENCE_STEPS = 200
"""... and at least so many steps: after fewer no model has learned anything."""

FEW_STEPS = 50
"""A training that the clock ends after fewer steps is worth a warning."""

MEASURING_SHARE = 0.1
"""Where the clock limits the training, validations and pictures may take this share of the time."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class DivergedError(EnrError):
    """The loss or the weights are no longer finite: a result of its settings, not a mistake in the input."""


@dataclass(frozen=True)
class Task:
    """What a loop works with.

    Attributes:
        run: where everything is written.
        config: how to train.
        trainer: the model, at its first or at its resumed step.
        validation: the views that are measured and shown.
        metadata: for checkpoints.
        resumed: the state that a resumed run was saved with.
    """

    run: Run
    config: TrainConfig
    trainer: Trainer
    validation: Validation
    metadata: CheckpointMetadata
    resumed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        run: the run.
        step: steps done in all.
        is_finished: False where it was stopped before its end.
        scores: of the last validation; None where there was none.
        best_psnr_db: of the best checkpoint.
        images_per_s: pictures rendered in a second of training steps, since it was started or resumed.
    """

    run: Run
    step: int
    is_finished: bool
    scores: Scores | None
    best_psnr_db: float
    images_per_s: float


@dataclass(frozen=True)
class Moment:
    """A point of a training.

    Attributes:
        step: steps done.
        elapsed_s: seconds of training done, those before an interruption included.
    """

    step: int = 0
    elapsed_s: float = 0.0


def progress(config: TrainConfig, moment: Moment) -> float:
    """How much of the training is done, from 0 to 1, by the limit that is nearest."""
    share = 0.0 if config.steps is None else moment.step / config.steps
    if config.max_minutes is not None:
        share = max(share, moment.elapsed_s / (60 * config.max_minutes))
    return min(share, 1.0)


def learning_rate(config: TrainConfig, moment: Moment) -> float:
    """Adam's learning rate for the step after `moment`: linear warm-up, constant, linear decay to 0."""
    warmup = min(1.0, (moment.step + 1) / max(1, config.warmup_steps))
    decay = min(1.0, (1 - progress(config, moment)) / config.decay)
    return config.learning_rate * warmup * decay


class Ticker:
    """Says when the next of `count` events is due, evenly over the progress; the last one is due at its end."""

    def __init__(self, count: int, start: float) -> None:
        """Spread `count` events; those before the progress `start` are past."""
        self._count = count
        self._past = self._passed(start)

    def due(self, share: float) -> bool:
        """Whether an event lies between the last call's progress and `share`."""
        passed = self._passed(share)
        is_due = passed > self._past
        self._past = passed
        return is_due

    def _passed(self, share: float) -> int:
        # The small number mends shares such as 0.3 that are a rounding error short of their event.
        return int(self._count * share + 1e-9)


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C, SIGTERM or SIGHUP came; the second one acts as it always does."""
    came: list[int] = []
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        restore()
        say("Stopping after this step and saving; once more to stop at once.")

    # Only the main thread may set handlers; elsewhere the caller has its own way to stop. What is ignored (by `nohup`,
    # the hang-up) stays ignored.
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before.update({number: signal.signal(number, note) for number in heard})
    try:
        yield lambda: bool(came)
    finally:
        restore()


class TrainingLoop:
    """Trains until the end or a wish to stop, and writes what is due."""

    def __init__(self, task: Task, console: Console) -> None:
        """Start the clock and open the journal."""
        self._task, self._config, self._trainer, self._console = task, task.config, task.trainer, console
        self._before = Moment(task.trainer.step, float(task.resumed.get("elapsed_s", 0.0)))
        self._best_db = float(task.resumed.get("best_psnr_db", -math.inf))
        self._watch = Stopwatch(task.config, task.trainer.device, self._before.elapsed_s)
        self._threads = ThreadWatch(is_on=not task.config.threads and task.trainer.processes.count == 1)
        self._journal = Journal(task.run, task.trainer.step)
        self._saved_s = time.perf_counter()
        self._unread: list[tuple[int, Callable[[], dict[str, float]], dict[str, float]]] = []
        self._left_out = 0
        self._validation_s = 0.0  # what the last one took
        self._scores: Scores | None = None

    def run(self, should_stop: Callable[[int], bool]) -> TrainResult:
        """Train; `should_stop` is asked after each step."""
        try:
            self._trainer.compile(self._console.say)
            with self._console.bar(progress(self._config, self._moment())):
                self._watch.begin()
                if not self._trainer.step:
                    with self._watch.aside(measuring=True):
                        self._add_frame()
                self._do_steps(should_stop)
            with self._watch.aside():
                self._finish()
        finally:
            self._journal.close()
        return TrainResult(
            run=self._task.run,
            step=self._trainer.step,
            is_finished=self._progress() >= 1,
            scores=self._scores,
            best_psnr_db=self._best_db,
            images_per_s=self._images_per_s(),
        )

    def _do_steps(self, should_stop: Callable[[int], bool]) -> None:
        share = progress(self._config, self._before)  # so that a step is done even if preparing took all the time
        validations, frames = Ticker(self._config.validations, share), Ticker(self._config.frames, share)
        while share < 1:
            is_late = self._trainer.step == self._before.step and self._progress() >= 1
            moment = self._before if is_late else self._moment()  # past the end the learning rate is 0
            rate = self._trainer.processes.agree(learning_rate(self._config, moment))
            started_s = time.perf_counter()
            result = self._trainer.train_step(rate)
            self._console.say(self._threads.after_step(time.perf_counter() - started_s))
            share = self._progress()
            if self._trainer.step % self._config.log_every == 0 or share >= 1:
                self._log(result)
            self._console.show(self._progress(), lambda result=result: self._in_words(result))  # type: ignore[misc]
            if validations.due(share):
                self._validate_in_time(share)
            if frames.due(share) and self._has_time(share):
                with self._watch.aside(measuring=True):
                    self._add_frame()
            if time.perf_counter() - self._saved_s > 60 * self._config.checkpoint_minutes:
                with self._watch.aside():
                    self._save_last()
            if should_stop(self._trainer.step):
                return

    def _has_time(self, share: float) -> bool:
        """Whether what is due is measured: of a training by the clock, most of the time belongs to the steps."""
        if self._config.max_minutes is None or share >= 1:
            return True
        return self._watch.measuring_s <= MEASURING_SHARE * self._watch.since_begin_s

    def _validate_in_time(self, share: float) -> None:
        if not self._has_time(share):
            self._left_out += 1
        elif share >= 1 or not self._is_nearly_over():
            with self._watch.aside(measuring=True):
                started_s = self._watch.elapsed_s
                self._validate(share)
            self._validation_s = self._watch.elapsed_s - started_s

    def _is_nearly_over(self) -> bool:
        """Whether a validation now would take longer than the steps between it and the final one."""
        if self._config.max_minutes is None:
            return False
        step_s = self._watch.step_s / max(1, self._trainer.step - self._before.step)
        after_s = self._watch.elapsed_s + 2 * self._validation_s + step_s
        return after_s >= 60 * self._config.max_minutes

    def _validate(self, share: float) -> None:
        self._write_log()
        self._check_weights()
        if self._task.validation.is_validation:
            self._trainer.calibrate(self._task.validation.views)
        scores = self._scores = self._task.validation.views.score(self._trainer.best_estimate)
        kind = "validation" if self._task.validation.is_validation else "train_scenes"
        is_early = share < PATIENCE or self._trainer.step < PATIENCE_STEPS
        faults = () if is_early else find_faults(scores)
        written = {**scores.to_dict(), "faults": list(faults), "elapsed_s": self._watch.elapsed_s}
        self._journal.write(kind, self._trainer.step, written)
        groups = ", ".join(f"{group} {db:.2f}" for group, db in scores.group_db.items())
        self._console.say(
            f"step {self._trainer.step}: {scores.psnr_db:.2f} dB on {kind.replace('_', ' ')} ({groups}); "
            f"with a wrong pose {scores.swapped_db:.2f}, bare background {scores.background_db:.2f}"
        )
        for fault in faults:
            self._console.say(f"Warning: the model does not learn as it should; {fault}")
        if scores.psnr_db > self._best_db or not self._task.validation.chooses:
            self._best_db = scores.psnr_db
            self._save_best()
        self._save_last()

    def _log(self, result: StepResult) -> None:
        """Note what was measured; of a GPU it is written when the next is noted, so that no step waits for it."""
        rate = learning_rate(self._config, self._moment())
        beside = {"learning_rate": rate, "images_per_s": self._images_per_s(), "elapsed_s": self._watch.elapsed_s}
        self._unread.append((self._trainer.step, result.reading(), beside))
        self._write_log(kept=int(self._trainer.device.type == "cuda"))

    def _write_log(self, kept: int = 0) -> None:
        while len(self._unread) > kept:
            step, read, beside = self._unread.pop(0)
            measured = read()
            if not math.isfinite(measured["loss"]):
                raise self._diverged(f"the loss is {measured['loss']}")
            self._journal.write("train", step, {**measured, **beside})

    def _in_words(self, result: StepResult) -> str:
        """What stands behind the progress bar; reading these numbers makes a GPU wait."""
        held_out = f", validation {self._scores.psnr_db:.2f} dB" if self._scores else ""
        return (
            f"step {self._trainer.step}, {self._images_per_s():.0f} images/s, loss {float(result.loss):.4f}, "
            f"PSNR {float(result.psnr_db):.2f} dB{held_out}"
        )

    def _add_frame(self) -> None:
        words = f"step {self._trainer.step}, {self._watch.elapsed_s / 60:.1f} min"
        picture = self._task.validation.album.picture(self._trainer.best_estimate, words)
        self._journal.add_frame(picture, self._trainer.step)

    def _finish(self) -> None:
        if not self._task.run.best.is_dir() or not self._task.validation.chooses:
            self._save_best()  # stopped before the first validation, or there is nothing to choose by
        self._save_last()
        self._journal.save_gif()
        self._warn_of_few_steps()
        if self._left_out:
            self._console.say(
                f"{self._left_out} of {self._config.validations} validations were left out: measuring had taken more "
                f"than {MEASURING_SHARE:.0%} of the time when they were due; fewer validation_pictures make room."
            )

    def _warn_of_few_steps(self) -> None:
        steps, minutes = self._trainer.step, self._config.max_minutes
        if RECORD in self._task.metadata:
            return  # trained before
        if minutes is not None and steps < min(FEW_STEPS, self._config.steps or FEW_STEPS) and self._progress() >= 1:
            further = steps - self._before.step
            since = f" in all, {further:,} of these steps since it was resumed" if self._before.step else ""
            self._console.say(
                f"Warning: only {count_of(steps, 'step')} fitted into {minutes_in_words(minutes)}{since} "
                "(--max-minutes); the weights are nearly untrained."
            )

    def _save_best(self) -> None:
        self._check_weights()
        save_checkpoint(self._task.run.best, self._trainer.best_estimate, self._metadata())

    def _save_last(self) -> None:
        self._write_log()
        self._check_weights()
        elapsed = {"elapsed_s": self._watch.elapsed_s, "best_psnr_db": self._best_db}
        state = {**self._trainer.state_dict(), **elapsed}
        save_checkpoint(self._task.run.last, self._trainer.best_estimate, self._metadata(), state)
        self._saved_s = time.perf_counter()

    def _check_weights(self) -> None:
        """Between two looks at the loss the weights may have become NaN: they must not replace a checkpoint."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self._trainer.model.state_dict().values()):
            raise self._diverged("weights are not finite")

    def _diverged(self, reason: str) -> DivergedError:
        kept = f"; {self._task.run.last} keeps an earlier step" if self._task.run.last.is_dir() else ""
        return DivergedError(
            f"The training diverged at step {self._trainer.step} ({reason}){kept}. "
            f"Start a new one with a lower rate, such as --set learning_rate={self._config.learning_rate / 4:.1g}."
        )

    def _metadata(self) -> CheckpointMetadata:
        scores = self._scores.to_dict() if self._scores else None
        moment = self._moment()
        return {**self._task.metadata, "step": moment.step, "elapsed_s": moment.elapsed_s, "validation": scores}

    def _moment(self) -> Moment:
        return Moment(self._trainer.step, self._watch.elapsed_s)

    def _progress(self) -> float:
        return progress(self._config, self._moment())

    def _images_per_s(self) -> float:
        steps = self._trainer.step - self._before.step
        return self._trainer.pictures_per_step * steps / max(self._watch.step_s, 1e-9)
