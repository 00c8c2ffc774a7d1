"""What is wrong with a picture is said by name, and the policy decides what becomes of its mesh."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from tests.datagen import blender_meshes as bm

from enr.camera import orbit_camera
from enr.datagen.blender.spread import directions_around, surface_points
from enr.datagen.cameras.pose_files import GivenCameras
from enr.datagen.failures import FLAGGED
from enr.datagen.flags import bad_reason, count_flags, judge, view_flags
from enr.datagen.generate import generate
from enr.datagen.settings import BAD_FLAGS, GenerateSettings, OnBad, PoseSettings
from enr.datagen.workers.worker import RenderedMesh
from enr.errors import EnrError
from enr.shards import FLAGS, read_shard

PURPLE_MTL = "newmtl paint\nKd 1 0 1\n"


def noisy(seed=0):
    """A picture (16, 16, 4) of many colours over half of its width."""
    image = np.random.default_rng(seed).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    image[..., 3] = 255
    image[:, 8:] = 0
    return image


def painted(*colour):
    image = noisy()
    image[:, :8, :3] = colour
    return image


def names_of(*images, **facts):
    """The flags' names of each picture."""
    given = {"clipped": [False] * len(images), "materials": "original", **facts}
    flags = view_flags(np.stack(images), given)
    return [{name for bit, name in enumerate(FLAGS) if row >> bit & 1} for row in flags.tolist()]


def test_pictures_alone_show_what_is_blank_flat_purple_or_there_twice():
    found = names_of(noisy(1), np.zeros_like(noisy()), painted(9, 90, 30), noisy(1), np.zeros_like(noisy()))
    assert found == [set(), {"blank"}, {"flat_colour"}, {"duplicate"}, {"blank"}]
    assert names_of(painted(200, 0, 200), painted(200, 20, 205)) == [{"flat_colour", "purple"}] * 2
    assert names_of(painted(200, 0, 200), materials="palette") == [{"flat_colour"}]
    for other in ((200, 120, 200), (200, 0, 120), (0, 0, 0)):
        assert names_of(painted(*other)) == [{"flat_colour"}]


def test_a_small_purple_part_is_enough_and_a_speck_is_not():
    part, speck = noisy(), noisy()
    part[:2, :8, :3] = speck[0, :2, :3] = (180, 0, 180)
    assert names_of(part, speck) == [{"purple"}, set()]


def test_what_the_worker_saw_becomes_flags():
    facts = {"clipped": [True, False, True], "camera_inside": [False, True, False], "clipped_share": [0.2, 0.0, 1.0]}
    assert names_of(noisy(1), noisy(2), noisy(3), **facts) == [{"clipped"}, {"camera_inside"}, {"blank", "clipped"}]


def test_reasons_and_counts_name_the_flags():
    flags = np.array([0, 1, 3, 32, 32, 32, 32, 32, 32], dtype=np.uint16)
    assert bad_reason(flags, BAD_FLAGS) == "flagged: blank (views 1, 2), purple (views 3, 4, 5, 6, 7, ...)"
    assert bad_reason(flags, ["duplicate"]) == ""
    assert count_flags(flags) == {"blank": 2, "clipped": 1, "purple": 6}


def test_the_policy_keeps_skips_or_fails():
    outcome = RenderedMesh({"scene_id": "a"}, np.stack([noisy(), noisy()]), {"clipped": [False, False]})
    assert judge(OnBad("keep"), outcome) is outcome
    assert judge(OnBad("skip", ("blank",)), outcome) is outcome
    skipped = judge(OnBad("skip"), outcome)
    assert (skipped.images, skipped.reason, skipped.kind) == (None, "flagged: duplicate (view 1)", FLAGGED)
    with pytest.raises(EnrError, match=r"a is flagged: duplicate \(view 1\)"):
        judge(OnBad("fail"), outcome)
    assert judge(OnBad("fail"), dataclasses.replace(outcome, images=None)).images is None


@pytest.mark.parametrize(("policy", "flags"), [("drop", ("blank",)), ("skip", ("clipped",)), ("skip", ())])
def test_unknown_policies_and_flags_are_refused(policy, flags):
    with pytest.raises(EnrError, match="give"):
        OnBad(policy, flags)


def test_surface_points_are_spread_by_area():
    big, small = [[0, 0, 0], [3, 0, 0], [0, 1, 0]], [[0, 0, 5], [1, 0, 5], [0, 1, 5]]
    points = surface_points(np.array([big, small], dtype=float), 400)
    assert (points[:, 2] == 0).sum() == 300
    np.testing.assert_allclose(points[points[:, 2] == 0].mean(axis=0), [1, 1 / 3, 0], atol=0.02)
    around = directions_around(64)
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), 1)
    assert np.abs(around.mean(axis=0)).max() < 0.02


@pytest.fixture(scope="module")
def made_for_the_purpose(tmp_path_factory):
    """Meshes with a purple material and with a plain one, and cameras: good, inside, turned away, half clipped."""
    folder = tmp_path_factory.mktemp("meshes")
    ball = trimesh.creation.icosphere(subdivisions=1)
    for name, content in (("purple", PURPLE_MTL), ("plain", PURPLE_MTL.replace("1 0 1", "0.2 0.5 0.3"))):
        bm.write_obj(folder / f"{name}.obj", ball.vertices, ball.faces, f"mtllib {name}.mtl\nusemtl paint")
        (folder / f"{name}.mtl").write_text(content)
    cameras = orbit_camera(20.0, 10.0, [2.0, 0.1, 2.0, 2.0], [[0, 0, 0], [0, 0, 0], [0, 0, 9.0], [-0.2, 0.68, 0]])
    return folder, GivenCameras(cameras)


def settings_of(made, out, **change):
    folder, cameras = made
    return GenerateSettings(
        meshes=(folder,), views=4, poses=PoseSettings("rototrans", cameras=cameras), out=out, **change
    )


def test_pictures_made_for_the_purpose_are_flagged_by_name(made_for_the_purpose, tmp_path):
    (path,) = generate(settings_of(made_for_the_purpose, tmp_path)).shards
    views = read_shard(path).views
    flags = [{name for bit, name in enumerate(FLAGS) if row >> bit & 1} for row in views["flags"].tolist()]
    plain, purple = flags[:4], flags[4:]
    assert plain[0] == set() and purple[0] == {"purple"}
    assert "camera_inside" in plain[1] and "camera_inside" in purple[1]
    assert plain[2] == purple[2] == {"blank", "clipped"}
    assert plain[3] == {"clipped"} and purple[3] == {"clipped", "purple"}
    share = views["clipped_share"][:4]
    assert share[0] == 0 and share[2] == 1
    assert share[3] == pytest.approx(0.5, abs=0.15)


def test_bad_meshes_are_skipped_by_name_or_end_the_run(made_for_the_purpose, tmp_path):
    skip = settings_of(made_for_the_purpose, tmp_path, on_bad=OnBad("skip", ("purple",)))
    summary = generate(skip)
    assert list(summary.failures) == ["purple"] and "flagged: purple (views" in summary.failures["purple"]
    assert read_shard(summary.shards[0]).scenes["scene_id"].tolist() == ["plain"]
    assert generate(skip).images_made == 0
    with pytest.raises(EnrError, match="flagged: blank"):
        generate(settings_of(made_for_the_purpose, tmp_path / "none", on_bad=OnBad("fail", ("blank",))))
    assert not list((tmp_path / "none").glob("*.h5*"))
