"""`enr inspect` and the contact sheets: right numbers, pictures that show what is stored."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.command_line import enr
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.camera import invert_rigid, orbit_camera
from enr.datagen.metadata.contact_sheet import (
    BORDER_GREY,
    BORDER_PX,
    COLUMNS,
    LABEL_PX,
    LINE_GREY,
    SHEET_PX,
    TILE_PX,
    Strip,
    label,
    save_contact_sheet,
    save_strips,
)
from enr.datagen.verify.camera_plot import frustum_lines
from enr.datagen.verify.inspection_pictures import depth_colours, depth_range
from enr.shards import FLAGS, ShardMeta, read_tables, write_shard
from enr.shards import hashes as shard_hashes


@pytest.fixture
def folder(tmp_path):
    """Two groups; two views of one are flagged, one has passes, one mesh failed."""
    toy = make_toy(Toy(splits=("train", "val"), views=3, size_px=8))
    flags = np.zeros(6, dtype=np.uint16)
    flags[[1, 4]] = 1 << FLAGS.index("purple")
    mask = toy.images[..., 3] > 0
    passes = {
        "mask": mask,
        "depth": np.where(mask, 2.0, np.inf).astype(np.float32),
        "normals": (mask[..., None] * [0, 0, -1]).astype(np.float16),
    }
    config = {"failures": {"broken": {"kind": "bad_mesh", "reason": "it has no faces"}}}
    meta = dataclasses.replace(toy.meta, config=config)
    first = dataclasses.replace(toy, meta=meta, passes=passes, views={**toy.views, "flags": flags})
    write_shard(tmp_path / "rototrans-00000-of-00001.h5", first)
    write_toy(tmp_path / "rot-00000-of-00001.h5", Toy(splits=("test",), views=2, size_px=8, group="rot"))
    return tmp_path


def test_the_numbers(folder):
    result = enr("inspect", folder, "--json", "--no-pictures")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert (summary["shards"], summary["scenes"], summary["images"]) == (2, 3, 8)
    assert summary["bytes"] == sum(path.stat().st_size for path in folder.glob("*.h5"))
    assert summary["failures"] == {"broken": "it has no faces"}
    moved, turned = summary["groups"]["rototrans"], summary["groups"]["rot"]
    assert moved["images"] == {"train": 3, "val": 3, "test": 0} and turned["images"]["test"] == 2
    assert moved["flags"]["purple"] == 2 and sum(turned["flags"].values()) == 0
    assert moved["passes"] == ["depth", "mask", "normals"] and moved["size_px"] == ["8x8"]
    assert moved["fov_deg"][0] == pytest.approx(39.6, abs=0.01)
    assert turned["poses"]["target_x"] == [0, 0] and turned["poses"]["radius"] == [2, 2]
    assert not (folder / "inspect").exists()


def test_damaged_shards_are_named_and_left_out(folder):
    damaged, whole = folder / "rototrans-00000-of-00001.h5", folder / "rot-00000-of-00001.h5"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    result = enr("inspect", folder, "--no-pictures")
    assert result.exit_code == 1
    assert "1 shard, 1 scene, 2 images" in result.output and f"left out: {damaged} is no longer" in result.output
    assert enr("inspect", damaged).exit_code == 2
    whole.write_bytes(whole.read_bytes()[: -shard_hashes.LENGTH])
    result = enr("inspect", whole, "--no-pictures")
    assert result.exit_code == 0 and "1 shard without a seal" in result.output


def test_no_zero_is_negative(folder):
    result = enr("inspect", folder / "rot-00000-of-00001.h5", "--no-pictures")
    assert result.exit_code == 0 and not re.search(r"-0(?![.\d])", result.output), result.output


def test_the_page_and_the_pictures(folder):
    result = enr("inspect", folder, "--out", folder / "seen")
    assert result.exit_code == 0, result.output
    for words in ("2 shards, 3 scenes, 8 images", "purple 2", "depth, mask, normals", "broken: it has no faces"):
        assert words in result.output
    names = {path.name for path in (folder / "seen").iterdir()}
    assert names == {
        "rot-cameras.png",
        "rot-views.png",
        "rototrans-cameras.png",
        "rototrans-flag-purple.png",
        "rototrans-pass-depth.png",
        "rototrans-pass-mask.png",
        "rototrans-pass-normals.png",
        "rototrans-views.png",
    }
    for name in names:
        assert len(np.unique(np.asarray(Image.open(folder / "seen" / name).convert("RGB")))) > 1
        assert str(folder / "seen" / name) in result.output


def test_missing_angles_are_unknown(tmp_path):
    toy = make_toy(Toy(splits=("train",), views=2, size_px=8))
    views = {**toy.views, "azimuth_deg": np.full(2, np.nan)}
    write_shard(tmp_path / "toy.h5", dataclasses.replace(toy, views=views))
    inspected = json.loads(enr("inspect", tmp_path, "--json").output)
    assert inspected["groups"]["rototrans"]["poses"]["azimuth_deg"] == [None, None]
    assert "unknown" in enr("inspect", tmp_path).output


def test_a_folder_that_cannot_be_made_is_bad_input(folder):
    (folder / "file").write_text("")
    result = enr("inspect", folder, "--out", folder / "file")
    assert result.exit_code == 2 and len(result.output.splitlines()) == 1


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 8), min_size=1, max_size=5), side=st.sampled_from([1, 8, 64, 300]))
def test_a_sheet_shows_every_picture_once_with_lines_between(tmp_path_factory, counts, side):
    numbers = iter(range(1, 1 + sum(counts)))
    strips = [
        Strip("", tuple(np.full((side, side, 3), (next(numbers), 0, 255), np.uint8) for _ in range(n))) for n in counts
    ]
    sheet = np.asarray(Image.open(save_strips(strips, tmp_path_factory.mktemp("s") / "sheet.png")))
    is_tile = (sheet[..., 1] == 0) & (sheet[..., 2] == 255)
    shown = np.unique(sheet[is_tile][:, 0], return_counts=True)
    assert shown[0].tolist() == list(range(1, 1 + sum(counts))) and len(set(shown[1].tolist())) == 1
    others = {tuple(colour) for colour in np.unique(sheet[~is_tile], axis=0).tolist()}
    assert others <= {(grey,) * 3 for grey in (LINE_GREY, BORDER_GREY, 255)}
    edges = (sheet[:BORDER_PX], sheet[-BORDER_PX:], sheet[:, :BORDER_PX], sheet[:, -BORDER_PX:])
    assert all((edge == BORDER_GREY).all() for edge in edges)
    assert sheet.shape[1] <= SHEET_PX + (BORDER_PX + 1) * (COLUMNS + 1) or side == 1


def test_few_small_pictures_are_enlarged_and_scenes_have_a_line_each(tmp_path):
    path = write_toy(tmp_path / "toy.h5", Toy(splits=("train", "val"), views=4, size_px=16))
    width, height = Image.open(save_contact_sheet([path], tmp_path / "sheet.png")).size
    assert width == 4 * TILE_PX + 3 + 2 * BORDER_PX
    assert height == 2 * (LABEL_PX + TILE_PX) + 3 * BORDER_PX


def test_every_mesh_stands_under_its_name_which_is_cut_at_its_end(tmp_path):
    path = write_toy(tmp_path / "toy.h5", Toy(splits=("train", "val"), views=1, size_px=32))
    ids = read_tables(path)[2]["scene_id"].tolist()
    sheet = np.asarray(Image.open(save_contact_sheet([path], tmp_path / "sheet.png")))
    above = sheet[BORDER_PX : BORDER_PX + LABEL_PX, BORDER_PX : BORDER_PX + TILE_PX]
    np.testing.assert_array_equal(above, label(ids[0], TILE_PX))
    names = [f"{start}f708d4e{end}" for start in ("1013", "1a6f") for end in ("aaaa", "bbbb")]
    narrow = [label(name, 60).tobytes() for name in names]
    assert narrow[0] == narrow[1] != narrow[2]  # what begins alike looks alike, what begins otherwise does not
    assert len({label(name, 200).tobytes() for name in names}) == 4


def test_depth_is_bright_where_near_and_white_where_nothing_is():
    brightness = depth_colours(np.array([1.0, 2.0, 3.0, np.inf]), 1.0, 3.0).sum(axis=-1)
    assert brightness[3] == 3 * 255 and brightness[0] > brightness[1] > brightness[2]
    assert (depth_colours(np.full((2, 2), np.inf), *depth_range(np.full(3, np.inf))) == 255).all()


def test_a_depth_sheet_has_a_scale_whose_ends_are_its_nearest_and_farthest(folder):
    assert enr("inspect", folder, "--out", folder / "seen").exit_code == 0
    sheet = np.asarray(Image.open(folder / "seen/rototrans-pass-depth.png"))
    words, ramp = sheet[-2 * LABEL_PX : -LABEL_PX], sheet[-LABEL_PX:]
    width = sheet.shape[1]
    np.testing.assert_array_equal(words, label("depth from 2 (left) to 2 object units", width))
    np.testing.assert_array_equal(ramp[0, 0], depth_colours(np.array(2.0), 2.0, 2.0))


@given(
    angles=st.tuples(st.floats(-180, 180), st.floats(-90, 90)),
    target=st.tuples(*[st.floats(-1, 1)] * 3),
    size_px=st.sampled_from([(64, 64), (32, 48)]),
)
def test_a_frustum_opens_towards_what_the_camera_sees(angles, target, size_px):
    camera = orbit_camera(*angles, 2.0, target)
    K = np.array([[50.0, 0, size_px[0] / 2], [0, 50.0, size_px[1] / 2], [0, 0, 1]])
    line = frustum_lines(camera, K, size_px, depth=0.25)
    in_camera = (line - camera[:3, 3]) @ invert_rigid(camera)[:3, :3].T
    away = np.linalg.norm(in_camera, axis=-1) > 1e-9
    np.testing.assert_allclose(in_camera[away, 2], 0.25)
    assert in_camera[:, 1].min() < -size_px[1] / 2 / 50 * 0.25  # the mark is above the picture
    assert in_camera[:, 0].max() == pytest.approx(size_px[0] / 2 / 50 * 0.25)


def test_the_background_shows_through(tmp_path):
    toy = make_toy(Toy(splits=("train",), views=1, size_px=8))
    meta = ShardMeta("rot", 0, (0.0, 0.0, 0.0), "none", {})
    empty = dataclasses.replace(toy, meta=meta, images=np.zeros_like(toy.images))
    write_shard(tmp_path / "toy.h5", empty)
    sheet = np.asarray(Image.open(save_contact_sheet([tmp_path / "toy.h5"], tmp_path / "sheet.png")))
    top = BORDER_PX + LABEL_PX
    assert (sheet[top:-BORDER_PX, BORDER_PX:-BORDER_PX] == 0).all()
