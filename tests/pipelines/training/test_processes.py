"""Processes that train together, started as `torchrun` does: one log, one checkpoint, the steps of one process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipelines.toy_shards import Toy, write_toy
from tests.pipelines.training.fitting import QUICK, fit, resume

from enr.errors import EnrError
from enr.model import load_model
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.processes import Processes
from enr.pipelines.training.runs import Run, latest_run, open_run

SETTINGS = (*QUICK, "log_every=1", "warmup_steps=2", "batch_size=5")
EVERYTHING = (
    "targets=2",
    "sources=2",
    "ema=0.9",
    "loss.cycle=0.1",
    "depth_range=travelling",
    "reaim=true",
    "muon_learning_rate=1e-3",
)
PATIENCE_S = 120


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    toy = Toy(splits=("train",) * 6 + ("val",))
    return write_toy(tmp_path_factory.mktemp("shards") / "toy.h5", toy)


@pytest.fixture(scope="module")
def view_set(shard):
    return ViewSet.open([shard])


def start(count: int, *arguments: str | Path) -> list[subprocess.Popen[str]]:
    """`enr train` in so many processes, with the variables that `torchrun` gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "OMP_NUM_THREADS": "1"}
    if count > 1:
        common |= {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "enr", "train", *map(str, arguments)]
    return [
        subprocess.Popen(
            command,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit status of each and what it said."""
    try:
        said = ["".join(process.communicate(timeout=PATIENCE_S)) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]


def beginning(shard: Path, runs: Path, *assignments: str) -> list[str | Path]:
    values = [part for value in (*SETTINGS, *assignments) for part in ("--set", value)]
    return [shard, "--preset", "smoke", "--quiet", "--runs", runs, *values]


def trained(count: int, shard: Path, runs: Path, *assignments: str) -> tuple[Run, list[tuple[int, str]]]:
    outcomes = ended(start(count, *beginning(shard, runs, *assignments)))
    (folder,) = runs.iterdir()
    return open_run(folder), outcomes


def losses(run: Run) -> list[list[float]]:
    lines = [line for line in read_metrics(run.metrics) if line["kind"] == "train"]
    return [[line[key] for key in sorted(line) if key.startswith(("loss", "psnr"))] for line in lines]


def test_two_processes_make_the_steps_of_one(shard, tmp_path):
    """Losses and weights within float error, though five scenes are not halved evenly."""
    one = fit(shard, tmp_path / "one", *SETTINGS, "steps=5", *EVERYTHING).result.run
    two, outcomes = trained(2, shard, tmp_path / "two", "steps=5", *EVERYTHING)
    assert [status for status, _ in outcomes] == [0, 0]
    assert "2 processes share each batch of 5 scenes" in outcomes[0][1]
    assert outcomes[1][1] == ""
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-4)
    ours, theirs = (load_model(run.last).state_dict() for run in (two, one))
    for name, weights in theirs.items():
        np.testing.assert_allclose(ours[name], weights, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_run_goes_on_in_another_number_of_processes(shard, tmp_path):
    """From two to one and back; the learning rate is constant, so that where a part ends does not matter."""
    constant = ("decay=1e-9",)
    whole = fit(shard, tmp_path / "whole", *SETTINGS, "steps=5", *constant).result.run
    run, _ = trained(2, shard, tmp_path / "runs", "steps=2", *constant)
    resume(run.folder, "steps=3")
    outcomes = ended(start(2, "--resume", run.folder, "--quiet", "--set", "steps=5"))
    assert [status for status, _ in outcomes] == [0, 0], outcomes
    np.testing.assert_allclose(losses(run), losses(whole), rtol=2e-4)


@pytest.mark.parametrize("dead", [0, 1])
def test_a_dead_process_ends_the_run_with_a_word(shard, tmp_path, dead):
    processes = start(2, *beginning(shard, tmp_path, "steps=100000", "validations=1", "checkpoint_minutes=0.01"))
    deadline = time.monotonic() + PATIENCE_S
    while not list(tmp_path.glob("*/checkpoints/last")):
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.1)
    processes[dead].send_signal(signal.SIGKILL)
    outcomes = ended(processes)
    status, words = outcomes[1 - dead]
    assert status == 2
    if dead:
        assert "Another of the 2 processes" in words and "--resume" in words and "Traceback" not in words
    assert (latest_run(tmp_path) / "checkpoints" / "last" / "trainer.pt").is_file()


def test_a_signal_to_all_processes_saves_once(shard, tmp_path):
    processes = start(2, *beginning(shard, tmp_path, "steps=100000", "validations=1"))
    deadline = time.monotonic() + PATIENCE_S
    while not any(path.read_text() for path in tmp_path.glob("*/metrics.jsonl")):
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.1)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    (status, words), (other, silence) = ended(processes)
    assert (status, other, silence) == (0, 0, "")
    assert "Stopped and saved at step" in words


@given(st.integers(1, 9), st.integers(1, 9))
def test_shares_are_even_and_cover_a_batch(scenes, count):
    if scenes < count:
        with pytest.raises(EnrError, match=f"batch_size={scenes} is shared by {count}"):
            Processes(0, count).share_of(scenes)
        return
    taken = [list(range(scenes)[Processes(number, count).share_of(scenes)]) for number in range(count)]
    assert [scene for part in taken for scene in part] == list(range(scenes))
    assert {len(part) for part in taken} <= {scenes // count, -(-scenes // count)}


@pytest.mark.parametrize(("views", "sources"), [(2, 1), (3, 1), (4, 2)])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_pairs_of_a_batch_are_the_same_whatever_the_number_of_processes(view_set, views, sources, count):
    """As views: all pairs of the whole batch, each in exactly one share, with the same motions and pictures."""

    def pairs(share: slice) -> list[tuple]:
        loader = PairLoader(view_set, "train", 5, 7, views, sources, share)
        found = []
        for number in range(3):
            batch = next(loader)
            assert np.array_equal(batch.rgba, view_set.images(batch.views))
            for row, target in enumerate(batch.target):
                found.append(
                    (
                        number,
                        int(batch.views[target]),
                        *batch.views[batch.sources[row]].tolist(),
                        batch.target_from_sources[row].tobytes(),
                    )
                )
        return found

    shared = [pair for number in range(count) for pair in pairs(Processes(number, count).share_of(5))]
    assert sorted(shared) == sorted(pairs(slice(None)))
