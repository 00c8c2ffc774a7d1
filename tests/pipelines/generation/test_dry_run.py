"""A forecast counts what a run makes, and writes nothing."""

import dataclasses
import functools
import shutil

import pytest
from tests.command_line import enr
from tests.datagen.conftest import fake_blender

from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings
from enr.errors import EnrError
from enr.pipelines.config.data_sets import DatagenConfig
from enr.pipelines.generation import dry_run
from enr.pipelines.generation.dry_run import FEWEST_MESHES, describe, estimate

VIEWS, MESHES, SECONDS_A_MESH = 3, 20, 0.5
LINE = ("datagen", "meshes", "--views", "3", "--resolution", "32")


@pytest.fixture
def settings(tmp_path, monkeypatch) -> GenerateSettings:
    """Twenty meshes, drawn by the fake worker, which says that each took half a second."""
    fake_blender(monkeypatch)
    monkeypatch.setattr(dry_run, "blender_version", lambda blender: "5.0.1")
    (tmp_path / "meshes").mkdir()
    for number in range(MESHES):
        (tmp_path / f"meshes/mesh{number:02}.obj").write_text(f"#{number}\n")
    render = RenderSettings(32, 32, 44.0)
    return GenerateSettings(meshes=(tmp_path / "meshes",), views=VIEWS, render=render, out=tmp_path / "shards")


@pytest.mark.parametrize("workers", [1, 2])
def test_it_counts_and_measures_what_a_run_then_makes(settings, tmp_path, workers):
    settings = dataclasses.replace(settings, pool=PoolSettings(workers=workers))
    found = estimate(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meshes"]
    assert found.seconds == pytest.approx(MESHES * SECONDS_A_MESH / workers)
    assert (found.meshes, found.sampled, found.spread) == (MESHES, FEWEST_MESHES, 0)
    summary = generate(settings)
    assert found.images == summary.images
    size = sum(path.stat().st_size for path in summary.shards)
    assert found.gigabytes * 1e9 == pytest.approx(size, rel=0.2)


def test_failures_of_the_sample_are_named_and_cost_no_forecast(settings, tmp_path):
    shutil.move(tmp_path / "meshes/mesh00.obj", tmp_path / "meshes/a-refuses.obj")
    (tmp_path / "meshes/a").mkdir()
    shutil.move(tmp_path / "meshes/a-refuses.obj", tmp_path / "meshes/a/refuses.obj")
    only = dataclasses.replace(settings, meshes=(tmp_path / "meshes/a", tmp_path / "meshes/mesh01.obj"))
    found = estimate(only)
    assert found.failures == {"refuses": "it refuses"}
    assert "refuses failed: it refuses" in describe(found)
    with pytest.raises(EnrError, match="None of the 1 meshes that were tried could be rendered"):
        estimate(dataclasses.replace(settings, meshes=(tmp_path / "meshes/a",)))


def test_of_a_part_it_tells_the_part(settings):
    settings = dataclasses.replace(settings, shard_bytes=1)
    assert estimate(dataclasses.replace(settings, part=(3, 3))).meshes == 6
    with pytest.raises(EnrError, match="give fewer parts"):
        estimate(dataclasses.replace(settings, part=(30, 30)))


def test_as_a_user_types_it(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = enr(*LINE, "--workers", "2", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "60 images of 20 meshes, about 0.3 MB" in result.output
    assert "about 5 seconds on this machine with 2 workers (12.0 images/s, give or take 0%)" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meshes"]


def test_a_part_as_a_user_types_it(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fifteen = functools.partial(GenerateSettings, shard_bytes=15 * VIEWS * 32 * 32 * 4)
    monkeypatch.setattr("enr.pipelines.generation.settings.GenerateSettings", fifteen)
    for number, images in ((1, 45), (2, 15), (3, 0)):
        result = enr(*LINE, "--workers", "1", "--part", f"{number}/3")
        assert result.exit_code == 0, result.output
        assert f"{images} images" in result.output
        assert ("part 3 of 3 has no shard" in result.output) == (number == 3)
    merged = enr("merge", "shards")
    assert merged.exit_code == 0, merged.output
    assert "60 images of 20 meshes in 2 shards" in merged.output


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/3", ""])
def test_a_part_that_cannot_be_is_one_sentence(text):
    with pytest.raises(EnrError, match="--part got"):
        DatagenConfig(part=text)


def test_parts():
    assert DatagenConfig().part is None
    assert DatagenConfig(part=" 3/10 ").part == (3, 10)
