"""A data set is fixed before it is rendered: workers, interruptions and neighbours change nothing in it."""

import dataclasses
import json

import numpy as np
import pytest
from tests.datagen.conftest import SMALL, small_set, write_mesh

from enr.camera import intrinsics, orbit_camera
from enr.datagen.appearance.palette import linear_palette
from enr.datagen.cameras.poses import noise_seed
from enr.datagen.generate import Summary, generate
from enr.datagen.run import publish
from enr.datagen.settings import GenerateSettings, PoolSettings, PoseSettings, RenderSettings
from enr.errors import EnrError
from enr.shards import Shard, read_meta, read_shard

VIEWS = 4
SCENES_PER_SHARD = 3


@pytest.fixture
def settings(tmp_path, fake_worker) -> GenerateSettings:
    """Eight meshes, three to a shard, drawn by the fake worker."""
    for number in range(8):
        write_mesh(tmp_path / "meshes", f"mesh{number}")
    render = dataclasses.replace(SMALL, seed=5)
    return small_set(tmp_path / "meshes", VIEWS, SCENES_PER_SHARD, render=render, pool=PoolSettings(workers=2))


def contents(summary: Summary) -> list[Shard]:
    return [read_shard(path) for path in summary.shards]


def assert_same(first: list[Shard], second: list[Shard]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.meta == other.meta
        np.testing.assert_array_equal(one.images, other.images)
        for table, twin in ((one.views, other.views), (one.scenes, other.scenes)):
            for name in table:
                np.testing.assert_array_equal(table[name], twin[name], err_msg=name)


def by_view(shards: list[Shard]) -> dict[tuple[str, int], bytes]:
    """Pixels and camera of every view by its scene and number."""
    return {
        (scene, index): image.tobytes() + camera.tobytes()
        for shard in shards
        for scene, index, image, camera in zip(
            shard.views["scene_id"],
            shard.views["view_index"].tolist(),
            shard.images,
            shard.views["world_from_camera"],
            strict=True,
        )
    }


def test_the_number_of_workers_changes_nothing(settings, tmp_path):
    alone = dataclasses.replace(settings, out=tmp_path / "alone", pool=PoolSettings(workers=1))
    crowd = dataclasses.replace(settings, out=tmp_path / "crowd", pool=PoolSettings(workers=5, meshes_per_worker=1))
    assert_same(contents(generate(alone)), contents(generate(crowd)))


def test_a_view_does_not_depend_on_other_views_and_meshes(settings, tmp_path):
    everything = by_view(contents(generate(settings)))
    few = dataclasses.replace(
        settings, meshes=(tmp_path / "meshes/mesh3.obj",), views=2, out=tmp_path / "few", pool=PoolSettings()
    )
    part = by_view(contents(generate(few)))
    assert set(part) == {("mesh3", 0), ("mesh3", 1)}
    assert all(everything[view] == pixels for view, pixels in part.items())


def test_the_tables_say_how_each_view_was_made(settings):
    summary = generate(settings)
    assert [path.name for path in summary.shards] == [f"rototrans-0000{index}-of-00003.h5" for index in range(3)]
    assert (summary.scenes, summary.images, summary.images_made) == (8, 32, 32)
    for shard in contents(summary):
        views = shard.views
        cameras = orbit_camera(views["azimuth_deg"], views["elevation_deg"], views["radius"], views["target_point"])
        np.testing.assert_array_equal(views["world_from_camera"], cameras)
        np.testing.assert_array_equal(views["K"], np.broadcast_to(intrinsics(11.0, 8, 8), (len(cameras), 3, 3)))
        np.testing.assert_array_equal(views["view_index"], list(range(VIEWS)) * len(shard.scenes["scene_id"]))
        assert shard.meta.seed == 5
        assert shard.meta.config["render"] == settings.render.config()
    clipped = np.concatenate([shard.views["clipped"] for shard in contents(summary)])
    assert summary.clipped_share == clipped.mean()


def test_running_again_makes_only_what_is_missing(settings):
    first = generate(settings)
    before = contents(first)
    kept = first.shards[0].stat().st_mtime_ns
    first.shards[1].unlink()
    again = generate(settings)
    assert again.images_made == SCENES_PER_SHARD * VIEWS
    assert first.shards[0].stat().st_mtime_ns == kept
    assert_same(before, contents(again))
    assert generate(settings).images_made == 0


@pytest.mark.parametrize(
    "change",
    [
        {"views": 3},
        {"background": (0.0, 0.0, 0.0)},
        {"poses": PoseSettings("rototrans", radius=3.0)},
        {"split_shares": (0.5, 0.25, 0.25)},
        {"render": RenderSettings(8, 8, 11.0, seed=6)},
    ],
)
def test_other_settings_are_refused_and_nothing_is_lost(settings, change):
    before = contents(generate(settings))
    changed = dataclasses.replace(settings, **change)
    with pytest.raises(EnrError, match="give another --out, or --overwrite"):
        generate(changed)
    assert_same(before, [read_shard(path) for path in sorted(settings.out.glob("*.h5"))])


def test_a_changed_mesh_is_noticed(settings, tmp_path):
    generate(settings)
    (tmp_path / "meshes/mesh2.obj").write_text("v 0 0 0\nv 2 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(EnrError, match="other settings, meshes or versions"):
        generate(settings)


def test_overwriting_leaves_only_the_new_data_set(settings, tmp_path):
    generate(settings)
    fewer = dataclasses.replace(settings, meshes=(tmp_path / "meshes/mesh0.obj",), overwrite=True)
    summary = generate(fewer)
    assert sorted(settings.out.glob("*.h5")) == list(summary.shards) == [settings.out / "rototrans-00000-of-00001.h5"]


def test_groups_share_a_folder(settings):
    generate(settings)
    generate(dataclasses.replace(settings, poses=PoseSettings("trans")))
    assert {path.name.split("-")[0] for path in settings.out.glob("*.h5")} == {"trans", "rototrans"}


def test_a_failed_mesh_is_named_and_the_rest_is_made(settings, tmp_path):
    write_mesh(tmp_path / "meshes", "refuses")
    write_mesh(tmp_path / "meshes", "dies")
    for summary in (generate(settings), generate(settings)):
        assert summary.scenes == 8
        assert summary.failures["refuses"] == "it refuses"
        assert "Blender crashed" in summary.failures["dies"]


def test_without_a_single_scene_the_failures_are_remembered_and_not_tried_again(settings, tmp_path):
    mesh = write_mesh(tmp_path / "bad", "dies")
    only = dataclasses.replace(settings, meshes=(mesh,))
    for is_first in (True, False):
        summary = generate(only)
        assert (summary.scenes, summary.contact_sheet) == (0, None)
        assert summary.failures["dies"].startswith("Blender crashed") and summary.retryable == ("dies",)
        assert [path.name for path in settings.out.glob("*0000*")] == ["rototrans-00000-of-00001.failed.json"]
        assert mesh.with_suffix(".tried").exists() is is_first
        mesh.with_suffix(".tried").unlink(missing_ok=True)


def test_a_full_disk_is_one_sentence(settings, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "write_shard", no_room)
    with pytest.raises(EnrError, match="No space left on device"):
        generate(settings)


def test_an_output_folder_that_is_a_file_is_refused_before_work(settings, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(EnrError, match="cannot be written to"):
        generate(dataclasses.replace(settings, out=tmp_path / "taken"))


def test_the_config_is_json_as_it_stands(settings):
    for path in generate(settings).shards:
        config = read_meta(path).config
        assert json.loads(json.dumps(config)) == config
        assert [mesh["scene_id"] for mesh in config["meshes"]] == read_shard(path).scenes["scene_id"].tolist()


def test_seeds_and_colours_belong_to_the_scene():
    assert noise_seed(1, "chair", 3) == noise_seed(1, "chair", 3)
    assert len({noise_seed(seed, scene, view) for seed in (1, 2) for scene in "ab" for view in range(9)}) == 36
    assert linear_palette(1, "chair") == linear_palette(1, "chair") != linear_palette(1, "stool")
    assert all(0 < channel < 1 for colour in linear_palette(1, "chair") for channel in colour)


def test_one_mesh_under_two_ids_on_both_sides_of_a_split_is_said(tmp_path, fake_worker):
    """By content: whatever the ids are; splits stay by id, so published lists do."""
    names = [f"m{number}" for number in range(12)]
    for name in names:
        write_mesh(tmp_path / "meshes", "same").rename(tmp_path / f"meshes/{name}.obj")
    settings = small_set(tmp_path / "meshes", 1, 3, split_shares=(0.5, 0.25, 0.25))
    summary = generate(settings)
    tables = [read_shard(path).scenes for path in summary.shards]
    split = {scene: part for table in tables for scene, part in zip(table["scene_id"], table["split"], strict=True)}
    held_out = {name for name in names if split[name] != "train"}
    assert held_out and {held for _, held in summary.repeated} == held_out
    assert all(split[trained] == "train" for trained, _ in summary.repeated)
    for number, name in enumerate(names):
        (tmp_path / f"meshes/{name}.obj").write_text(f"#{number}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert generate(dataclasses.replace(settings, overwrite=True)).repeated == ()
