"""The notebooks run from their first cells to their last, at a small size."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbformat comes with enr[dev]")
nbclient = pytest.importorskip("nbclient", reason="nbclient comes with enr[dev]")
pytest.importorskip("ipykernel", reason="ipykernel comes with enr[dev]")
NOTEBOOKS = ["from-one-picture", "from-own-meshes"]


def read(name):
    return nbformat.read(ROOT / "docs" / f"{name}.ipynb", as_version=4)


def execute(notebook, parameters, folder):
    """Run all cells in a folder, with other parameters; return what they printed."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    cell.source = parameters
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_kept_without_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_one_picture_becomes_a_turning_object(checkpoint, tmp_path):
    for name, colour in (("chair.png", (200, 40, 60)), ("table.png", (30, 90, 160))):
        pixels = np.full((60, 80, 3), 250, np.uint8)
        pixels[20:40, 30:50] = colour
        Image.fromarray(pixels).save(tmp_path / name)
    parameters = f"picture, other_picture, checkpoint, frames = 'chair.png', 'table.png', {str(checkpoint)!r}, 3"
    printed = execute(read("from-one-picture"), parameters, tmp_path)
    assert Image.open(tmp_path / "orbit.gif").n_frames == 3
    assert {path.name for path in tmp_path.iterdir()} >= {"view.png", "orbit.png", "towards.gif"}
    assert "Its plain background" in printed
    assert "differ by" in printed


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs enr[datagen]")
def test_own_meshes_become_a_model(tmp_path):
    parameters = (
        "meshes, shapes, size_px, views, minutes = 'meshes', 7, 16, 4, 0.05\n"
        "changes = {'channels_2d': [8, 8], 'strides_2d': [1, 2], 'num_channels_inv_projection': [16], 'threads': 1}"
    )
    printed = execute(read("from-own-meshes"), parameters, tmp_path)
    assert len(list((tmp_path / "meshes").iterdir())) == 7
    assert "Every mesh was rendered." in printed
    assert "copy" in printed
    assert (next((tmp_path / "runs").iterdir()) / "report.html").is_file()
    assert Image.open(tmp_path / "turning.gif").n_frames >= 2
