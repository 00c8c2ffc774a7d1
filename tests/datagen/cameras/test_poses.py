"""Cameras come from (seed, mesh, view) alone, and lie where their group says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.camera import AZIMUTH_DEG, BOX, ELEVATION_DEG, GROUPS, RADIUS, check_rigid, intrinsics, project
from enr.datagen.cameras.poses import sample_poses, view_rng
from enr.datagen.settings import PoseSettings
from enr.errors import EnrError

groups = st.sampled_from(GROUPS)
spheres = st.sampled_from(["angles", "area"])
scene_ids = st.text(max_size=10)
seeds = st.integers(0, 2**40)


@st.composite
def ranges(draw, low, high):
    return tuple(sorted((draw(st.floats(low, high)), draw(st.floats(low, high)))))


@st.composite
def pose_settings(draw):
    return PoseSettings(
        group=draw(groups),
        radius=draw(st.floats(0.5, 5)),
        box=tuple(draw(ranges(-1, 1)) for _ in range(3)),
        elevation_deg=draw(ranges(-90, 90)),
        azimuth_deg=draw(ranges(-360, 360)),
        sphere=draw(spheres),
    )


def within(values, limits):
    return np.all(values >= limits[0] - 1e-6) and np.all(values <= limits[1] + 1e-6)


@settings(max_examples=50)
@given(pose_settings(), seeds, scene_ids, st.integers(1, 5))
def test_poses_lie_within_their_ranges(pose, seed, scene_id, views):
    poses = sample_poses(pose, seed, scene_id, views)
    assert poses.azimuth_deg.shape == poses.elevation_deg.shape == poses.radius.shape == (views,)
    assert (poses.radius == pose.radius).all()
    if pose.group == "trans":
        assert not poses.azimuth_deg.any() and not poses.elevation_deg.any()
    else:
        assert within(poses.azimuth_deg, pose.azimuth_deg) and within(poses.elevation_deg, pose.elevation_deg)
    if pose.group == "rot":
        assert not poses.target_point.any()
    else:
        assert all(within(poses.target_point[:, axis], pose.box[axis]) for axis in range(3))


@given(pose_settings(), seeds, scene_ids)
def test_cameras_are_rigid_and_look_at_their_points(pose, seed, scene_id):
    poses = sample_poses(pose, seed, scene_id, 3)
    check_rigid(poses.world_from_camera, tolerance=1e-10)
    for index, world_from_camera in enumerate(poses.world_from_camera):
        pixels, depth = project(poses.target_point[index][None], world_from_camera, intrinsics(90, 64, 64))
        np.testing.assert_allclose(pixels, [[32, 32]], atol=1e-6)
        np.testing.assert_allclose(depth, pose.radius, atol=1e-9)


@given(pose_settings(), seeds, scene_ids, st.integers(1, 4), st.integers(0, 4))
def test_more_views_change_none_of_the_first(pose, seed, scene_id, views, more):
    few, many = sample_poses(pose, seed, scene_id, views), sample_poses(pose, seed, scene_id, views + more)
    np.testing.assert_array_equal(few.world_from_camera, many.world_from_camera[:views])


@given(seeds, scene_ids)
def test_groups_share_their_random_numbers(seed, scene_id):
    rot, trans, both = (sample_poses(PoseSettings(group), seed, scene_id, 3) for group in GROUPS)
    np.testing.assert_array_equal(rot.azimuth_deg, both.azimuth_deg)
    np.testing.assert_array_equal(rot.elevation_deg, both.elevation_deg)
    np.testing.assert_array_equal(trans.target_point, both.target_point)


def test_seed_scene_and_view_each_matter():
    first = view_rng(0, "a", 0).random(4)
    for other in (view_rng(1, "a", 0), view_rng(0, "b", 0), view_rng(0, "a", 1), view_rng(0, "a0", 1)):
        assert not np.array_equal(first, other.random(4))
    np.testing.assert_array_equal(first, view_rng(0, "a", 0).random(4))
    assert not np.array_equal(view_rng(1, "1", 1).random(4), view_rng(11, "", 1).random(4))


def test_numbers_stay_the_same_between_versions():
    poses = sample_poses(PoseSettings("rototrans"), 0, "abc", 1)
    np.testing.assert_allclose(poses.elevation_deg, [-28.93102208], atol=1e-6)


def test_defaults_are_the_report_s():
    pose = PoseSettings("rototrans")
    assert (pose.radius, pose.box, pose.elevation_deg, pose.azimuth_deg) == (RADIUS, BOX, ELEVATION_DEG, AZIMUTH_DEG)
    assert pose.sphere == "angles"


@pytest.mark.parametrize(("sphere", "low_share"), [("angles", 1 / 3), ("area", 1 / 2)])
def test_elevations_are_uniform_in_the_angle_or_on_the_sphere(sphere, low_share):
    poses = sample_poses(PoseSettings("rot", sphere=sphere), 0, "a", 4000)
    assert np.mean(np.abs(poses.elevation_deg) < 30) == pytest.approx(low_share, abs=0.03)
    assert np.mean(poses.azimuth_deg < -90) == pytest.approx(0.25, abs=0.03)
    quarters = np.histogram2d(poses.azimuth_deg, poses.elevation_deg, bins=2)[0] / 4000
    np.testing.assert_allclose(quarters, 0.25, atol=0.03)


def test_targets_fill_the_box_evenly():
    poses = sample_poses(PoseSettings("trans"), 0, "a", 4000)
    low, high = np.array(BOX).T
    filled = (poses.target_point - low) / (high - low)
    np.testing.assert_allclose(np.histogramdd(filled, bins=2, range=[(0, 1)] * 3)[0] / 4000, 1 / 8, atol=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"group": "shear"}, "poses.group is 'shear'; give one of 'rot', 'trans', 'rototrans'"),
        ({"sphere": "cube"}, "give one of 'angles', 'area'"),
        ({"radius": 0.0}, "radius"),
        ({"radius": float("nan")}, "radius"),
        ({"box": ((0.1, -0.1), (0, 1), (0, 1))}, "box along X"),
        ({"box": ((0, 1), (0, 1), (0, float("inf")))}, r"poses\.box\.2\.1 is inf; it must be a finite number"),
        ({"azimuth_deg": (10.0, -10.0)}, "azimuth"),
        ({"elevation_deg": (0.0, 100.0)}, "-90 to 90"),
        ({"elevation_deg": (0.0, float("nan"))}, "elevation"),
    ],
)
def test_settings_without_a_camera_are_refused(change, words):
    with pytest.raises(EnrError, match=words):
        dataclasses.replace(PoseSettings("rot"), **change)


def test_no_views_are_refused():
    with pytest.raises(EnrError, match="at least 1"):
        sample_poses(PoseSettings("rot"), 0, "a", 0)


@settings(max_examples=20)
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_range_of_one_value_gives_that_value(elevation_deg, azimuth_deg):
    for sphere in ("angles", "area"):
        pose = PoseSettings("rot", elevation_deg=(elevation_deg,) * 2, azimuth_deg=(azimuth_deg,) * 2, sphere=sphere)
        poses = sample_poses(pose, 0, "a", 2)
        np.testing.assert_allclose(poses.elevation_deg, elevation_deg, atol=1e-5)
        np.testing.assert_allclose(poses.azimuth_deg, azimuth_deg)
