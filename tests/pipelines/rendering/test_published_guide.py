"""The published guide, line by line but for the import path, on a checkpoint of its format; `ENR_PARITY` names it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.tiny_config import tiny_config

import enr
from enr.errors import EnrError
from enr.model import Renderer
from enr.model.published import orbit_motions
from enr.pipelines.rendering.published_guide import (
    batch_generate_novel_views,
    full_rotation_angle_sequence,
    generate_novel_views,
    save_img_sequence_as_gif,
    sine_squared_angle_sequence,
)

FOLDER = Path(os.environ.get("ENR_PARITY", ""))
needs_parity = pytest.mark.skipif(
    not os.environ.get("ENR_PARITY") or not (FOLDER / "apple_small.pt").is_file(),
    reason="ENR_PARITY does not name a folder with apple_parity.npz and apple_small.pt",
)
device = torch.device("cpu")


@needs_parity
@torch.no_grad()
def test_the_guide_line_by_line(tmp_path):
    parity = {name: torch.from_numpy(array) for name, array in np.load(FOLDER / "apple_parity.npz").items()}
    model = enr.load_model(FOLDER / "apple_small.pt").to(device)
    img_source = parity["image"][:1]
    azimuth_source, elevation_source = parity["azimuth_source_deg"][:1], parity["elevation_source_deg"][:1]

    scene = model.inverse_render(img_source)
    torch.testing.assert_close(scene, parity["scene"][:1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.render(scene), parity["rendered_source"][:1], rtol=0, atol=1e-5)
    rotated = model.rotate(scene, parity["source_to_target_matrix"][:1])
    torch.testing.assert_close(model.render(rotated), parity["rendered_rotated"][:1], rtol=0, atol=1e-5)

    azimuth_target, elevation_target = parity["azimuth_target_deg"][:1], parity["elevation_target_deg"][:1]
    rotated_scene = model.rotate_source_to_target(
        scene, azimuth_source, elevation_source, azimuth_target, elevation_target
    )
    torch.testing.assert_close(model.render(rotated_scene), parity["rendered_rotated"][:1], rtol=0, atol=1e-5)

    azimuth_shifts = torch.cat([azimuth_target - azimuth_source, torch.tensor([0.0, 20.0, -50.0])])
    elevation_shifts = torch.cat([elevation_target - elevation_source, torch.tensor([0.0, 10.0, -30.0])])
    views = enr.generate_novel_views(
        model, img_source[0], azimuth_source, elevation_source, azimuth_shifts, elevation_shifts
    )
    torch.testing.assert_close(views[:1], parity["rendered_rotated"][:1], rtol=0, atol=1e-5)
    torch.testing.assert_close(views[1:2], parity["rendered_source"][:1], rtol=0, atol=1e-5)

    num_frames = 5
    azimuth_shifts = full_rotation_angle_sequence(num_frames).to(device)
    elevation_shifts = sine_squared_angle_sequence(num_frames, -10.0, 20.0).to(device)
    views = batch_generate_novel_views(
        model, img_source, azimuth_source, elevation_source, azimuth_shifts, elevation_shifts
    )
    save_img_sequence_as_gif(views, tmp_path / "novel_views_example.gif")
    assert Image.open(tmp_path / "novel_views_example.gif").n_frames == num_frames


@pytest.mark.parametrize("changes", [{"depth_range": "travelling"}, {}, {"warp": "rigid", "projection": "fold"}])
@torch.no_grad()
def test_views_are_those_of_the_motions_between_the_cameras(changes):
    torch.manual_seed(0)
    shape = {"depth_cells": 8} if changes.get("warp") == "rigid" else {}
    model = Renderer(tiny_config(16, **changes, **shape)).eval()
    image = torch.rand(2, 3, 16, 16)
    views = generate_novel_views(model, image[0], [30.0], [10.0], [40.0, 0.0], [-20.0, 0.0])
    motions = orbit_motions((30.0, 10.0), [(70.0, -10.0), (30.0, 10.0)], model.config.radius)
    torch.testing.assert_close(views, model.generate_novel_views(image[0], motions), rtol=0, atol=1e-5)
    each = batch_generate_novel_views(model, image, [30.0, 5.0], [10.0, 0.0], [40.0, 0.0, 1.0], [-20.0, 0.0, 1.0])
    assert [view.shape for view in each] == [(2, 3, 16, 16)] * 3
    torch.testing.assert_close(each[0][0], views[0], rtol=0, atol=1e-5)


def test_the_angles_of_animations():
    assert full_rotation_angle_sequence(4).tolist() == [0, 90, 180, 270]
    np.testing.assert_allclose(sine_squared_angle_sequence(4, -10.0, 20.0), [-10, 5, 20, 5], atol=1e-5)


def test_frames_are_pictures_or_grids(tmp_path):
    save_img_sequence_as_gif([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)], tmp_path / "one.gif")
    assert Image.open(tmp_path / "one.gif").size == (8, 8)
    save_img_sequence_as_gif([torch.zeros(3, 3, 8, 8)], tmp_path / "grid.gif", nrow=2)
    width, height = Image.open(tmp_path / "grid.gif").size
    assert min(width, height) > 16


def test_shifts_that_do_not_pair_and_other_endings_are_refused(tmp_path):
    model = Renderer(tiny_config(16))
    with pytest.raises(EnrError, match="one angle"):
        generate_novel_views(model, torch.rand(3, 16, 16), [0.0], [0.0], [1.0, 2.0], [1.0])
    with pytest.raises(EnrError, match=r"\.gif"):
        save_img_sequence_as_gif([torch.zeros(3, 8, 8)], tmp_path / "a.mp4")
