"""`enr baseline`: another method's predictions are complete, repeatable, and scored by `enr eval --predictions`."""

from __future__ import annotations

import json

import pytest
from tests.command_line import check_refused, enr
from tests.pipelines.toy_shards import Toy, write_toy

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
    assert facts["method"] == method and facts["steps"] >= 1 and facts["parameters"] > 1e5
    scored = enr("eval", shard, "--predictions", out, "--out", tmp_path / "result")
    assert scored.exit_code == 0, scored.output
    assert "predictions" in scored.output


def test_an_existing_folder_is_not_written_to(shard, tmp_path):
    check_refused(enr("baseline", "gqn", shard, "--out", tmp_path, *QUICK), "exists", "--out")


def test_a_missing_source_leaves_nothing_behind(shard, tmp_path):
    out = tmp_path / "mine"
    check_refused(enr("baseline", "gqn", shard, "--out", out, "--source", 7, *QUICK), "no view 7", unwritten=out)
