from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from enr.pipelines import benchmark
from enr.pipelines.benchmark import BenchSettings
from enr.pipelines.benchmark_noise import SYNTHETIC_SCENES, SYNTHETIC_VIEWS, write_noise_shard
from enr.pipelines.cli import main
from enr.shards import read_shard

TINY = BenchSettings(views=3, resolution_px=16, samples=1, workers=2, preset="smoke", batch_size=4, seconds=0.2)


def test_repeat_for_counts_what_it_timed():
    done = []
    times, seconds = benchmark.repeat_for(0.05, lambda: done.append(1))
    assert times == len(done) - 1 >= 1
    assert seconds >= 0.05


def test_repeat_for_works_at_least_once_even_without_time():
    assert benchmark.repeat_for(0.0, lambda: None)[0] == 1


def test_the_noise_shard_obeys_the_schema(tmp_path):
    shard = read_shard(write_noise_shard(tmp_path, 8))
    assert shard.images.shape == (SYNTHETIC_SCENES * SYNTHETIC_VIEWS, 8, 8, 4)
    assert set(shard.split_of_view()) == {"train", "val"}


def test_the_loader_is_measured_on_its_own():
    result = benchmark.run_benchmark(["loader"], TINY)
    assert result["loader"]["pairs_per_second"] > 0
    assert result["loader"]["resolution_px"] == [16, 16]
    assert 20 < result["loader"]["peak_memory_mb"] < 2000
    assert result["machine"]["cores"] >= 1


def test_rendering_is_measured():
    pytest.importorskip("torch")
    result = benchmark.measure("render", TINY)
    rates = result["frames_per_second_by_batch"]
    assert set(rates) == {"1", "4"}
    assert result["frames_per_second"] == max(rates.values()) > 0


def test_training_is_measured():
    pytest.importorskip("torch")
    result = benchmark.measure("train", TINY)
    assert result["images_per_second"] == pytest.approx(2 * TINY.batch_size / result["seconds_per_step"])
    assert result["image_shape"] == [3, 16, 16]


def test_datagen_is_measured_beside_the_plain_loop(tmp_path):
    pytest.importorskip("trimesh")
    from enr.datagen.shapes import write_shapes

    write_shapes(tmp_path, count=3, seed=0)
    result = benchmark.measure("datagen", dataclasses.replace(TINY, meshes=(tmp_path,)))
    assert result["images"] == result["bare_loop"]["images"] == 9
    assert result["failed_meshes"] == 0
    assert result["images_per_second"] == pytest.approx(9 / result["seconds"])
    assert result["rate_over_bare_loop"] > 0
    # Every worker-second is accounted for, once.
    total_ms = sum(result["worker_ms_per_image"].values()) * result["images"]
    assert total_ms == pytest.approx(1000 * result["workers"] * result["seconds"], rel=0.01)
    blender_ms = result["worker_ms_per_image"]["render"] * result["images"]
    assert result["overhead_share"] == pytest.approx(1 - blender_ms / total_ms, abs=0.01)
    assert result["peak_memory_mb"] > 100
    assert result["bare_loop"]["peak_memory_mb"] > 100


def test_the_command_prints_json():
    result = CliRunner().invoke(main, ["bench", "loader", "--resolution", "16", "--seconds", "0.1", "--json"])
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 1
    assert json.loads(result.output)["loader"]["pairs_per_second"] > 0


@pytest.mark.parametrize(
    "arguments",
    [["datagen", "--meshes", "nowhere"], ["loader", "--shards", "nowhere.h5"], ["render", "--preset", "smal-64"]],
)
def test_bad_input_ends_in_one_sentence(arguments):
    result = CliRunner().invoke(main, ["bench", *arguments])
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_the_command_offers_every_part():
    from enr.pipelines.commands import bench

    assert bench.PARTS == benchmark.PARTS
