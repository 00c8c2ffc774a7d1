"""An installed Blender's own executable can be the workers; what is none is refused in a sentence."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm

from enr.datagen.settings import PoolSettings
from enr.datagen.workers import installed_blender, worker
from enr.datagen.workers.installed_blender import blender_version, find_blender
from enr.datagen.workers.pool import render_all
from enr.datagen.workers.worker import worker_command
from enr.errors import EnrError

FAKE_WORKER = Path(__file__).parents[1] / "fake_worker.py"


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def chatty_blender(folder: Path, version: str = "4.2.1 LTS") -> Path:
    """A program that answers as Blender does and prints what it likes before it runs a Python script."""
    text = f'echo "Blender {version}"; [ "$1" = --version ] && exit\necho "Read prefs: none"; echo "[1]"\n'
    return write_script(folder / "blender", f'{text}exec "{sys.executable}" "{FAKE_WORKER}"')


def installed() -> Path:
    """The Blender that is installed here; ENR_BLENDER names it where it is not on the PATH."""
    given = os.environ.get("ENR_BLENDER") or shutil.which("blender")
    if not given:
        pytest.skip("no Blender is installed (Debian: apt-get install blender python3-numpy; or set ENR_BLENDER)")
    return find_blender(given)


def test_an_executable_its_folder_and_a_command_are_found(tmp_path, monkeypatch):
    executable = chatty_blender(tmp_path / "blender-4.2")
    monkeypatch.setenv("PATH", str(executable.parent), prepend=os.pathsep)
    assert (
        find_blender(str(executable)) == find_blender(str(executable.parent)) == find_blender("blender") == executable
    )
    assert blender_version(executable) == "4.2.1"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "no file and no command"),
        ("echo hello", "is no Blender .* 'hello'"),
        ("exit 1", "is no Blender .* 'nothing'"),
        ("echo Blender 2.79", "is Blender 2.79.0; give Blender 3.4 or a later one"),
        ("echo Blender 3.3.21", "is Blender 3.3.21"),
    ],
)
def test_what_is_no_usable_blender_is_refused_in_a_sentence(tmp_path, script, reason):
    if script is not None:
        write_script(tmp_path / "blender", script)
    with pytest.raises(EnrError, match=reason) as caught:
        find_blender(str(tmp_path / "blender"))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not a program")
    with pytest.raises(EnrError, match="cannot be run"):
        find_blender(str(tmp_path / "notes.txt"))


def test_without_the_wheel_the_other_way_is_named(monkeypatch):
    def missing(name: str) -> str:
        raise installed_blender.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installed_blender.importlib.metadata, "version", missing)
    with pytest.raises(EnrError, match="--blender"):
        blender_version()


def test_what_blender_prints_before_the_script_is_no_answer(tmp_path):
    (tmp_path / "fine.obj").write_text("mesh")
    job = bm.make_job(tmp_path / "fine.obj", views=2)
    (outcome,) = render_all([job], PoolSettings(blender=chatty_blender(tmp_path / "bin")))
    assert not outcome.reason
    assert outcome.images.shape == (2, 48, 48, 4)


def test_a_blender_that_never_runs_the_script_is_told_with_its_words(tmp_path, monkeypatch):
    silent = write_script(tmp_path / "blender", "echo Blender 4.2.1; echo 'no display' >&2")
    monkeypatch.setattr(worker, "WORKER", FAKE_WORKER)
    with pytest.raises(EnrError, match=r"did not start: .*no display"):
        list(render_all([bm.make_job(tmp_path / "fine.obj")], PoolSettings(blender=silent)))


def test_the_wheel_s_command_keeps_the_script_s_folder_off_the_path(tmp_path):
    command = worker_command(tmp_path / "worker.py", ("1",), 1)
    assert command[0] == sys.executable and command[-2:] == [str(tmp_path / "worker.py"), "1"]
    assert ("-P" in command) == (sys.version_info >= (3, 11))


def test_an_installed_blender_makes_the_wheel_s_pictures(tmp_path):
    """Formats that both read, matte colours: they differ by no more than the noise of another seed."""
    executable = installed()
    blocks = bm.corner_blocks()
    bm.write_obj(tmp_path / "obj" / "blocks.obj", blocks.vertices, blocks.faces)
    for suffix in ("ply", "stl", "glb"):
        (tmp_path / suffix).mkdir()
        blocks.export(tmp_path / suffix / f"blocks.{suffix}")
    paths = sorted(tmp_path.glob("*/blocks.*"))
    axes = {".glb": "z"}
    jobs = [bm.make_job(path, 3, samples=32, materials="grey", up_axis=axes.get(path.suffix, "auto")) for path in paths]
    other_seeds = [{**job, "views": [{**view, "seed": view["seed"] ^ 1} for view in job["views"]]} for job in jobs]
    theirs = list(render_all(jobs, PoolSettings(blender=executable)))
    both = bm.render(*jobs, *other_seeds)
    for one, two, three in zip(theirs, both[: len(jobs)], both[len(jobs) :], strict=True):
        assert not one.reason, one.reason
        assert one.facts["blender_version"] == blender_version(executable)
        assert difference(one, two) < 1.5 * difference(two, three) + 0.1
        assert one.facts["normalise_scale"] == pytest.approx(two.facts["normalise_scale"], rel=1e-6)


def difference(one: worker.RenderedMesh, two: worker.RenderedMesh) -> float:
    assert one.images is not None and two.images is not None
    return float(np.abs(one.images.astype(int) - two.images).mean())
