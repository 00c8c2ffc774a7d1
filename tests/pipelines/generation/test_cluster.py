"""A cluster makes what one machine makes, whoever of it dies on the way."""

import dataclasses
import signal
import subprocess
import sys
import threading

import pytest
from tests import command_line
from tests.datagen.conftest import FAKE_WORKER, fake_blender, small_set, write_mesh
from tests.pipelines.generation.dask_cluster import running_cluster, wait_for

import enr
from enr.datagen.failures import CRASH, Failure
from enr.datagen.generate import Summary, generate
from enr.datagen.metadata.manifest import read_manifest, without_times
from enr.datagen.plan import plan_shards
from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings
from enr.datagen.shapes.catalogue import write_shapes
from enr.errors import EnrError
from enr.pipelines.generation import cluster

distributed = pytest.importorskip("distributed", reason="Dask comes with enr[cluster]")

VIEWS = 2
NAMES = ("dies-once", "mesh1", "mesh2", "mesh3", "mesh4", "refuses", "waits")
PRELOAD = f"""
from pathlib import Path
from enr.datagen.workers import worker
from enr.pipelines.generation import cluster
worker.WORKER = Path({str(FAKE_WORKER)!r})
cluster.blender_version = lambda blender: "5.0.1"
"""


@pytest.fixture
def settings(tmp_path, monkeypatch) -> GenerateSettings:
    """Seven meshes, one to a shard, drawn by the fake worker."""
    fake_blender(monkeypatch)
    monkeypatch.setattr(cluster, "blender_version", lambda blender: "5.0.1")
    for name in NAMES:
        write_mesh(tmp_path / "meshes", name)
    return small_set(tmp_path / "meshes", VIEWS, per_shard=1, out=tmp_path / "by-cluster")


def assert_same(made: Summary, wanted: Summary) -> None:
    """The same files with the same bytes, and the same manifest but for times."""
    files = [
        {path.name: path.read_bytes() for kind in ("*.h5", "*.failed.json", "*.png") for path in folder.glob(kind)}
        for folder in (made.manifest.parent, wanted.manifest.parent)
    ]
    assert files[0] == files[1]
    assert without_times(read_manifest(made.manifest)) == without_times(read_manifest(wanted.manifest))
    assert made.failures == wanted.failures


def test_a_worker_is_killed_on_the_way_and_the_result_is_that_of_one_machine(settings, tmp_path):
    alone = generate(dataclasses.replace(settings, out=tmp_path / "alone"))
    (tmp_path / "preload.py").write_text(PRELOAD)
    for left in [*tmp_path.glob("meshes/*.tried"), *tmp_path.glob("meshes/*.started")]:
        left.unlink()
    (tmp_path / "meshes/waits.wait").touch()
    results: list[Summary | Exception] = []

    def run() -> None:
        try:
            results.append(cluster.generate_on_cluster(settings, str(dask.scheduler_file)))
        except Exception as error:
            results.append(error)

    with running_cluster(tmp_path / "dask", tmp_path / "preload.py") as dask:
        workers = [dask.add_worker(), dask.add_worker()]
        thread = threading.Thread(target=run)
        thread.start()
        started = tmp_path / "meshes/waits.started"
        wait_for(lambda: (started.exists() and started.read_text()) or results)
        assert not results
        (victim,) = [worker for worker in workers if worker.pid == int(started.read_text())]
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        (tmp_path / "meshes/waits.wait").unlink()
        thread.join()
        (made,) = results
        assert isinstance(made, Summary), made
        again = cluster.generate_on_cluster(settings, dask.address)
    assert_same(made, alone)
    assert set(made.failures) == {"refuses"}
    assert int(started.read_text()) != victim.pid
    assert (made.images_made, again.images_made) == ((len(NAMES) - 1) * VIEWS, 0)
    assert all(mesh["worker_memory_mb"] == 100 for mesh in read_manifest(made.manifest)["meshes"])


def test_blender_draws_the_same_on_a_cluster(tmp_path, monkeypatch):
    write_shapes(tmp_path / "meshes", 2, seed=1)
    settings = GenerateSettings(
        meshes=(tmp_path / "meshes",),
        views=VIEWS,
        render=RenderSettings(16, 16, 22.0, samples=2),
        out=tmp_path / "by-cluster",
        pool=PoolSettings(workers=1),
    )
    alone = generate(dataclasses.replace(settings, out=tmp_path / "alone"))
    with running_cluster(tmp_path / "dask") as dask:
        dask.add_worker()
        made = cluster.generate_on_cluster(settings, dask.address, workers=1)
    assert made.scenes == 2
    assert_same(made, alone)


def test_a_scheduler_that_does_not_answer_is_one_sentence_and_status_2(settings, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1"):
        with pytest.raises(EnrError, match="No Dask scheduler answers at"):
            cluster.generate_on_cluster(settings, address)
    result = command_line.enr("datagen", *map(str, settings.meshes), "--scheduler", "tcp://127.0.0.1:9")
    assert result.exit_code == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in result.output


def task_of(settings: GenerateSettings, **changes) -> cluster.ShardTask:
    return cluster.ShardTask(
        settings, plan_shards(settings, "5.0.1")[1], workers=1, enr_version=enr.__version__, **changes
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda task: dataclasses.replace(task, enr_version="0.0.0"), "this run needs 0.0.0"),
        (lambda task: (task.settings.out.rmdir(), task)[1], "give an --out that all machines share"),
        (lambda task: (task.shard.scenes[0].source.path.unlink(), task)[1], "keep the meshes where all machines see"),
    ],
)
def test_a_machine_that_is_not_as_the_others_refuses(settings, change, sentence):
    settings.out.mkdir()
    with pytest.raises(EnrError, match=sentence):
        cluster.make_shard(change(task_of(settings)))
    assert not list(settings.out.glob("*")) if settings.out.exists() else True


def test_what_the_workers_did_adds_up():
    one = cluster.RunLog(images=2, peak_memory_mb=5, timings={"render": 1.0}, failures={"a": Failure(CRASH, "x")})
    cluster.add_log(one, cluster.RunLog(images=3, peak_memory_mb=4, timings={"render": 2.0, "import": 1.0}))
    assert (one.images, one.peak_memory_mb, one.timings) == (5, 5, {"render": 3.0, "import": 1.0})
    assert set(one.failures) == {"a"}


def test_workers_that_keep_dying_are_one_sentence(settings):
    class Killed:
        def result(self):
            raise distributed.KilledWorker("key", "tcp://10.0.0.7:1", 4)

    with pytest.raises(EnrError, match=r"died one after the other.*10\.0\.0\.7.*finished shards are kept"):
        cluster.result_of(Killed(), plan_shards(settings, "5.0.1")[0])


def test_dask_is_loaded_only_for_a_cluster():
    code = "import sys, enr.pipelines.cli.datagen, enr.datagen.generate; sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
