"""The worker finds enr beside itself, installed or in a checkout, and opens no other door into a Python's packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
before = list(sys.path)
worker._make_enr_importable()
import enr.camera, enr.datagen.meshes.triangles
heavy = [name for name in ("enr.shards", "enr.model", "enr.pipelines", "h5py", "torch") if name in sys.modules]
print(json.dumps([enr.camera.__file__, enr.datagen.meshes.triangles.__file__, before == sys.path, heavy]))
"""


@pytest.fixture(params=["checkout", "installed"])
def folders(request, tmp_path) -> tuple[Path, Path]:
    """Where the core and where datagen lie: in a checkout, and as the wheel unpacks them."""
    if request.param == "checkout":
        return ROOT / "src/enr", ROOT / "datagen"
    core = tmp_path / "site-packages/enr"
    shutil.copytree(ROOT / "src/enr", core, ignore=lambda place, names: {"datagen", "model", "pipelines"} & set(names))
    shutil.copytree(ROOT / "datagen", core / "datagen")
    return core, core / "datagen"


def test_the_axes_and_the_rules_are_those_beside_the_worker(folders):
    core, datagen = folders
    worker = datagen / "blender/worker.py"
    done = subprocess.run([sys.executable, "-c", CODE, worker], capture_output=True, text=True, cwd=core.parent.parent)
    assert done.returncode == 0, done.stderr
    camera, triangles, is_path_as_before, heavy = json.loads(done.stdout)
    assert Path(camera) == core / "camera.py"
    assert Path(triangles) == datagen / "meshes/triangles.py"
    assert is_path_as_before and not heavy
