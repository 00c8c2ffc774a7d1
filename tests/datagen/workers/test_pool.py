"""Whatever one mesh does to its worker, every job ends in exactly one outcome."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enr.datagen.settings import PoolSettings
from enr.datagen.workers import pool, worker
from enr.datagen.workers.pool import render_all, scratch_folder
from enr.errors import EnrError

ENDINGS = {
    "fine": "",
    "dies": "Blender crashed (SIGABRT) (Blender's last words)",
    "refuses": "it refuses",
    "fails": "it fails",
    "dies-once": "",
}


def job(folder: Path, name: str, number: int = 0) -> dict:
    mesh = folder / str(number) / f"{name}.obj"
    mesh.parent.mkdir(parents=True, exist_ok=True)
    mesh.write_text(f"{number}")
    return {
        "scene_id": f"{name}{number}",
        "mesh": str(mesh),
        "width_px": 4,
        "height_px": 3,
        "views": [{"seed": 1}, {"seed": 2}],
    }


@pytest.mark.usefixtures("fake_worker")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(sorted(ENDINGS)), min_size=1, max_size=8), workers=st.integers(1, 3))
def test_every_job_has_one_outcome(tmp_path_factory, names, workers):
    folder = tmp_path_factory.mktemp("meshes")
    jobs = [job(folder, name, number) for number, name in enumerate(names)]
    outcomes = {o.job["scene_id"]: o for o in render_all(jobs, PoolSettings(workers=workers))}
    assert sorted(outcomes) == sorted(j["scene_id"] for j in jobs)
    for given_job, name in zip(jobs, names, strict=True):
        outcome = outcomes[given_job["scene_id"]]
        assert outcome.reason == ENDINGS[name]
        assert (outcome.images is None) == bool(outcome.reason)


@pytest.mark.usefixtures("fake_worker")
def test_a_hanging_mesh_is_given_up_and_the_next_one_rendered(tmp_path):
    jobs = [job(tmp_path, "hangs"), job(tmp_path, "fine")]
    started = time.monotonic()
    hung, fine = list(render_all(jobs, PoolSettings(workers=1, mesh_timeout_s=0.5)))
    assert "no result within 0.5 s" in hung.reason
    assert fine.images is not None
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("fake_worker")
def test_a_worker_serves_many_meshes_and_is_replaced_before_it_grows(tmp_path):
    jobs = [job(tmp_path, "fine", number) for number in range(7)]
    outcomes = list(render_all(jobs, PoolSettings(workers=1, meshes_per_worker=3)))
    assert [o.facts["pid"] for o in outcomes].count(outcomes[0].facts["pid"]) == 3
    assert len({o.facts["pid"] for o in outcomes}) == 3


@pytest.mark.usefixtures("fake_worker")
def test_a_refused_job_never_reaches_a_worker(tmp_path):
    refused = {**job(tmp_path, "dies"), "refused": "it cannot be converted"}
    (outcome,) = render_all([refused], PoolSettings())
    assert outcome.reason == "it cannot be converted"
    assert not (tmp_path / "0" / "dies.tried").exists()


@pytest.mark.usefixtures("fake_worker")
def test_leaving_early_ends_the_workers_and_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "scratch_root", lambda: tmp_path)
    jobs = [job(tmp_path / "meshes", "fine"), *(job(tmp_path / "meshes", "hangs", n) for n in range(1, 4))]
    outcomes = render_all(jobs, PoolSettings(workers=2))
    pid = next(outcomes).facts["pid"]
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["meshes"]


def test_a_worker_that_cannot_start_is_an_error_with_its_words(tmp_path, monkeypatch):
    broken = tmp_path / "worker.py"
    broken.write_text("raise ImportError('libX11 is missing')")
    monkeypatch.setattr(worker, "WORKER", broken)
    with pytest.raises(EnrError, match="libX11 is missing"):
        list(render_all([job(tmp_path, "fine")], PoolSettings()))


@pytest.mark.usefixtures("fake_worker")
def test_pictures_arrive_whole(tmp_path):
    (outcome,) = render_all([job(tmp_path, "fine")], PoolSettings())
    assert outcome.images.shape == (2, 3, 4, 4)
    assert outcome.images.dtype == np.uint8


HOLDS_A_FOLDER = """
import sys, time
from pathlib import Path
from enr.datagen.workers.pool import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_killed_runs_left_is_swept_and_running_ones_are_let_alone(tmp_path):
    runs = [
        subprocess.Popen([sys.executable, "-c", HOLDS_A_FOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = [Path(run.stdout.readline().strip()) for run in runs]
    runs[0].kill()
    runs[0].wait()
    with scratch_folder(tmp_path) as own:
        assert set(tmp_path.iterdir()) == {folders[1], own}
    assert list(tmp_path.iterdir()) == [folders[1]]
    runs[1].kill()
    for run in runs:
        run.communicate()
