"""A run folder of version 0.1.0 is loaded, measured and gone on with as it was there.

`written_before/run-0.1.0.txt` (a tar archive, LZMA, base64) holds a run of 40 steps as `enr train` left it, but for its
pictures and logs, and the shard that it was trained on: commit a2a4275, boxes of 12 x 12 pixels.
"""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest
from tests.command_line import enr

pytest.importorskip("torch", reason="needs enr[train]")

from enr import evaluate, load_model

WRITTEN = Path(__file__).parent / "written_before" / "run-0.1.0.txt"
RUN = Path("runs/20261121-120000-smoke")
MEASURED = {"psnr_db": 11.586809158325195, "psnr_foreground_db": 6.054658889770508, "ssim": 0.0649122316390276}
"""What `enr eval --ssim` of that version said of the test scene, and what it said of the trivial baselines' PSNR."""
BASELINES_DB = {"background": 10.882212638, "copied_input": 10.400288581848145, "mean_of_targets": 16.11836051940918}


@pytest.fixture
def old_run(tmp_path, monkeypatch) -> Path:
    """The run, in a working folder with its shard."""
    packed = base64.b64decode(WRITTEN.read_text(encoding="ascii"))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return RUN


@pytest.mark.parametrize("which", [RUN, RUN / "checkpoints/best", RUN / "checkpoints/last", "latest"])
def test_it_is_measured_as_it_was(old_run, which):
    measured = evaluate(which, ssim=True, out="measured", device="cpu")
    (part,) = measured.report.groups
    assert part.scores["model"] == pytest.approx(MEASURED, abs=1e-3)
    for name, psnr_db in BASELINES_DB.items():
        assert part.scores[name]["psnr_db"] == pytest.approx(psnr_db, abs=1e-3)


def test_it_is_loaded_with_its_own_camera(old_run):
    config = load_model(old_run).config
    assert (config.image_shape, config.radius, config.depth_range) == ((3, 12, 12), 2.0, "fixed")
    assert config.focal_px == pytest.approx(16.666666666666664)


def test_it_goes_on_from_its_last_step(old_run):
    result = enr("train", "--resume", old_run, "--set", "steps=42")
    assert result.exit_code == 0, result.output
    assert "Trained for 42 steps" in result.output
