"""The minutes on a card are rehearsed on the CPU; a card (`-m gpu`) computes what the CPU does, and is faster."""

from __future__ import annotations

import json

import pytest
import torch
from tests.command_line import enr
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model import Renderer
from enr.model.published import orbit_motions
from enr.pipelines.speed import gpu
from enr.pipelines.speed.clock import Stages


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    write_toy(folder / "shards" / "rot.h5", Toy(group="rot"))
    result = enr(
        "bench", "gpu", "--device", "cpu", "--size", "toy", "--seconds", "0.02", "--batch-size", "2",
        "--shards", folder / "shards", "--train-minutes", "0.02", "--out", folder / "gpu.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return json.loads((folder / "gpu.json").read_text())


def test_a_rehearsal_on_the_cpu_measures_everything(rehearsal):
    assert rehearsal["settings"]["device"] == "cpu"
    for name in gpu.PRESETS["toy"]:
        training, plain = rehearsal[name]["training"], rehearsal[name]["plain training"]
        assert training["images_per_second"] > 0
        assert 0 < training["share_of_peak"] < 1
        assert {"load", "encode", "warp", "render", "loss", "backward", "optimiser"} < set(training["share_by_stage"])
        assert sum(training["share_by_stage"].values()) == pytest.approx(1)
        ratio = rehearsal[name]["training beside plain training"]["speed"]
        assert ratio == pytest.approx(training["images_per_second"] / plain["images_per_second"])
        assert set(rehearsal[name]["frames"]["frames_per_second_by_batch"]) == {"1", "2"}


def test_a_rehearsal_trains_each_group_and_evaluates_it(rehearsal):
    trained = rehearsal["training on rot"]
    assert trained["steps"] >= 1
    assert trained["evaluation"]["rot, test"]["model"]["psnr_db"] > 0


def test_a_figure_that_fails_leaves_its_reason():
    def fail():
        raise RuntimeError("out of memory\nand more")

    assert gpu._or_reason(fail) == {"reason": "out of memory"}


def test_stages_are_counted_where_they_are_watched_and_nothing_stays_behind():
    stages, network = Stages(torch.device("cpu")), torch.nn.Linear(2, 2)
    with stages.watching((network, "forward", "forward"), (torch.Tensor, "backward", "backward")):
        network(torch.ones(2)).sum().backward()
    assert set(stages.seconds) == {"forward", "backward"}
    assert "forward" not in vars(network)
    assert stages.shares(1.0)["other"] == pytest.approx(1 - sum(stages.seconds.values()))


needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")


@pytest.mark.gpu
@needs_card
@pytest.mark.parametrize("warp", ["rigid", "frustum"])
def test_a_card_paints_what_the_cpu_paints(warp):
    config = tiny_config(16, warp=warp, projection="fold", depth_cells=8)
    motions, image = orbit_motions((0, 0), [(20, 10), (-50, 5)], 2.0), torch.rand(3, 16, 16)
    model = Renderer(config).eval()
    with torch.backends.cudnn.flags(allow_tf32=False):
        here = model.generate_novel_views(image, motions)
        there = model.to("cuda").generate_novel_views(image.cuda(), motions).cpu()
    torch.testing.assert_close(there, here, atol=1e-4, rtol=0)


@pytest.mark.gpu
@needs_card
def test_a_card_trains_faster_than_the_plain_way():
    results = gpu.benchmark_gpu(gpu.GpuSettings("cuda", "toy", seconds=1.0, batch_size=16))
    assert results["default at 32 px"]["training beside plain training"]["speed"] > 1
