"""Held-out views of a mesh that is trained on are never trained on, and can be evaluated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.errors import EnrError
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import seen_scenes
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.scene_choice import choose_scenes, split_views
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import camera_of, describe_data
from enr.shards import write_shard

VIEWS, HELD_OUT = 6, 2
TOY = Toy(splits=("train", "train", "val"), views=VIEWS, group="rot")


def with_splits(path, wanted):
    """A toy shard whose views have other splits: {(scene number, view index): split}."""
    shard = make_toy(TOY)
    split = shard.views["split"].astype(object)
    for (scene, view), name in wanted.items():
        split[scene * VIEWS + view] = name
    write_shard(path, dataclasses.replace(shard, views={**shard.views, "split": split.astype(str)}))
    return path


@pytest.fixture(scope="module")
def view_set(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "rot.h5"
    held_out = {(scene, view): "test" for scene in (0, 1) for view in range(VIEWS - HELD_OUT, VIEWS)}
    return ViewSet.open([with_splits(path, held_out)])


def test_held_out_views_are_a_scene_of_their_own(view_set):
    found = [(scene.scene_id, scene.split, scene.count, scene.is_held_out) for scene in view_set.all_scenes]
    assert found == [
        ("box-000", "train", 4, False),
        ("box-000", "test", 2, True),
        ("box-001", "train", 4, False),
        ("box-001", "test", 2, True),
        ("box-002", "val", 6, False),
    ]
    for number, scene in enumerate(view_set.all_scenes):
        assert set(view_set.views["scene"][scene.view_indices]) == {number}
        assert set(view_set.views["split"][scene.view_indices]) == {scene.split}


def test_a_training_loader_never_draws_a_held_out_view(view_set):
    loader = PairLoader(view_set, "train", batch_size=3, seed=0)
    drawn = np.concatenate([next(loader).views for _ in range(100)])
    assert set(drawn) == {0, 1, 2, 3, 6, 7, 8, 9}
    assert set(view_set.views["split"][drawn]) == {"train"}


def test_their_source_is_a_view_that_is_trained_on(view_set):
    held_out = view_set.scenes("test")[1]
    source, targets = split_views(EvalSettings(source=2), view_set, held_out)
    assert source == 8 and targets.tolist() == [10, 11]
    with pytest.raises(EnrError, match="has no view 5"):
        split_views(EvalSettings(source=5), view_set, held_out)
    whole = view_set.scenes("val")[0]
    source, targets = split_views(EvalSettings(source=2), view_set, whole)
    assert source == 14 and targets.tolist() == [12, 13, 15, 16, 17]


def test_evaluation_says_that_they_are_held_out_and_does_not_call_them_trained_on(view_set):
    chosen, notes = choose_scenes(EvalSettings(), view_set, "rot")
    assert [scene.is_held_out for scene in chosen["test"]] == [True, True]
    assert "2 of 2 entries are held-out views" in " ".join(notes)
    data = describe_data(view_set)
    assert data["trained_scene_ids"] == ["box-000", "box-001"]
    assert seen_scenes({"data": data}, view_set.scenes("test")) == []
    assert seen_scenes({"data": data}, view_set.scenes("train")) == ["box-000", "box-001"]


def test_views_of_an_unseen_scene_cannot_be_trained_on(tmp_path):
    with pytest.raises(EnrError, match="box-002 is in the split 'val' and has views in 'train'"):
        ViewSet.open([with_splits(tmp_path / "a.h5", {(2, 0): "train"})])


def test_a_scene_may_have_nothing_but_held_out_views(tmp_path):
    every = {(1, view): "test" for view in range(VIEWS)}
    view_set = ViewSet.open([with_splits(tmp_path / "a.h5", every)])
    (scene,) = view_set.scenes("test")
    source, targets = split_views(EvalSettings(), view_set, scene)
    assert source == 6 and len(targets) == VIEWS - 1


def test_held_out_views_of_two_groups_stand_side_by_side(view_set, tmp_path):
    other = write_toy(tmp_path / "trans.h5", dataclasses.replace(TOY, group="trans"))
    together = ViewSet.open([view_set.paths[0], other])
    assert len(together.scenes("test", "rot")) == 2 and not together.scenes("test", "trans")


def test_cameras_from_a_file_have_the_distance_of_their_places(tmp_path):
    shard = make_toy(TOY)
    nowhere = np.full(len(shard.images), np.nan)
    write_shard(tmp_path / "a.h5", dataclasses.replace(shard, views={**shard.views, "radius": nowhere}))
    view_set = ViewSet.open([tmp_path / "a.h5"])
    assert camera_of(view_set)["radius"] == pytest.approx(2.0)
