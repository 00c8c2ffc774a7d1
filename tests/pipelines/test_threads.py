"""The threads that are taken by default: those with which a step is quickest, beside whatever else runs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
import torch

from enr.pipelines import threads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, float]]:
    """Sets, some minutes later, how many seconds the probe takes by the number of threads, on a clock of its own."""
    monkeypatch.setattr(threads, "_chosen", {})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    now = {"threads": 4, "s": 0.0}
    monkeypatch.setattr(torch, "get_num_threads", lambda: now["threads"])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.update(threads=count))
    monkeypatch.setattr(time, "perf_counter", lambda: now["s"])

    def takes(seconds: dict[int, float], minutes: float = 0.0) -> dict[str, float]:
        now["s"] += 60 * minutes

        def work() -> None:
            now["s"] += seconds[int(now["threads"])]

        monkeypatch.setattr(threads, "_small_operations", lambda: work)
        return now

    return takes


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 0.02, 2: 0.01, 4: 0.005}, 4),  # alone: a thread a core
        ({1: 0.02, 2: 0.012, 4: 0.09}, 2),  # a core is taken
        ({1: 0.02, 2: 0.9, 4: 3.0}, 1),  # all are, and the probe ends early
        ({1: 0.0102, 2: 0.02, 4: 0.01}, 1),  # hardly a difference: as few as do
    ],
)
def test_the_quickest_number_of_threads_is_taken(clock, seconds, expected):
    clock(seconds)
    assert threads.choose_threads() == expected
    assert torch.get_num_threads() == 4
    torch.set_num_threads(expected)
    clock(dict.fromkeys(seconds, 1.0))
    assert threads.choose_threads() == expected, "chosen once in a process"


def test_a_number_that_the_user_chose_is_obeyed(clock, monkeypatch):
    clock({1: 0.0, 2: 0.0, 4: 9.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads.choose_threads() == 4


BUSY, FREE = {1: 0.2, 2: 0.9, 4: 3.0}, {1: 0.2, 2: 0.11, 4: 0.06}


def watched(takes, probed):
    """A watch over a training that has chosen its threads by a probe."""
    takes(probed)
    torch.set_num_threads(threads.choose_threads())
    return threads.ThreadWatch(is_on=True)


def train(takes, watch, seconds, steps):
    """The number of threads of each of these steps, and what was said."""
    counts, said = [], []
    for _ in range(steps):
        now = takes(seconds)
        counts.append(now["threads"])
        now["s"] += seconds[now["threads"]]
        said.append(watch.after_step(seconds[now["threads"]]))
    return counts, [words for words in said if words]


@pytest.mark.parametrize("probed", [BUSY, FREE])
@pytest.mark.parametrize(
    "seconds", [*({1: a, 2: b, 4: c} for a, b, c in itertools.permutations((0.1, 0.2, 0.4))), BUSY, FREE]
)
def test_the_steps_themselves_have_the_last_word(clock, probed, seconds):
    watch = watched(clock, probed)
    began_with = torch.get_num_threads()
    counts, said = train(clock, watch, seconds, 50)
    last = counts[-1]
    neighbours = [count for count in (last // 2, last * 2) if count in seconds]
    assert all(seconds[last] < seconds[count] for count in neighbours)
    assert set(counts[10:]) == {last}, "settled within ten steps"
    word = f"From now on {last} thread{'s' * (last > 1)} in place of {began_with}: quicker beside what else runs now."
    assert said == [word] * (last != began_with)


def test_a_hopeless_number_is_given_up_after_one_step(clock):
    counts, _ = train(clock, watched(clock, {1: 0.2, 2: 0.2, 4: 0.2}), BUSY, 20)
    assert counts == [1, 1, 1, 2, *[1] * 16]


def test_a_program_that_begins_or_ends_later_is_noticed(clock):
    watch = watched(clock, FREE)
    assert set(train(clock, watch, FREE, 1000)[0][3:]) == {2, 4}
    clock(FREE, minutes=6)
    counts, said = train(clock, watch, BUSY, 20)
    assert counts[:5] == [4] * 5
    assert counts[-1] == 1
    assert said == ["From now on 1 thread in place of 4: quicker beside what else runs now."]
    assert set(train(clock, watch, FREE, 100)[0]) == {1}, "not before five minutes are over"
    clock(FREE, minutes=6)
    counts, said = train(clock, watch, FREE, 20)
    assert counts[-1] == 4
    assert said == ["From now on 4 threads in place of 1: quicker beside what else runs now."]


def test_trials_that_change_nothing_become_rare(clock):
    watch = watched(clock, FREE)
    slower = [{count: 10.0**power * s for count, s in FREE.items()} for power in range(1, 4)]  # as a whole
    tried = []
    for seconds in slower:
        counts, said = train(clock, watch, seconds, 60)
        tried.append(counts.count(2))
        assert not said
        assert counts[-1] == 4
    assert tried == [3, 3, 3], "once for each change"


def test_threads_that_the_user_chose_are_never_changed(clock, monkeypatch):
    clock(BUSY)
    torch.set_num_threads(4)
    watches = [threads.ThreadWatch(is_on=False), threads.ThreadWatch(is_on=True)]  # --set threads=4; nothing was chosen
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    watches.append(watched(clock, BUSY))
    for watch in watches:
        assert train(clock, watch, BUSY, 100) == ([4] * 100, [])


def test_choosing_threads_draws_no_random_number(monkeypatch):
    monkeypatch.setattr(threads, "_chosen", {})
    before = torch.get_rng_state()
    threads.choose_threads()
    assert torch.equal(torch.get_rng_state(), before)
