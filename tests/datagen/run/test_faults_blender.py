"""Blender itself is killed in the middle of its work, with the run and without it."""

import dataclasses
import multiprocessing
import os
import signal
import threading
import time

import psutil
from tests.datagen import blender_meshes as bm
from tests.datagen.conftest import shard_bytes

from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings

PATIENCE_S = 180.0
VIEWS = 12


def workers_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "worker.py" in " ".join(child.cmdline())]


def wait_for_render(pid: int, settings: GenerateSettings) -> psutil.Process:
    """The worker of a run, once a shard is finished and it works on the next."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = workers_of(pid)
        if found and shard_bytes(settings.out):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no shard was finished")


def test_a_killed_blender_and_a_killed_run_change_nothing(tmp_path):
    blocks = bm.corner_blocks()
    meshes = tuple(bm.write_obj(tmp_path / f"m{n}.obj", blocks.vertices * (n + 1), blocks.faces) for n in range(3))
    whole = GenerateSettings(
        meshes,
        views=VIEWS,
        render=RenderSettings(width_px=32, height_px=32, samples=64),
        out=tmp_path / "whole",
        pool=PoolSettings(workers=1),
        shard_bytes=VIEWS * 32 * 32 * 4,
    )
    assert generate(whole).images_made == 3 * VIEWS
    torn = dataclasses.replace(whole, out=tmp_path / "torn")

    run = multiprocessing.get_context("fork").Process(target=generate, args=(torn,))
    run.start()
    worker = wait_for_render(run.pid, torn)
    run.kill()
    run.join()
    worker.wait(PATIENCE_S)
    assert 0 < len(shard_bytes(torn.out)) < 3

    def crash() -> None:
        wait_for_render(os.getpid(), torn).send_signal(signal.SIGSEGV)

    gun = threading.Thread(target=crash)
    gun.start()
    summary = generate(torn)
    gun.join()
    assert not summary.failures
    assert shard_bytes(torn.out) == shard_bytes(whole.out)
