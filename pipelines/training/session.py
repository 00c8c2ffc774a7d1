"""The loop of a training: steps, and what is due between them."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from enr.errors import EnrError
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.checkpoints import save_checkpoint
from enr.pipelines.training.initial import RECORD
from enr.pipelines.training.journal import Journal
from enr.pipelines.training.runs import Run
from enr.pipelines.training.schedule import EARLY_POWER, Moment, Ticker, learning_rate, progress
from enr.pipelines.training.trainer import StepResult, Trainer
from enr.pipelines.training.validation import Probe, Scores, choose_triples, find_faults
from enr.shards import Split
from enr.words import count_of

PATIENCE = 0.15
"""A model has this share of the training before it is told that it does not learn, ..."""

PATIENCE_STEPS = 200
"""... and at least so many steps: after fewer no model has learned anything."""

FEW_STEPS = 50
"""A training that the clock ends after fewer steps is worth a warning."""

MEASURING_SHARE = 0.1
"""Where the clock limits the training, validations and pictures may take this share of the time."""

SHOW_EVERY_S = 1.0


class DivergedError(EnrError):
    """The loss or the weights are no longer finite: a result of its settings, not a mistake in the input."""


@dataclass(frozen=True)
class SessionParts:
    """What a session works with.

    Attributes:
        run: where everything is written.
        config: how to train.
        view_set: the data.
        trainer: the model, at its first or at its resumed step.
        metadata: for checkpoints.
        show_progress: whether to draw a progress bar.
        resumed: the state that a resumed run was saved with.
    """

    run: Run
    config: TrainConfig
    view_set: ViewSet
    trainer: Trainer
    metadata: Mapping[str, Any]
    show_progress: bool = True
    resumed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a session ended.

    Attributes:
        run: the run.
        step: steps done in all.
        is_finished: False where it was stopped before its end.
        scores: of the last validation; None where there was none.
        best_psnr_db: the best validation score.
        images_per_s: pictures rendered in a second of training steps, over this session.
    """

    run: Run
    step: int
    is_finished: bool
    scores: Scores | None
    best_psnr_db: float
    images_per_s: float


