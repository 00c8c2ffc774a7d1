"""Poses, lens and bad views as a user types them: each option reaches the shard, contradictions end in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.command_line import enr
from tests.datagen import blender_meshes as bm

from enr.camera import intrinsics, orbit_camera
from enr.datagen.cameras.pose_files import write_cameras
from enr.datagen.cameras.samplers import ring, spiral
from enr.shards import Shard, read_shard

pytestmark = pytest.mark.usefixtures("fake_worker")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with three meshes and three pose files."""
    monkeypatch.chdir(tmp_path)
    blocks = bm.corner_blocks()
    for number in range(3):
        bm.write_obj(tmp_path / f"meshes/mesh{number}.obj", blocks.vertices, blocks.faces)
    cameras = orbit_camera([0.0, 90.0, 180.0], [0.0, 10.0, 20.0], 1.5)
    write_cameras(tmp_path / "cameras.json", cameras, [intrinsics(20.0, 16, 8)] * 3, (16, 8))
    write_cameras(tmp_path / "bare.json", cameras)
    write_cameras(tmp_path / "aside.json", orbit_camera([0.0, 90.0], 0.0, 1.5, (0.3, 0.1, 0.0)))
    return tmp_path


def datagen(line: str):
    return enr("datagen", "meshes", *line.split())


def made(folder: Path, line: str) -> Shard:
    """The only shard of a run of small pictures."""
    result = datagen(line)
    assert result.exit_code == 0, result.output
    (path,) = sorted((folder / "shards").glob("*.h5"))
    return read_shard(path)


def test_rings_and_roll(folder):
    line = "--resolution 8 --group rot --views 7 --sphere rings --rings-deg -20,40 --roll-deg -5 15"
    views = made(folder, line).views
    places = [ring(index, 7, (-20.0, 40.0), (-180.0, 180.0)) for index in range(7)]
    np.testing.assert_allclose(np.stack([views["azimuth_deg"], views["elevation_deg"]], axis=1), places * 3)
    assert ((views["roll_deg"] > -5) & (views["roll_deg"] < 15)).all() and len(set(views["roll_deg"])) == 21


def test_the_spiral_has_its_251_views(folder):
    views = made(folder, "--resolution 2 --group rot --sphere spiral").views
    assert len(views["K"]) == 3 * 251
    np.testing.assert_allclose(views["azimuth_deg"][64], spiral(64)[0])


def test_look_at_jitter_moves_the_point_looked_at(folder):
    shard = made(folder, "--resolution 4 --views 4 --box 0 0 0 0 0 0 --look-at-jitter 0.1")
    assert shard.meta.config["poses"]["look_at_jitter"] == 0.1
    assert 0 < np.abs(shard.views["target_point"]).max() < 0.6
    np.testing.assert_allclose(np.linalg.norm(shard.views["world_from_camera"][:, :3, 3], axis=1), 2.0)


def test_held_out_views_stand_beside_the_others(folder):
    line = (
        "--resolution 4 --views 6 --group rot --hold-out-patches 2 --patch-size-deg 5 --hold-out-views 3 --split 1 1 0"
    )
    shard = made(folder, line)
    scene_split = dict(zip(shard.scenes["scene_id"], shard.scenes["split"], strict=True))
    assert set(scene_split.values()) == {"train", "val"}
    for scene_id, split in scene_split.items():
        rows = shard.views["split"][shard.views["scene_id"] == scene_id].tolist()
        assert rows == [split] * 6 + (["test"] if split == "train" else [split]) * 3


@pytest.mark.parametrize(
    ("lens", "focal_px"), [("--focal-px 33", 33.0), ("--focal-mm 36", 24.0), ("--fov-deg 90", 12.0), ("", 100 / 3)]
)
def test_a_lens_may_be_said_in_three_ways(folder, lens, focal_px):
    views = made(folder, f"--resolution 24x10 --views 1 {lens}").views
    np.testing.assert_allclose(views["K"], [intrinsics(focal_px, 24, 10)] * 3)


def test_jittered_intrinsics_are_stored(folder):
    K = made(folder, "--resolution 16 --views 5 --focal-px 20 --focal-jitter 0.1 --centre-jitter-px 2").views["K"]
    assert len(np.unique(K[:, 0, 0])) == 15
    assert (np.abs(K[:, 0, 0] - 20) <= 2).all() and (np.abs(K[:, :2, 2] - 8) <= 2).all()


