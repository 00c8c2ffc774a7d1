"""`enr datagen` as a user types it."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.command_line import enr
from tests.datagen import blender_meshes as bm

from enr.shards import read_shard


@pytest.fixture
def chairs(tmp_path, monkeypatch) -> Path:
    """A working folder with three models in ShapeNet layout."""
    monkeypatch.chdir(tmp_path)
    blocks = bm.corner_blocks()
    for number in range(3):
        bm.write_obj(tmp_path / f"shapenet/chairs/{number}abc/model.obj", blocks.vertices * (number + 1), blocks.faces)
    return tmp_path


def test_the_line_of_the_readme(chairs):
    result = enr("datagen", "--group", "rototrans", "--views", "5", "shapenet/chairs")
    assert result.exit_code == 0, result.output
    shard = read_shard(chairs / "shards/rototrans-00000-of-00001.h5")
    assert shard.images.shape == (15, 64, 64, 4)
    assert shard.scenes["scene_id"].tolist() == ["0abc", "1abc", "2abc"]
    assert {"train"} < set(shard.scenes["split"])
    assert "15 images of 3 meshes" in result.output
    assert re.search(r"\d+\.\d% of the views are clipped", result.output)
    sheet = np.asarray(Image.open(chairs / "shards/rototrans-contact-sheet.png"))
    assert sheet.shape[2] == 3 and len(np.unique(sheet)) > 20


def test_every_option_reaches_the_shard(chairs):
    line = (
        "--group rototrans --views 4 --resolution 24x16 --samples 2 --focal-px 30 --radius 3 --box 0 .1 0 .2 0 .3 "
        "--elevation-deg 10 20 --azimuth-deg 30 40 --sphere area --normalise longest --seed 7 --out made --workers 1 "
        "--split 1 1 1 --materials grey --background #ff0000 --compression gzip --mesh-timeout 60 shapenet/chairs"
    )
    result = enr("datagen", *line.split())
    assert result.exit_code == 0, result.output
    shard = read_shard(chairs / "made/rototrans-00000-of-00001.h5")
    views, render = shard.views, shard.meta.config["render"]
    assert shard.images.shape[1:3] == (16, 24)
    np.testing.assert_array_equal(views["K"][0], [[30, 0, 12], [0, 30, 8], [0, 0, 1]])
    assert (views["radius"] == 3).all()
    assert ((views["target_point"] >= 0) & (views["target_point"] <= [0.1, 0.2, 0.3])).all()
    assert ((views["elevation_deg"] >= 10) & (views["elevation_deg"] <= 20)).all()
    assert ((views["azimuth_deg"] >= 30) & (views["azimuth_deg"] <= 40)).all()
    assert shard.meta.seed == 7 and shard.meta.background == (1.0, 0.0, 0.0)
    assert set(shard.scenes["materials"]) == {"grey"}
    assert (render["samples"], render["normalise"]) == (2, "longest")
    assert shard.meta.config["poses"]["sphere"] == "area"
    assert shard.meta.config["split_shares"] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nowhere", "nowhere"),
        ("empty", "empty"),
        ("shapenet/chairs --resolution 0", "--resolution got '0'"),
        ("shapenet/chairs --resolution big", "--resolution got 'big'"),
        ("shapenet/chairs --background mauvish", "--background got 'mauvish'"),
        ("shapenet/chairs --background 1,2,3", "--background got '1,2,3'"),
        ("shapenet/chairs --split 0 0 0", "--split got"),
        ("shapenet/chairs --elevation-deg 20 10", "elevation"),
        ("shapenet/chairs --box 1 0 0 1 0 1", "box"),
        ("shapenet/chairs --views 0", "--views"),
        ("shapenet/chairs --radius nan", "radius"),
        ("shapenet/chairs --focal-px inf", "--focal-px"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(chairs, line, sentence):
    (chairs / "empty").mkdir()
    result = enr("datagen", *line.split())
    assert result.exit_code == 2, result.output
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert not (chairs / "shards").exists()


@pytest.mark.usefixtures("fake_worker")
def test_status_1_if_a_mesh_failed_now_or_before(chairs):
    bad = bm.write_obj(chairs / "bad/refuses.obj", [(0, 0, 0)], [])
    alone = enr("datagen", str(bad), "--views", "2")
    assert alone.exit_code == 1
    assert "1 mesh failed (named above)" in alone.output and alone.output.count("refuses: it refuses") == 1
    together = enr("datagen", "bad", "shapenet/chairs", "--views", "2", "--resolution", "8")
    assert together.exit_code == 1
    assert "6 images of 3 meshes" in together.output
    assert "refuses: it refuses" in together.output
    again = enr("datagen", "bad", "shapenet/chairs", "--views", "2", "--resolution", "8")
    assert again.exit_code == 1
    assert "nothing to do" in again.output and "1 mesh failed in earlier runs:\n  refuses: it refuses" in again.output
    good = enr("datagen", "shapenet/chairs", "--views", "2", "--resolution", "8", "--out", "good")
    assert good.exit_code == 0 and "0 meshes failed" in good.output


@pytest.mark.usefixtures("fake_worker")
@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ("1 0 0", "meshes by split: 3 train, 0 val, 0 test; --split gives val and test a larger share"),
        ("0 0 1", "meshes by split: 0 train, 0 val, 3 test; --split gives val a larger share"),
    ],
)
def test_the_last_lines_say_how_many_meshes_went_where_and_name_the_option(chairs, shares, line):
    result = enr("datagen", "shapenet/chairs", "--views", "2", "--resolution", "8", "--split", *shares.split())
    assert line in result.output
