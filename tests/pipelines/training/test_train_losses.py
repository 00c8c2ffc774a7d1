"""Losses beyond the pixels, as a training computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.command_line import enr
from tests.model.test_lpips import features_of, heads_of, write_weights
from tests.pipelines.toy_shards import Toy, write_toy
from tests.pipelines.training.fitting import QUICK

from enr.errors import EnrError
from enr.model import Renderer
from enr.model.losses import cycle_loss, scene_loss
from enr.model.projection import SceneParts
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.runs import open_run
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("shards") / "rototrans.h5", Toy(splits=("train",) * 4 + ("val",)))


def trainer_of(view_set, *assignments):
    config, _ = resolve_config(view_set, "smoke", ["precision=float32", "clip_norm=0", "batch_size=3", *assignments])
    torch.manual_seed(0)
    how = config.train
    loader = PairLoader(view_set, "train", how.batch_size, 5, how.views_per_scene, how.sources)
    return Trainer(Renderer(config.model), loader, how, CPU), config


@pytest.mark.parametrize("views", [(), ("targets=2",), ("sources=2",)])
def test_the_way_back_is_gone_once_for_each_scene_and_the_scenes_are_compared_for_each_pair(shard, views):
    """A step's loss equals the parts written out on the loader's own batch."""
    view_set = ViewSet.open([shard])
    trainer, config = trainer_of(view_set, "loss.ssim=0", "loss.cycle=0.5", "loss.scene=0.25", *views)
    loader = PairLoader(view_set, "train", 3, 5, config.train.views_per_scene, config.train.sources)
    batch = next(loader)
    torch.manual_seed(0)
    model = Renderer(config.model).train()
    images = composite(torch.from_numpy(batch.rgba.copy()), view_set.background)
    motions, sources = torch.from_numpy(batch.target_from_sources), torch.from_numpy(batch.sources)
    encoded = model.inverse_render(images)
    moved = model.fuse(encoded[sources], motions)
    predicted = model.render(moved)
    target = torch.from_numpy(batch.target)
    scene_of = view_set.views["scene"][batch.views[batch.target]]
    once = [int(np.flatnonzero(batch.target % 3 == column)[0]) for column in range(3)]
    assert len({int(scene_of[pair]) for pair in once}) == len({int(scene) for scene in scene_of})
    cycle = cycle_loss(model, predicted[once], images[sources[once, 0]], motions[once, 0])
    parts = [SceneParts.split(each, config.model) for each in (moved, encoded[target])]
    scene = scene_loss(parts[0], parts[1].features)
    result = trainer.train_step(1e-3)
    torch.testing.assert_close(result.parts["cycle"], cycle.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(result.parts["scene"], scene.detach(), rtol=1e-4, atol=1e-6)
    parts = result.parts
    torch.testing.assert_close(result.loss, parts["l1"] + 0.5 * parts["cycle"] + 0.25 * parts["scene"])


def encoded_by(trainer):
    """How many pictures each pass through the trainer's picture-side network takes; the list grows."""
    counts = []
    trainer.model.inv_transform_2d.register_forward_pre_hook(lambda _, images: counts.append(len(images[0])))
    return counts


def test_what_has_no_weight_is_not_computed(shard):
    """Without weights every picture is encoded once, and nothing of it a second time."""
    view_set = ViewSet.open([shard])
    trainer, _ = trainer_of(view_set)
    encoded = encoded_by(trainer)
    assert set(trainer.train_step(1e-3).parts) == {"l1", "ssim"}
    assert encoded == [6]
    trainer, _ = trainer_of(view_set, "loss.cycle=1")
    encoded = encoded_by(trainer)
    trainer.train_step(1e-3)
    assert encoded == [6, 3]


@pytest.mark.parametrize("loss", ["cycle", "scene"])
def test_a_training_on_it_alone_would_lower_it(shard, loss):
    """Next to no weight on the pixels: the consistency must fall."""
    trainer, _ = trainer_of(ViewSet.open([shard]), f"loss.{loss}=1", "loss.ssim=0", "loss.l1=1e-6")
    values = [float(trainer.train_step(2e-3).parts[loss]) for _ in range(60)]
    assert np.mean(values[-10:]) < 0.9 * np.mean(values[:10])


def test_lpips_is_trained_with_weights_that_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shard = write_toy(tmp_path / "shards" / "a.h5", Toy(size_px=32))
    Path("weights").mkdir()
    features = features_of("alexnet")
    write_weights(Path("weights"), "alexnet", features, heads_of("alexnet", features), "folder")
    assignments = (*QUICK, "steps=2", "log_every=1", "loss.lpips=0.5", "lpips_weights=weights")
    outcome = train(TrainSettings((shard,), "smoke", assignments, show_progress=False), say=lambda words: None)
    for line in [line for line in read_metrics(outcome.run.metrics) if line["kind"] == "train"]:
        expected = line["loss_l1"] + 0.05 * line["loss_ssim"] + 0.5 * line["loss_lpips"]
        assert line["loss"] == pytest.approx(expected, rel=1e-4)
    assert open_run(outcome.run.folder).config["train"]["lpips_weights"] == str(tmp_path / "weights")
    folder = outcome.run.folder.resolve()
    monkeypatch.chdir("/")
    settings = TrainSettings(resume=folder, assignments=("steps=3",), show_progress=False)
    assert train(settings, say=lambda words: None).step == 3


def test_lpips_without_its_weights_is_refused_before_anything_is_written(shard, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refused(*assignments, words):
        sets = [part for value in assignments for part in ("--set", value)]
        result = enr("train", str(shard), "--preset", "smoke", *sets)
        assert result.exit_code == 2, result.output
        (line,) = result.output.strip().splitlines()[-1:]
        assert line.startswith("Error:") and words in line, line
        assert not Path("runs").exists()

    refused("loss.lpips=1", words="never downloaded")
    refused("lpips_weights=x", words="loss.lpips is 0")
    refused("loss.lpips=1", "lpips_weights=nowhere", words="nowhere")
    Path("junk.pth").write_text("hello")
    refused("loss.lpips=1", "lpips_weights=junk.pth", words="junk.pth")


def test_pictures_that_are_too_small_for_lpips_are_refused(shard, tmp_path):
    features = features_of("alexnet")
    path = write_weights(tmp_path, "alexnet", features, heads_of("alexnet", features), "pth")
    settings = TrainSettings(
        (shard,),
        "smoke",
        (*QUICK, "loss.lpips=1", f"lpips_weights={path}"),
        runs=tmp_path / "runs",
        show_progress=False,
    )
    with pytest.raises(EnrError, match="too small for LPIPS"):
        train(settings, say=lambda words: None)
    assert not (tmp_path / "runs").exists()
