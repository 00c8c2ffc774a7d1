"""What is measured counts what was timed, accounts for every second once, and compares equal pictures."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.command_line import enr

from enr.pipelines.speed import benchmark
from enr.pipelines.speed.benchmark import BenchSettings
from enr.pipelines.speed.noise import SYNTHETIC_SCENES, SYNTHETIC_VIEWS, write_noise_shard
from enr.pipelines.speed.picture_difference import difference
from enr.pipelines.speed.split import solve
from enr.shards import read_shard

TINY = BenchSettings(views=3, resolution=16, samples=1, workers=2, preset="smoke", batch_size=4, seconds=0.2)


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


@pytest.fixture(scope="module")
def datagen_result(tmp_path_factory):
    """Three built-in meshes, of which two are asked for."""
    pytest.importorskip("trimesh")
    from enr.datagen.shapes.catalogue import write_shapes

    folder = tmp_path_factory.mktemp("meshes")
    write_shapes(folder, count=3, seed=0)
    return benchmark.measure(
        "datagen",
        dataclasses.replace(TINY, meshes=(folder,), count=2, scaling=True, check_pairs=1, samples=4, resolution=24),
    )


def test_datagen_is_measured_beside_plainer_ways(datagen_result):
    result = datagen_result
    assert result["images"] == result["bare_loop"]["images"] == result["plain_way"]["images"] == 6
    assert (result["meshes"], result["plain_way"]["meshes"], result["failed_meshes"]) == (2, 2, 0)
    assert result["images_per_second"] == pytest.approx(6 / result["seconds"])
    for other in ("bare_loop", "plain_way"):
        facts = result[other]
        assert facts["speed_up"] == pytest.approx(result["images_per_second"] / facts["images_per_second"])
        assert facts["speed_up_in_cpu_time"] == pytest.approx(facts["cpu_ms_per_image"] / result["cpu_ms_per_image"])
        assert facts["peak_memory_mb"] > 100
    assert result["peak_memory_mb"] > 100
    plain = result["plain_way"]
    serving = result["images_per_second_while_serving"] / plain["images_per_second"]
    assert plain["speed_up_while_serving"] == pytest.approx(serving)
    assert result["checks"]["cpu_cost_shares"] == [result["checks"]["cpu_cost_share"]]
    one = result["one_worker"]
    assert one["speed_up_of_all_workers"] == pytest.approx(result["images_per_second"] / one["images_per_second"])


def test_every_worker_second_is_accounted_for_once(datagen_result):
    parts = dict(datagen_result["ms_per_image"])
    split = parts.pop("render_split")
    total_ms = sum(parts.values()) * datagen_result["images"]
    assert total_ms == pytest.approx(1000 * datagen_result["workers"] * datagen_result["seconds"], rel=0.01)
    assert set(split) == {"sync", "bvh", "sampling"}
    assert sum(split.values()) == pytest.approx(parts["render"])
    overhead = 1 - parts["render"] * datagen_result["images"] / total_ms
    assert datagen_result["overhead_share"] == pytest.approx(overhead, abs=0.01)


def test_the_plain_way_s_pictures_are_ours_and_another_seed_s_are_not(datagen_result):
    pictures = datagen_result["plain_way"]["pictures"]
    assert pictures["pictures"] == 6
    assert 0 < pictures["of_another_noise_seed"] < 20
    assert pictures["equal_within_noise"]
    assert pictures["mean_absolute_difference"] < 0.1 * pictures["of_another_noise_seed"]


@given(
    build=st.floats(0, 50),
    sync=st.floats(0, 50),
    sample=st.floats(0, 5),
    views=st.integers(2, 60),
    samples=st.integers(2, 64),
)
def test_the_parts_of_a_render_are_found_again(build, sync, sample, views, samples):
    def time_ms(count, paths):
        return build + count * (sync + paths * sample)

    found = solve(time_ms(views, 1), time_ms(views, samples), time_ms(1, 1), views, samples)
    expected = {"build_ms": build, "sync_ms": sync, "sample_ms": sample}
    assert found == pytest.approx(expected, abs=1e-6)


def test_pictures_are_compared_over_white():
    clear = np.zeros((2, 2, 4), dtype=np.uint8)
    tinted = clear.copy()
    tinted[..., 0] = 200  # a colour that nobody sees
    assert difference(clear, tinted) == 0
    tinted[0, 0] = (255, 255, 0, 255)
    assert difference(clear, tinted) == pytest.approx(255 / 12)


def test_the_command_prints_json():
    result = enr("bench", "loader", "--resolution", "16", "--seconds", "0.1", "--json")
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 1
    assert json.loads(result.output)["loader"]["pairs_per_second"] > 0


@pytest.mark.parametrize(
    "arguments",
    [["datagen", "--meshes", "nowhere"], ["loader", "--shards", "nowhere.h5"], ["render", "--preset", "smal-64"]],
)
def test_bad_input_ends_in_one_sentence(arguments):
    result = enr("bench", *arguments)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_the_command_offers_every_part():
    from enr.pipelines.cli import bench

    assert bench.PARTS == benchmark.PARTS
