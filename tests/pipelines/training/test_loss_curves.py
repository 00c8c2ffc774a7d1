"""Short trainings with three seeds: what makes steps faster leaves their losses within the spread of the plain ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model import Renderer
from enr.pipelines.data.views import ViewSet
from enr.pipelines.speed.plain_training import PlainTrainer
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.trainer import Trainer

CPU = torch.device("cpu")
SEEDS, STEPS, WINDOWS = range(3), 120, 6
RATE = 2e-3
SAME = ("clip_norm=0", "muon_learning_rate=0", "batch_size=4")
"""What the plain training does without: compared is how the same step is computed."""


@pytest.fixture(scope="module", params=["smoke", "small-32"])
def curves(request, tmp_path_factory):
    """A function: the losses (seeds, windows) of trainings with these settings, each the mean of some steps."""
    size_px = 32 if request.param == "small-32" else 16
    toy = Toy(splits=("train",) * 12, views=6, size_px=size_px)
    view_set = ViewSet.open([write_toy(tmp_path_factory.mktemp("shards") / "toy.h5", toy)])
    narrow = () if size_px == 16 else ("channels_2d=[16,16,32,16]", "strides_2d=[2,2,1,-2]", "depth_cells=8")

    def trained(seed, is_plain, rate, *assignments):
        config, _ = resolve_config(view_set, request.param, [*SAME, *narrow, f"seed={seed}", *assignments])
        torch.manual_seed(seed)
        if is_plain:
            step = PlainTrainer(config, view_set, CPU).train_step
        else:
            loader = PairLoader(view_set, "train", 4, seed)
            trainer = Trainer(Renderer(config.model), loader, config.train, CPU)
            step = lambda: float(trainer.train_step(rate).loss)  # noqa: E731
        return np.reshape([step() for _ in range(STEPS)], (WINDOWS, -1)).mean(axis=1)

    def losses(*assignments, is_plain=False, rate=RATE):
        return np.stack([trained(seed, is_plain, rate, f"learning_rate={rate}", *assignments) for seed in SEEDS])

    return request.param, losses


def off_by(losses, plain):
    """How far the mean curve is from the plain one's, where it is farthest, in the range of the plain seeds."""
    return float(np.abs(losses.mean(axis=0) - plain.mean(axis=0)).max() / np.ptp(plain, axis=0).mean())


@pytest.mark.slow
def test_losses_stay_within_the_spread_of_three_plain_seeds(curves):
    preset, losses = curves
    has_plain_twin = preset == "smoke"  # a renderer that is told distances has none
    plain = losses("precision=float32", is_plain=has_plain_twin)
    assert (plain[:, -1] < 0.8 * plain[:, 0]).all(), "something is learned"
    found = {"bfloat16": off_by(losses("precision=bfloat16"), plain)}
    if has_plain_twin:
        found["float32"] = off_by(losses("precision=float32"), plain)
    print(preset, found)
    assert max(found.values()) <= 1, found
    assert off_by(losses("precision=float32", rate=RATE / 20), plain) > 1, "it would be noticed"
