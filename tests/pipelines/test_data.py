"""Shards are read as they were written, as one set of views, and every pair is drawn as often as any other."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.camera import invert_rigid
from enr.errors import EnrError
from enr.files import PARTIAL_SUFFIX
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training.loader import PairLoader
from enr.shards import write_shard
from enr.shards.find import find_shards

PAIRS_PER_S = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_toy(folder / "a.h5", Toy(group="rot", seed=1))
    write_toy(folder / "b.h5", Toy(group="trans", seed=2, views=3), compression="gzip")
    return folder


@pytest.fixture(scope="module")
def view_set(folder):
    return ViewSet.open([folder])


def test_images_of_every_layout_are_those_that_were_written(view_set):
    first, second = make_toy(Toy(group="rot", seed=1)), make_toy(Toy(group="trans", seed=2, views=3))
    order = np.random.default_rng(0).permutation(len(view_set))
    assert np.array_equal(view_set.images(order), np.concatenate([first.images, second.images])[order])


def test_views_are_chosen_by_masks_as_numpy_does_and_by_whole_numbers_alone(view_set):
    everything = view_set.images(np.arange(len(view_set)))
    mask = np.random.default_rng(0).random(len(view_set)) < 0.5
    for chosen in (mask, mask.tolist(), [3, 1, -1], np.array([2], np.uint8), []):
        expected = everything[np.asarray(chosen, dtype=bool if len(chosen) == len(mask) else int)]
        assert np.array_equal(view_set.images(chosen), expected)
    for wrong in ([0.0, 1.5], mask[:-1], np.zeros((2, 2), int), ["a"], 3):
        with pytest.raises(EnrError, match="expected whole numbers"):
            view_set.images(wrong)


@pytest.mark.parametrize("wrong", [torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, 3, dtype=torch.uint8)])
def test_pictures_of_another_type_are_not_composited(wrong):
    with pytest.raises(EnrError, match=r"expected torch\.uint8"):
        composite(wrong, (1.0, 1.0, 1.0))


def test_a_shard_of_another_program_without_hashes_is_read_and_one_that_lost_a_hash_is_not(tmp_path):
    path = write_toy(tmp_path / "a.h5", Toy())
    with h5py.File(path) as file, h5py.File(tmp_path / "b.h5", "w") as bare:
        for name in file:
            file.copy(name, bare)
        for key, value in file.attrs.items():
            if key != "sha256":
                bare.attrs[key] = value
        names = []
        bare.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        del bare["K"].attrs["sha256"]
    refused([tmp_path / "b.h5"], "no longer what was written", "K")
    with h5py.File(tmp_path / "b.h5", "a") as bare:
        for name in set(names) - {"K"}:
            del bare[name].attrs["sha256"]
    assert np.array_equal(ViewSet.open([tmp_path / "b.h5"]).images([0]), ViewSet.open([path]).images([0]))


def test_tables_of_all_shards_are_one_table(view_set):
    shards = [make_toy(Toy(group="rot", seed=1)), make_toy(Toy(group="trans", seed=2, views=3))]
    for name in ("world_from_camera", "K", "view_index", "scene_id"):
        assert np.array_equal(view_set.views[name], np.concatenate([shard.views[name] for shard in shards]))
    splits = np.concatenate([shard.split_of_view() for shard in shards])
    assert np.array_equal(view_set.views["split"], splits)


def test_scenes_say_where_their_views_are(view_set):
    for number, scene in enumerate(view_set.all_scenes):
        rows = scene.view_indices
        assert set(view_set.views["scene"][rows]) == {number}
        assert set(view_set.views["scene_id"][rows]) == {scene.scene_id}
        assert set(view_set.views["group"][rows]) == {scene.group}
        assert set(view_set.views["split"][rows]) == {scene.split}
    assert sum(scene.count for scene in view_set.all_scenes) == len(view_set)


def test_scenes_are_chosen_by_split_and_group(view_set):
    for split, group in itertools.product(("train", "val", "test"), ("rot", "trans")):
        chosen = view_set.scenes(split, group)
        assert chosen == tuple(s for s in view_set.all_scenes if s.split == split and s.group == group)
        assert chosen


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000), st.integers(0, 300), st.sampled_from(["train", "val", "test"]))
def test_pairs_are_two_views_of_one_scene_of_the_split(view_set, batch_size, seed, position, split):
    loader = PairLoader(view_set, split, batch_size, seed)
    first, second = loader.groups(position)
    assert len(first) == len(second) == batch_size
    assert (first != second).all()
    for name in ("scene", "group", "scene_id", "shard"):
        assert np.array_equal(view_set.views[name][first], view_set.views[name][second])
    assert set(view_set.views["split"][np.concatenate([first, second])]) == {split}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_pass_takes_every_view_once(view_set, batch_size, seed):
    loader = PairLoader(view_set, "train", batch_size, seed)
    views = np.flatnonzero(view_set.views["split"] == "train")
    stream = np.concatenate([loader.groups(number)[0] for number in range(-(-2 * len(views) // batch_size))])
    assert sorted(stream[: len(views)]) == views.tolist()
    assert sorted(stream[len(views) : 2 * len(views)]) == views.tolist()


def test_every_ordered_pair_is_drawn_equally_often(view_set):
    loader = PairLoader(view_set, "train", 500, seed=3)
    first, second = np.concatenate([loader.groups(number) for number in range(40)], axis=1)
    scene = next(scene for scene in view_set.scenes("train") if scene.count == 4)
    counts = [((first == a) & (second == b)).sum() for a, b in itertools.permutations(scene.view_indices, 2)]
    expected = sum(counts) / 12
    # A chi-squared value with 11 degrees of freedom is above 35 once in 4,000 draws; the seed is fixed.
    assert sum((count - expected) ** 2 for count in counts) / expected < 35


def test_a_batch_is_its_pairs_both_ways(view_set):
    loader = PairLoader(view_set, "train", 6, seed=0)
    first, second = loader.groups(0)
    batch = next(loader)
    assert np.array_equal(batch.views, np.concatenate([first, second]))
    assert np.array_equal(batch.rgba, view_set.images(batch.views))
    cameras = view_set.views["world_from_camera"]
    for row, (source, target) in enumerate(zip(batch.views, np.roll(batch.views, 6), strict=True)):
        expected = np.linalg.inv(cameras[target]) @ cameras[source]
        np.testing.assert_allclose(batch.target_from_sources[row, 0], expected, atol=1e-12)
    both = batch.target_from_sources[:, 0]
    np.testing.assert_allclose(both[:6], invert_rigid(both[6:]), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(0, 300), st.integers(2, 3))
def test_every_view_of_a_scene_is_the_target_of_all_others(view_set, batch_size, position, views_per_scene):
    loader = PairLoader(view_set, "train", batch_size, 0, views_per_scene)
    loader.load_state_dict({"seed": 0, "position": position})
    batch = next(loader)
    scenes = view_set.views["scene"]
    for column in batch.views.reshape(views_per_scene, batch_size).T:
        assert len(set(column.tolist())) == views_per_scene
        assert len(set(scenes[column].tolist())) == 1
    pairs = list(zip(batch.sources[:, 0].tolist(), batch.target.tolist(), strict=True))
    slow = [
        (a, b) for a, b in np.ndindex(len(batch.views), len(batch.views)) if a != b and a % batch_size == b % batch_size
    ]
    assert sorted(pairs) == slow and len(pairs) == loader.pairs_per_batch
    cameras = view_set.views["world_from_camera"][batch.views]
    for motion, (source, target) in zip(batch.target_from_sources[:, 0], pairs, strict=True):
        np.testing.assert_allclose(motion, np.linalg.inv(cameras[target]) @ cameras[source], atol=1e-12)


def test_more_targets_than_a_scene_has_other_views_are_refused(view_set):
    with pytest.raises(EnrError, match="lower `targets`"):
        PairLoader(view_set, "train", 2, 0, views_per_scene=99)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 60), st.integers(0, 5))
def test_a_loader_goes_on_where_it_was(view_set, before, seed):
    loader, other = PairLoader(view_set, "train", 3, seed), PairLoader(view_set, "train", 3, seed=99)
    for _ in range(before):
        next(loader)
    other.load_state_dict(loader.state_dict())
    for _ in range(8):
        ours, theirs = next(loader), next(other)
        assert np.array_equal(ours.views, theirs.views)
        assert np.array_equal(ours.rgba, theirs.rgba)


def test_what_is_read_ahead_is_what_will_be_asked_for(view_set, monkeypatch):
    """Each batch once, and wherever a loader goes on; it does not change the batches."""
    told = []
    monkeypatch.setattr(ViewSet, "expect", lambda self, views: told.append(views.tolist()))
    loader = PairLoader(view_set, "train", 2, seed=3)
    batches = [next(loader).views.tolist() for _ in range(20)]
    assert told[:19] == batches[1:]
    assert batches == [PairLoader(view_set, "train", 2, seed=3).groups(number).ravel().tolist() for number in range(20)]
    loader.load_state_dict({"seed": 3, "position": 5})
    assert next(loader).views.tolist() == batches[5]


def test_a_shard_that_is_cut_off_while_it_is_read_is_named(tmp_path):
    path = write_toy(tmp_path / "toy.h5", Toy())
    opened = ViewSet.open([path])
    opened.expect(np.arange(len(opened)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(EnrError, match=r"toy\.h5 ends before picture"):
        opened.images(np.arange(len(opened)))


def test_the_next_batch_leaves_the_last_one_alone(view_set):
    loader = PairLoader(view_set, "train", 4, seed=0)
    batch = next(loader)
    before = batch.rgba.copy()
    next(loader)
    assert np.array_equal(batch.rgba, before)


@pytest.fixture
def for_gpu(monkeypatch):
    """A loader as one for a GPU, without pinned memory."""
    monkeypatch.setattr("enr.pipelines.training.loader.pinned", lambda pictures: pictures)
    return lambda loader, answer=True: setattr(loader, "is_for_gpu", answer) or loader


@pytest.mark.parametrize("is_for_gpu", [True, False])
def test_pictures_are_read_on_a_thread_while_a_gpu_works(view_set, monkeypatch, for_gpu, is_for_gpu):
    """The first ones by the caller, all others once, by a thread that is gone afterwards; wherever a loader goes on."""
    images, read = ViewSet.images, []

    def spy(self, indices, out=None):
        read.append((threading.current_thread() is threading.main_thread(), np.asarray(indices).tolist()))
        return images(self, indices, out)

    monkeypatch.setattr(ViewSet, "images", spy)
    loader = for_gpu(PairLoader(view_set, "train", 2, seed=3), is_for_gpu)
    for number in range(6):
        batch = next(loader)
        assert batch.views.tolist() == loader.groups(number).ravel().tolist()
        assert np.array_equal(batch.rgba, images(view_set, batch.views))
    loader.load_state_dict({"seed": 3, "position": 2})
    assert [is_main for is_main, _ in read] == ([True, *[False] * 6] if is_for_gpu else [True] * 6)
    assert [views for _, views in read] == [loader.groups(number).ravel().tolist() for number in range(len(read))]
    batch = next(loader)
    assert np.array_equal(batch.rgba, images(view_set, loader.groups(2).ravel()))
    loader.load_state_dict({"seed": 3, "position": 0})
    assert not [thread for thread in threading.enumerate() if thread.name == "enr-reader" and _outlives(thread)]


def _outlives(thread):
    thread.join(timeout=10)
    return thread.is_alive()


def test_what_goes_wrong_while_the_next_batch_is_read_is_said_when_it_is_taken(tmp_path, for_gpu):
    path = write_toy(tmp_path / "toy.h5", Toy())
    loader = for_gpu(PairLoader(ViewSet.open([path]), "train", 8, seed=3))
    next(loader)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 3)
    with pytest.raises(EnrError, match=r"toy\.h5 ends before picture \d+; it was cut off while it was being read"):
        for _ in range(3):
            next(loader)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(0, 1)] * 3))
def test_composite_equals_its_slow_twin(seed, background):
    rgba = np.random.default_rng(seed).integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    expected = np.empty((2, 3, 3, 4))
    for n, y, x, channel in np.ndindex(2, 3, 4, 3):
        alpha = float(rgba[n, y, x, 3]) / 255
        expected[n, channel, y, x] = alpha * float(rgba[n, y, x, channel]) / 255 + (1 - alpha) * background[channel]
    got = composite(torch.from_numpy(rgba), background)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


def test_it_reads_20_000_pairs_a_second(tmp_path):
    write_toy(tmp_path / "a.h5", Toy(splits=("train",) * 4, views=200, size_px=64))
    loader = PairLoader(ViewSet.open([tmp_path]), "train", 64, seed=0)
    next(loader)
    assert max(_pairs_per_s(loader) for _ in range(10)) > PAIRS_PER_S


def _pairs_per_s(loader):
    # Processor time of all threads: whatever else runs on the machine says nothing about the loader.
    start = time.process_time()
    for _ in range(20):
        next(loader)
    return 20 * loader.batch_size / (time.process_time() - start)


def test_shards_given_twice_or_by_folder_count_once(folder):
    files = find_shards([folder, folder / "a.h5", folder / ".." / folder.name / "b.h5"])
    assert [file.name for file in files] == ["a.h5", "b.h5"]


def test_a_folder_without_a_shard_is_refused_beside_others(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.yaml").write_text("shards: []")
    refused([tmp_path / "empty", folder], "No shard found in", "empty", "enr datagen")
    for name in ("runs", "runs/mine"):
        refused([tmp_path / name, folder], str(tmp_path / name), "--checkpoint", "--init")


def refused(paths, *words):
    with pytest.raises(EnrError) as caught:
        ViewSet.open(paths)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_different_resolutions_are_refused(folder, tmp_path):
    refused([folder, write_toy(tmp_path / "c.h5", Toy(size_px=24))], "resolution", "16x16", "24x24", "c.h5")


def test_different_schemas_are_refused(folder, tmp_path):
    path = write_toy(tmp_path / "c.h5", Toy())
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 99
    refused([folder, path], "schema 99", "c.h5")


def test_different_backgrounds_are_refused(folder, tmp_path):
    refused([folder, write_toy(tmp_path / "c.h5", Toy(background=(0, 0, 0)))], "background", "c.h5")


def test_a_mesh_that_is_trained_on_in_one_shard_and_held_out_in_another_is_refused(folder, tmp_path):
    refused([folder, write_toy(tmp_path / "c.h5", Toy(splits=("val", "train")))], "box-000", "'val'", "'train'")


def test_a_scene_that_is_given_twice_is_refused(folder, tmp_path):
    refused([folder, write_toy(tmp_path / "c.h5", Toy(group="rot", seed=1))], "box-000", "(rot)", "twice")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.99])
def test_a_truncated_shard_is_refused(tmp_path, share):
    path = write_toy(tmp_path / "a.h5", Toy())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused([path], "a.h5", "enr datagen")


@pytest.mark.parametrize("checked", ["pictures", "tables"])
def test_a_shard_that_is_no_longer_what_was_written_is_refused(tmp_path, monkeypatch, checked):
    name = "images" if checked == "pictures" else "K"
    monkeypatch.setattr("enr.shards.find.CHECKED_BYTES", 2**30 if checked == "pictures" else 0)
    path = write_toy(tmp_path / "a.h5", Toy())
    with h5py.File(path) as file:
        place = file[name].id.get_offset() + 3
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    refused([path], "a.h5", "no longer what was written", name)


def test_something_else_is_refused(tmp_path):
    (tmp_path / "a.h5").write_text("no shard")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["images"] = np.zeros((2, 4, 4, 4), np.uint8)
    refused([tmp_path / "a.h5"], "a.h5")
    refused([tmp_path / "b.h5"], "b.h5", "not a shard")
    refused([tmp_path / "missing.h5"], "missing.h5")
    (tmp_path / "empty").mkdir()
    refused([tmp_path / "empty"], "No shard")
    refused([], "No shard")


def test_views_out_of_the_scenes_order_are_refused(tmp_path):
    shard = make_toy(Toy())
    mixed = replace(shard, views={**shard.views, "scene_id": np.roll(shard.views["scene_id"], 1)})
    write_shard(tmp_path / "a.h5", mixed)
    refused([tmp_path / "a.h5"], "order")


def test_an_unfinished_shard_is_no_shard(folder, tmp_path):
    (tmp_path / f"a.h5{PARTIAL_SUFFIX}").write_bytes((folder / "a.h5").read_bytes())
    refused([tmp_path], "No shard")


def test_single_views_make_no_pairs(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy(views=1))])
    with pytest.raises(EnrError, match=r"single view.*--views 2"):
        PairLoader(view_set, "train", 2, seed=0)


def test_a_split_without_scenes_makes_no_pairs(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy(splits=("val", "test")))])
    with pytest.raises(EnrError, match="no scene of the split 'train'"):
        PairLoader(view_set, "train", 2, seed=0)
