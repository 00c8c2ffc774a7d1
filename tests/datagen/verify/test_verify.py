"""`enr verify`: what is whole passes, and whatever is not is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command_line import enr
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.datagen.verify.integrity import verify_shards
from enr.shards import read_shard, write_shard

TOY = Toy(splits=("train", "val"), views=3, size_px=8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("whole") / "rototrans-00000-of-00001.h5", TOY)


def problems(path):
    return [finding.problem for finding in verify_shards([path]).findings]


def places(path):
    """Every data set that lies in one piece in the file: its name, where it begins, how long it is."""
    with h5py.File(path) as file:
        sets = [(name, file[name]) for name in ("images", "world_from_camera", "K", "radius", "clipped", "flags")]
        return [(name, item.id.get_offset(), item.id.get_storage_size()) for name, item in sets]


def flipped(whole, folder, bit):
    """A copy of the shard with one bit turned over."""
    content = bytearray(whole.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path = folder / whole.name
    path.write_bytes(content)
    return path


def same(first, second):
    """Whether two shards hold the same, to the last bit."""
    tables = [(first.views, second.views), (first.scenes, second.scenes)]
    return (
        first.meta == second.meta
        and np.array_equal(first.images, second.images)
        and all(mine[name].tobytes() == other[name].tobytes() for mine, other in tables for name in mine)
    )


def test_a_whole_shard_passes(whole):
    result = enr("verify", whole.parent)
    assert result.exit_code == 0, result.output
    assert result.output == "1 shard, 2 scenes, 6 images: all well\n"


@settings(max_examples=20)
@given(data=st.data())
def test_a_bit_that_flips_in_a_data_set_is_found_and_placed(whole, tmp_path_factory, data):
    name, start, length = data.draw(st.sampled_from(places(whole)))
    path = flipped(whole, tmp_path_factory.mktemp("bit"), 8 * start + data.draw(st.integers(0, 8 * length - 1)))
    found = verify_shards([path]).findings
    assert any(finding.path == path and f" {name} " in finding.problem for finding in found)


@settings(max_examples=20)
@given(data=st.data())
def test_a_bit_that_flips_anywhere_is_found_or_changes_nothing(whole, tmp_path_factory, data):
    bit = data.draw(st.integers(0, 8 * whole.stat().st_size - 1))
    path = flipped(whole, tmp_path_factory.mktemp("bit"), bit)
    assert problems(path) or same(read_shard(path), read_shard(whole))


def test_the_line_names_file_and_data_set(whole, tmp_path):
    name, start, _ = places(whole)[0]
    path = flipped(whole, tmp_path, 8 * start + 3)
    result = enr("verify", path)
    assert result.exit_code == 1
    assert result.output.splitlines()[0].startswith(f"{path}: the data set {name} is not what was written")
    assert result.output.splitlines()[-1] == "1 shard, 2 scenes, 6 images: 1 finding"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_a_finding(whole, tmp_path, share):
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    result = enr("verify", path)
    assert result.exit_code == 1
    assert str(path) in result.output and "Traceback" not in result.output
    assert "1 shard (1 damaged, not counted further), 0 scenes" in result.output


def changed(tmp_path, **views):
    """A shard, written with right hashes by a writer that looks at no value, of which columns were made wrong first."""
    toy = make_toy(TOY)
    tables = {**toy.views, **{name: change(toy.views[name].copy()) for name, change in views.items()}}
    path = tmp_path / "toy.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enr.shards.hdf5.check_values", lambda *_: None)
        write_shard(path, dataclasses.replace(toy, views=tables))
    return path


def put(row, value):
    def change(column):
        column[row] = value
        return column

    return change


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("world_from_camera", put(4, np.diag([1, 1, -1, 1.0])), "world_from_camera of view 4"),
        ("world_from_camera", lambda cameras: 1.001 * cameras, "world_from_camera of view 0"),
        ("K", put((2, 0, 0), -1.0), "K of view 2"),
        ("K", put((2, 2, 2), 0.5), "K of view 2"),
        ("view_index", put(1, 0), "scene box-000 has 3 views"),
        ("scene_id", lambda ids: ids[::-1], "do not follow"),
        ("scene_id", lambda ids: ids[[0, 3, 1, 4, 2, 5]], "do not follow"),
        ("split", put(0, "val"), "view 0 is in the split val"),
    ],
)
def test_what_the_hashes_cannot_see_is_found(tmp_path, column, change, words):
    found = problems(changed(tmp_path, **{column: change}))
    assert any(words in problem for problem in found), found


def test_a_held_out_view_is_well(tmp_path):
    assert not problems(changed(tmp_path, split=put(0, "test")))


def with_config(tmp_path, **config):
    toy = make_toy(TOY)
    path = tmp_path / "toy.h5"
    write_shard(path, dataclasses.replace(toy, meta=dataclasses.replace(toy.meta, config=config)))
    return path


def test_missing_views_and_meshes_are_found(tmp_path):
    assert "scene box-000 has 3 views; 4 are expected" in problems(with_config(tmp_path, views=4))[0]
    meshes = [{"scene_id": name} for name in ("box-000", "box-001", "box-002", "box-003")]
    found = problems(with_config(tmp_path, views=3, meshes=meshes, failures={"box-003": "it hung"}))
    assert found == ["scene box-002 is missing"]


def test_a_missing_file_and_a_scene_given_twice_are_found(whole, tmp_path):
    for index in (0, 2):
        shutil.copy(whole, tmp_path / f"rototrans-{index:05d}-of-00003.h5")
    output = enr("verify", tmp_path).output
    assert f"{tmp_path / 'rototrans-00001-of-00003.h5'}: is missing from its set" in output
    assert "scene box-001 of group rototrans is in several shards" in output


def test_a_shard_that_its_manifest_does_not_know_is_found(whole, tmp_path):
    path = Path(shutil.copy(whole, tmp_path))
    shards = [{"name": "rototrans-00000-of-00001.h5", "scenes": 2, "sha256": "0" * 64}]
    manifest = {"format": "enr-manifest", "manifest_version": 1, "shards": shards}
    (tmp_path / "rototrans-manifest.json").write_text(json.dumps(manifest))
    assert "is not the shard that its manifest names" in problems(path)[0]
    (tmp_path / "rototrans-manifest.json").write_text("{")
    assert "rototrans-manifest.json" in problems(path)[0]


@pytest.mark.parametrize("place", ["nowhere.h5", "empty"])
def test_nothing_to_look_at_is_bad_input(tmp_path, place):
    (tmp_path / "empty").mkdir()
    result = enr("verify", tmp_path / place)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
