"""What the machine offers: the threads that are taken by default."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from enr.pipelines import machine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets, some minutes later, how many seconds the probe takes by the number of threads, on a clock of its own."""
    monkeypatch.setattr(machine, "_chosen", {})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    now = {"threads": 4, "s": 0.0}
    monkeypatch.setattr(torch, "get_num_threads", lambda: now["threads"])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.update(threads=count))
    monkeypatch.setattr(time, "perf_counter", lambda: now["s"])

    def takes(seconds: dict[int, float], minutes: float = 0.0) -> None:
        now["s"] += 60 * minutes

        def work() -> None:
            now["s"] += seconds[int(now["threads"])]

        monkeypatch.setattr(machine, "_small_operations", lambda: work)

    return takes


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 0.02, 2: 0.01, 4: 0.005}, 4),  # alone: a thread a core
        ({1: 0.02, 2: 0.012, 4: 0.09}, 2),  # a core is taken
        ({1: 0.02, 2: 0.9, 4: 3.0}, 1),  # all are, and the probe ends early
        ({1: 0.0098, 2: 0.02, 4: 0.01}, 4),  # hardly a difference: all
    ],
)
def test_the_quickest_number_of_threads_is_taken(clock, seconds, expected):
    clock(seconds)
    assert machine.choose_threads() == expected
    assert torch.get_num_threads() == 4
    torch.set_num_threads(expected)
    clock(dict.fromkeys(seconds, 1.0))
    assert machine.choose_threads() == expected, "chosen once in a process"


def test_a_number_that_the_user_chose_is_obeyed(clock, monkeypatch):
    clock({1: 0.0, 2: 0.0, 4: 9.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert machine.choose_threads() == 4


BUSY, FREE = {1: 0.02, 2: 0.9, 4: 3.0}, {1: 0.02, 2: 0.01, 4: 0.005}


def watched(takes, before):
    """A watch over a training that has chosen its threads."""
    takes(before)
    torch.set_num_threads(machine.choose_threads())
    return machine.ThreadWatch(is_on=True)


def due(watch, step_s, steps=machine.WATCHED_STEPS):
    """Whether, and how often, it would choose again during these steps."""
    return sum(watch.is_due(step_s) for _ in range(steps))


def test_threads_are_chosen_again_when_steps_become_much_slower(clock):
    watch = watched(clock, FREE)
    assert not due(watch, 0.1, 100)
    clock(BUSY, minutes=6)
    assert not due(watch, 0.14, 100), "not much slower"
    assert not due(watch, 0.1, 11) + due(watch, 9.0, 9), "a few steps say nothing"
    assert due(watch, 0.16) == 1
    assert watch.choose_again() == "From now on 1 thread in place of 4: quicker beside what else runs now."
    assert torch.get_num_threads() == 1
    clock(FREE)
    assert not due(watch, 0.16, 1000), "not before five minutes are over"
    clock(FREE, minutes=6)
    assert due(watch, 0.16) == 1, "others may have ended"
    assert "4 threads in place of 1" in watch.choose_again()
    assert torch.get_num_threads() == 4


def test_a_choice_that_stays_is_not_spoken_of(clock):
    watch = watched(clock, FREE)
    clock(FREE, minutes=6)
    assert not due(watch, 0.1)
    assert due(watch, 0.2) == 1
    assert watch.choose_again() is None
    assert not due(watch, 0.2, 1000)


def test_threads_that_the_user_chose_are_never_changed(clock, monkeypatch):
    clock(BUSY)
    torch.set_num_threads(4)
    watches = [machine.ThreadWatch(is_on=False), machine.ThreadWatch(is_on=True)]  # --set threads=4; nothing was chosen
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    watches.append(watched(clock, BUSY))
    clock(BUSY, minutes=60)
    assert not [watch for watch in watches if due(watch, 0.1) + due(watch, 9.0, 100)]
    assert torch.get_num_threads() == 4


def test_choosing_threads_draws_no_random_number(monkeypatch):
    monkeypatch.setattr(machine, "_chosen", {})
    before = torch.get_rng_state()
    machine.choose_threads()
    assert torch.equal(torch.get_rng_state(), before)
