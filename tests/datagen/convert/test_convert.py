"""Folders of others, written as their scripts wrote them, become shards; damaged ones become one sentence."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.datagen.convert.conftest import converted
from tests.datagen.posed_folders import apple_entries, uva_entries, write_scene
from tests.datagen.visual_hull import hull_iou

from enr.camera import orbit_camera
from enr.datagen.convert import conversion as module
from enr.datagen.convert.conversion import ConvertSettings, convert
from enr.datagen.convert.cut_out import cut_out
from enr.errors import EnrError
from enr.shards import FLAGS, read_shard, write_shard

SMALL = 12


def small_apple(folder: Path, views: int = 2) -> Path:
    return write_scene(folder, apple_entries(views), SMALL)


def small_uva(folder: Path, views: int = 2, **options) -> Path:
    return write_scene(folder, uva_entries(views, **options), SMALL)


def edit_params(scene: Path, change) -> None:
    file = scene / "render_params.json"
    params = json.loads(file.read_text())
    change(params)
    file.write_text(json.dumps(params))


def test_an_apple_folder_becomes_a_shard(there):
    for name in ("b", "a"):
        small_apple(there / name, views=3)
    (shard,) = converted(there, "apple")
    entries = apple_entries(3)
    assert shard.meta.group == "rot"
    assert shard.meta.blender_version == "unknown"
    assert shard.meta.background == (1.0, 1.0, 1.0)
    assert shard.meta.config["converted"]["from"] == "apple"
    assert shard.scenes["scene_id"].tolist() == ["a", "b"]
    assert shard.views["view_index"].tolist() == [0, 1, 2] * 2
    assert shard.views["azimuth_deg"][:3] == pytest.approx([entry["azimuth"] for entry in entries.values()])
    assert shard.views["elevation_deg"][:3] == pytest.approx([entry["elevation"] for entry in entries.values()])
    assert shard.views["K"][0] == pytest.approx(np.array([[12.3046875, 0, 6], [0, 12.3046875, 6], [0, 0, 1]]))
    assert (shard.views["radius"] == 2.0).all()
    for row, name in enumerate(entries):
        stored = np.asarray(Image.open(there / "a" / f"{name}.png"))
        assert (shard.images[row] == cut_out(stored)).all()


@pytest.mark.parametrize(("turns", "moves", "group"), [(1, 0, "rot"), (0, 1, "trans"), (1, 1, "rototrans")])
def test_the_group_is_what_the_cameras_do(there, turns, moves, group):
    small_uva(there / "a", turns=turns, moves=moves)
    (shard,) = converted(there, "uva")
    assert shard.meta.group == group


def test_groups_get_shards_of_their_own(there):
    small_uva(there / "turned" / "a", moves=False)
    small_uva(there / "moved" / "b", turns=False)
    assert [shard.meta.group for shard in converted(there, "uva")] == ["rot", "trans"]


def test_angles_and_cameras_of_a_shard_agree(there):
    small_uva(there / "a", views=6)
    (shard,) = converted(there, "uva", radius=1.7)
    views = shard.views
    cameras = orbit_camera(views["azimuth_deg"], views["elevation_deg"], views["radius"], views["target_point"])
    assert views["world_from_camera"] == pytest.approx(cameras)
    assert (views["radius"] == 1.7).all()


@pytest.mark.parametrize(("layout", "views"), [("apple", 40), ("uva", 24)])
def test_the_hull_covers_what_did_not_carve_it(there, layout, views):
    write_scene(there / "a", apple_entries(views) if layout == "apple" else uva_entries(views), size_px=32)
    (shard,) = converted(there, layout)
    table, masks = shard.views, shard.images[..., 3] >= 128
    right = hull_iou(masks, table["world_from_camera"], table["K"])
    wrong = []
    for signs in ((-1, 1), (1, -1), (-1, -1)):
        angles = (signs[0] * table["azimuth_deg"], signs[1] * table["elevation_deg"])
        cameras = orbit_camera(*angles, table["radius"], table["target_point"])
        wrong.append(hull_iou(masks, cameras, table["K"]))
    assert right > 0.8
    assert max(wrong) < right - 0.05


def test_splits_follow_the_folders_names(there):
    for split in ("train", "val", "test"):
        small_apple(there / f"chairs-{split}" / f"of-{split}")
    (shard,) = converted(there, "apple")
    assert dict(zip(shard.scenes["scene_id"], shard.scenes["split"], strict=True)) == {
        "of-train": "train",
        "of-val": "val",
        "of-test": "test",
    }


def test_the_given_folders_own_name_counts_and_a_choice_goes_before_it(tmp_path):
    small_apple(tmp_path / "chairs-test" / "a")
    (by_name,) = converted(tmp_path / "chairs-test", "apple")
    (chosen,) = converted(tmp_path / "chairs-test", "apple", split="val", overwrite=True)
    assert by_name.scenes["split"].tolist() == ["test"]
    assert chosen.scenes["split"].tolist() == ["val"]
    assert set(chosen.views["split"]) == {"val"}


def test_without_named_folders_a_hash_decides(there):
    for number in range(6):
        small_apple(there / f"{number}")
    (shard,) = converted(there, "apple")
    assert {"train"} < set(shard.scenes["split"])
    assert (np.repeat(shard.scenes["split"], 2) == shard.views["split"]).all()


def test_views_that_a_split_moved_away_come_back_to_their_scene(there):
    """The report's script moves pictures from `train` to `test`; the table in `train` still lists them."""
    small_uva(there / "train" / "a", views=4)
    small_uva(there / "test" / "a", views=4)
    for split, gone in (("train", ("00001",)), ("test", ("00000", "00002", "00003"))):
        for name in gone:
            (there / split / "a" / f"{name}.png").unlink()
    (shard,) = converted(there, "uva")
    assert shard.scenes["scene_id"].tolist() == ["a"]
    assert shard.scenes["split"].tolist() == ["train"]
    assert shard.views["split"].tolist() == ["train", "train", "train", "test"]
    assert json.loads(shard.scenes["facts"][0])["pictures"] == ["00000", "00002", "00003", "00001"]
    expected = uva_entries(4)["00001"]
    assert shard.views["target_point"][3] == pytest.approx([expected["x"], expected["z"], -expected["y"]])


