"""Whatever happens to a run, the next one makes of it what an undisturbed run would have made, byte for byte."""

import dataclasses
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.datagen.conftest import fake_blender, shard_bytes

from enr.datagen.failures import BAD_MESH, CRASH, Failure
from enr.datagen.generate import generate
from enr.datagen.run import publish
from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings
from enr.errors import EnrError
from enr.files import PARTIAL_SUFFIX

VIEWS = 3
SQUARE = RenderSettings(width_px=8, height_px=8)
FINE = [f"mesh{number}" for number in range(8)]
FAULTS = {"dies": "SIGABRT) (Blender's last words", "fails": "it fails", "swells": "more than 400 MB"}
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)
PATIENCE_S = 120.0
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    """Meshes; the workers have trouble with some of them until `ENR_FAKE_HEALED` is set."""
    folder = tmp_path_factory.mktemp("meshes")
    for number, name in enumerate([*FINE, *FAULTS, "hangs"]):
        (folder / f"{name}.obj").write_text(f"#{number:x}  \nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def fake() -> Iterator[None]:
    """Drawn without Blender."""
    with pytest.MonkeyPatch.context() as patch:
        fake_blender(patch)
        yield


def make_settings(meshes: tuple[Path, ...], out: Path) -> GenerateSettings:
    """Two meshes to a shard."""
    workers = PoolSettings(workers=2, mesh_timeout_s=60.0, mesh_memory_mb=400.0)
    size = 2 * VIEWS * 8 * 8 * 4
    return GenerateSettings(meshes, views=VIEWS, render=SQUARE, out=out, pool=workers, shard_bytes=size)


@pytest.fixture
def fine(meshes, tmp_path) -> GenerateSettings:
    """The meshes without trouble alone."""
    return make_settings(tuple(meshes / f"{name}.obj" for name in FINE), tmp_path / "shards")


@pytest.fixture(scope="module")
def undisturbed(meshes, tmp_path_factory) -> dict[str, bytes]:
    """The shards of the meshes without trouble."""
    out = tmp_path_factory.mktemp("undisturbed") / "shards"
    generate(make_settings(tuple(meshes / f"{name}.obj" for name in FINE), out))
    return shard_bytes(out)


@pytest.fixture
def begun(tmp_path, monkeypatch) -> Callable[[], list[int]]:
    """The processes of the jobs that were begun so far."""
    log = tmp_path / "begun.log"
    log.touch()
    monkeypatch.setenv("ENR_FAKE_LOG", str(log))
    return lambda: [int(line.split()[0]) for line in log.read_text().splitlines() if line.count(" ") == 1]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or path.suffix == PARTIAL_SUFFIX]


def run_apart(settings: GenerateSettings) -> multiprocessing.Process:
    """A run in a process of its own, which can be killed."""
    process = FORK.Process(target=generate, args=(settings,))
    process.start()
    return process


