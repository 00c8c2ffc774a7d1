"""What a training is told of where its objects are: known depths, dropped at random, and centres of boxes that meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy
from tests.pipelines.training.fitting import fit

from enr.camera import invert_rigid
from enr.model import Renderer, load_model
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.centres import Centres, CentreTruths
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.trainer import Trainer
from enr.pipelines.training.validation import FixedViews, choose_triples

SIZE_PX = 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def view_set(tmp_path_factory):
    torch.set_num_threads(1)
    toy = Toy(splits=("train",) * 3 + ("val",), views=12, size_px=SIZE_PX)
    return ViewSet.open([write_toy(tmp_path_factory.mktemp("shards") / "rototrans.h5", toy)])


@pytest.fixture
def config():
    return tiny_config(SIZE_PX, depth_range="travelling")


def test_distances_are_the_depths_of_the_worlds_origin(view_set):
    views = np.arange(len(view_set))
    expected = invert_rigid(view_set.views["world_from_camera"])[:, 2, 3]
    np.testing.assert_allclose(view_set.distances(views), expected)
    np.testing.assert_allclose(view_set.distances([3, 3]), expected[[3, 3]])


def test_boxes_meet_at_the_objects_centre(view_set, config):
    """Toy boxes are centred at the world's origin; nobody tells the triangulation so."""
    views = np.concatenate([scene.view_indices for scene in view_set.scenes("train")])
    found = Centres(view_set, config).in_views(views)
    truth = invert_rigid(view_set.views["world_from_camera"][views])[:, :3, 3]
    error = np.linalg.norm(found - truth, axis=1)
    assert np.median(error) < 0.06 and error.max() < 0.2


def test_a_share_of_the_distances_is_dropped(view_set, config):
    loader = PairLoader(view_set, "train", 3, seed=1)
    for share in (0.0, 0.4, 1.0):
        places = CentreTruths(loader, config, TrainConfig(distance_dropout=share))
        torch.manual_seed(0)
        told = torch.cat([places.distances(next(loader), CPU) for _ in range(100)])
        assert told.isnan().float().mean() == pytest.approx(share, abs=0.06)
    batch = next(loader)
    known = CentreTruths(loader, config, TrainConfig(distance_dropout=0.0)).distances(batch, CPU)
    np.testing.assert_allclose(known.numpy(), view_set.distances(batch.views), rtol=1e-6)


def test_a_training_teaches_the_distance(view_set, config):
    """The estimate gets better than the training's mean distance, from pictures alone, and its ranges hold."""
    torch.manual_seed(0)
    loader = PairLoader(view_set, "train", 3, seed=2)
    train = TrainConfig(distance_dropout=0.5, precision="float32")
    trainer = Trainer(Renderer(config), loader, train, CPU)
    first = trainer.train_step(2e-3).parts["distance"]
    for _ in range(250):
        parts = trainer.train_step(2e-3).parts
    assert parts["distance"] < 0.6 * first
    views = np.concatenate([scene.view_indices for scene in view_set.scenes("train")])
    from enr.pipelines.data.views import composite

    images = composite(torch.from_numpy(view_set.images(views)), view_set.background)
    with torch.no_grad():
        _, sighting = trainer.model.eval().look(images)
    truth = torch.from_numpy(view_set.distances(views))
    error = (sighting.distance - truth).abs().mean()
    assert error < 0.7 * (truth - truth.median()).abs().mean()
    held = (sighting.quantiles[:, 0] <= truth) & (truth <= sighting.quantiles[:, -1])
    assert held.float().mean() > 0.7


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    toy = Toy(splits=("train",) * 3 + ("val",) * 4, views=12, size_px=SIZE_PX)
    return write_toy(tmp_path_factory.mktemp("held-out") / "rototrans.h5", toy)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_ranges_are_held_to_the_sources_of_held_out_scenes(held_out, config, ema):
    view_set = ViewSet.open([held_out])
    torch.manual_seed(0)
    train = TrainConfig(precision="float32", ema=ema)
    trainer = Trainer(Renderer(config), PairLoader(view_set, "train", 3, seed=2), train, CPU)
    for _ in range(20):
        trainer.train_step(2e-3)
    views = FixedViews(view_set, choose_triples(view_set, "val", 40, seed=0), CPU)
    trainer.calibrate(views)
    assert trainer.model.training and trainer.best_estimate.training
    assert torch.equal(trainer.model.sight.widening, trainer.best_estimate.sight.widening)
    with torch.no_grad():
        quantiles = torch.cat([trainer.best_estimate.eval().look(images)[1].quantiles for images in views.sources()])
    truth = torch.from_numpy(Centres(view_set, config).in_views(views.source_views)[:, 2])
    for low, high, share in ((1, 3, 0.5), (0, 4, 0.9)):
        assert ((quantiles[:, low] <= truth) & (truth <= quantiles[:, high])).float().mean() == pytest.approx(
            share, abs=0.06
        )
    kept = trainer.model.sight.widening.clone()
    trainer.train_step(2e-3)
    assert torch.equal(trainer.best_estimate.sight.widening, kept), "a step leaves it"


def test_a_checkpoint_holds_what_its_validation_measured(held_out, tmp_path):
    result = fit(held_out, tmp_path / "runs", "steps=20", "validation_pictures=40", "depth_range=travelling").result
    assert (load_model(result.run.best).sight.widening != 1).all()
    none_held_out = write_toy(tmp_path / "toy.h5", Toy(splits=("train",) * 4, views=12, size_px=SIZE_PX))
    result = fit(
        none_held_out, tmp_path / "runs", "steps=20", "validation_pictures=40", "depth_range=travelling"
    ).result
    assert (load_model(result.run.best).sight.widening == 1).all(), "its own objects say nothing of others"


def test_a_range_that_stands_still_is_told_nothing(view_set):
    trainer = Trainer(
        Renderer(tiny_config(SIZE_PX)),
        PairLoader(view_set, "train", 2, seed=2),
        TrainConfig(precision="float32"),
        CPU,
    )
    assert "distance" not in trainer.train_step(1e-3).parts
