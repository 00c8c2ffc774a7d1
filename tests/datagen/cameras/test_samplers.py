"""Every sampler is a pure function of its generator, and draws from the distribution that its name says.

The seeds are fixed, so that a test of chance cannot fail by chance: it says of these draws that they pass.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from enr.camera import BOX, orbit_angles, roll_camera
from enr.datagen.cameras import samplers
from enr.datagen.cameras.hold_out import HoldOut, Patch, Sphere
from enr.datagen.cameras.pose_settings import PoseSettings, pose_config
from enr.datagen.cameras.poses import held_out_patches, sample_poses, view_columns
from enr.errors import EnrError

DRAWS = 4000
SIGNIFICANCE = 1e-3
AZIMUTH_DEG, ELEVATION_DEG = (-120.0, 200.0), (-35.0, 80.0)

DRAWN = {
    "angles": lambda rng: samplers.uniform_angles(rng, AZIMUTH_DEG, ELEVATION_DEG),
    "area": lambda rng: samplers.uniform_area(rng, AZIMUTH_DEG, ELEVATION_DEG),
    "box": lambda rng: samplers.in_box(rng, BOX),
    "around": lambda rng: samplers.around(rng, 0.3),
    "between": lambda rng: [samplers.between(rng, (-20.0, 5.0))],
    "patch": lambda rng: Sphere(samplers.uniform_area, AZIMUTH_DEG, ELEVATION_DEG).draw_inside(rng, Patch(10, 70, 15)),
}


def draws(name, seed=11):
    """(DRAWS, n) numbers of a sampler."""
    rng = np.random.default_rng(seed)
    return np.array([DRAWN[name](rng) for _ in range(DRAWS)])


def uniform(low, high):
    return stats.uniform(low, high - low).cdf


def passes(values, cdf):
    return stats.kstest(values, cdf).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("name", DRAWN)
@given(seed=st.integers(0, 2**63))
@settings(max_examples=10)
def test_equal_generators_give_equal_places(name, seed):
    first, second = np.random.default_rng(seed), np.random.default_rng(seed)
    np.testing.assert_array_equal(DRAWN[name](first), DRAWN[name](second))
    assert first.bit_generator.state == second.bit_generator.state
    assert not np.array_equal(DRAWN[name](first), DRAWN[name](np.random.default_rng(seed)))


def test_uniform_in_the_angles():
    azimuth_deg, elevation_deg = draws("angles").T
    assert passes(azimuth_deg, uniform(*AZIMUTH_DEG)) and passes(elevation_deg, uniform(*ELEVATION_DEG))
    assert not passes(np.sin(np.deg2rad(elevation_deg)), uniform(*np.sin(np.deg2rad(ELEVATION_DEG))))


def test_uniform_on_the_sphere():
    azimuth_deg, elevation_deg = draws("area").T
    assert passes(azimuth_deg, uniform(*AZIMUTH_DEG))
    assert passes(np.sin(np.deg2rad(elevation_deg)), uniform(*np.sin(np.deg2rad(ELEVATION_DEG))))
    assert not passes(elevation_deg, uniform(*ELEVATION_DEG))


@pytest.mark.parametrize("name", ["angles", "area"])
def test_azimuth_and_elevation_are_independent(name):
    azimuth_deg, elevation_deg = draws(name).T
    counts = np.histogram2d(azimuth_deg, stats.rankdata(elevation_deg), bins=6)[0]
    assert stats.chi2_contingency(counts).pvalue > SIGNIFICANCE


def test_points_fill_the_box():
    points = draws("box")
    for axis, limits in enumerate(BOX):
        assert passes(points[:, axis], uniform(*limits))
    counts = np.histogramdd(points, bins=3, range=BOX)[0]
    assert stats.chisquare(counts.ravel()).pvalue > SIGNIFICANCE


def test_look_at_noise_is_normal_and_roll_uniform():
    noise = draws("around")
    assert all(passes(noise[:, axis], stats.norm(0, 0.3).cdf) for axis in range(3))
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.06
    assert passes(draws("between")[:, 0], uniform(-20.0, 5.0))


def test_held_out_places_fill_their_patch():
    azimuth_deg, elevation_deg = draws("patch").T
    assert passes(azimuth_deg, uniform(-5.0, 25.0))
    assert passes(np.sin(np.deg2rad(elevation_deg)), uniform(*np.sin(np.deg2rad([55.0, 80.0]))))


def test_numbers_from_views_are_as_good_as_from_one_generator():
    """A generator for each view must not correlate with its neighbours."""
    poses = sample_poses(PoseSettings("rototrans", roll_deg=(-30, 30)), 3, "a", DRAWS)
    assert passes(poses.azimuth_deg, uniform(-180, 180)) and passes(poses.elevation_deg, uniform(-90, 90))
    assert passes(poses.roll_deg, uniform(-30, 30))
    assert abs(np.corrcoef(poses.azimuth_deg[1:], poses.azimuth_deg[:-1])[0, 1]) < 0.05


@given(st.integers(1, 60), st.lists(st.floats(-90, 90), min_size=1, max_size=5, unique=True))
def test_rings_are_even(views, rings_deg):
    places = np.array([samplers.ring(index, views, tuple(rings_deg), (-180.0, 180.0)) for index in range(views)])
    counts = [int((places[:, 1] == ring).sum()) for ring in rings_deg]
    assert sum(counts) == views and max(counts) - min(counts) <= 1
    for ring, count in zip(rings_deg, counts, strict=True):
        azimuth_deg = places[places[:, 1] == ring, 0]
        np.testing.assert_allclose(azimuth_deg, -180 + 360 * np.arange(count) / max(count, 1))


def test_a_ring_on_an_arc_reaches_from_end_to_end():
    places = [samplers.ring(index, 5, (10.0,), (-40.0, 40.0)) for index in range(5)]
    np.testing.assert_allclose(places, [(azimuth, 10.0) for azimuth in (-40, -20, 0, 20, 40)])


def test_the_spiral_climbs_from_the_horizon_to_the_pole():
    places = np.array([samplers.spiral(index) for index in range(251)])
    np.testing.assert_allclose(places[:, 1], np.linspace(0, 90, 251))
    turned = np.unwrap(np.deg2rad(places[:-1, 0]))
    assert turned[0] - turned[-1] == pytest.approx(20.0 * 249 / 250)
    assert places[-1].tolist() == [0.0, 90.0]
    np.testing.assert_allclose(places[64], (42.5612, 23.04), atol=1e-3)  # the paper's source view


@given(st.integers(0, 2**40), st.text(max_size=5), st.floats(0.01, 0.4))
def test_look_at_jitter_turns_a_camera_where_it_stands(seed, scene_id, sigma):
    calm = PoseSettings("rototrans")
    still, shaken = (
        sample_poses(dataclasses.replace(calm, look_at_jitter=jitter), seed, scene_id, 3) for jitter in (0.0, sigma)
    )
    here, there = still.world_from_camera, shaken.world_from_camera
    np.testing.assert_allclose(here[:, :3, 3], there[:, :3, 3], atol=1e-9)
    assert (np.abs(shaken.target_point - still.target_point) < 7 * sigma).all()
    aim = shaken.target_point - there[:, :3, 3]
    np.testing.assert_allclose(there[:, :3, 2], aim / np.linalg.norm(aim, axis=1)[:, None], atol=1e-9)


@given(st.integers(0, 2**40), st.floats(-180, 180))
def test_roll_turns_about_the_optical_axis_alone(seed, roll_deg):
    level = sample_poses(PoseSettings("rototrans"), seed, "a", 3)
    rolled = sample_poses(PoseSettings("rototrans", roll_deg=(roll_deg, roll_deg)), seed, "a", 3)
    np.testing.assert_allclose(rolled.roll_deg, roll_deg)
    np.testing.assert_allclose(rolled.world_from_camera[..., 2:], level.world_from_camera[..., 2:], atol=1e-12)
    back = roll_camera(rolled.world_from_camera, -roll_deg)
    np.testing.assert_allclose(back, level.world_from_camera, atol=1e-12)


patch_settings = st.builds(HoldOut, patches=st.integers(1, 6), size_deg=st.floats(1, 15), views=st.integers(1, 6))


@settings(max_examples=40)
@given(patch_settings, st.sampled_from(["angles", "area"]), st.sampled_from(["rot", "rototrans"]), st.integers(0, 999))
def test_training_views_avoid_the_patches_and_held_out_views_fill_them(hold_out, sphere, group, seed):
    pose = PoseSettings(group, sphere=sphere, hold_out=hold_out)
    patches = held_out_patches(pose, seed)
    poses = sample_poses(pose, seed, "a", 20 + hold_out.views)
    inside = [
        [patch.contains(direction) for patch in patches]
        for direction in zip(poses.azimuth_deg, poses.elevation_deg, strict=True)
    ]
    assert not np.any(inside[:20])
    for number, row in enumerate(inside[20:]):
        assert row[number % len(patches)]
    assert ((poses.azimuth_deg >= -180) & (poses.azimuth_deg <= 180)).all()
    assert (np.abs(poses.elevation_deg) <= 90).all()


def test_the_patches_belong_to_the_data_set_and_change_no_other_view():
    free = PoseSettings("rototrans")
    held = dataclasses.replace(free, hold_out=HoldOut(patches=4, size_deg=20.0, views=5))
    patches = held_out_patches(held, 7)
    assert patches == held_out_patches(held, 7) != held_out_patches(held, 8)
    before, after = sample_poses(free, 7, "a", 40), sample_poses(held, 7, "a", 45)
    moved = [
        any(patch.contains(direction) for patch in patches)
        for direction in zip(before.azimuth_deg, before.elevation_deg, strict=True)
    ]
    assert 0 < sum(moved) < 40
    same = np.abs(before.azimuth_deg - after.azimuth_deg[:40]) < 1e-12
    np.testing.assert_array_equal(same, ~np.array(moved))
    np.testing.assert_array_equal(before.target_point, after.target_point[:40])
    more = sample_poses(held, 7, "a", 55)
    np.testing.assert_array_equal(more.azimuth_deg[50:], after.azimuth_deg[40:])


def test_a_patch_reaches_around_the_circle():
    patch = Patch(179.0, 0.0, 2.9)
    assert patch.contains((-178.5, 2.0)) and patch.contains((176.2, -2.0))
    assert not patch.contains((-177.9, 0.0)) and not patch.contains((179.0, 3.0))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_held_out_views_of_a_trained_scene_are_test_views(split):
    pose = PoseSettings("rot", hold_out=HoldOut(patches=1, views=3))
    columns = view_columns(sample_poses(pose, 0, "a", 8), split)
    assert columns["split"].tolist() == [split] * 5 + (["test"] * 3 if split == "train" else [split] * 3)
    assert columns["view_index"].tolist() == list(range(8))


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(0.1, 9))
def test_angles_of_an_orbit_come_back(azimuth_deg, elevation_deg, radius):
    poses = sample_poses(
        PoseSettings("rot", radius, elevation_deg=(elevation_deg,) * 2, azimuth_deg=(azimuth_deg,) * 2), 0, "a", 1
    )
    found = orbit_angles(poses.world_from_camera[0, :3, 3])
    np.testing.assert_allclose(found, (azimuth_deg, elevation_deg, radius), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"group": "trans", "sphere": "spiral"}, "does not turn"),
        ({"group": "trans", "roll_deg": (0, 5)}, "roll"),
        ({"group": "trans", "hold_out": HoldOut(1)}, "no patch"),
        ({"look_at_jitter": 0.1}, "rototrans"),
        ({"group": "rototrans", "look_at_jitter": -0.1}, "jitter"),
        ({"group": "rototrans", "look_at_jitter": 0.1, "hold_out": HoldOut(1)}, "exact directions"),
        ({"sphere": "rings", "elevation_deg": (0, 5)}, "set their own angles"),
        ({"sphere": "spiral", "azimuth_deg": (0, 5)}, "set their own angles"),
        ({"sphere": "rings", "rings_deg": (95.0,)}, "within -90 to 90"),
        ({"rings_deg": (5.0,)}, "sphere `rings`"),
        ({"sphere": "rings", "hold_out": HoldOut(1)}, "cannot avoid patches"),
        ({"hold_out": HoldOut(5, size_deg=60.0)}, "fewer or smaller patches"),
        ({"roll_deg": (5, -5)}, "roll range"),
    ],
)
def test_contradictions_are_refused(change, words):
    with pytest.raises(EnrError, match=words):
        dataclasses.replace(PoseSettings("rot"), **change)


@pytest.mark.parametrize("numbers", [(0, 2.9, 1), (1, 0.0, 1), (1, 91.0, 1), (1, 2.9, 0), (1, float("nan"), 1)])
def test_a_hold_out_of_nothing_is_refused(numbers):
    with pytest.raises(EnrError, match=r"hold_out\.(patches|size_deg|views) is (0|0\.0|91\.0|nan); it must be"):
        HoldOut(*numbers)


def test_holding_out_every_view_is_refused():
    with pytest.raises(EnrError, match="All 3 views"):
        sample_poses(PoseSettings("rot", hold_out=HoldOut(1, views=3)), 0, "a", 3)


def test_the_config_says_everything_in_json():
    config = pose_config(PoseSettings("rot", hold_out=HoldOut(2, 5.0, 4), roll_deg=(-1, 1)))
    assert config["hold_out"] == {"patches": 2, "size_deg": 5.0, "views": 4}
    assert config["roll_deg"] == [-1, 1] and config["cameras"] is None
