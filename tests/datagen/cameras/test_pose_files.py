"""Cameras from files: each kind is read in its own axes and units, and what is no camera is refused in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enr.camera import OPENCV_FROM_BLENDER, intrinsics, orbit_camera, project
from enr.datagen.cameras.lens import Lens, LensJitter, view_intrinsics
from enr.datagen.cameras.pose_files import group_of, orbit_columns, read_cameras, write_cameras
from enr.datagen.cameras.pose_settings import PoseSettings, pose_config
from enr.datagen.cameras.poses import sample_poses
from enr.errors import EnrError

CAMERAS = sample_poses(PoseSettings("rototrans", roll_deg=(-40, 40)), 1, "a", 5).world_from_camera
LENSES = np.stack([intrinsics(50.0 + number, 64, 48) for number in range(5)])


def write(folder: Path, content: object) -> Path:
    path = folder / "cameras.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def nerf(**extra) -> dict:
    frames = [
        {"file_path": f"./r_{number}", "transform_matrix": (camera @ OPENCV_FROM_BLENDER).tolist()}
        for number, camera in enumerate(CAMERAS)
    ]
    return {**extra, "frames": frames}


def test_the_own_file_comes_back_to_the_last_bit(tmp_path):
    write_cameras(tmp_path / "own.json", CAMERAS, LENSES, (64, 48), tuple("abcde"))
    given_cameras = read_cameras(tmp_path / "own.json")
    np.testing.assert_array_equal(given_cameras.world_from_camera, CAMERAS)
    np.testing.assert_array_equal(given_cameras.K, LENSES)
    assert given_cameras.size_px == (64, 48) and given_cameras.names == tuple("abcde")
    write_cameras(tmp_path / "bare.json", CAMERAS)
    assert not read_cameras(tmp_path / "bare.json").brings_lens


def test_nerf_cameras_have_opengl_axes(tmp_path):
    cameras = read_cameras(write(tmp_path, nerf(camera_angle_x=np.deg2rad(60.0))))
    np.testing.assert_allclose(cameras.world_from_camera, CAMERAS, atol=1e-15)
    K = cameras.fitted(80, 40).K
    np.testing.assert_allclose(K[0], intrinsics(40 / np.tan(np.deg2rad(30)), 80, 40))
    pixel, _ = project([CAMERAS[0, :3, 3] + CAMERAS[0, :3, 2]], cameras.world_from_camera[0], K[0])
    np.testing.assert_allclose(pixel, [[40, 20]], atol=1e-9)


def test_intrinsics_of_a_frame_go_before_those_of_the_file(tmp_path):
    content = nerf(fl_x=100.0, fl_y=90.0, cx=30.0, cy=20.0, w=64, h=48)
    content["frames"][2] |= {"fl_x": 120.0}
    cameras = read_cameras(write(tmp_path, content))
    np.testing.assert_array_equal(cameras.K[0], [[100, 0, 30], [0, 90, 20], [0, 0, 1]])
    assert cameras.K[2, 0, 0] == 120.0
    np.testing.assert_allclose(cameras.fitted(128, 96).K[0], [[200, 0, 60], [0, 180, 40], [0, 0, 1]])
    with pytest.raises(EnrError, match="same shape"):
        cameras.fitted(64, 64)


def test_angles_are_degrees_on_an_orbit(tmp_path):
    content = {"00001": {"azimuth": 330.0, "elevation": 12.0}, "00000": {"azimuth": 10.0, "elevation": 80.0}}
    cameras = read_cameras(write(tmp_path, content), radius=3.0)
    np.testing.assert_array_equal(cameras.world_from_camera, orbit_camera([10.0, 330.0], [80.0, 12.0], 3.0))
    assert cameras.names == ("00000", "00001")


def test_a_radius_is_refused_where_nothing_would_hear_it(tmp_path):
    with pytest.raises(EnrError, match="leave the radius"):
        read_cameras(write(tmp_path, nerf(camera_angle_x=1.0)), radius=3.0)


def test_at_a_pole_azimuth_0_is_meant(tmp_path):
    cameras = read_cameras(write(tmp_path, {"a": {"azimuth": 270.0, "elevation": 90.0}}))
    np.testing.assert_array_equal(cameras.world_from_camera, orbit_camera([0.0], [90.0], 2.0))


def test_the_spiral_is_that_of_the_published_pictures():
    folder = Path(os.environ.get("ENR_DATA", "")) / "posed" / "apple"
    if not os.environ.get("ENR_DATA") or not folder.is_dir():
        pytest.skip("set ENR_DATA to a folder that holds posed/apple")
    published = read_cameras(sorted(folder.glob("*/render_params.json"))[0])
    ours = sample_poses(PoseSettings("rot", sphere="spiral"), 0, "a", 251)
    np.testing.assert_allclose(ours.world_from_camera, published.world_from_camera, atol=2e-5)


def test_orbits_around_the_origin_are_recognised():
    pose = PoseSettings("rot", roll_deg=(-170, 170), radius=1.5)
    poses = sample_poses(pose, 0, "a", 9)
    for name, column in orbit_columns(poses.world_from_camera).items():
        np.testing.assert_allclose(column, getattr(poses, name), atol=1e-6, err_msg=name)
    assert group_of(poses.world_from_camera) == "rot"
    assert group_of(CAMERAS) == "rototrans"
    assert all(np.isnan(column).all() for column in orbit_columns(CAMERAS).values())


def test_given_cameras_are_rendered_as_they_are(tmp_path):
    write_cameras(tmp_path / "own.json", CAMERAS, LENSES, (64, 48))
    settings = PoseSettings("rototrans", cameras=read_cameras(tmp_path / "own.json"))
    poses = sample_poses(settings, 5, "anything", 3)
    np.testing.assert_array_equal(poses.world_from_camera, CAMERAS[:3])
    np.testing.assert_array_equal(view_intrinsics(Lens(1.0, 64, 48), 5, "anything", poses), LENSES[:3])
    with pytest.raises(EnrError, match="has 5 cameras"):
        sample_poses(settings, 5, "anything", 6)


def test_the_config_knows_cameras_by_their_numbers(tmp_path):
    write_cameras(tmp_path / "a.json", CAMERAS)
    write_cameras(tmp_path / "b.json", CAMERAS, names=tuple("vwxyz"))
    write_cameras(tmp_path / "c.json", CAMERAS[::-1])
    first, same, other = (
        pose_config(PoseSettings("rototrans", cameras=read_cameras(tmp_path / f"{name}.json"))) for name in "abc"
    )
    assert first == same != other
    assert first["cameras"]["views"] == 5


@pytest.mark.parametrize(
    ("keys", "focal", "centre"),
    [
        ({"camera_angle_x": 2 * np.arctan(0.5), "w": 80, "h": 60}, (80, 80), (40, 30)),
        ({"camera_angle_y": 2 * np.arctan(0.5), "w": 80, "h": 60}, (60, 60), (40, 30)),
        (
            {"camera_angle_x": 2 * np.arctan(0.5), "camera_angle_y": 2 * np.arctan(0.25), "w": 80, "h": 60},
            (80, 120),
            None,
        ),
        ({"camera_angle_x": 2 * np.arctan(0.5), "cx": 38.0, "w": 80, "h": 60}, (80, 80), (38, 30)),
        ({"fl_y": 70.0, "w": 80, "h": 60}, (70, 70), (40, 30)),
        ({"fl_x": 90.0, "camera_angle_y": 2 * np.arctan(0.5), "w": 80, "h": 60}, (90, 60), (40, 30)),
        (
            {"fl_x": 90.0, "k1": 0, "p2": 0.0, "camera_model": "OPENCV", "is_fisheye": False, "w": 80, "h": 60},
            (90, 90),
            None,
        ),
    ],
)
@pytest.mark.parametrize("place", ["file", "frames"])
def test_every_key_of_the_lens_is_used(tmp_path, keys, focal, centre, place):
    content = nerf(**keys) if place == "file" else nerf()
    if place == "frames":
        content["frames"] = [frame | keys for frame in content["frames"]]
    cameras = read_cameras(write(tmp_path, content))
    assert cameras.size_px == (80, 60)
    cameras = cameras.fitted(80, 60)
    np.testing.assert_allclose(cameras.K[:, [0, 1], [0, 1]], np.broadcast_to(focal, (5, 2)))
    np.testing.assert_allclose(cameras.K[:, :2, 2], np.broadcast_to(centre or (40, 30), (5, 2)))


def test_two_angles_say_both_focal_lengths_and_a_size_alone_says_the_size(tmp_path):
    cameras = read_cameras(write(tmp_path, nerf(camera_angle_x=2 * np.arctan(0.5), camera_angle_y=2 * np.arctan(0.25))))
    np.testing.assert_allclose(cameras.first(2).fitted(64, 32).K[:, [0, 1], [0, 1]], [[64, 64]] * 2)
    np.testing.assert_allclose(cameras.fitted(64, 64).K[0], [[64, 0, 32], [0, 128, 32], [0, 0, 1]])
    sized = read_cameras(write(tmp_path, nerf(w=80, h=60)))
    assert sized.size_px == (80, 60) and not sized.brings_lens


@given(st.integers(0, 2**40), st.floats(0, 0.9), st.floats(0, 20))
def test_the_jittered_lens_stays_within_its_reach(seed, share, centre_px):
    lens = Lens(50.0, 64, 48, LensJitter(share, centre_px))
    poses = sample_poses(PoseSettings("rot"), seed, "a", 6)
    K = view_intrinsics(lens, seed, "a", poses)
    np.testing.assert_array_equal(K[:3], view_intrinsics(lens, seed, "a", sample_poses(PoseSettings("rot"), 0, "a", 3)))
    assert (np.abs(K[:, 0, 0] / 50 - 1) <= share + 1e-12).all() and (K[:, 0, 0] == K[:, 1, 1]).all()
    assert (np.abs(K[:, :2, 2] - [32, 24]) <= centre_px + 1e-9).all()


def test_jitter_is_uniform():
    stats = pytest.importorskip("scipy.stats")
    poses = sample_poses(PoseSettings("rot"), 0, "a", 1500)
    K = view_intrinsics(Lens(50.0, 64, 48, LensJitter(0.2, 4.0)), 0, "a", poses)
    for values, low, high in ((K[:, 0, 0], 40, 60), (K[:, 0, 2], 28, 36), (K[:, 1, 2], 20, 28)):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("numbers", [(1.0, 0.0), (-0.1, 0.0), (0.0, -1.0), (0.0, float("inf"))])
def test_a_jitter_without_a_lens_is_refused(numbers):
    with pytest.raises(EnrError, match="jitter"):
        LensJitter(*numbers)


def without(content: dict, key: str) -> dict:
    del content["frames"][1][key]
    return content


def sheared() -> dict:
    content = nerf()
    content["frames"][3]["transform_matrix"][0][1] += 0.1
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "JSON object"),
        ({}, "no pose file"),
        ({"frames": []}, "no camera"),
        ({"a": {"azimuth": 1.0}}, "elevation"),
        ({"a": {"azimuth": float("nan"), "elevation": 0.0}}, "finite"),
        ({str(n): {"azimuth": n / 9, "elevation": 0.3} for n in range(9)}, "radians"),
        (sheared(), "r_3: A 4x4 transform is not rigid"),
        (without(nerf(), "transform_matrix"), "transform_matrix"),
        (nerf(fl_x=50.0, cx=1.0, cy=1.0, k1=0.1), "distorted"),
        (nerf(fl_x=0.0, w=64, h=48), "fl_x is 0; a pinhole"),
        (nerf(fl_x="wide", w=64, h=48), "fl_x is 'wide'; give a number"),
        ({"format": "enr-cameras"}, "world_from_camera"),
        ({"format": "enr-cameras", "axes": "opengl", "world_from_camera": CAMERAS.tolist()}, "opencv"),
        ({"format": "enr-cameras", "world_from_camera": [[[1, 0], [0, 1]]]}, "4x4"),
        (
            {"format": "enr-cameras", "world_from_camera": CAMERAS.tolist(), "K": [[5, 1, 2], [0, 5, 2], [0, 0, 1]]},
            "pinhole",
        ),
        ({"format": "enr-cameras", "world_from_camera": CAMERAS.tolist(), "K": LENSES[:2].tolist()}, "broadcast"),
    ],
)
def test_what_is_no_camera_is_refused_in_one_sentence(tmp_path, content, words):
    with pytest.raises(EnrError, match=words) as caught:
        read_cameras(write(tmp_path, content))
    assert "\n" not in str(caught.value) and "cameras.json" in str(caught.value)


ANGLE = np.deg2rad(40.0)
FOCAL_PX = 40 / np.tan(ANGLE / 2)


def K_of(tmp_path: Path, size_px: tuple[int, int], **keys) -> np.ndarray:
    """The one lens (3, 3) of a `transforms.json` with some keys, in pictures of a size."""
    K = read_cameras(write(tmp_path, nerf(**keys))).fitted(*size_px).K
    assert K is not None and (K[0] == K).all()
    return K[0]


@pytest.mark.parametrize(
    "keys",
    [
        {"camera_angle_x": ANGLE, "w": 80, "h": 60},
        {"camera_angle_y": 2 * np.arctan(30 / FOCAL_PX), "w": 80, "h": 60},
        {"camera_angle_x": ANGLE, "camera_angle_y": 2 * np.arctan(30 / FOCAL_PX)},
        {"camera_angle_x": ANGLE, "fl_x": FOCAL_PX, "fl_y": FOCAL_PX, "cx": 40, "cy": 30, "w": 80, "h": 60},
        {"x_fov": 40.0, "w": 80, "h": 60},
        {"fl_y": FOCAL_PX, "w": 80.0, "h": "60", "k1": 0, "k5": 0.0, "distortion_params": [0, 0], "is_fisheye": False},
        {"fl_x": FOCAL_PX, "w": 80, "h": 60, "camera_model": "OPENCV", "aabb_scale": 16, "scale": 0.3, "fov": 7},
        {"camera_angle_x": ANGLE, "w": 80, "h": 60, "applied_transform": [[1, 0, 0, 5]], "offset": [1, 1, 1]},
    ],
)
def test_every_key_of_a_lens_is_heard(tmp_path, keys):
    np.testing.assert_allclose(K_of(tmp_path, (80, 60), **keys), intrinsics(FOCAL_PX, 80, 60))
    np.testing.assert_allclose(K_of(tmp_path, (160, 120), **keys), intrinsics(2 * FOCAL_PX, 160, 120))
    assert read_cameras(tmp_path / "cameras.json").size_px == ((80, 60) if "w" in keys else None)
    if "w" in keys:
        with pytest.raises(EnrError, match="shape"):
            read_cameras(tmp_path / "cameras.json").fitted(64, 64)


def test_a_vertical_field_of_view_is_not_taken_for_a_horizontal_one(tmp_path):
    K = K_of(tmp_path, (80, 40), camera_angle_y=0.3)
    np.testing.assert_allclose(K, intrinsics(20 / np.tan(0.15), 80, 40))


def test_an_angle_goes_with_a_principal_point(tmp_path):
    K = K_of(tmp_path, (80, 60), camera_angle_x=ANGLE, cx=35, cy=32, w=80, h=60)
    np.testing.assert_allclose(K, [[FOCAL_PX, 0, 35], [0, FOCAL_PX, 32], [0, 0, 1]])


def test_frames_may_differ_in_how_they_tell_their_lens(tmp_path):
    content = nerf(w=80, h=60, camera_angle_x=ANGLE)
    content["frames"][1]["fl_x"] = content["frames"][1]["fl_y"] = 200.0
    del content["camera_angle_x"]
    for number in (0, 2, 3, 4):
        content["frames"][number]["camera_angle_x"] = ANGLE
    focal = read_cameras(write(tmp_path, content)).K[:, 0, 0]
    np.testing.assert_allclose(focal, [FOCAL_PX, 200, FOCAL_PX, FOCAL_PX, FOCAL_PX])


def one_frame(**keys) -> dict:
    """A lens that only the second frame tells."""
    content = nerf(w=80, h=80)
    content["frames"][1] |= keys
    return content


SIZED = {"fl_x": 100.0, "w": 80, "h": 60}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (one_frame(fl_x=400), "frame ./r_0 has no fl_x"),
        (one_frame(camera_angle_x=0.5), "frame ./r_0 has no fl_x"),
        (one_frame(k1=0.2), r"r_1.*\(k1\)"),
        (one_frame(w=90), "several sizes"),
        (nerf(fl_x=100, fl_y=100, cx=40, cy=30), "fl_x and cx and fl_y and cy in pixels without w and h"),
        (nerf(fl_x=100, fl_y=100), "fl_x and fl_y in pixels without w and h"),
        (nerf(camera_angle_x=0.7, cx=40, cy=30), "cx and cy in pixels without w"),
        (nerf(cx=40, cy=30, w=80, h=60), "cx and cy without fl_x"),
        (nerf(camera_angle_x=0.7, w=80), "w is given and h is not"),
        (nerf(camera_angle_x=39.6), "camera_angle_x is 39.6; give radians.*39.6 degrees are 0.6912"),
        (nerf(camera_angle_y=39.6), "camera_angle_y is 39.6; give radians"),
        (nerf(camera_angle_x=0.0), "camera_angle_x is 0;"),
        (nerf(camera_angle_x=np.pi), "camera_angle_x is 3.14159;"),
        (nerf(camera_angle_x=3.1415926), "camera_angle_x is a field of view of 180 degrees"),
        (nerf(camera_angle_x=float("nan")), "camera_angle_x is nan; give a finite"),
        (nerf(camera_angle_x=0.69, fl_x=100.0, w=80, h=60), "fl_x is 100 px, but camera_angle_x and w make it 111"),
        (nerf(camera_angle_x=0.69, x_fov=60.0), "x_fov is 60 degrees, camera_angle_x 0.69"),
        (nerf(**{**SIZED, "w": 80.5}), "w is 80.5"),
        (nerf(**{**SIZED, "w": 0}), "w is 0"),
        (nerf(**SIZED, cx=0.5, cy=0.5), "cx is 0.5 for w 80; give the principal point in pixels"),
        (nerf(fl_x=1.25, w=80, h=60), "fl_x is 1.25 for w 80; give the focal length in pixels"),
        *((nerf(**SIZED, **{key: 0.01}), rf"\({key}\)") for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")),
        (nerf(**SIZED, is_fisheye=True), r"\(is_fisheye\)"),
        (nerf(**SIZED, ftheta_p0=1.0), r"\(ftheta_p0\)"),
        (nerf(**SIZED, equirectangular=True, latlong=1), r"\(equirectangular, latlong\)"),
        (nerf(**SIZED, distortion_params=[0, 0.1, 0, 0]), r"\(distortion_params\)"),
        (nerf(**SIZED, rolling_shutter=[0, 0, 0.1]), r"\(rolling_shutter\)"),
        (nerf(**SIZED, camera_model="OPENCV_FISHEYE"), "camera_model is OPENCV_FISHEYE"),
        (nerf(**SIZED, camera_model="equirectangular"), "camera_model is equirectangular"),
        (nerf(**SIZED, camera_type="spherical"), "camera_type is spherical"),
        (one_frame(camera_model="FISHEYE624"), "r_1: camera_model is FISHEYE624"),
        (nerf(fov=50.0), "fov is not read here; give fl_x"),
        (nerf(fx=50.0, fy=50.0, w=80, h=60), "fx, fy is not read here"),
        ({"format": "enr-cameras", "world_from_camera": CAMERAS.tolist(), "K": LENSES.tolist()}, "width_px"),
        ({"format": "enr-cameras", "world_from_camera": CAMERAS.tolist(), "fov_deg": 50}, "fov_deg would not be heard"),
        ({"a": {"azimuth": 1.0, "elevation": 2.0, "radius": 3.0}}, "radius would not be heard"),
    ],
)
def test_a_lens_that_would_not_be_rendered_is_refused_by_its_key(tmp_path, content, words):
    with pytest.raises(EnrError, match=words) as caught:
        read_cameras(write(tmp_path, content))
    assert "\n" not in str(caught.value) and "cameras.json" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(EnrError, match="cannot be read"):
        read_cameras(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"width_px": 0, "height_px": 48}, "width_px is 0; give the size"),
        ({"width_px": 64, "height_px": -48}, "height_px is -48; give the size"),
        ({"width_px": 64.5, "height_px": 48}, "width_px is 64.5; give the size"),
        ({"width_px": float("inf"), "height_px": 48}, "width_px is inf; give the size"),
        ({"width_px": 64}, "height_px is missing"),
        ({"names": list("abcd")}, "names is 4 names for 5 cameras"),
        ({"names": list("abcdef")}, "names is 6 names for 5 cameras"),
        ({"names": "abcde"}, "names is 'abcde' for 5 cameras"),
    ],
)
def test_sizes_and_names_of_the_own_file_fit_its_cameras(entries, said, tmp_path):
    content = {"format": "enr-cameras", "axes": "opencv", "world_from_camera": CAMERAS.tolist(), **entries}
    with pytest.raises(EnrError, match=said):
        read_cameras(write(tmp_path, content))


@pytest.mark.parametrize("depth", [900, 100_000])
def test_lists_inside_lists_are_refused(depth, tmp_path):
    nest = "[" * depth + "]" * depth
    for text in (nest, f'{{"frames": [{{"transform_matrix": {nest}, "k1": {nest}}}]}}'):
        with pytest.raises(EnrError, match=r"cameras\.json"):
            read_cameras(write(tmp_path, text))
