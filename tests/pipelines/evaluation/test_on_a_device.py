"""What an evaluation gives a GPU, without one: on torch's meta device a tensor that was left on the CPU is an error."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from tests.pipelines.tiny_config import tiny_config

from enr.model import Renderer
from enr.model.published import orbit_motions
from enr.pipelines import metrics

CASES = {
    "published": {"warp": "rigid", "projection": "fold", "output": "sigmoid", "depth_cells": 8},
    "fixed": {"carry_colour": True, "detail_stride": 1},
    "travelling": {"carry_colour": True, "detail_stride": 1, "depth_range": "travelling"},
    "aimed": {"carry_colour": True, "detail_stride": 1, "depth_range": "travelling", "reaim": True},
}


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_an_evaluation_leaves_nothing_on_the_cpu(monkeypatch, case, sources):
    monkeypatch.setattr(torch, "autocast", lambda *_, **how: nullcontext())  # knows no meta device
    monkeypatch.setattr(metrics, "_check", lambda *_: None)  # reads the pictures' range
    config = tiny_config(16, **CASES[case])
    model = Renderer(config).to("meta").eval()
    motions = orbit_motions((0, 0), [(20, 10), (-50, 5), (120, -40)], 2.0)[:, None].repeat(1, sources, 1, 1)
    images = torch.zeros(sources, 3, 16, 16, device="meta")
    distance = 2.0 if config.has_travelling_range else None
    views = model.generate_from_sources(images, motions, batch_size=2, distance=distance)
    assert (views.device, views.shape) == (torch.device("meta"), (3, 3, 16, 16))
    truth = torch.zeros(3, 3, 16, 16, device="meta")
    for measure in (metrics.psnr, metrics.ssim):
        assert measure(views, truth).device == torch.device("meta")
