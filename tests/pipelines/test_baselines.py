"""`enr baseline`: another method's predictions are complete, repeatable, and scored by `enr eval --predictions`."""

from __future__ import annotations

import json
import os
import signal

import pytest
from tests.command_line import check_refused, enr
from tests.pipelines.toy_shards import Toy, write_toy

from enr.pipelines import baselines

QUICK = ("--max-minutes", "0.01", "--set", "threads=1", "--set", "batch_size=2")


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("shards") / "rot.h5", Toy(group="rot", views=3))


@pytest.mark.parametrize("method", ["gqn", "srn"])
def test_predictions_are_what_eval_reads(shard, tmp_path, method):
    out = tmp_path / "mine"
    result = enr("baseline", method, shard, "--out", out, *QUICK)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.glob("rot/*/*.png")) == ["00001.png", "00002.png"]
    facts = json.loads((out / "method.json").read_text())
    assert (facts["source"], facts["split"], facts["train"]["batch_size"], len(facts["shards"])) == (0, "test", 2, 1)
    assert facts["method"] == method and facts["steps"] >= 1 and facts["parameters"] > 1e5
    scored = enr("eval", shard, "--predictions", out, "--out", tmp_path / "result")
    assert scored.exit_code == 0, scored.output
    assert "predictions" in scored.output


def test_an_existing_folder_is_not_written_to(shard, tmp_path):
    check_refused(enr("baseline", "gqn", shard, "--out", tmp_path, *QUICK), "exists", "--out")


def test_a_missing_source_leaves_nothing_behind(shard, tmp_path):
    out = tmp_path / "mine"
    check_refused(enr("baseline", "gqn", shard, "--out", out, "--source", 7, *QUICK), "no view 7", unwritten=out)


@pytest.mark.parametrize("rate", ["1e10", "1e3"])
def test_a_training_that_diverged_leaves_nothing_behind(shard, tmp_path, rate):
    out = tmp_path / "deep" / "mine"
    options = ("--set", f"learning_rate={rate}", "--set", "warmup_steps=0", "--set", "steps=4")
    said = enr("baseline", "gqn", shard, "--out", out, *QUICK, *options)
    check_refused(said, "diverged at step", "--set learning_rate=", unwritten=out.parent)


@pytest.mark.parametrize("setting", ["warp=rigid", "sources=2", "loss.scene=1", "muon_learning_rate=1e-3"])
def test_settings_that_it_does_not_hear_are_refused(shard, tmp_path, setting):
    out = tmp_path / "mine"
    said = enr("baseline", "gqn", shard, "--out", out, *QUICK, "--set", setting)
    check_refused(said, f"--set {setting.split('=')[0]} means nothing to gqn", "learning_rate", unwritten=out)


def test_minutes_that_contradict_each_other_are_refused(shard, tmp_path):
    out = tmp_path / "mine"
    said = enr("baseline", "gqn", shard, "--out", out, *QUICK, "--set", "max_minutes=0.1")
    check_refused(said, "--max-minutes 0.01", "max_minutes=0.1", "contradict", unwritten=out)


def test_a_folder_that_cannot_be_written_is_found_out_before_the_training(shard, monkeypatch):
    monkeypatch.setattr(baselines, "_train", lambda *_: pytest.fail("it was trained"))
    check_refused(enr("baseline", "gqn", shard, "--out", "/proc/mine", *QUICK), "/proc/mine", "cannot be written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_predicts_leaves_nothing_behind(shard, tmp_path, monkeypatch, number):
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(baselines, "_write_predictions", lambda *_: os.kill(os.getpid(), number))
    try:
        said = enr("baseline", "gqn", shard, "--out", tmp_path / "mine", *QUICK)
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
    assert said.exit_code == 130 and "Stopped; nothing was written to" in said.output
    assert list(tmp_path.iterdir()) == []
