"""The conventions as laws: rigid motions form a group, cameras look where they should, refusals speak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from enr import camera
from enr.camera import (
    check_rigid,
    focal_px_from_lens,
    intrinsics,
    invert_rigid,
    near_far,
    orbit_camera,
    project,
    target_from_source,
    volume_rotation,
)
from enr.errors import EnrError

TIGHT = 1e-12
coordinates = st.floats(-10, 10)
points = st.tuples(coordinates, coordinates, coordinates).map(np.array)
azimuths = st.floats(-720, 720)
elevations = st.floats(-90, 90)
radii = st.floats(0.1, 10)


@st.composite
def rigid_motions(draw):
    quaternion = draw(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    motion[:3, 3] = draw(points)
    return motion


@st.composite
def cameras(draw):
    return orbit_camera(draw(azimuths), draw(elevations), draw(radii), draw(points))


def look_at(position, target):
    """The obvious twin of the orbit camera: cross products with world up."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :4] = np.column_stack([right, np.cross(forward, right), forward, position])
    return matrix


@given(rigid_motions())
def test_inverse_undoes_a_motion(motion):
    np.testing.assert_allclose(motion @ invert_rigid(motion), np.eye(4), atol=TIGHT)
    np.testing.assert_allclose(invert_rigid(motion) @ motion, np.eye(4), atol=TIGHT)
    np.testing.assert_allclose(invert_rigid(motion), np.linalg.inv(motion), atol=1e-9)


@given(rigid_motions(), rigid_motions())
def test_inverse_of_a_product_is_the_reversed_product_of_inverses(first, second):
    np.testing.assert_allclose(invert_rigid(first @ second), invert_rigid(second) @ invert_rigid(first), atol=1e-10)


@given(rigid_motions(), rigid_motions(), rigid_motions())
def test_target_from_source_composes_and_starts_at_the_identity(a, b, c):
    np.testing.assert_allclose(target_from_source(a, a), np.eye(4), atol=TIGHT)
    np.testing.assert_allclose(
        target_from_source(b, c) @ target_from_source(a, b), target_from_source(a, c), atol=1e-10
    )
    np.testing.assert_allclose(target_from_source(b, a), invert_rigid(target_from_source(a, b)), atol=1e-10)


@given(rigid_motions(), rigid_motions(), rigid_motions())
def test_target_from_source_does_not_depend_on_the_world_frame(a, b, world):
    np.testing.assert_allclose(target_from_source(world @ a, world @ b), target_from_source(a, b), atol=1e-9)


@given(rigid_motions(), rigid_motions())
def test_volume_rotation_is_a_homomorphism(first, second):
    np.testing.assert_allclose(
        volume_rotation(first @ second), volume_rotation(first) @ volume_rotation(second), atol=TIGHT
    )
    np.testing.assert_allclose(np.linalg.det(volume_rotation(first)), 1.0, atol=TIGHT)


def test_volume_rotation_of_a_roll_turns_height_into_width():
    roll = np.eye(4)
    roll[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # the camera's x becomes its y
    np.testing.assert_allclose(volume_rotation(roll) @ [0, 0, 1], [0, 1, 0], atol=TIGHT)


@given(cameras())
def test_every_orbit_camera_is_rigid(world_from_camera):
    check_rigid(world_from_camera, tolerance=1e-10)


@given(azimuths, st.floats(-89.9, 89.9), radii, points)
def test_orbit_camera_equals_look_at_with_z_up(azimuth_deg, elevation_deg, radius, target):
    world_from_camera = orbit_camera(azimuth_deg, elevation_deg, radius, target)
    np.testing.assert_allclose(world_from_camera, look_at(world_from_camera[:3, 3], target), atol=1e-8)


@given(azimuths, st.sampled_from([-90.0, 90.0]))
def test_poles_are_the_limit_of_what_lies_beside_them(azimuth_deg, elevation_deg):
    beside = orbit_camera(azimuth_deg, elevation_deg * (1 - 1e-9))
    np.testing.assert_allclose(orbit_camera(azimuth_deg, elevation_deg), beside, atol=1e-6)


@given(azimuths, elevations, radii, points)
def test_the_point_looked_at_is_straight_ahead_at_the_radius(azimuth_deg, elevation_deg, radius, target):
    K = intrinsics(100.0, 64, 48)
    pixels, depth = project(target[None], orbit_camera(azimuth_deg, elevation_deg, radius, target), K)
    np.testing.assert_allclose(depth, radius, atol=1e-9)
    np.testing.assert_allclose(pixels[0], [32, 24], atol=1e-6)


def test_first_camera_stands_on_x_with_y_to_its_right_and_z_above():
    world_from_camera = orbit_camera(0, 0, 2.0)
    np.testing.assert_allclose(world_from_camera[:3, 3], [2, 0, 0], atol=TIGHT)
    pixels, _ = project(np.array([[0, 0.1, 0], [0, 0, 0.1]]), world_from_camera, intrinsics(100.0, 64, 64))
    assert pixels[0, 0] > 32 and abs(pixels[0, 1] - 32) < 1e-9
    assert pixels[1, 1] < 32 and abs(pixels[1, 0] - 32) < 1e-9


@given(azimuths, st.floats(-89, 89))
def test_up_in_the_world_is_up_in_the_picture(azimuth_deg, elevation_deg):
    pixels, _ = project([[0, 0, 0.1], [0, 0, -0.1]], orbit_camera(azimuth_deg, elevation_deg), intrinsics(90, 64, 64))
    assert pixels[0, 1] < pixels[1, 1]


@given(azimuths, elevations, radii, points)
def test_orbits_in_batches_equal_orbits_one_by_one(azimuth_deg, elevation_deg, radius, target):
    batch = orbit_camera([azimuth_deg, 1.0], [elevation_deg, 2.0], [radius, 3.0], np.stack([target, np.ones(3)]))
    np.testing.assert_allclose(batch[0], orbit_camera(azimuth_deg, elevation_deg, radius, target), atol=TIGHT)
    np.testing.assert_allclose(batch[1], orbit_camera(1.0, 2.0, 3.0, np.ones(3)), atol=TIGHT)


@given(azimuths, st.floats(-90, 90))
def test_beyond_a_pole_lies_the_other_side(azimuth_deg, elevation_deg):
    there = orbit_camera(azimuth_deg, 180 - elevation_deg)[:3, 3]
    np.testing.assert_allclose(there, orbit_camera(azimuth_deg + 180, elevation_deg)[:3, 3], atol=1e-10)


@given(cameras(), st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 5)).map(np.array))
def test_projection_and_back_projection_are_inverse(world_from_camera, in_camera):
    K = intrinsics(88.889, 64, 48)
    world = world_from_camera[:3, :3] @ in_camera + world_from_camera[:3, 3]
    pixels, depth = project(world[None], world_from_camera, K)
    back = np.linalg.inv(K) @ [*pixels[0], 1.0] * depth[0]
    np.testing.assert_allclose(back, in_camera, atol=1e-8)