def test_views_in_a_patch_are_held_out_of_a_scene_that_is_trained_on(there):
    scene = small_uva(there / "a", views=4)
    held_out = uva_entries(4)["00002"]
    patch = {"azimuth": held_out["azimuth"] + 0.04 + 2 * np.pi, "elevation": held_out["elevation"], "epsilon": 0.05}
    if np.cos(held_out["elevation"]) < 0:
        patch = {**patch, "azimuth": patch["azimuth"] + np.pi, "elevation": np.pi - held_out["elevation"]}
    patch["elevation"] = float(np.arcsin(np.sin(patch["elevation"])))
    edit_params(scene, lambda params: params.update(patch_0=patch))
    (trained,) = converted(there, "uva", split="train")
    (tested,) = converted(there, "uva", split="test", overwrite=True)
    assert trained.views["split"].tolist() == ["train", "train", "test", "train"]
    assert set(tested.views["split"]) == {"test"}
    (said,) = json.loads(trained.scenes["facts"][0])["patches"]
    assert said["half_size_deg"] == pytest.approx(np.rad2deg(0.05))


def test_scenes_that_share_a_name_are_told_apart_by_their_folders(there):
    for place in ("test_1_scene", "test_2_scenes"):
        small_uva(there / place / "a")
    small_uva(there / "b")
    (shard,) = converted(there, "uva")
    assert shard.scenes["scene_id"].tolist() == ["1_scene-a", "2_scenes-a", "b"]
    assert shard.scenes["split"].tolist()[:2] == ["test", "test"]


def test_pictures_with_longer_names_are_found_by_their_last_five_characters(there):
    scene = small_apple(there / "a")
    for picture in sorted(scene.glob("*.png")):
        picture.rename(scene / f"chair_{picture.name}")
    (shard,) = converted(there, "apple")
    assert json.loads(shard.scenes["facts"][0])["pictures"] == ["00000", "00001"]


def test_one_scenes_folder_is_enough(there):
    small_apple(there)
    (shard,) = converted(there, "apple")
    assert shard.scenes["scene_id"].tolist() == ["posed"]


def test_blank_and_clipped_views_are_flagged(there):
    scene = small_apple(there / "a", views=3)
    picture = np.full((SMALL, SMALL, 3), 255, dtype=np.uint8)
    Image.fromarray(picture).save(scene / "00000.png")
    picture[0, 5] = 0
    Image.fromarray(picture).save(scene / "00001.png")
    (shard,) = converted(there, "apple")
    blank, clipped = (1 << FLAGS.index(name) for name in ("blank", "clipped"))
    assert shard.views["flags"].tolist() == [blank, clipped, 0]
    assert shard.views["clipped"].tolist() == [False, True, False]


def test_large_sets_are_spread_over_shards(there, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 4 * SMALL * SMALL * 5)
    for number in range(5):
        small_apple(there / f"{number}")
    shards = converted(there, "apple")
    assert [shard.scenes["scene_id"].tolist() for shard in shards] == [["0", "1"], ["2", "3"], ["4"]]
    names = sorted(path.name for path in (there.parent / "shards").glob("*.h5"))
    assert names == [f"apple-rot-0000{index}-of-00003.h5" for index in range(3)]


def test_an_earlier_conversion_is_kept_unless_told_otherwise(there):
    small_apple(there / "a")
    settings = ConvertSettings(there, "apple", there.parent / "shards")
    (first,) = convert(settings).shards
    before = first.read_bytes()
    small_apple(there / "b")
    with pytest.raises(EnrError, match="already holds a conversion"):
        convert(settings)
    assert first.read_bytes() == before
    (second,) = convert(replace(settings, overwrite=True)).shards
    assert read_shard(second).scenes["scene_id"].tolist() == ["a", "b"]


def test_the_same_folder_gives_the_same_bytes(there):
    small_uva(there / "a")
    first, second = (
        convert(ConvertSettings(there, "uva", there.parent / name)).shards[0].read_bytes() for name in ("one", "two")
    )
    assert first == second


