"""What is called like a mesh and is none: links to nothing or themselves, pipes; and parts of a mesh without a size."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import box, write_glb

from enr.datagen.generate import generate
from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.settings import GenerateSettings, RenderSettings
from enr.errors import EnrError

TINY = RenderSettings(width_px=16, height_px=16, samples=1)


def test_links_to_nothing_and_pipes_cost_themselves_alone(tmp_path):
    meshes = tmp_path / "meshes"
    bm.write_obj(meshes / "good.obj", bm.corner_blocks().vertices, bm.corner_blocks().faces)
    (meshes / "gone.obj").symlink_to("nowhere.obj")
    (meshes / "loop.obj").symlink_to("loop.obj")
    os.mkfifo(meshes / "pipe.obj")
    os.mkfifo(meshes / "pipe.zip")
    code = (
        "import sys; from pathlib import Path; from enr.datagen.generate import generate;"
        "from enr.datagen.settings import GenerateSettings, RenderSettings;"
        "made = generate(GenerateSettings(meshes=(Path(sys.argv[1]),), views=1, out=Path(sys.argv[2]),"
        "render=RenderSettings(width_px=16, height_px=16, samples=1)));"
        "print(made.scenes, *sorted(made.failures)); assert all('is no file' in one for one in made.failures.values())"
    )
    told = [sys.executable, "-c", code, str(meshes), str(tmp_path / "out")]
    done = subprocess.run(told, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "gone", "loop", "meshes-pipe", "pipe.obj"], done.stdout + done.stderr


def test_a_pipe_that_is_given_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.obj")
    with pytest.raises(EnrError, match="no file and no folder"):
        find_meshes([tmp_path / "pipe.obj"])


def test_a_node_without_a_size_counts_for_nothing(tmp_path):
    nodes = [{"mesh": 0}, {"mesh": 0, "scale": [0, 0, 0], "translation": [50, 0, 0]}]
    (outcome,) = bm.render(bm.make_job(write_glb(tmp_path / "m.glb", [box((2, 1, 2))], nodes), 2))
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / 3)


def test_a_ply_file_with_a_coordinate_that_is_no_number_is_refused(tmp_path):
    text = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    text += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "m.ply").write_text(text + "0 0 0\n1 nan 0\n1 1 0\n0 0 1\n3 0 1 2\n3 0 2 3\n")
    settings = GenerateSettings(meshes=(tmp_path / "m.ply",), views=1, out=tmp_path / "out", render=TINY)
    assert "not a finite number" in generate(settings).failures["m"]
