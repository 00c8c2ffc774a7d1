"""Validations and pictures take no more than their share of a training that the clock limits."""

from __future__ import annotations

import pytest
import torch
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model import load_model
from enr.pipelines.training import journal, loop
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.trainer import Trainer
from enr.pipelines.training.validation import FixedViews

QUICK = ("batch_size=1", "validation_pictures=2", "frame_scenes=1", "threads=1", "log_every=1000")


class FakeTime:
    """A clock that only work moves on."""

    def __init__(self):
        self.now_s = 0.0

    def perf_counter(self):
        return self.now_s

    process_time = perf_counter


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("shards") / "a.h5", Toy(splits=("train", "val")))


def fit(shard, runs, monkeypatch, score_s, *assignments):
    """Steps of validations, what was said, and the seconds that measuring took, of 600 in all; a step takes one."""
    torch.set_num_threads(1)
    clock, spent = FakeTime(), []

    def lasting(work, seconds, is_measuring):
        def timed(*arguments):
            clock.now_s += seconds
            spent.extend([seconds] * is_measuring)
            return work(*arguments)

        return timed

    step = Trainer.train_step

    def counted(self, rate):
        """The first steps are real; the rest only take their time."""
        if self.step < 2:
            counted.result = step(self, rate)
        else:
            self.step += 1
        return counted.result

    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(journal, "time", clock)
    monkeypatch.setattr(Trainer, "train_step", lasting(counted, 1.0, False))
    monkeypatch.setattr(FixedViews, "score", lasting(FixedViews.score, score_s, True))
    monkeypatch.setattr(FixedViews, "picture", lasting(FixedViews.picture, 2.0, True))
    lines = []
    settings = TrainSettings((shard,), "smoke", (*QUICK, *assignments), runs=runs, show_progress=False)
    outcome = train(settings, say=lines.append)
    steps = [line["step"] for line in read_metrics(outcome.run.metrics) if line["kind"] == "validation"]
    return outcome, steps, lines, sum(spent)


def test_a_training_by_the_clock_leaves_costly_validations_out_but_never_the_last(shard, tmp_path, monkeypatch):
    wanted = ("steps=100000", "max_minutes=10", "validations=12", "frames=24")
    outcome, steps, lines, spent_s = fit(shard, tmp_path, monkeypatch, 20.0, *wanted)
    assert spent_s <= 0.1 * 600 + 20.0 + 20.0 + 2.0, "the share, the one that went over it, and the last ones"
    assert 2 <= len(steps) < 12
    assert steps[-1] == outcome.step
    (line,) = [line for line in lines if "left out" in line]
    assert line.startswith(f"{12 - len(steps)} of 12 validations")


def test_cheap_validations_are_all_made(shard, tmp_path, monkeypatch):
    _, steps, lines, _ = fit(
        shard, tmp_path, monkeypatch, 0.5, "steps=100000", "max_minutes=10", "validations=12", "frames=4"
    )
    assert len(steps) == 12
    assert not any("left out" in line for line in lines)


def test_a_training_that_its_steps_limit_leaves_none_out(shard, tmp_path, monkeypatch):
    _, steps, _, _ = fit(shard, tmp_path, monkeypatch, 1000.0, "steps=60", "validations=6", "frames=3")
    assert steps == [10, 20, 30, 40, 50, 60]


def test_a_step_is_done_and_measured_even_if_preparing_takes_all_the_time(shard, tmp_path, monkeypatch):
    wanted = ("steps=1000", "max_minutes=0.01", "validations=3", "frames=2", "warmup_steps=0")
    outcome, steps, lines, _ = fit(shard, tmp_path, monkeypatch, 1.0, *wanted)  # the first picture alone takes 2 s
    assert outcome.step == 1
    assert outcome.is_finished
    assert steps == [1]
    (line,) = [line for line in lines if "nearly untrained" in line]
    assert "only 1 step fitted into 0.6 seconds" in line
    start, end = (load_model(folder).state_dict() for folder in (_untrained(shard, tmp_path), outcome.run.last))
    assert any(not torch.equal(start[name], end[name]) for name in start), "its learning rate is not 0"


def test_a_validation_that_the_final_one_would_follow_at_once_is_left_out(shard, tmp_path, monkeypatch):
    """Measuring takes 3.5 s of 60 s: one due in the last 7 s would take longer than what is left."""
    wanted = ("steps=1000", "max_minutes=1", "validations=20", "frames=1")
    outcome, steps, lines, _ = fit(shard, tmp_path, monkeypatch, 3.5, *wanted)
    assert steps[-1] == outcome.step
    assert len(steps) >= 2
    assert steps[-1] - steps[-2] >= 3.5
    assert sum("validations were left out" in line for line in lines) == 1


def _untrained(shard, runs):
    """The same training whose learning rate is next to nothing."""
    quiet = (*QUICK, "steps=1", "learning_rate=1e-12")
    return train(TrainSettings((shard,), "smoke", quiet, runs=runs, show_progress=False), say=str).run.last


def test_nothing_is_said_about_learning_in_the_first_steps(shard, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "find_faults", lambda scores: ("it sleeps.",))
    fit(shard, tmp_path, monkeypatch, 1.0, "steps=400", "validations=4", "frames=1")
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    told = [line["step"] for line in read_metrics(metrics) if line["kind"] == "validation" and line["faults"]]
    assert told == [200, 300, 400], "not at step 100, a quarter of the way"
