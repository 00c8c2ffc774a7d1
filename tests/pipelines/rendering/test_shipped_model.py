"""The model that comes with enr is small, says what it is, and turns objects that it never saw."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import enr
from enr.model import read_metadata
from enr.model.counting import count_macs, count_parameters
from enr.model.hub import EXAMPLES, LARGEST_BYTES
from enr.model.shipped import SHIPPED, WEIGHTS_NAME, shipped_model
from enr.pipelines.metrics import psnr
from enr.pipelines.rendering.published_guide import (
    batch_generate_novel_views,
    full_rotation_angle_sequence,
    save_img_sequence_as_gif,
    sine_squared_angle_sequence,
)

MOST_PARAMETERS, MOST_MACS = 7e6, 1e9
NAMES = sorted(SHIPPED)
KINDS = {"chair", "table", "mug", "car", "mountain"}


def folder_of(name: str) -> Path:
    folder = shipped_model(Path(name))
    assert folder is not None
    return folder


def example(path: Path) -> torch.Tensor:
    """(1, 3, height, width) in [0, 1], over white."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), dtype=np.float32) / 255
    return torch.from_numpy(rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_enough_for_a_cpu_and_a_package(name):
    config = enr.load_model(name).config
    assert min(config.image_shape[1:]) >= 64
    assert count_parameters(config) <= MOST_PARAMETERS and count_macs(config) <= MOST_MACS
    assert (folder_of(name) / WEIGHTS_NAME).stat().st_size <= LARGEST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_how_it_was_made_and_how_good_it_is(name):
    card = (folder_of(name) / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Training", "## Scores", "## Where it fails"):
        assert heading in card
    assert "hardware:" in card and "command:" in card
    rows = [line for line in card.splitlines() if re.match(r"\| (all|chair|table|mug|car|mountain) ", line)]
    assert {line.split("|")[1].strip() for line in rows} == KINDS | {"all"}
    own, *floors = (float(number) for number in rows[0].split("|")[3:6])
    assert own > max(floors)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_picture_of_each_kind_to_begin_with(name):
    paths = list((folder_of(name) / EXAMPLES).glob("*.png"))
    assert {path.stem for path in paths} == KINDS
    assert read_metadata(folder_of(name))["group"] == ["rototrans"]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_published_guides_calls_line_by_line(name, tmp_path):
    model = enr.load_model(name)
    img_source = example(folder_of(name) / EXAMPLES / "chair.png")
    azimuth_source, elevation_source = torch.tensor([45.0]), torch.tensor([10.0])

    scene = model.inverse_render(img_source)
    assert float(psnr(model.render(scene), img_source).mean()) > 20, "an unmoved scene is its picture"
    behind = model.rotate_source_to_target(scene, azimuth_source, elevation_source, azimuth_source + 180, -10.0)
    assert model.render(behind).shape == img_source.shape

    azimuth_shifts, elevation_shifts = torch.tensor([0.0, 20.0, -50.0]), torch.tensor([0.0, 10.0, -30.0])
    views = enr.generate_novel_views(
        model, img_source[0], azimuth_source, elevation_source, azimuth_shifts, elevation_shifts
    )
    torch.testing.assert_close(views[:1], model.render(scene), rtol=0, atol=1e-4)

    azimuth_shifts, elevation_shifts = full_rotation_angle_sequence(5), sine_squared_angle_sequence(5, -10.0, 20.0)
    frames = batch_generate_novel_views(
        model, img_source, azimuth_source, elevation_source, azimuth_shifts, elevation_shifts
    )
    save_img_sequence_as_gif(frames, tmp_path / "novel_views_example.gif")
    assert Image.open(tmp_path / "novel_views_example.gif").n_frames == 5


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs enr[datagen]")
def test_on_fresh_shapes_it_beats_what_sees_no_target(tmp_path):
    """Shapes of another seed than those that it was trained on, from cameras drawn anew."""
    from enr.datagen.shapes.catalogue import write_shapes

    write_shapes(tmp_path / "meshes", 5, 7, ("chair", "table", "mug", "car", "mountain"))
    shards = enr.generate(
        tmp_path / "meshes", group="rototrans", views=6, resolution=64, split=(0, 0, 1), out=tmp_path / "shards"
    )
    report = enr.evaluate("shapes", shards, out=tmp_path / "eval")
    floors = report.baselines_psnr_db
    own = report.psnr_db["rototrans"]
    assert own > floors["background"]["rototrans"] + 2 and own > floors["copied_input"]["rototrans"] + 3
    assert own > report.wrong_pose_psnr_db["rototrans"] + 3