@given(cameras(), cameras(), points)
def test_target_from_source_moves_points_between_cameras(source, target, point):
    moved = target_from_source(source, target) @ invert_rigid(source) @ [*point, 1.0]
    np.testing.assert_allclose(moved, invert_rigid(target) @ [*point, 1.0], atol=1e-8)


def test_projection_of_many_cameras_equals_one_by_one():
    rng = np.random.default_rng(0)
    world_from_camera = orbit_camera(rng.uniform(-180, 180, 5), rng.uniform(-90, 90, 5))
    K, cloud = intrinsics(90, 64, 64), rng.uniform(-0.5, 0.5, (7, 3))
    pixels, depth = project(cloud, world_from_camera, K)
    assert pixels.shape == (5, 7, 2) and depth.shape == (5, 7)
    for index in range(5):
        np.testing.assert_allclose(pixels[index], project(cloud, world_from_camera[index], K)[0], atol=1e-10)


def test_blender_camera_looks_along_minus_z_with_y_up():
    world_from_camera = orbit_camera(30, 20, 2.0)
    matrix_world = camera.blender_matrix_world(world_from_camera)
    np.testing.assert_allclose(-matrix_world[:3, 2], world_from_camera[:3, 2])
    np.testing.assert_allclose(matrix_world[:3, 1], -world_from_camera[:3, 1])
    np.testing.assert_allclose(matrix_world[:3, [0, 3]], world_from_camera[:3, [0, 3]])
    check_rigid(matrix_world)


def test_y_up_becomes_z_up_with_the_front_kept():
    np.testing.assert_array_equal(camera.Z_UP_FROM_Y_UP @ [1, 2, 3, 1], [1, -3, 2, 1])
    check_rigid(camera.Z_UP_FROM_Y_UP)


def test_default_lens_at_64_px():
    assert focal_px_from_lens(64) == pytest.approx(88.889, abs=1e-3)


@given(rigid_motions(), st.floats(1.01, 3), st.integers(0, 2))
def test_scaled_mirrored_and_sheared_matrices_are_refused(motion, factor, axis):
    for change in (np.diag(np.where(np.arange(4) == axis, value, 1.0)) for value in (factor, -1.0)):
        with pytest.raises(EnrError, match="not rigid"):
            check_rigid(motion @ change)
    shear = np.eye(4)
    shear[axis, (axis + 1) % 3] = factor
    with pytest.raises(EnrError, match="not rigid"):
        check_rigid(motion @ shear)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 3)])
def test_matrices_that_are_not_finite_are_refused(value, place):
    matrix = np.eye(4)
    matrix[place] = value
    with pytest.raises(EnrError, match="not finite"):
        check_rigid(matrix)


def test_matrices_of_another_shape_or_with_a_projective_row_are_refused():
    with pytest.raises(EnrError, match=r"\(3, 4\)"):
        check_rigid(np.eye(4)[:3])
    with pytest.raises(EnrError, match="4x4"):
        check_rigid(7.0)
    matrix = np.eye(4)
    matrix[3, 0] = 0.5
    with pytest.raises(EnrError, match="not rigid"):
        check_rigid(matrix)


@given(st.lists(rigid_motions(), min_size=1, max_size=3))
def test_rigid_motions_pass_unchanged(motions):
    np.testing.assert_array_equal(check_rigid(np.stack(motions)), np.stack(motions))


@given(azimuths, elevations, points.map(lambda point: point / 20))
def test_near_and_far_hold_every_point_of_the_object(azimuth_deg, elevation_deg, target):
    world_from_camera = orbit_camera(azimuth_deg, elevation_deg, 2.0, target)[None]
    near, far = near_far(world_from_camera, 2.0)
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(50, 3))
    ball *= 0.5 / np.linalg.norm(ball, axis=1, keepdims=True)
    _, depth = project(ball, world_from_camera, intrinsics(90, 64, 64))
    assert near >= camera.NEAREST
    assert near <= max(depth.min(), camera.NEAREST) + 1e-9 and depth.max() <= far + 1e-9


def test_near_is_never_behind_the_camera():
    assert near_far(orbit_camera(0, 0, 1.0, (-3.0, 0, 0))[None], 1.0)[0] == camera.NEAREST
