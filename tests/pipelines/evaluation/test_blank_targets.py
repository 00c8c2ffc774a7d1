"""A blank target is in no mean; lenses and folders that would mislead are refused or kept apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy

from enr.errors import EnrError
from enr.model import Renderer, save_model
from enr.pipelines.evaluation import scene_choice
from enr.pipelines.evaluation.evaluate import evaluate
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.metrics import shows_something
from enr.pipelines.training.runs import new_folder
from enr.shards import write_shard


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path / "checkpoint", Renderer(tiny_config(16)), {"groups": ["rot"]})
    return tmp_path / "checkpoint"


@pytest.fixture
def toy():
    return make_toy(Toy(group="rot", splits=("train", "val", "test"), views=5))


def measured(checkpoint, shard, folder):
    write_shard(folder / "rot.h5", shard)
    return evaluate(EvalSettings(checkpoint, shards=(folder / "rot.h5",), device="cpu", out=folder / "report"))


def blanked(toy, views):
    images = toy.images.copy()
    images[np.flatnonzero(toy.views["split"] == "test")[views]] = 0
    return dataclasses.replace(toy, images=images)


def test_blank_targets_are_in_no_row_and_are_counted(checkpoint, toy, tmp_path):
    whole = measured(checkpoint, toy, tmp_path / "whole").groups[0]
    fewer = measured(checkpoint, blanked(toy, [2, 4]), tmp_path / "fewer")
    (group,) = fewer.groups
    assert (whole.scenes[0].targets, group.scenes[0].targets) == (4, 2)
    assert group.scores["background"]["psnr_db"] < 40
    assert any("2 target views" in note and "left out" in note for note in fewer.notes)


def test_blank_targets_are_looked_for_once(checkpoint, toy, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(scene_choice, "shows_something", lambda rgba: looked.append(len(rgba)) or shows_something(rgba))
    measured(checkpoint, blanked(toy, [2]), tmp_path)
    assert looked == [4], "of the one test scene's targets"


def test_scenes_that_are_blank_throughout_are_refused(checkpoint, toy, tmp_path):
    with pytest.raises(EnrError, match="smaller --box"):
        measured(checkpoint, blanked(toy, [1, 2, 3, 4]), tmp_path / "blank")


@pytest.mark.parametrize(("entry", "word"), [((0, 2), "principal point"), ((1, 1), "not square")])
def test_another_lens_than_the_models_is_refused(checkpoint, toy, tmp_path, entry, word):
    K = toy.views["K"].copy()
    K[3][entry] *= 1.2
    with pytest.raises(EnrError, match=word):
        measured(checkpoint, dataclasses.replace(toy, views={**toy.views, "K": K}), tmp_path / "lens")


def test_two_evaluations_of_one_second_have_a_folder_each(tmp_path):
    folders = {new_folder(tmp_path / "eval-20260101-000000") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.is_dir() for folder in folders)
