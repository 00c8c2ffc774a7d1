"""Equivariance as a number: zero for an exact action, more for wrong poses, exact algebra where the grid allows it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipelines.measured import Bench
from tests.pipelines.toy_shards import Toy, write_toy

from enr.camera import orbit_camera, target_from_source
from enr.model.config import RendererConfig
from enr.model.published import orbit_motions
from enr.model.renderer import Renderer
from enr.model.warp import frustum_warp
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.equivariance import (
    ANGLE_DEG,
    COMPOSITION,
    COMPOSITION_OTHER,
    DISTANCE,
    FEATURES,
    FEATURES_OTHER,
    IDENTITY,
    INVERSE,
    PICTURE,
    PICTURE_OTHER,
    PICTURE_RMSE,
    SEEN,
    Moved,
    PosedPictures,
    measure_equivariance,
    motion_sizes,
    move,
    relative_error,
    still,
)
from enr.pipelines.evaluation.equivariance_report import (
    ANGLE_EDGES_DEG,
    bin_numbers,
    format_equivariance,
    join,
    summarise,
)
from enr.pipelines.metrics import PSNR_CAP_DB

torch.set_num_threads(1)
SIZE_PX = 16
WARPS = {
    "frustum": {"warp": "frustum", "carry_colour": True},
    "detail": {"carry_colour": True, "detail_stride": 1, "detail_channels": 1},
    "rigid": {"warp": "rigid", "depth_cells": 8},
    "masked": {"warp": "rigid", "depth_cells": 8, "spherical_mask": True},
    "conditioned": {"warp": "conditioned", "projection": "fold", "conditioning_width": 16},
}


def tiny(**changes) -> Renderer:
    """A random renderer."""
    torch.manual_seed(0)
    values = {
        "image_shape": (3, SIZE_PX, SIZE_PX),
        "channels_2d": (8, 8),
        "strides_2d": (1, 2),
        "channels_3d": (),
        "strides_3d": (),
        "num_channels_inv_projection": (32,),
        "num_channels_projection": (8,),
        "depth_cells": 8,
        "focal_px": SIZE_PX * 50 / 36,
        "near": 1.0,
        "far": 3.0,
    }
    return Renderer(RendererConfig(**(values | changes))).eval()


class Exact(Renderer):
    """Finds the source's scene in every picture, moved as the picture's camera was: the red channel says which."""

    def remember(self, scene: torch.Tensor, motions: torch.Tensor) -> None:
        """Picture 0 shows `scene`, picture i + 1 the same after motion i."""
        self.known = torch.cat([scene, *(self.transform(scene, motion[None]) for motion in motions)])

    def inverse_render(self, images):
        return self.known[images[:, 0, 0, 0].round().long()]


def posed(motions, other=None) -> PosedPictures:
    pictures = torch.arange(len(motions) + 1.0).reshape(-1, 1, 1, 1).expand(-1, 3, SIZE_PX, SIZE_PX)
    return PosedPictures(pictures[0], pictures[1:], motions, other)


def some_motions() -> torch.Tensor:
    turns = orbit_motions((0, 0), [(20, 10), (-50, 5), (120, -40)], 2.0)
    shift = torch.as_tensor(target_from_source(orbit_camera(0, 0), orbit_camera(0, 0, 2.0, (0.1, 0.2, -0.1))))
    return torch.cat([turns, shift[None]])


@pytest.mark.parametrize("warp", ["frustum", "detail", "rigid", "masked"])
def test_an_exact_action_has_no_error_and_a_wrong_pose_has_one(warp):
    motions = some_motions()
    model = Exact(tiny(**WARPS[warp]).config).eval()
    torch.manual_seed(1)
    start = Renderer.inverse_render(model, torch.rand(1, 3, SIZE_PX, SIZE_PX))
    with torch.no_grad():
        model.remember(start, motions)
    found = measure_equivariance(model, posed(motions, torch.tensor([1, 2, 3, 0])), batch_size=3)
    assert found[FEATURES] == pytest.approx(0, abs=1e-6)
    assert found[PICTURE] == pytest.approx(PSNR_CAP_DB) and found[PICTURE_RMSE] == pytest.approx(0, abs=1e-6)
    assert (found[FEATURES_OTHER] > 0.1).all() and (found[PICTURE_OTHER] < PSNR_CAP_DB - 20).all()
    assert ((found[SEEN] > 0) & (found[SEEN] < 1)).all()
    assert (found[COMPOSITION] < found[COMPOSITION_OTHER]).all()


@pytest.mark.parametrize("warp", WARPS)
def test_no_motion_between_equal_pictures_has_no_error_but_for_a_network_that_is_told(warp):
    model, picture = tiny(**WARPS[warp]), torch.rand(3, SIZE_PX, SIZE_PX)
    views = PosedPictures(picture, picture.expand(2, -1, -1, -1), torch.eye(4).double().repeat(2, 1, 1), None)
    found = measure_equivariance(model, views)
    errors = np.stack([found[FEATURES], found[INVERSE], found[IDENTITY]])
    assert found[PICTURE_RMSE] == pytest.approx(0, abs=1e-6)
    assert np.isnan(found[COMPOSITION]).all() and np.isnan(found[PICTURE_OTHER]).all(), "there is no other pose"
    if warp == "conditioned":
        assert (errors > 0.1).all() and (found[SEEN] == 1).all()
    else:
        assert errors == pytest.approx(0, abs=1e-5)


def test_quarter_turns_of_the_cube_obey_the_algebra_exactly():
    model = tiny(**WARPS["rigid"])
    motions = orbit_motions((0, 0), [(90, 0), (180, 0), (-90, 0)], 2.0)
    pictures = torch.rand(4, 3, SIZE_PX, SIZE_PX)
    found = measure_equivariance(model, PosedPictures(pictures[0], pictures[1:], motions, torch.tensor([1, 2, 0])))
    for name in (COMPOSITION, INVERSE, IDENTITY):
        assert found[name] == pytest.approx(0, abs=1e-4), name
    assert (found[COMPOSITION_OTHER] > 0.1).all() and (found[SEEN] == 1).all()


def test_carried_colours_make_even_an_untrained_model_prefer_the_right_pose(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy(splits=("train", *["test"] * 4), views=6))])
    bench = Bench.of(tiny(near=1.2, far=2.8, carry_colour=True), view_set)
    measured = []
    for scene in view_set.scenes("test"):
        pictures = bench.load(scene)
        views = (pictures.source, pictures.targets, pictures.target_from_source, pictures.other)
        measured.append(measure_equivariance(bench.model, PosedPictures(*views)))
    means = summarise(join(measured))["all"]
    assert means["pairs"] == 20
    assert means[PICTURE] > means[PICTURE_OTHER] + 0.3


def test_the_batch_size_changes_nothing():
    model, motions, pictures = tiny(), some_motions(), torch.rand(5, 3, SIZE_PX, SIZE_PX)
    views = PosedPictures(pictures[0], pictures[1:], motions, torch.tensor([3, 0, 1, 2]))
    one, two = (measure_equivariance(model, views, size) for size in (1, 3))
    for name in one:
        assert one[name] == pytest.approx(two[name], abs=1e-4), name


def test_the_relative_error_equals_a_slow_twin():
    model, motion = tiny(), some_motions()[[0]]
    with torch.no_grad():
        z1, z2 = (still(model, torch.rand(1, 3, SIZE_PX, SIZE_PX)) for _ in range(2))
        moved = move(model, z1, motion)
    (error,), (share,) = relative_error(model, moved, z2)
    assert torch.allclose(moved.seen, frustum_warp(torch.ones_like(z1.seen), motion, model.frustum), atol=1e-6)
    above = below = cells = 0.0
    learned = model.config.feature_channels
    for d, v, u in np.ndindex(*moved.seen.shape[2:]):
        if moved.scene[0, -1, d, v, u] > 0.999:
            one, two = moved.scene[0, :learned, d, v, u].double(), z2.scene[0, :learned, d, v, u].double()
            above, below, cells = above + float(((one - two) ** 2).sum()), below + float((two**2).sum()), cells + 1
    assert error == pytest.approx(math.sqrt(above / below)) and share == cells / moved.seen[0].numel()


def test_where_no_cell_is_seen_there_is_no_error():
    model = tiny()
    with torch.no_grad():
        z = still(model, torch.rand(1, 3, SIZE_PX, SIZE_PX))
    (error,), (share,) = relative_error(model, Moved(z.scene, torch.zeros_like(z.seen)), z)
    assert math.isnan(error) and share == 0
    (error,), (share,) = relative_error(model, z, Moved(z.scene * 0, z.seen))
    assert math.isnan(error) and share == 1, "beside nothing, no error is small"


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 180), st.floats(-89, 89), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_turns_and_shifts_are_told_apart(azimuth, elevation, point):
    turn = target_from_source(orbit_camera(0, 0), orbit_camera(azimuth, 0))[None]
    assert motion_sizes(turn, 2.0) == (pytest.approx(azimuth, abs=1e-5), pytest.approx(0, abs=1e-9))
    here, there = orbit_camera(azimuth, elevation), orbit_camera(azimuth, elevation, 2.0, point)
    angle, distance = motion_sizes(target_from_source(here, there)[None], 2.0)
    assert angle == pytest.approx(0, abs=1e-5) and distance == pytest.approx(np.linalg.norm(point), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 180), min_size=1, max_size=40))
def test_every_pair_lies_in_one_bin_and_the_bins_make_the_mean(angles):
    angles = np.array(angles)
    bins = bin_numbers(angles, ANGLE_EDGES_DEG)
    edges = np.array(ANGLE_EDGES_DEG)
    assert ((edges[bins] <= angles) & ((angles < edges[bins + 1]) | (angles == 180))).all()
    rng = np.random.default_rng(0)
    measures = {ANGLE_DEG: angles, DISTANCE: angles / 100, FEATURES: rng.uniform(size=len(angles))}
    summary = summarise(measures)
    for name in ("by_angle_deg", "by_distance"):
        parts = summary[name]
        assert sum(part["pairs"] for part in parts) == summary["all"]["pairs"] == len(angles)
        mean = sum(part["pairs"] * part[FEATURES] for part in parts) / len(angles)
        assert mean == pytest.approx(summary["all"][FEATURES])


def test_the_table_has_a_row_for_each_bin_and_none_for_a_single_one():
    names = (SEEN, FEATURES, FEATURES_OTHER, PICTURE, PICTURE_OTHER, COMPOSITION, COMPOSITION_OTHER, INVERSE, IDENTITY)
    measures = {name: np.full(2, 0.5) for name in names} | {ANGLE_DEG: np.array([10.0, 80.0]), DISTANCE: np.zeros(2)}
    text = format_equivariance(summarise(measures))
    assert "turn 0° to 15°" in text and "turn 60° to 90°" in text and "shift" not in text
    assert "T(b) T(a) z beside T(ba) z 0.500" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())


def verdict_of(feature_gain: float, picture_gain_db: float) -> str:
    """What is said below the table where another pose costs so much."""
    names = (SEEN, FEATURES, COMPOSITION, COMPOSITION_OTHER, INVERSE, IDENTITY)
    measures = {name: np.full(2, 0.5) for name in names} | {ANGLE_DEG: np.array([10.0, 80.0]), DISTANCE: np.zeros(2)}
    measures |= {PICTURE: np.full(2, 20.0), PICTURE_OTHER: np.full(2, 20 - picture_gain_db)}
    text = format_equivariance(summarise(measures | {FEATURES_OTHER: np.full(2, 0.5 + feature_gain)}))
    return " ".join(text.split("\n\n")[-1].split())


@pytest.mark.parametrize(
    ("gains", "features", "pictures"),
    [
        ((0.5, 1.5), "agree better in the right pose", "agree better in the right pose"),
        ((0.5, -1.5), "agree better in the right pose", "do NOT agree better in the right pose"),
        ((-0.1, 1.5), "do NOT agree better in the right pose", "agree better in the right pose"),
        ((0.01, 0.4), *["tell the poses apart too little to judge, by less than 5% of the error"] * 2),
        ((-0.01, -0.4), *["tell the poses apart too little to judge, by less than 5% of the error"] * 2),
    ],
)
def test_the_verdict_judges_only_what_tells_the_poses_apart(gains, features, pictures):
    assert f"features {features} ({gains[0]:+.2f}); pictures {pictures} ({gains[1]:+.2f} dB)." in verdict_of(*gains)


def test_without_another_pose_nothing_is_judged():
    assert "nothing is judged" in verdict_of(np.nan, np.nan)


def test_the_last_bin_of_shifts_is_open():
    names = (SEEN, FEATURES, FEATURES_OTHER, PICTURE, PICTURE_OTHER, COMPOSITION, COMPOSITION_OTHER, INVERSE, IDENTITY)
    measures = {name: np.full(2, 0.5) for name in names} | {ANGLE_DEG: np.array([10.0, 80.0]), DISTANCE: np.zeros(2)}
    open_end = format_equivariance(summarise(measures | {DISTANCE: np.array([0.0, 3.0])}))
    assert "shift 1 or more" in open_end
