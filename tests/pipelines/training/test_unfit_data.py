"""What in the data would spoil a training or flatter its validation is refused or said before the first step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.pipelines.toy_shards import Toy, make_toy, write_toy
from tests.pipelines.training.fitting import fit

from enr.camera import orbit_camera
from enr.errors import EnrError
from enr.pipelines.data.views import ViewSet, repeated_meshes
from enr.shards import write_shard

TOY = Toy(splits=("train", "train", "val"), views=4, group="rot")


def with_distance(path, view, distance, from_file=True):
    """A toy shard one of whose cameras stands elsewhere."""
    shard = make_toy(TOY)
    views = {name: values.copy() for name, values in shard.views.items()}
    moved = orbit_camera(*(views[name][view : view + 1] for name in ("azimuth_deg", "elevation_deg")), distance)
    views["world_from_camera"][view] = moved[0]
    views["radius"][...] = np.nan if from_file else views["radius"]
    if not from_file:
        views["radius"][view] = distance
    write_shard(path, dataclasses.replace(shard, views=views))
    return path


@pytest.mark.parametrize("distance", [40.0, 0.7])
def test_a_camera_far_from_the_others_is_named_before_the_training(tmp_path, distance):
    done = fit(with_distance(tmp_path / "a.h5", 6, distance), tmp_path / "runs", "steps=1")
    (line,) = done.said("far from where the others do")
    assert line.startswith("Warning: 1 camera of 12 stands")
    assert f"view 2 of scene box-001: {distance:.3g} from the object, the middle one 2" in line
    assert not fit(write_toy(tmp_path / "b.h5", TOY), tmp_path / "runs", "steps=1").said("far from")


def test_the_rigid_warp_wants_one_radius(tmp_path):
    path = with_distance(tmp_path / "a.h5", 6, 3.5, from_file=False)
    rigid = ("warp=rigid", "carry_colour=false", "depth_cells=4")
    with pytest.raises(EnrError, match=r"warp=rigid .* 2 to 3.5 .* --set warp=frustum"):
        fit(path, tmp_path / "runs", "steps=1", *rigid)
    assert not (tmp_path / "runs").exists()
    assert fit(path, tmp_path / "runs", "steps=1").result.step == 1


def test_pictures_smaller_than_the_window_of_ssim_are_refused_for_that_loss_alone(tmp_path, recwarn):
    path = write_toy(tmp_path / "a.h5", dataclasses.replace(TOY, size_px=8))
    with pytest.raises(EnrError, match=r"8x8 px; .*loss.ssim=0"):
        fit(path, tmp_path / "runs", "steps=1")
    assert not (tmp_path / "runs").exists()
    assert fit(path, tmp_path / "runs", "steps=1", "loss.ssim=0").result.step == 1
    assert not [warning for warning in recwarn if "Gaussian" in str(warning.message)]


def test_a_learning_rate_without_end_is_refused(tmp_path):
    with pytest.raises(EnrError, match="learning_rate is inf; "):
        fit(write_toy(tmp_path / "a.h5", TOY), tmp_path / "runs", "learning_rate=.inf")


def with_meshes(path, hashes):
    """A toy shard whose meshes have these contents."""
    shard = make_toy(TOY)
    scenes = {**shard.scenes, "mesh_sha256": np.array(hashes)}
    write_shard(path, dataclasses.replace(shard, scenes=scenes))
    return path


def test_a_mesh_that_is_trained_on_and_held_out_under_two_ids_is_said(tmp_path):
    path = with_meshes(tmp_path / "a.h5", ["a" * 64, "b" * 64, "a" * 64])
    (line,) = fit(path, tmp_path / "runs", "steps=1").said("under two ids")
    assert line.startswith("Warning: 1 mesh is trained on") and "box-000 in train, box-002 in val" in line
    view_set = ViewSet.open([path])
    assert repeated_meshes(view_set.scenes("train"), view_set.scenes("val")) == [("box-000", "box-002")]


@pytest.mark.parametrize("hashes", [["a" * 64, "a" * 64, "b" * 64], ["0" * 64] * 3, [""] * 3])
def test_what_is_no_repetition_between_splits_is_not_said(tmp_path, hashes):
    """Two that are both trained on; and shards that do not say what their meshes hold."""
    assert not fit(with_meshes(tmp_path / "a.h5", hashes), tmp_path / "runs", "steps=1").said("under two ids")