class Session:
    """Trains until the end or a wish to stop, and writes what is due."""

    def __init__(self, parts: SessionParts, say: Callable[[str], None]) -> None:
        """Prepare the probes and the journal."""
        self._parts, self._config, self._trainer = parts, parts.config, parts.trainer
        self._now_s = time.process_time if parts.config.clock == "process" else time.perf_counter
        self._say_plain = say
        resumed = parts.resumed or {}
        self._elapsed_before_s = float(resumed.get("elapsed_s", 0.0))
        self._best_db = float(resumed.get("best_psnr_db", -math.inf))
        self._first_step = parts.trainer.step
        self._started_s = self._now_s()
        self._saved_s = time.perf_counter()
        self._aside_s = 0.0
        self._measuring_s = self._ready_s = 0.0
        self._left_out = 0
        self._shown_s = -math.inf
        self._has_validation = bool(parts.view_set.scenes("val"))
        split: Split = "val" if self._has_validation else "train"
        self._probe = self._make_probe(split, self._config.validation_pictures)
        self._album = self._make_probe(split, self._config.frame_scenes)
        self._journal = Journal(parts.run, parts.trainer.step)
        self._scores: Scores | None = None
        self._bar: tqdm[Any] | None = None

    def run(self, should_stop: Callable[[int], bool]) -> Outcome:
        """Train; `should_stop` is asked after each step."""
        share = progress(self._config, self._start())
        validations = Ticker(self._config.validations, share)
        frames = Ticker(self._config.frames, share, EARLY_POWER)
        self._ready_s = self._now_s()
        self._aside_s = self._ready_s - self._started_s
        try:
            with self._open_bar() as self._bar:
                if not self._trainer.step:
                    with self._aside(), self._measuring():
                        self._add_frame()
                self._loop(should_stop, validations, frames)
            with self._aside():
                self._finish()
        finally:
            self._bar = None
            self._journal.close()
        return self._outcome()

    def _finish(self) -> None:
        if not self._parts.run.best.is_dir():  # stopped before the first validation
            self._check_weights()
            save_checkpoint(self._parts.run.best, self._trainer.best_estimate, self._metadata())
        self._save_last()
        self._journal.save_gif()
        self._warn_of_few_steps()
        if self._left_out:
            self._say(
                f"{self._left_out} of {self._config.validations} validations were left out: measuring had taken more "
                f"than {MEASURING_SHARE:.0%} of the time when they were due; fewer validation_pictures make room."
            )

    def _warn_of_few_steps(self) -> None:
        steps, minutes = self._trainer.step, self._config.max_minutes
        if RECORD in self._parts.metadata:
            return  # trained before
        if minutes is not None and steps < min(FEW_STEPS, self._config.steps or FEW_STEPS) and self._progress() >= 1:
            self._say(
                f"Warning: only {count_of(steps, 'step')} fitted into {minutes:g} minutes (--max-minutes); the "
                "weights are nearly untrained."
            )

    def _loop(self, should_stop: Callable[[int], bool], validations: Ticker, frames: Ticker) -> None:
        share = progress(self._config, self._start())  # so that a step is done even if preparing took all the time
        while share < 1:
            is_late = self._trainer.step == self._first_step and self._progress() >= 1
            moment = self._start() if is_late else self._moment()  # past the end the learning rate is 0
            result = self._trainer.train_step(learning_rate(self._config, moment))
            share = self._progress()
            if self._trainer.step % self._config.log_every == 0 or share >= 1:
                self._log(result)
            self._show(result)
            if validations.due(share):
                with self._aside(), self._measuring():
                    self._validate_in_time(share)
            if frames.due(share) and self._has_time(share):
                with self._aside(), self._measuring():
                    self._add_frame()
            if time.perf_counter() - self._saved_s > 60 * self._config.checkpoint_minutes:
                with self._aside():
                    self._save_last()
            if should_stop(self._trainer.step):
                return

    def _has_time(self, share: float) -> bool:
        """Whether what is due is measured: of a training by the clock, most of the time belongs to the steps."""
        if self._config.max_minutes is None or share >= 1:
            return True
        return self._measuring_s <= MEASURING_SHARE * (self._now_s() - self._ready_s)

    def _validate_in_time(self, share: float) -> None:
        if self._has_time(share):
            self._validate(share)
        else:
            self._left_out += 1

    def _log(self, result: StepResult) -> None:
        loss = float(result.loss)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        values = {
            "loss": loss,
            "psnr_db": float(result.psnr_db),
            **{f"loss_{name}": float(part) for name, part in result.parts.items()},
            "learning_rate": learning_rate(self._config, self._moment()),
            "images_per_s": self._images_per_s(),
            "elapsed_s": self._elapsed_s(),
        }
        self._journal.write("train", self._trainer.step, values)

    def _diverged(self, reason: str) -> DivergedError:
        rate = self._config.learning_rate
        kept = f"; {self._parts.run.last} keeps an earlier step" if self._parts.run.last.is_dir() else ""
        return DivergedError(
            f"The training diverged at step {self._trainer.step} ({reason}){kept}. "
            f"Start a new one with a lower rate, such as --set learning_rate={rate / 4:.1g}."
        )

    def _check_weights(self) -> None:
        """Between two looks at the loss the weights may have become NaN: they must not replace a checkpoint."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self._trainer.model.state_dict().values()):
            raise self._diverged("weights are not finite")

    def _validate(self, share: float) -> None:
        self._check_weights()
        scores = self._scores = self._probe.score(self._trainer.best_estimate)
        elapsed = {"elapsed_s": self._elapsed_s()}
        kind = "validation" if self._has_validation else "train_scenes"
        is_early = share < PATIENCE or self._trainer.step < PATIENCE_STEPS
        faults = () if is_early else find_faults(scores)
        written = {**scores.to_dict(), "faults": list(faults), **elapsed}
        self._journal.write(kind, self._trainer.step, written)
        groups = ", ".join(f"{group} {db:.2f}" for group, db in scores.group_db.items())
        self._say(
            f"step {self._trainer.step}: {scores.psnr_db:.2f} dB on {kind.replace('_', ' ')} ({groups}); "
            f"with another view's pose {scores.swapped_db:.2f}, bare background {scores.background_db:.2f}"
        )
        for fault in faults:
            self._say(f"Warning: the model does not learn as it should; {fault}")
        if scores.psnr_db > self._best_db or not self._has_validation:
            self._best_db = scores.psnr_db
            save_checkpoint(self._parts.run.best, self._trainer.best_estimate, self._metadata())
        self._save_last()

    def _add_frame(self) -> None:
        self._journal.add_frame(self._album.picture(self._trainer.best_estimate), self._trainer.step)

    def _save_last(self) -> None:
        self._check_weights()
        state = {
            **self._trainer.state_dict(),
            "elapsed_s": self._elapsed_s(),
            "best_psnr_db": self._best_db,
        }
        save_checkpoint(self._parts.run.last, self._trainer.best_estimate, self._metadata(), state)
        self._saved_s = time.perf_counter()

    def _metadata(self) -> dict[str, Any]:
        scores = self._scores.to_dict() if self._scores else None
        moment = dataclasses.asdict(self._moment())
        return {**self._parts.metadata, **moment, "validation": scores}

    def _outcome(self) -> Outcome:
        return Outcome(
            run=self._parts.run,
            step=self._trainer.step,
            is_finished=self._progress() >= 1,
            scores=self._scores,
            best_psnr_db=self._best_db,
            images_per_s=self._images_per_s(),
        )

    def _make_probe(self, split: Split, pictures: int) -> Probe:
        view_set = self._parts.view_set
        triples = choose_triples(view_set, split, pictures, self._config.seed)
        return Probe(view_set, triples, self._trainer.device)

    def _elapsed_s(self) -> float:
        return self._elapsed_before_s + self._now_s() - self._started_s

    def _moment(self) -> Moment:
        return Moment(self._trainer.step, self._elapsed_s())

    def _start(self) -> Moment:
        """Where this session began, before anything was prepared."""
        return Moment(self._first_step, self._elapsed_before_s)

    def _progress(self) -> float:
        return progress(self._config, self._moment())

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Leave the time inside out of images/s: it belongs to the training, but to no step of it."""
        if self._trainer.device.type == "cuda":
            torch.cuda.synchronize(self._trainer.device)  # steps that were only queued so far
        started_s = self._now_s()
        try:
            yield
        finally:
            self._aside_s += self._now_s() - started_s

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Count the time inside as that of validations and pictures."""
        started_s = self._now_s()
        try:
            yield
        finally:
            self._measuring_s += self._now_s() - started_s

    def _images_per_s(self) -> float:
        steps = self._trainer.step - self._first_step
        return self._trainer.pictures_per_step * steps / max(self._step_seconds(), 1e-9)

    def _step_seconds(self) -> float:
        """Time of this session's steps alone."""
        return self._now_s() - self._started_s - self._aside_s

    def _open_bar(self) -> tqdm[Any]:
        form = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        return tqdm(total=1.0, initial=self._progress(), bar_format=form, disable=not self._parts.show_progress)

    def _show(self, result: StepResult) -> None:
        """Bring the progress bar up to date, once a second: reading a number makes a GPU wait."""
        if self._bar is None or self._bar.disable or time.perf_counter() - self._shown_s < SHOW_EVERY_S:
            return
        self._shown_s = time.perf_counter()
        held_out = f", validation {self._scores.psnr_db:.2f} dB" if self._scores else ""
        self._bar.set_postfix_str(
            f"step {self._trainer.step}, {self._images_per_s():.0f} images/s, loss {float(result.loss):.4f}, "
            f"PSNR {float(result.psnr_db):.2f} dB{held_out}",
            refresh=False,
        )
        self._bar.update(self._progress() - self._bar.n)

    def _say(self, words: str) -> None:
        """Say a line without tearing the progress bar."""
        if self._bar is not None and not self._bar.disable:
            self._bar.clear()
        self._say_plain(words)
