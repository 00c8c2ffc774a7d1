"""The manifest says what each mesh became, whoever made the shards and however often the run was cut off."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.datagen.conftest import SMALL, small_set, write_mesh

from enr.datagen.generate import generate
from enr.datagen.meshes import discovery
from enr.datagen.metadata.card import card
from enr.datagen.metadata.manifest import (
    FORMAT,
    contents_sha256,
    dumps,
    manifest_path,
    read_manifest,
    without_times,
)
from enr.datagen.plan import plan_shards
from enr.datagen.run import publish
from enr.datagen.settings import GenerateSettings, PoolSettings
from enr.errors import EnrError
from enr.files import write_text
from enr.shards import FLAGS, read_shard

VIEWS = 3
NAMES = (*(f"mesh{number}" for number in range(7)), "refuses", "dies")


@pytest.fixture
def settings(tmp_path, fake_worker) -> GenerateSettings:
    """Nine meshes, two to a shard, two of which fail, drawn by the fake worker."""
    for name in NAMES:
        write_mesh(tmp_path / "meshes", name)
    told = {"command": "enr datagen meshes", "pool": PoolSettings(workers=2)}
    return small_set(tmp_path / "meshes", VIEWS, per_shard=2, **told)


def manifest_of(settings: GenerateSettings) -> dict:
    return read_manifest(generate(settings).manifest)


def test_it_says_of_each_mesh_what_the_shards_say(settings):
    manifest = manifest_of(settings)
    meshes = {mesh["scene_id"]: mesh for mesh in manifest["meshes"]}
    assert sorted([*meshes, *(failure["scene_id"] for failure in manifest["failures"])]) == sorted(NAMES)
    for path in sorted(settings.out.glob("*.h5")):
        shard = read_shard(path)
        for row, scene_id in enumerate(shard.scenes["scene_id"]):
            mesh, own = meshes[scene_id], shard.views["scene_id"] == scene_id
            for name in ("mesh_path", "mesh_sha256", "split", "materials"):
                assert mesh[name] == shard.scenes[name][row]
            assert mesh["normalise_offset"] == shard.scenes["normalise_offset"][row].tolist()
            assert mesh["views"] == Counter(shard.views["split"][own].tolist())
            for bit, name in enumerate(FLAGS):
                assert mesh["flags"].get(name, 0) == np.count_nonzero(shard.views["flags"][own] >> bit & 1)


def test_its_counts_are_the_sums_of_its_entries(settings):
    manifest = manifest_of(settings)
    counts, meshes, shards = manifest["counts"], manifest["meshes"], manifest["shards"]
    assert counts["scenes"] == len(meshes) == sum(shard["scenes"] for shard in shards) == 7
    assert counts["images"] == sum(sum(mesh["views"].values()) for mesh in meshes) == 7 * VIEWS
    assert counts["bytes"] == sum(path.stat().st_size for path in settings.out.glob("*.h5"))
    assert counts["failure_kinds"] == {"bad_mesh": 1, "crash": 1}
    assert sum(counts["scenes_by_split"].values()) == 7
    assert counts["images_by_flag"]["clipped"] == sum(mesh["flags"].get("clipped", 0) for mesh in meshes)


def test_failures_are_named_with_their_file_kind_and_reason(settings, tmp_path):
    dies, refuses = manifest_of(settings)["failures"]
    assert refuses["mesh_path"] == str(tmp_path / "meshes/refuses.obj")
    assert (refuses["scene_id"], refuses["kind"], refuses["reason"]) == ("refuses", "bad_mesh", "it refuses")
    assert dies["kind"] == "crash" and "Blender crashed" in dies["reason"]


def test_two_runs_differ_in_times_alone_and_running_again_adds_nothing(settings, tmp_path):
    first = manifest_of(settings)
    assert all(mesh["worker_memory_mb"] == 100 for mesh in first["meshes"])
    assert [(run["command"], run["images_made"]) for run in first["runs"]] == [("enr datagen meshes", 7 * VIEWS)]
    other = manifest_of(dataclasses.replace(settings, out=tmp_path / "other", pool=PoolSettings(workers=1)))
    assert without_times(other) == without_times(first)
    assert without_times(manifest_of(settings)) == without_times(first)


def test_a_resumed_run_has_a_whole_manifest_with_the_times_that_are_known(settings):
    first = manifest_of(settings)
    (settings.out / first["shards"][1]["name"]).unlink()
    resumed = manifest_of(settings)
    assert without_times(resumed) == without_times(first)
    assert all(mesh["worker_memory_mb"] == 100 for mesh in resumed["meshes"])
    assert [run["images_made"] for run in resumed["runs"]] == [7 * VIEWS, 2 * VIEWS]
    manifest_path(settings.out, "rototrans").unlink()
    rebuilt = manifest_of(settings)
    assert without_times(rebuilt) == without_times(first)


def test_times_of_other_settings_are_forgotten(settings):
    generate(settings)
    changed = manifest_of(dataclasses.replace(settings, views=2, overwrite=True))
    assert len(changed["runs"]) == 1
    assert changed["config"]["views"] == 2


def test_the_contents_hash_changes_with_the_contents(settings):
    manifest = manifest_of(settings)
    by_hash = {contents_sha256(settings.out / shard["name"]) for shard in manifest["shards"] if shard["scenes"]}
    assert by_hash == {shard["sha256"] for shard in manifest["shards"] if shard["scenes"]}
    assert len(by_hash) == sum(shard["scenes"] > 0 for shard in manifest["shards"])


def test_each_entry_is_on_a_line_of_its_own_and_the_text_is_plain_json(settings):
    path = generate(settings).manifest
    text = path.read_text()
    assert json.loads(text) == read_manifest(path)
    assert dumps(read_manifest(path)) == text
    assert sum('"mesh_sha256"' in line for line in text.splitlines()) == len(NAMES)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "text"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "after \ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "other"}', f'{{"format": "{FORMAT}"}}'])
def test_a_file_that_is_no_manifest_is_one_sentence(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(EnrError, match="is not a manifest"):
        read_manifest(tmp_path / "m.json")


def test_the_card_tells_what_was_made_and_how_to_read_it(settings):
    summary = generate(settings)
    text = summary.card.read_text()
    assert text == card(read_manifest(summary.manifest))
    assert "21 pictures of 8 x 8 px" in text
    assert "focal length 11 px, 40.0 degrees" in text
    assert "not set" not in text and "| rings" not in text and "| seed | 0 |" in text
    assert "enr datagen meshes" in text
    assert "| `refuses` | bad_mesh | it refuses |" in text
    code = text.split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(code.replace('Path("', f'Path("{settings.out}/'), names)
    assert names["over_white"].shape[1:] == (8, 8, 3)
    assert all(line.count("|") >= 3 for line in text.splitlines() if line.startswith("|"))


def parts(settings: GenerateSettings, count: int, folder: Path | None = None) -> list:
    return [
        generate(dataclasses.replace(settings, out=folder or settings.out, part=(number, count)))
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [2, 9])
def test_parts_make_each_shard_once_and_the_same_as_one_run(settings, tmp_path, count):
    whole = generate(settings)
    made = parts(settings, count, tmp_path / "parts")
    assert sorted(path.name for part in made for path in part.shards) == [path.name for path in whole.shards]
    for path in whole.shards:
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()
    assert sum(part.images_made for part in made) == whole.images
    assert {part.contact_sheet for part in made} == {part.card for part in made} == {None}
    assert generate(dataclasses.replace(settings, out=tmp_path / "parts")).images_made == 0


def test_a_part_reads_only_its_own_meshes(settings, monkeypatch):
    hashed = []
    original = discovery.mesh_sha256
    monkeypatch.setattr(discovery, "mesh_sha256", lambda source: hashed.append(source) or original(source))
    planned = plan_shards(dataclasses.replace(settings, part=(2, 3)), "5.0.1")
    assert len(hashed) == sum(len(shard.scenes) for shard in planned) == 3


def test_a_part_refuses_shards_of_other_settings_and_overwrites_only_those(settings):
    generate(dataclasses.replace(settings, render=dataclasses.replace(SMALL, seed=1)))
    part = dataclasses.replace(settings, part=(1, 2))
    with pytest.raises(EnrError, match="made with other settings"):
        generate(part)
    before = {path.name: path.read_bytes() for path in settings.out.glob("*.h5")}
    made = generate(dataclasses.replace(part, overwrite=True))
    own = {path.name for path in made.shards}
    after = {path.name: path.read_bytes() for path in settings.out.glob("*.h5")}
    assert {name for name in before if after.get(name) != before[name]} == own


def test_a_run_that_is_cut_off_after_some_shards_leaves_their_times_to_the_next_one(settings, monkeypatch):
    first = manifest_of(dataclasses.replace(settings, out=settings.out.with_name("undisturbed")))
    published = []
    write = publish.write_shard

    def cut_off_after_two(path, *rest):
        if len(published) == 2:
            raise KeyboardInterrupt
        published.append(path.name)
        write(path, *rest)

    monkeypatch.setattr(publish, "write_shard", cut_off_after_two)
    with pytest.raises(KeyboardInterrupt):
        generate(settings)
    monkeypatch.setattr(publish, "write_shard", write)
    resumed = manifest_of(settings)
    assert without_times(resumed) == without_times(first)
    assert all(mesh["seconds"] == 0.5 for mesh in resumed["meshes"])
    assert not list(settings.out.glob("*.times.json"))
