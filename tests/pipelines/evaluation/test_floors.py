"""Floors against slow float64 twins, and against the figures of posed sets that nobody here made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from enr.pipelines.evaluation.floors import (
    BACKGROUND,
    COPIED_INPUT,
    FLOORS,
    MEAN_OF_TARGETS,
    background_name,
    derangement,
    floor_predictions,
)
from enr.pipelines.metrics import psnr

torch.set_num_threads(1)
WHITE = (1.0, 1.0, 1.0)

POSED_FLOORS_DB = {
    "apple": (15, 64, 10.99, 12.85, 16.16),
    "uva-rotation": (15, 0, 12.59, 14.97, 17.78),
    "uva-translation": (15, 0, 13.83, 12.17, 14.81),
    "uva-rototranslation": (2, 0, 11.70, 10.22, 13.42),
}
"""Scenes, source view, and the floors in dB: all white, copy of the source, mean of the targets."""


def psnr_twin(predicted: np.ndarray, target: np.ndarray) -> float:
    """One picture in float64."""
    return float(-10 * np.log10(np.mean((predicted - target) ** 2)))


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5), background=st.tuples(*[st.floats(0, 1)] * 3))
def test_floors_equal_their_slow_twins(seed, count, background):
    rng = np.random.default_rng(seed)
    source, targets = rng.random((3, 4, 5)), rng.random((count, 3, 4, 5))
    found = floor_predictions(torch.from_numpy(source), torch.from_numpy(targets), background)
    assert tuple(found) == FLOORS
    for index in range(count):
        mean = sum(targets) / count
        for channel in range(3):
            assert found[BACKGROUND][index, channel].numpy() == pytest.approx(np.full((4, 5), background[channel]))
        assert found[COPIED_INPUT][index].numpy() == pytest.approx(source)
        assert found[MEAN_OF_TARGETS][index].numpy() == pytest.approx(mean)


def test_the_mean_of_one_target_is_that_target():
    targets = torch.rand(1, 3, 4, 4)
    assert torch.equal(floor_predictions(torch.rand(3, 4, 4), targets, WHITE)[MEAN_OF_TARGETS], targets)


@given(count=st.integers(2, 300), seed=st.integers(0, 2**32 - 1))
def test_a_derangement_moves_everything_and_loses_nothing(count, seed):
    order = derangement(count, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(count))
    assert (order != np.arange(count)).all()


def test_derangements_differ_with_the_seed_and_repeat_with_it():
    first, again, other = (derangement(50, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("background", "name"),
    [(WHITE, "white"), ((0.0, 0.0, 0.0), "black"), ((0.5, 0.25, 1.0), "red 0.5, green 0.25, blue 1")],
)
def test_the_background_is_called_by_its_colour(background, name):
    assert background_name(background) == name


def posed_folder() -> Path:
    """Where the posed sets lie; the test is skipped where they are not at hand."""
    folder = Path(os.environ.get("ENR_DATA", "")) / "posed"
    if "ENR_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("ENR_DATA does not name a folder with the posed sets")
    return folder


def read_over_white(path: Path) -> np.ndarray:
    """A picture (3, height, width) over white, rounded to 8 bits, in [0, 1]."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), dtype=np.float64)
    alpha = rgba[..., 3:] / 255
    return np.moveaxis(np.rint(alpha * rgba[..., :3] + (1 - alpha) * 255) / 255, -1, 0)


def read_views(params: Path) -> np.ndarray:
    """The pictures (views, 3, height, width) that a `render_params.json` lists, in the order of their names."""
    names = sorted(name for name in json.loads(params.read_text()) if not name.startswith("patch"))
    return np.stack([read_over_white(params.parent / f"{name}.png") for name in names])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "apple" else ()) for name in POSED_FLOORS_DB]
)
def test_the_floors_of_posed_sets_come_out_as_measured_elsewhere(name):
    scenes, source, *expected = POSED_FLOORS_DB[name]
    files = sorted((posed_folder() / name).rglob("render_params.json"))
    assert len(files) == scenes
    figures = []
    for views in map(read_views, files):
        targets = torch.from_numpy(np.delete(views, source, axis=0))
        floors = floor_predictions(torch.from_numpy(views[source]), targets, WHITE)
        figures.append([float(psnr(floors[floor], targets).mean()) for floor in FLOORS])
        copied = [psnr_twin(views[source], target) for target in targets.numpy()]
        assert figures[-1][1] == pytest.approx(np.mean(copied))
    assert np.mean(figures, axis=0) == pytest.approx(expected, abs=0.006)
