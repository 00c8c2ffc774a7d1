"""Steps around an object: its centre stays where it was seen, and turns are those of the orbit's cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enr.camera import is_rigid, orbit_camera, target_from_source
from enr.errors import EnrError
from enr.pipelines.rendering.camera_paths import PATHS, CameraStep, motions_around, motions_between, path_steps

TURNING, MOVING = {"orbit", "spiral", "screw"}, {"dolly", "shift", "screw"}

angles = st.floats(-180, 180)
elevations = st.floats(-80, 80)
places = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 4)).map(np.array)


@given(angles, elevations, elevations, places)
def test_the_centre_is_seen_where_it_was(azimuth, elevation, source_elevation, centre):
    motion = motions_around([CameraStep(azimuth, elevation)], centre, source_elevation)[0]
    assert is_rigid(motion)
    np.testing.assert_allclose(motion[:3, :3] @ centre + motion[:3, 3], centre, atol=1e-9)


@given(angles, elevations, elevations)
def test_around_a_centre_on_the_axis_it_is_the_orbit(azimuth, elevation, source_elevation):
    motion = motions_around([CameraStep(azimuth, elevation)], np.array([0, 0, 2.0]), source_elevation)[0]
    source, target = orbit_camera(0, source_elevation), orbit_camera(azimuth, source_elevation + elevation)
    np.testing.assert_allclose(motion, target_from_source(source, target), atol=1e-9)


def test_a_translated_camera_sees_the_object_move_the_other_way():
    centre = np.array([0, 0, 2.0])
    motion = motions_around([CameraStep(translation=(0.1, 0.2, 0.3))], centre)[0]
    np.testing.assert_allclose(motion[:3, :3] @ centre + motion[:3, 3], [-0.1, -0.2, 1.7])


@pytest.mark.parametrize("name", PATHS)
def test_a_path_begins_at_the_picture_and_closes(name):
    steps = path_steps(name, 12)
    assert len(steps) == 12
    np.testing.assert_allclose(motions_around(steps, np.array([0, 0, 2.0]))[0], np.eye(4), atol=1e-12)
    assert len(set(steps)) > 6


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_of_its_group(name):
    """Rotations leave the centre where it was seen, translations leave the axes as they were."""
    centre = np.array([0, 0, 2.0])
    motions, turns, moves = motions_around(path_steps(name, 12), centre), name in TURNING, name in MOVING
    assert (np.abs(motions[:, :3, :3] - np.eye(3)).max() > 0.5) == turns
    assert (np.abs(motions[:, :3, :3] @ centre + motions[:, :3, 3] - centre).max() > 0.2) == moves


def test_given_cameras_are_told_from_the_first():
    cameras = orbit_camera([0, 40, 80], [10, 20, 30])
    motions = motions_between(cameras)
    np.testing.assert_allclose(motions[1], target_from_source(cameras[0], cameras[2]), atol=1e-12)


@pytest.mark.parametrize("step", [(float("nan"), 0.0), (0.0, float("inf"))])
def test_a_step_that_is_no_number_is_refused(step):
    with pytest.raises(EnrError, match="finite"):
        CameraStep(*step)


def test_another_path_and_too_few_frames_are_refused():
    with pytest.raises(EnrError, match="choose orbit"):
        path_steps("circle", 10)
    with pytest.raises(EnrError, match="2 to 1000"):
        path_steps("orbit", 1)