def no_params(scene):
    (scene / "render_params.json").unlink()


def truncated_params(scene):
    file = scene / "render_params.json"
    file.write_bytes(file.read_bytes()[:-20])


def list_of_params(scene):
    (scene / "render_params.json").write_text("[1, 2]")


def empty_params(scene):
    (scene / "render_params.json").write_text("{}")


def binary_params(scene):
    (scene / "render_params.json").write_bytes(b"\xff\xfe\x00\x80")


def no_picture(scene):
    (scene / "00001.png").unlink()


def no_picture_at_all(scene):
    for picture in scene.glob("*.png"):
        picture.unlink()


def picture_too_many(scene):
    (scene / "00009.png").write_bytes((scene / "00001.png").read_bytes())


def picture_twice(scene):
    (scene / "x00001.png").write_bytes((scene / "00001.png").read_bytes())


def truncated_picture(scene):
    (scene / "00001.png").write_bytes((scene / "00001.png").read_bytes()[:50])


def other_size(scene):
    Image.new("RGB", (SMALL, SMALL + 2)).save(scene / "00001.png")


def not_a_number(scene):
    edit_params(scene, lambda params: params["00001"].update(azimuth=float("nan")))


def text_for_a_number(scene):
    edit_params(scene, lambda params: params["00001"].update(elevation="30"))


def endless_number(scene):
    edit_params(scene, lambda params: params["00001"].update(elevation=10**400))


def endless_nesting(scene):
    (scene / "render_params.json").write_text("[" * 100_000)


def no_azimuth(scene):
    edit_params(scene, lambda params: params["00001"].pop("azimuth"))


def entry_of_the_report(scene):
    edit_params(scene, lambda params: params["00001"].update(x=0.0, y=0.0, z=0.0))


def patch_of_the_report(scene):
    edit_params(scene, lambda params: params.update(patch_0={"azimuth": 0.0, "elevation": 0.0, "epsilon": 0.05}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_params, "No render_params.json"),
        (truncated_params, "cannot be read as JSON"),
        (binary_params, "cannot be read as JSON"),
        (list_of_params, "not a table of cameras"),
        (empty_params, "names no picture"),
        (no_picture, r"lacks 1 of the pictures .* 00001.png"),
        (no_picture_at_all, "holds none of the pictures"),
        (picture_too_many, "says nothing of 00009.png"),
        (picture_twice, "go by the same number 00001"),
        (truncated_picture, r"00001\.png cannot be read as a picture"),
        (other_size, "px, others have"),
        (not_a_number, "azimuth of entry 00001 is nan"),
        (text_for_a_number, "elevation of entry 00001 is '30'"),
        (endless_number, "elevation of entry 00001 is 1000"),
        (endless_nesting, "cannot be read as JSON"),
        (no_azimuth, "azimuth of entry 00001 is None"),
        (entry_of_the_report, "--from uva"),
        (patch_of_the_report, "--from uva"),
    ],
)
def test_a_damaged_folder_is_one_sentence_and_nothing_is_written(there, damage, words):
    damage(small_apple(there / "a"))
    with pytest.raises(EnrError, match=words):
        convert(ConvertSettings(there, "apple", there.parent / "shards"))
    assert not (there.parent / "shards").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda params: params["00001"].pop("z"), "give --from apple"),
        (lambda params: params["00001"].update(azimuth=270.0), "look like degrees"),
        (lambda params: params.update(patch_0={"azimuth": 0.1, "elevation": 0.2}), "epsilon of entry patch_0 is None"),
    ],
)
def test_what_is_not_of_the_report_is_refused(there, change, words):
    edit_params(small_uva(there / "a"), change)
    with pytest.raises(EnrError, match=words):
        convert(ConvertSettings(there, "uva", there.parent / "shards"))


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("no folder"), Path.mkdir])
def test_a_folder_without_scenes_is_refused(there, make):
    make(there)
    with pytest.raises(EnrError, match="give "):
        convert(ConvertSettings(there, "apple", there.parent / "shards"))


def test_a_disk_that_fills_up_leaves_the_earlier_conversion_alone(there, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 1)
    for number in range(3):
        small_apple(there / f"{number}")
    settings = ConvertSettings(there, "apple", there.parent / "shards")
    convert(settings)
    before = {path: path.read_bytes() for path in settings.out.glob("*.h5")}
    small_apple(there / "3")

    def fill_up(path, shard, compression):
        if "00002" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_shard(path, shard, compression)

    monkeypatch.setattr(module, "write_shard", fill_up)
    with pytest.raises(EnrError, match="No space left"):
        convert(replace(settings, overwrite=True))
    assert {path: path.read_bytes() for path in settings.out.glob("*.h5")} == before
    assert not [path for path in settings.out.iterdir() if path.is_dir()]


def test_an_output_folder_that_is_a_file_is_refused(there):
    small_apple(there / "a")
    (there.parent / "shards").write_text("in the way")
    with pytest.raises(EnrError, match="cannot be written to"):
        convert(ConvertSettings(there, "apple", there.parent / "shards"))
