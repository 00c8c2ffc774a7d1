"""How far a training is, and what follows from it: the learning rate, and when something is due.

Everything is a function of the progress, a number from 0 to 1. Where only the steps are limited it does not depend on
the clock, so a resumed training repeats the uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

from enr.pipelines.config import TrainConfig

EARLY_POWER = 2.0
"""Pictures come more often at the beginning, where most is learned: number k of n is due at progress (k / n) ** 2."""


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
    """Says when the next of `count` events is due, spread over the progress; the last one is due at its end."""

    def __init__(self, count: int, start: float, power: float = 1.0) -> None:
        """Spread `count` events; those before the progress `start` are past."""
        self._count, self._power = count, power
        self._past = self._passed(start)

    def due(self, share: float) -> bool:
        """Whether an event lies between the last call's progress and `share`."""
        passed = self._passed(share)
        is_due = passed > self._past
        self._past = passed
        return is_due

    def _passed(self, share: float) -> int:
        # The small number mends shares such as 0.3 that are a rounding error short of their event.
        return int(self._count * share ** (1 / self._power) + 1e-9)
