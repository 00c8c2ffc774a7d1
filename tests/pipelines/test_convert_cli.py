"""`enr convert` as a user meets it, and what reads its shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import enr
from tests.datagen.posed_folders import apple_entries, uva_entries, write_scene

from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training.runs import latest_run

torch.set_num_threads(1)
VIEWS = 4
SIZE = 16
WHITE = (1.0, 1.0, 1.0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_chairs(folder: Path, layout: str) -> Path:
    """Two scenes to train on and one to validate on."""
    for place in ("chairs-train/a", "chairs-train/b", "chairs-val/c"):
        write_scene(folder / place, apple_entries(VIEWS) if layout == "apple" else uva_entries(VIEWS), SIZE)
    return folder


@pytest.mark.parametrize("layout", ["apple", "uva"])
def test_the_shards_are_views_like_any_other(here, layout):
    result = enr("convert", write_chairs(here / "posed", layout), "--from", layout)
    assert result.exit_code == 0, result.output
    assert f"{3 * VIEWS} pictures of {SIZE}x{SIZE} px of 3 scenes in 1 shard" in result.output
    view_set = ViewSet.open([here / "shards"])
    assert [scene.scene_id for scene in view_set.scenes("train")] == ["a", "b"]
    assert [scene.scene_id for scene in view_set.scenes("val")] == ["c"]
    rgba = torch.from_numpy(view_set.images(np.arange(VIEWS)))
    over_white = composite(rgba, WHITE).mul(255).round().to(torch.uint8)
    stored = [np.asarray(Image.open(here / f"posed/chairs-train/a/{view:05d}.png")) for view in range(VIEWS)]
    assert (over_white.permute(0, 2, 3, 1).numpy() == np.stack(stored)).all()


def test_a_division_by_the_hash_is_said_with_the_way_to_measure_all(here):
    for name in "abc":
        write_scene(here / "posed" / name, apple_entries(VIEWS), SIZE)
    said = enr("convert", "posed", "--from", "apple", "--out", "hashed").output
    assert "no folder names a split of 3 scenes" in said and "--split test" in said
    asked = enr("convert", "posed", "--from", "apple", "--out", "all", "--split", "test").output
    assert "hash" not in asked
    assert len(ViewSet.open([here / "all"]).scenes("test")) == 3


def test_a_renderer_trains_on_them(here):
    assert enr("convert", write_chairs(here / "posed", "uva"), "--from", "uva").exit_code == 0
    settings = ("steps=3", "batch_size=2", "validation_pictures=4", "validations=1", "frames=2", "threads=1")
    options = [part for setting in settings for part in ("--set", setting)]
    result = enr("train", "shards", "--preset", "smoke", *options)
    assert result.exit_code == 0, result.output
    assert latest_run().is_dir()


def test_a_wrong_folder_is_one_sentence_and_status_2(here):
    result = enr("convert", "nowhere", "--from", "apple")
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("Error: nowhere is not a folder")
    assert not list(here.iterdir())


def test_ctrl_c_leaves_nothing(here, monkeypatch):
    from enr.datagen.convert import conversion as convert

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "read_picture", interrupt)
    result = enr("convert", write_chairs(here / "posed", "apple"), "--from", "apple")
    assert result.exit_code == 130
    assert not (here / "shards").exists()
