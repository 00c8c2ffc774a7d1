"""The source distribution builds the wheel, and the wheel works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the wheel; it comes with enr[dev]")

IGNORED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "runs", "shards", "enr-demo", "dist", "build", "venv"
)
ROOMS = ("datagen", "model", "pipelines")


def build(folder: Path, target: str) -> Path:
    """The file that hatchling makes of the project in `folder`, with what is installed (no network)."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target], cwd=folder, check=True, capture_output=True
    )
    (made,) = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory) -> Path:
    """The wheel that the source distribution of this checkout gives."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(root, folder / "checkout", symlinks=True, ignore=IGNORED)
    with tarfile.open(build(folder / "checkout", "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (project,) = (folder / "unpacked").iterdir()
    return build(project, "wheel")


def test_the_wheel_holds_every_file_of_the_package(root, wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"enr/{path.name}" for path in (root / "src/enr").iterdir() if path.is_file()}
    for room in ROOMS:
        files = [path for path in (root / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        wanted |= {f"enr/{path.relative_to(root)}" for path in files}
    assert "enr/py.typed" in wanted
    assert any(name.startswith("enr/pipelines/config/presets/") and name.endswith(".yaml") for name in wanted)
    assert wanted <= inside


def test_the_wheel_puts_nothing_beside_the_package(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"enr"}


def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import enr, enr.camera, enr.datagen, enr.model; from enr.pipelines.cli.main import main; print(enr.__file__);"
        "main(['--help'], standalone_mode=False)"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(site))