def test_given_cameras_bring_size_lens_number_and_group(folder):
    shard = made(folder, "--poses cameras.json")
    assert shard.meta.group == "rot" and shard.images.shape == (9, 8, 16, 4)
    np.testing.assert_array_equal(shard.views["K"], [intrinsics(20.0, 16, 8)] * 9)
    np.testing.assert_allclose(shard.views["azimuth_deg"], [0, 90, 180] * 3, atol=1e-9)
    np.testing.assert_allclose(shard.views["radius"], 1.5)


def test_given_cameras_without_a_lens_take_that_of_the_options(folder):
    shard = made(folder, "--poses bare.json --views 2 --resolution 8 --focal-px 9 --group rototrans")
    assert shard.meta.group == "rototrans" and len(shard.images) == 6
    np.testing.assert_array_equal(shard.views["K"][0], intrinsics(9.0, 8, 8))


def test_other_cameras_are_noticed(folder):
    assert datagen("--poses bare.json --resolution 4").exit_code == 0
    write_cameras(folder / "bare.json", orbit_camera([1.0, 2.0, 3.0], 0.0, 1.5))
    again = datagen("--poses bare.json --resolution 4")
    assert again.exit_code == 2 and "other settings" in again.output


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--poses nowhere.json", "cannot be read"),
        ("--poses cameras.json --sphere area", "leave --sphere out"),
        ("--poses cameras.json --hold-out-patches 1", "leave --hold-out-patches out"),
        ("--poses cameras.json --focal-px 9", "leave --focal-px out"),
        ("--poses cameras.json --resolution 8", "same shape"),
        ("--poses cameras.json --views 4", "has 3 cameras"),
        ("--focal-px 9 --fov-deg 40", "say the same thing"),
        ("--fov-deg 180", "--fov-deg"),
        ("--focal-jitter 1", "--focal-jitter is 1.0; it must be below 1."),
        ("--centre-jitter-px -1", "--centre-jitter-px is -1.0; it must be at least 0."),
        ("--sphere rings --rings-deg high", "--rings-deg got 'high'"),
        ("--rings-deg 5", "sphere `rings`"),
        ("--group rot --look-at-jitter 0.1", "rototrans"),
        ("--hold-out-patches 40 --patch-size-deg 40", "fewer or smaller"),
        ("--hold-out-patches 1 --patch-size-deg 0", "--patch-size-deg is 0.0; it must be above 0."),
        ("--group trans --elevation-deg -5 5", "cannot be combined with --elevation-deg"),
        ("--group rot --box 0 1 0 1 0 1", "cannot be combined with --box"),
        ("--patch-size-deg 10", "--hold-out-patches N"),
        ("--poses aside.json --group rot", "leave --group out"),
        ("--retry-failed", "nothing failed"),
        ("--on-bad explode", "--on-bad"),
        ("--bad clipped", "--bad"),
        ("--bad blank", "--on-bad skip or fail"),
        ("--poses cameras.json --radius 2", "--radius"),
        ("--dry-run --retry-failed", "leave --retry-failed out"),
        ("--dry-run --resume", "leave --resume out"),
        ("--retry-bad --overwrite", "exclude each other"),
    ],
)
def test_contradictions_end_in_one_sentence(folder, line, sentence):
    result = datagen(line)
    assert result.exit_code == 2, result.output
    assert sentence in result.output and "Traceback" not in result.output
    assert not (folder / "shards").exists()


def test_bad_views_end_the_run_with_status_2_or_leave_the_mesh_out(folder, monkeypatch):
    from enr.datagen import flags

    monkeypatch.setattr(flags, "is_flat", lambda colours: True)
    kept = datagen("--resolution 4 --views 2 --out kept")
    assert kept.exit_code == 0 and "views flagged: 6 flat_colour" in kept.output
    failed = datagen("--resolution 4 --views 2 --on-bad fail")
    assert failed.exit_code == 2 and "is flagged: flat_colour" in failed.output
    assert not list((folder / "shards").glob("*.h5*"))
    skipped = datagen("--resolution 4 --views 2 --on-bad skip --out skipped")
    assert skipped.exit_code == 1 and "mesh1: flagged: flat_colour (views 0, 1)" in skipped.output
    unmoved = enr(
        "datagen",
        "meshes",
        *["--resolution", "4", "--views", "2", "--on-bad", "skip", "--bad", "purple", "--out", "other"],
    )
    assert unmoved.exit_code == 0
