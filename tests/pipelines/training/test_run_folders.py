"""Runs are found by the time at which they were made, one process trains in each, and a full disk costs nothing old."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.command_line import check_refused, enr
from tests.pipelines.training.fitting import fit, resume

from enr.errors import EnrError
from enr.model import load_model
from enr.pipelines.training import runs
from enr.pipelines.training.runs import create_run, find_checkpoint, latest_run, load_state, open_run, write_config

CONFIG = {"shards": [], "model": {}, "train": {}}
MAIN = "from enr.pipelines.cli.main import main; main()"


@pytest.fixture
def local_time():
    """Sets the process's time zone."""
    before = os.environ.get("TZ")

    def use(zone):
        os.environ["TZ"] = zone
        time.tzset()

    yield use
    del os.environ["TZ"]
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def made(root, name):
    """A run with a checkpoint."""
    run = create_run(root, name, CONFIG)
    write_config(run)
    run.last.mkdir(parents=True)
    return run.folder


@pytest.mark.parametrize("zones", [("Asia/Tokyo", "America/Los_Angeles"), ("America/Los_Angeles", "Asia/Tokyo")])
def test_the_latest_run_is_the_last_that_was_made_whatever_the_zone(tmp_path, local_time, zones):
    local_time(zones[0])
    made(tmp_path, "one")
    local_time(zones[1])
    assert latest_run(tmp_path) != (second := made(tmp_path, "two"))
    assert latest_run(tmp_path) == second


def test_a_folder_around_a_checkpoint_is_refused_with_the_run_to_give(tmp_path):
    made(tmp_path / "runs", "one")
    latest = made(tmp_path / "runs", "two")
    for folder in (tmp_path / "runs", latest / "checkpoints"):
        with pytest.raises(EnrError, match="neither a run nor a checkpoint") as refused:
            find_checkpoint(folder)
        assert str(refused.value).endswith(f"{latest}.")
    with pytest.raises(EnrError, match="neither a run nor a checkpoint; give a run folder"):
        find_checkpoint(tmp_path)


def test_what_is_no_run_is_not_resumed_and_the_run_to_give_is_named(tmp_path):
    latest = made(tmp_path / "runs", "one")
    for folder in (tmp_path / "runs", latest / "checkpoints", latest / "checkpoints" / "last"):
        with pytest.raises(EnrError, match="is not a run; give") as refused:
            runs.named_run(folder)
        assert str(refused.value).endswith(f"{latest}.")
    with pytest.raises(EnrError, match="is not a run; give a folder made by"):
        runs.named_run(tmp_path / "none")
    for broken in ("{", "[" * 3000):
        (latest / "config.yaml").write_text(broken)
        with pytest.raises(EnrError, match="not readable YAML"):
            runs.named_run(latest)


def test_a_run_without_a_checkpoint_is_not_to_be_resumed(tmp_path):
    run = create_run(tmp_path, "one", CONFIG)
    write_config(run)
    with pytest.raises(EnrError, match="holds no checkpoint yet; wait for its training, or start a new one"):
        find_checkpoint(run.folder)
    with pytest.raises(EnrError, match="start a new training"):
        load_state(run.last)


def test_runs_that_are_made_at_once_have_a_folder_each(tmp_path, monkeypatch):
    """Another process makes the folder between the look and the making."""
    look = runs._unused

    def late(folder):
        free = look(folder)
        if not list(tmp_path.iterdir()):
            free.mkdir()
        return free

    monkeypatch.setattr(runs, "_unused", late)
    run = create_run(tmp_path, "one", CONFIG)
    assert len(list(tmp_path.iterdir())) == 2 and run.folder.name.endswith("-one-2")


def test_runs_of_one_second_are_told_apart(tmp_path):
    folders = [made(tmp_path, name) for name in "edcba"]
    assert latest_run(tmp_path) == folders[-1]


@pytest.mark.parametrize("copy", ["best-so-far", "99999999-999999-copy", "0"])
def test_a_copied_run_is_not_newer_than_the_one_that_came_after_it(tmp_path, copy):
    first = made(tmp_path, "first")
    second = made(tmp_path, "second")
    shutil.copytree(first, tmp_path / copy)
    assert latest_run(tmp_path) == second
    shutil.copytree(second, tmp_path / f"{copy}-again")
    assert latest_run(tmp_path) == second, "the original of two"


def test_runs_of_earlier_versions_go_by_the_time_in_their_names(tmp_path):
    for name in ("20200101-120000-b", "20200102-120000-a", "mine"):
        (tmp_path / name / "checkpoints" / "last").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("{shards: [], model: {}, train: {}}")
    os.utime(tmp_path / "mine" / "config.yaml", (0, 0))
    assert latest_run(tmp_path).name == "20200102-120000-a"
    assert latest_run(tmp_path) != (newer := made(tmp_path, "now"))
    assert latest_run(tmp_path) == newer


def test_two_trainings_of_one_run_at_once_are_refused(toy, tmp_path):
    run = fit(toy, tmp_path, "steps=4", stop=lambda step: step >= 2).result.run
    before = (run.folder / "config.yaml").read_bytes()
    with runs.held(run), pytest.raises(EnrError, match="being trained by another process"):
        resume(run.folder)
    assert (run.folder / "config.yaml").read_bytes() == before
    assert resume(run.folder).result.step == 4


def test_a_run_that_trains_is_held(toy, tmp_path):
    refused = []

    def meanwhile(step):
        (folder,) = tmp_path.iterdir()
        with pytest.raises(EnrError, match="another process"), runs.held(open_run(folder)):
            pass
        refused.append(step)
        return False

    fit(toy, tmp_path, "steps=2", stop=meanwhile)
    assert refused == [1, 2]


@pytest.mark.parametrize("full_at", ["weights", "state"])
def test_on_a_full_disk_the_old_checkpoint_stays(toy, tmp_path, full_at):
    """Files may not grow beyond a limit: as `ulimit -f` and a full disk have it, in a process of its own."""
    done = fit(toy, tmp_path, "steps=20", stop=lambda step: step >= 2)
    last = done.result.run.last
    weights, state = ((last / name).stat().st_size for name in ("model.safetensors", "trainer.pt"))
    limit = weights // 2 if full_at == "weights" else (weights + state) // 2
    before = {path.name: path.read_bytes() for path in last.iterdir()}
    ended = subprocess.run(
        [sys.executable, "-c", MAIN, "train", "--resume", str(done.folder), "--quiet"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert "could not be written" in line and "--resume" in line
    assert "Traceback" not in ended.stderr
    assert {path.name: path.read_bytes() for path in last.iterdir()} == before
    assert not [path for path in last.parent.iterdir() if path.name.startswith(".")]
    assert load_state(last)["step"] == 2 and load_model(last)


def test_checkpoints_have_the_rights_that_the_umask_leaves(toy, tmp_path):
    before = os.umask(0o027)
    try:
        run = fit(toy, tmp_path, "steps=1").result.run
    finally:
        os.umask(before)
    files = [file for folder in (run.last, run.best) for file in folder.iterdir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}


def test_in_an_empty_folder_the_answer_does_not_wait_for_torch(tmp_path):
    code = "import sys; sys.argv = ['enr', 'train']; from enr.pipelines.cli.main import main"
    code += "\ntry: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.strip() == "2 False"
    assert said.stderr.startswith("Error: ")


def test_shards_that_are_missing_are_named_before_torch_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (Path("shards")).mkdir()
    check_refused(enr("train"), "No shard found in shards")
