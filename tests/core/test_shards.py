"""A shard comes back as it was written, is complete or absent, and anything else is refused in a sentence."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enr import __version__, shards
from enr.camera import GROUPS, intrinsics, orbit_camera
from enr.errors import EnrError
from enr.shards import (
    FLAGS,
    SCENE_SHAPES,
    SPLITS,
    VIEW_SHAPES,
    Shard,
    ShardMeta,
    check_hashes,
    image_offset,
    open_shard,
    read_meta,
    read_shard,
    read_tables,
    write_shard,
)
from enr.shards.layout import SINCE_SCHEMA_2

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12)


@st.composite
def random_shards(draw):
    views_of = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    ids = draw(st.lists(texts, min_size=len(views_of), max_size=len(views_of), unique=True))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    group = draw(st.sampled_from(GROUPS))
    return make_shard(ids, views_of, (height, width), seed, group)


def make_shard(ids=("a", "b"), views_of=(2, 3), shape=(5, 7), seed=0, group="rototrans"):
    rng = np.random.default_rng(seed)
    views, scenes = sum(views_of), len(ids)
    azimuth_deg, elevation_deg = rng.uniform(-180, 180, views), rng.uniform(-90, 90, views)
    target_point = rng.uniform(-0.4, 0.4, (views, 3))
    return Shard(
        meta=ShardMeta(group, seed, tuple(rng.random(3)), "5.0.1", {"views": 3, "nested": {"é": [1, 2.5, None]}}),
        images=rng.integers(0, 256, (views, *shape, 4), dtype=np.uint8),
        views={
            "world_from_camera": orbit_camera(azimuth_deg, elevation_deg, 2.0, target_point),
            "K": np.repeat(intrinsics(88.9, shape[1], shape[0])[None], views, axis=0),
            "scene_id": np.repeat(np.array(ids, dtype=str), views_of),
            "view_index": np.concatenate([np.arange(count, dtype=np.int32) for count in views_of]),
            "azimuth_deg": azimuth_deg,
            "elevation_deg": elevation_deg,
            "radius": np.full(views, 2.0),
            "target_point": target_point,
            "clipped": rng.random(views) < 0.5,
            "roll_deg": rng.uniform(-10, 10, views),
            "split": rng.choice(SPLITS, views),
            "clipped_share": rng.random(views, dtype=np.float32),
            "flags": rng.integers(0, 2 ** len(FLAGS), views).astype(np.uint16),
        },
        scenes={
            "scene_id": np.array(ids, dtype=str),
            "split": rng.choice(SPLITS, scenes),
            "mesh_path": np.array([f"/meshes/{name}.obj" for name in ids]),
            "mesh_sha256": np.array(["0" * 64] * scenes),
            "normalise_scale": rng.uniform(0.5, 2, scenes),
            "normalise_offset": rng.normal(size=(scenes, 3)),
            "materials": np.array(["palette"] * scenes),
            "facts": np.array(['{"faces": 12}'] * scenes),
        },
    )


def change(shard, table, **columns):
    return dataclasses.replace(shard, **{table: {**getattr(shard, table), **columns}})


def assert_same(first: Shard, second: Shard):
    assert second.meta == dataclasses.replace(first.meta, enr_version=__version__)
    np.testing.assert_array_equal(first.images, second.images)
    for table, shapes in (("views", VIEW_SHAPES), ("scenes", SCENE_SHAPES)):
        assert set(getattr(second, table)) == set(shapes)
        for name in shapes:
            before, after = getattr(first, table)[name], getattr(second, table)[name]
            np.testing.assert_array_equal(before, after, err_msg=name)
            assert after.dtype.kind == before.dtype.kind, name


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "rototrans-00000-of-00001.h5"
    write_shard(path, make_shard())
    return path


@pytest.mark.parametrize("compression", ["none", "gzip"])
@settings(max_examples=25, deadline=None)
@given(shard=random_shards())
def test_a_shard_comes_back_as_it_was_written(tmp_path_factory, compression, shard):
    path = tmp_path_factory.mktemp("shards") / "nested" / "shard.h5"
    write_shard(path, shard, compression)
    assert_same(shard, read_shard(path))
    assert [file.name for file in path.parent.iterdir()] == ["shard.h5"]


def test_meta_and_tables_can_be_read_without_the_images(written):
    whole = read_shard(written)
    meta, views, scenes = read_tables(written)
    assert read_meta(written) == meta == whole.meta
    for name in VIEW_SHAPES:
        np.testing.assert_array_equal(views[name], whole.views[name])
    for name in SCENE_SHAPES:
        np.testing.assert_array_equal(scenes[name], whole.scenes[name])


def test_the_same_shard_gives_the_same_bytes(written, tmp_path):
    again = tmp_path / "again.h5"
    write_shard(again, make_shard())
    assert again.read_bytes() == written.read_bytes()


def test_uncompressed_images_lie_in_one_piece_in_the_file(written):
    with open_shard(written) as file:
        offset, shape = image_offset(file), file["images"].shape
    mapped = np.memmap(written, np.uint8, "r", offset, shape)
    np.testing.assert_array_equal(mapped, make_shard().images)


def test_gzip_makes_one_chunk_an_image(tmp_path):
    write_shard(tmp_path / "packed.h5", make_shard(), "gzip")
    with open_shard(tmp_path / "packed.h5") as file:
        assert image_offset(file) is None
        assert file["images"].chunks == (1, 5, 7, 4)


def test_a_view_may_be_held_out_of_a_scene_that_is_trained_on():
    shard = change(make_shard(), "views", split=np.array(["val", "val", "train", "test", "train"]))
    assert shard.split_of_view().tolist() == ["val", "val", "train", "test", "train"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.98])
def test_a_truncated_shard_is_refused(written, share):
    content = written.read_bytes()
    written.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(EnrError, match="truncated"):
        read_shard(written)


def test_what_is_no_shard_is_refused(tmp_path):
    other = tmp_path / "other.h5"
    with pytest.raises(EnrError, match="not a file"):
        read_shard(other)
    with pytest.raises(EnrError, match="not a file"):
        read_shard(tmp_path)
    other.write_text("hello")
    with pytest.raises(EnrError, match="not a readable HDF5 file"):
        read_shard(other)
    with h5py.File(other, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(EnrError, match="not a shard of enr"):
        read_meta(other)


@pytest.mark.parametrize("version", [0, shards.SCHEMA_VERSION + 1])
def test_another_schema_is_refused_with_both_versions(written, version):
    with h5py.File(written, "a") as file:
        file.attrs["schema_version"] = version
    with pytest.raises(EnrError, match=f"schema {version}.*schema {shards.SCHEMA_VERSION}"):
        read_tables(written)


@pytest.mark.parametrize("name", ["images", "K", "target_point", "scenes/split"])
def test_a_missing_data_set_is_named(written, name):
    with h5py.File(written, "a") as file:
        del file[name]
    with pytest.raises(EnrError, match=name):
        read_shard(written)


@pytest.mark.parametrize("name", ["seed", "background", "config", "blender_version"])
def test_a_missing_attribute_is_named(written, name):
    with h5py.File(written, "a") as file:
        del file.attrs[name]
    with pytest.raises(EnrError, match=name):
        read_meta(written)


def test_an_unknown_group_is_refused(written):
    with h5py.File(written, "a") as file:
        file.attrs["group"] = "shear"
    with pytest.raises(EnrError, match="shear"):
        read_meta(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("K", np.zeros((5, 3))),
        ("radius", np.ones(4)),
        ("radius", [b"far"] * 5),
        ("images", np.zeros((4, 5, 7, 4), np.uint8)),
        ("images", np.zeros((5, 5, 7, 3), np.uint8)),
        ("scenes/normalise_offset", np.zeros((2, 2))),
        ("scenes/scene_id", b"a"),
        ("scenes/split", [b"train", b"exam"]),
        ("world_from_camera", np.full((5, 4, 4), np.nan)),
        ("world_from_camera", np.tile(np.diag([-1.0, 1, 1, 1]), (5, 1, 1))),
        ("K", np.full((5, 3, 3), np.inf)),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused_when_tables_are_read(written, name, value):
    with h5py.File(written, "a") as file:
        del file[name]
        is_text = np.asarray(value).dtype.kind == "S"
        file.create_dataset(name, data=value, dtype=h5py.string_dtype() if is_text else None)
    with pytest.raises(EnrError, match=written.name):
        read_tables(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema_version", "one"),
        ("schema_version", [1, 1]),
        ("background", 1.0),
        ("background", "white"),
        ("seed", "x"),
    ],
)
def test_an_attribute_of_another_kind_is_refused(written, name, value):
    with h5py.File(written, "a") as file:
        file.attrs[name] = value
    with pytest.raises(EnrError, match=written.name):
        read_meta(written)


@pytest.mark.parametrize("column", sorted(set(VIEW_SHAPES)))
def test_a_column_that_is_too_short_is_not_written(tmp_path, column):
    shard = make_shard()
    shard = change(shard, "views", **{column: shard.views[column][:-1]})
    with pytest.raises(EnrError, match=column):
        write_shard(tmp_path / "bad.h5", shard)
    assert not list(tmp_path.iterdir())


def test_wrong_images_and_splits_are_not_written(tmp_path):
    shard = make_shard()
    wrong = [
        dataclasses.replace(shard, images=shard.images.astype(np.float32)),
        dataclasses.replace(shard, images=shard.images[..., :3]),
        change(shard, "scenes", split=np.array(["train", "exam"])),
    ]
    for bad in wrong:
        with pytest.raises(EnrError, match="expected"):
            write_shard(tmp_path / "bad.h5", bad)
    assert not list(tmp_path.iterdir())


def test_a_shard_that_fails_half_way_leaves_the_old_one_and_no_partial(written, monkeypatch):
    before = written.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enr.shards.hdf5.seal", fail)
    with pytest.raises(OSError, match="No space"):
        write_shard(written, make_shard(seed=1))
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_a_failed_rename_leaves_no_partial(tmp_path, monkeypatch):
    def fail(partial, path):
        assert partial.stat().st_size and not path.exists()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(tmp_path), "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_shard(tmp_path / "shard.h5", make_shard())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_passes_come_back_with_the_axes_of_their_normals(tmp_path, compression):
    shard, rng = make_shard(), np.random.default_rng(1)
    views = len(shard.images)
    passes = {
        "depth": np.where(rng.random((views, 5, 7)) < 0.5, np.inf, rng.random((views, 5, 7))).astype(np.float32),
        "normals": rng.normal(size=(views, 5, 7, 3)).astype(np.float16),
        "mask": rng.random((views, 5, 7)) < 0.5,
    }
    write_shard(tmp_path / "a.h5", dataclasses.replace(shard, passes=passes, normals_space="world"), compression)
    again = read_shard(tmp_path / "a.h5")
    assert again.normals_space == "world"
    for name, pictures in passes.items():
        np.testing.assert_array_equal(again.passes[name], pictures)
        assert again.passes[name].dtype == pictures.dtype


def test_a_pass_of_another_size_is_refused(tmp_path):
    shard = make_shard()
    with pytest.raises(EnrError, match="depth has shape"):
        write_shard(tmp_path / "a.h5", dataclasses.replace(shard, passes={"depth": np.zeros((5, 5, 6), np.float32)}))


def test_every_data_set_carries_the_hash_of_its_values(written):
    with h5py.File(written) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            values = file[name].asstr()[:] if h5py.check_string_dtype(file[name].dtype) else file[name][:]
            assert file[name].attrs["sha256"] == shards.values_sha256(np.asarray(values))
    assert {"images", "K", "scenes/facts"} <= set(names)


@pytest.mark.parametrize("name", ["images", "K", "scene_id", "scenes/facts"])
def test_a_changed_data_set_is_named(written, name):
    assert check_hashes(written) == ()
    with h5py.File(written, "r+") as file:
        values = file[name][:]
        values[-1] = b"other" if values.dtype == object else values[-1] + 1
        file[name][:] = values
    assert check_hashes(written) == (name,)


def test_changed_attributes_and_missing_hashes_are_named(written):
    with h5py.File(written, "r+") as file:
        file.attrs["seed"] += 1
        del file["radius"].attrs["sha256"]
    assert check_hashes(written) == ("radius", "attributes")


def test_a_shard_of_schema_1_is_read_with_what_it_would_have_said(written):
    with h5py.File(written, "a") as file:
        file.attrs["schema_version"] = 1
        for name in SINCE_SCHEMA_2:
            del file[name]
    shard = read_shard(written)
    split = dict(zip(shard.scenes["scene_id"], shard.scenes["split"], strict=True))
    assert shard.split_of_view().tolist() == [split[scene] for scene in shard.views["scene_id"]]
    assert not shard.views["roll_deg"].any() and np.isnan(shard.views["clipped_share"]).all()
    np.testing.assert_array_equal(shard.views["flags"] == 2 ** FLAGS.index("clipped"), shard.views["clipped"])
    assert set(shard.scenes["facts"]) == {"{}"}


@pytest.mark.parametrize("change", [np.diag([2.0, 2, 2, 1]), np.diag([1.0, -1, 1, 1]), np.eye(4) + np.eye(4, k=1)])
def test_a_camera_that_is_not_rigid_is_refused_by_its_number(written, change):
    with h5py.File(written, "a") as file:
        file["world_from_camera"][3] = file["world_from_camera"][3] @ change
    with pytest.raises(EnrError, match=r"world_from_camera of view 3 is not rigid"):
        read_tables(written)
