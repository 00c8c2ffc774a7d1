"""What the machine offers: the threads that are taken by default."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from enr.pipelines import machine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Sets how long, in seconds, the probe takes by the number of threads, on a clock of its own."""
    monkeypatch.setattr(machine, "_chosen", set())
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    now = {"threads": 4, "s": 0.0}
    monkeypatch.setattr(torch, "get_num_threads", lambda: now["threads"])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.update(threads=count))
    monkeypatch.setattr(time, "perf_counter", lambda: now["s"])

    def takes(seconds: dict[int, float]) -> None:
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


def test_choosing_threads_draws_no_random_number(monkeypatch):
    monkeypatch.setattr(machine, "_chosen", set())
    before = torch.get_rng_state()
    machine.choose_threads()
    assert torch.equal(torch.get_rng_state(), before)
