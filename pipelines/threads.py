"""How many threads torch computes with on a CPU: as many as are quickest beside what else runs."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from enr.words import count_of

PROBE_ROUNDS, PROBE_LAYERS, PROBE_SECONDS = 5, 12, 0.5
WORTH_IT = 1.05
"""More threads are taken only where they are quicker by so much: each that gains nothing is in another's way."""

TRIED_STEPS = 3
"""A number of threads is tried by so many steps, the first of which prepares, ..."""
HOPELESS = 2.0
"""... but given up once a step has taken so many times as long as with another number."""
WATCHED_STEPS = 5
"""Afterwards steps are compared by the medians of so many, ..."""
MUCH_SLOWER = 1.5
"""... and are much slower when they take so many times as long as in the trial."""
PATIENCE_S, MOST_PATIENCE_S = 15.0, 300.0
"""A trial is at least so much later than the last one; twice as much each time that it changes nothing."""

_chosen: dict[str, int] = {}
"""Once the number of threads has been chosen in this process: it, as `threads`, and the `most` that there could be."""


def choose_threads() -> int:
    """How many threads compute quickest beside what else runs now, from a timing of a fraction of a second.

    A thread for each core waits, in every small operation, for the one whose core is taken: several times slower than
    a single thread. Chosen once in a process; `OMP_NUM_THREADS` is obeyed, and beside a GPU it does not matter.
    """
    now = torch.get_num_threads()
    if now == 1 or "OMP_NUM_THREADS" in os.environ or torch.cuda.is_available() or now == _chosen.get("threads"):
        return now
    seconds = dict.fromkeys(_thread_counts(now), 0.0)
    work = _small_operations()
    began = time.perf_counter()
    for _ in range(PROBE_ROUNDS):
        if time.perf_counter() - began > PROBE_SECONDS:
            break
        for count in seconds:
            torch.set_num_threads(count)
            started = time.perf_counter()
            work()
            seconds[count] += time.perf_counter() - started
    torch.set_num_threads(now)
    _chosen.update(most=now, threads=_fewest_of_the_quick(seconds))
    return _chosen["threads"]


class ThreadWatch:
    """Finds, by the steps of a training themselves, the number of threads that is quickest, and looks again later.

    A timing of a fraction of a second cannot tell: the system lets a program that has just begun go first, and takes
    it back within seconds. So the first steps are done with the number that `choose_threads` gave, with twice as many,
    or with half as many, and so on as long as that is quicker.
    """

    def __init__(self, is_on: bool) -> None:
        """Watch, if `is_on`, a process whose number of threads `choose_threads` has chosen."""
        self._is_on = is_on and torch.get_num_threads() == _chosen.get("threads")
        self._counts = _thread_counts(_chosen["most"]) if self._is_on else []
        self._steps_s: list[float] = []  # with the present number, since it was taken or last looked at
        self._tried_s: dict[int, float] = {}  # of a step with each number, in the present or last trial
        self._patience_s = PATIENCE_S
        self._begin_trial()

    def after_step(self, step_s: float) -> str | None:
        """Note a step of so many seconds, and set the threads for the next; a line when another number was chosen."""
        if not self._is_on:
            return None
        self._steps_s.append(step_s)
        if not self._is_trying:
            self._look()
            return None
        now = torch.get_num_threads()
        is_hopeless = step_s > HOPELESS * min(self._tried_s.values(), default=step_s)
        if len(self._steps_s) < TRIED_STEPS and not is_hopeless:
            return None
        self._tried_s[now] = min(self._steps_s[1:], default=step_s)
        self._steps_s = []
        following = self._next_count()
        if following:
            torch.set_num_threads(following)
            return None
        return self._end_trial()

    def _begin_trial(self) -> None:
        self._is_trying, self._tried_s, self._steps_s = True, {}, []
        self._before = torch.get_num_threads()

    def _next_count(self) -> int | None:
        """The untried neighbour of the best number so far: more threads first."""
        place = self._counts.index(_fewest_of_the_quick(self._tried_s))
        neighbours = self._counts[place + 1 : place + 2] + self._counts[max(0, place - 1) : place]
        return next((count for count in neighbours if count not in self._tried_s), None)

    def _end_trial(self) -> str | None:
        best = _fewest_of_the_quick(self._tried_s)
        torch.set_num_threads(best)
        self._is_trying, self._best_s, self._tried_at_s = False, self._tried_s[best], time.perf_counter()
        if best == self._before:
            self._patience_s = min(2 * self._patience_s, MOST_PATIENCE_S)
            return None
        self._patience_s = PATIENCE_S
        return f"From now on {count_of(best, 'thread')} in place of {self._before}: quicker beside what else runs now."

    def _look(self) -> None:
        """Try again where steps have become much slower, or, with fewer threads than there could be, after a while."""
        if len(self._steps_s) < WATCHED_STEPS:
            return
        is_slower = statistics.median(self._steps_s) > MUCH_SLOWER * self._best_s
        self._steps_s = []
        since_s = time.perf_counter() - self._tried_at_s
        has_room = torch.get_num_threads() < self._counts[-1]
        if (is_slower and since_s >= self._patience_s) or (has_room and since_s >= MOST_PATIENCE_S):
            self._begin_trial()


def _fewest_of_the_quick(seconds: dict[int, float]) -> int:
    best_s = min(seconds.values())
    return min(count for count in seconds if seconds[count] <= WORTH_IT * best_s)


def _thread_counts(most: int) -> list[int]:
    """1, 2, 4 … and `most`."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power < most)})


def _small_operations() -> Callable[[], None]:
    """Some ten milliseconds of what a training step is made of: convolutions of small maps, one after the other."""
    weight, maps = torch.ones(64, 64, 3, 3), torch.ones(8, 64, 16, 16)

    @torch.no_grad()
    def work() -> None:
        for _ in range(PROBE_LAYERS):
            functional.leaky_relu(functional.conv2d(maps, weight, padding=1), 0.2)

    work()
    return work