def wait_until(happened: Callable[[], bool], process: multiprocessing.Process | None = None) -> bool:
    """Wait for something, or for the end of the process; whether it happened first."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        if process is not None and not process.is_alive():
            return False
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
    return True


def kill(process: multiprocessing.Process) -> None:
    process.kill()
    process.join()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_is_killed_goes_on_where_it_was(fine, undisturbed, begun, seed):
    rng = random.Random(seed)
    for kills in range(20):
        moment = len(begun()) + rng.randint(1, 2 + 2 * kills)
        process = run_apart(fine)
        if not wait_until(lambda moment=moment: len(begun()) >= moment, process):
            break
        time.sleep(rng.uniform(0, 0.03))
        kill(process)
        assert set(shard_bytes(fine.out).items()) <= set(undisturbed.items())
    assert kills > 1 and process.exitcode == 0
    assert shard_bytes(fine.out) == undisturbed
    assert not leftovers(fine.out)
    wait_until(lambda: all(is_gone(pid) for pid in begun()))


def test_killed_workers_cost_retries_and_no_pixel(fine, undisturbed, begun):
    rng, over = random.Random(3), threading.Event()
    impatient = dataclasses.replace(fine, pool=dataclasses.replace(fine.pool, mesh_timeout_s=1.0))

    def shoot() -> None:
        for _ in range(12):
            seen = len(begun())
            while len(begun()) < seen + rng.randint(1, 2) and not over.wait(0.005):
                pass
            if not over.is_set():
                for pid in begun()[-1:]:
                    if not is_gone(pid):
                        os.kill(pid, rng.choice(SIGNALS))

    gun = threading.Thread(target=shoot)
    gun.start()
    summary = generate(impatient)
    over.set()
    gun.join()
    assert len(set(begun())) > 2
    assert set(summary.retryable) == set(summary.failures)
    again = generate(dataclasses.replace(fine, retry_failed=True))
    assert (again.failures, again.images_made) == ({}, len(summary.failures) * VIEWS)
    assert shard_bytes(fine.out) == undisturbed


def test_troubled_meshes_are_named_and_the_next_try_mends_their_shards_alone(fine, meshes, tmp_path, monkeypatch):
    every = dataclasses.replace(fine, meshes=(*fine.meshes, *(meshes / f"{name}.obj" for name in FAULTS)))
    summary = generate(every)
    assert set(summary.failures) == set(summary.retryable) == set(FAULTS)
    for name, said in FAULTS.items():
        assert said in summary.failures[name]
    assert summary.scenes == len(FINE)
    before = {path: path.stat().st_mtime_ns for path in summary.shards}
    monkeypatch.setenv("ENR_FAKE_HEALED", "yes")
    again = generate(every)
    assert (again.images_made, again.failures) == (0, summary.failures)
    mended = generate(dataclasses.replace(every, retry_failed=True))
    assert (mended.failures, mended.images_made) == ({}, len(FAULTS) * VIEWS)
    whole = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert len(whole) == 4 and not list(every.out.glob("*.failed.json"))
    healthy = dataclasses.replace(every, out=tmp_path / "healthy")
    generate(healthy)
    assert shard_bytes(every.out) == shard_bytes(healthy.out)


def test_a_hang_costs_its_mesh_alone(fine, meshes, tmp_path, monkeypatch):
    both = dataclasses.replace(fine, meshes=(fine.meshes[0], meshes / "hangs.obj"))
    summary = generate(dataclasses.replace(both, pool=dataclasses.replace(both.pool, mesh_timeout_s=1.0)))
    assert summary.failures["hangs"] == "no result within 1 s"
    monkeypatch.setenv("ENR_FAKE_HEALED", "yes")
    assert not generate(dataclasses.replace(both, retry_failed=True)).failures
    healthy = dataclasses.replace(both, out=tmp_path / "healthy")
    generate(healthy)
    assert shard_bytes(both.out) == shard_bytes(healthy.out)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_called_so_and_made_again(fine, undisturbed, damage):
    rng = random.Random(damage)
    fine.out.mkdir()
    for name, whole in undisturbed.items():
        (fine.out / name).write_bytes(whole)
    path = fine.out / sorted(undisturbed)[1]
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[rng.randrange(len(content) * 9 // 10)] ^= 1 << rng.randrange(8)
    path.write_bytes(content[: {"flip": len(content), "cut": rng.randrange(1, len(content) - 200), "empty": 0}[damage]])
    summary = generate(fine)
    assert list(summary.damaged) == [path.name]
    assert summary.images_made == 2 * VIEWS
    assert shard_bytes(fine.out) == undisturbed


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_runs_full_keeps_what_is_finished(fine, undisturbed, small_disk):
    on_disk = dataclasses.replace(fine, out=small_disk / "shards")
    with pytest.raises(EnrError, match=r"cannot be written \(No space left on device\).*finished shards are kept"):
        generate(on_disk)
    kept = shard_bytes(on_disk.out)
    assert 0 < len(kept) < len(undisturbed) and set(kept.items()) <= set(undisturbed.items())
    assert not leftovers(on_disk.out)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    generate(on_disk)
    assert shard_bytes(on_disk.out) == undisturbed


def test_what_cannot_fit_is_not_begun(fine, small_disk, begun):
    many = dataclasses.replace(fine, out=small_disk / "shards", views=200)
    with pytest.raises(EnrError, match=r"has room for 0.1 MB, the shards to be made take about 1.4 MB"):
        generate(many)
    assert not begun() and not many.out.exists()


def run_with_small_files(settings: GenerateSettings, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        generate(settings)
    except EnrError as error:
        (settings.out.parent / "said").write_text(str(error))


def test_a_quota_ends_in_a_sentence_and_nothing_half_written(fine, undisturbed):
    process = FORK.Process(target=run_with_small_files, args=(fine, 10_000))
    process.start()
    process.join()
    assert "cannot be written (File too large)" in (fine.out.parent / "said").read_text()
    assert not shard_bytes(fine.out)
    generate(fine)
    assert shard_bytes(fine.out) == undisturbed


def test_two_runs_do_not_make_the_same_shards(fine, undisturbed, begun, monkeypatch):
    waits = fine.meshes[0].with_name("waits.obj")
    waits.write_text("#w  \nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    waits.with_suffix(".wait").touch()
    slow = dataclasses.replace(fine, meshes=(*fine.meshes, waits))
    first = run_apart(slow)
    wait_until(lambda: waits.with_suffix(".started").exists())
    for rival in (slow, dataclasses.replace(slow, views=2), dataclasses.replace(slow, part=(1, 2))):
        with pytest.raises(EnrError, match=rf"Another run makes rototrans shards in .*process {first.pid} on "):
            generate(rival)
    kill(first)
    waits.with_suffix(".wait").unlink()
    parts = [run_apart(dataclasses.replace(slow, part=(number, 2))) for number in (1, 2)]
    for part in parts:
        part.join()
    assert [part.exitcode for part in parts] == [0, 0]
    made = shard_bytes(slow.out)
    assert generate(slow).images_made == 0
    assert len(made) == 5 and shard_bytes(slow.out) == made and not leftovers(slow.out)
    waits.unlink()


def test_an_interrupted_overwrite_never_leaves_two_data_sets(fine, undisturbed, begun):
    longer = dataclasses.replace(fine, meshes=(*fine.meshes, fine.meshes[0].with_name("dies.obj")))
    generate(longer)
    assert len(shard_bytes(fine.out)) == 5
    process = run_apart(dataclasses.replace(fine, overwrite=True))
    wait_until(lambda: any((fine.out / name).exists() for name in undisturbed))
    kill(process)
    assert set(shard_bytes(fine.out).items()) <= set(undisturbed.items())
    generate(fine)
    assert shard_bytes(fine.out) == undisturbed


def test_a_mesh_that_cannot_be_read_today_is_read_tomorrow(fine, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in fine.meshes[:4]:
        shutil.copy(path, folder)
    some = dataclasses.replace(fine, meshes=(folder,))
    whole = dataclasses.replace(some, out=tmp_path / "whole")
    generate(whole)
    lost, away = folder / "mesh2.obj", tmp_path / "away.obj"
    lost.rename(away)
    lost.symlink_to(tmp_path / "nowhere.obj")
    assert generate(some).retryable == ("mesh2",)
    lost.unlink()
    away.rename(lost)
    assert generate(some).images_made == 0
    assert generate(dataclasses.replace(some, retry_failed=True)).images_made == VIEWS
    assert shard_bytes(some.out) == shard_bytes(whole.out)


def test_a_bad_mesh_is_tried_again_only_if_asked(fine, meshes, tmp_path, monkeypatch):
    def failure(scene, outcome):
        return Failure(BAD_MESH if scene.source.scene_id == "fails" else CRASH, outcome.reason)

    monkeypatch.setattr(publish, "_failure", failure)
    some = dataclasses.replace(fine, meshes=tuple(meshes / f"{name}.obj" for name in ("dies", "fails", "mesh0")))
    summary = generate(some)
    assert set(summary.failures) == set(summary.failed_now) == {"dies", "fails"}
    monkeypatch.setenv("ENR_FAKE_HEALED", "yes")
    mended = generate(dataclasses.replace(some, retry_failed=True))
    assert (list(mended.failures), mended.failed_now, mended.images_made) == (["fails"], (), VIEWS)
    again = generate(dataclasses.replace(some, retry_failed=True))
    assert (list(again.failures), again.images_made) == (["fails"], 0)
    assert not generate(dataclasses.replace(some, retry_failed=True, retry_bad=True)).failures
    healthy = dataclasses.replace(some, out=tmp_path / "healthy")
    generate(healthy)
    assert shard_bytes(some.out) == shard_bytes(healthy.out)


def test_a_folder_in_a_shards_place_is_noticed_before_work(fine, begun):
    (fine.out / "rototrans-00001-of-00004.h5").mkdir(parents=True)
    with pytest.raises(EnrError, match="is a folder; a shard is to be written there"):
        generate(fine)
    assert not begun()
