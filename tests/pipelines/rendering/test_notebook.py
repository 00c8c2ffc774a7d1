"""The notebook from one picture to a turning object runs from its first cell to its last, at a small size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbformat comes with enr[dev]")
nbclient = pytest.importorskip("nbclient", reason="nbclient comes with enr[dev]")
pytest.importorskip("ipykernel", reason="ipykernel comes with enr[dev]")
PATH = ROOT / "docs" / "from-one-picture.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_it_runs(notebook, checkpoint, tmp_path):
    for name, colour in (("chair.png", (200, 40, 60)), ("table.png", (30, 90, 160))):
        pixels = np.full((60, 80, 3), 250, np.uint8)
        pixels[20:40, 30:50] = colour
        Image.fromarray(pixels).save(tmp_path / name)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"picture, other_picture, checkpoint, frames = 'chair.png', 'table.png', {str(checkpoint)!r}, 3"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert Image.open(tmp_path / "orbit.gif").n_frames == 3
    assert {path.name for path in tmp_path.iterdir()} >= {"view.png", "orbit.png", "towards.gif"}
    printed = "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output)
    assert "Its plain background" in printed
    assert "differ by" in printed
