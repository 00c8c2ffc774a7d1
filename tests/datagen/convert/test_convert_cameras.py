"""Cameras of other layouts against a second way from their numbers to a picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.datagen.posed_folders import apple_view, make_thing, uva_view

from enr.camera import invert_rigid, orbit_camera
from enr.datagen.convert.cameras import HeldOutDirections, OrbitCameras, fold, to_cameras

POINTS = make_thing(count=30).points
KEYS = ("azimuth", "elevation", "x", "y", "z")
NEAR_A_POLE = 1e-3
turn = st.floats(-4 * np.pi, 4 * np.pi)
step = st.floats(-0.5, 0.5)


def before(cameras: OrbitCameras) -> np.ndarray:
    """The points (30, 3) as the first camera has them before it."""
    camera_from_world = invert_rigid(cameras.world_from_camera(2.0))[0]
    return POINTS @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]


@given(azimuth=turn, elevation=turn, place=st.tuples(step, step, step))
def test_the_reports_moved_object_is_seen_by_a_moved_camera(azimuth, elevation, place):
    assume(abs(np.cos(elevation)) > NEAR_A_POLE)  # there, a camera that looks at a point does not know where up is
    numbers = (azimuth, elevation, *place)
    expected = uva_view(POINTS, dict(zip(KEYS, numbers, strict=True)))
    assert before(to_cameras(np.array([numbers]), "uva")) == pytest.approx(expected, abs=1e-9)


@given(azimuth=st.floats(-720, 720), elevation=st.floats(-89.9, 89.9))
def test_published_cameras_circle_the_origin_in_degrees(azimuth, elevation):
    expected = apple_view(POINTS, {"azimuth": azimuth, "elevation": elevation})
    cameras = to_cameras(np.array([[azimuth, elevation, 0, 0, 0]]), "apple")
    assert before(cameras) == pytest.approx(expected, abs=1e-9)


@given(azimuth=st.floats(-720, 720))
def test_straight_above_the_published_azimuth_is_zero(azimuth):
    cameras = to_cameras(np.array([[azimuth, 90.0, 0, 0, 0], [azimuth, 89.6, 0, 0, 0]]), "apple")
    assert cameras.azimuth_deg.tolist() == [0.0, azimuth]


@given(azimuth=st.floats(-1000, 1000), elevation=st.floats(-1000, 1000))
def test_folding_keeps_the_place_and_raises_the_head(azimuth, elevation):
    folded_azimuth, folded_elevation = fold(np.array(azimuth), np.array(elevation))
    assert -180 <= folded_azimuth <= 180
    assert abs(folded_elevation) <= 90
    ours, theirs = orbit_camera(folded_azimuth, folded_elevation), orbit_camera(azimuth, elevation)
    assert ours[:3, 3] == pytest.approx(theirs[:3, 3], abs=1e-9)
    assert ours[2, 1] <= 1e-12  # the camera's y, which points down


@given(azimuth=st.floats(-180, 180), elevation=st.floats(-90, 90), turns=st.integers(-2, 2))
def test_a_patch_holds_what_lies_within_its_half_size_whatever_the_turns(azimuth, elevation, turns):
    patch = HeldOutDirections(azimuth + 360 * turns, elevation, 3.0)
    offsets = np.array([0.0, 2.9, -2.9, 3.1, -3.1])
    beside = OrbitCameras(azimuth + offsets, np.full(5, elevation), np.zeros((5, 3)))
    above = OrbitCameras(np.full(5, azimuth), elevation + offsets, np.zeros((5, 3)))
    for cameras in (beside, above):
        assert cameras.inside(patch).tolist() == [True, True, True, False, False]
