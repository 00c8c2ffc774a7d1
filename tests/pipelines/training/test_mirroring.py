"""A scene in a mirror is a scene: what a camera sees of mirrored points is the mirrored picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.pipelines.toy_shards import Toy, write_toy

from enr.camera import invert_rigid
from enr.model import Renderer
from enr.model.objective import PosedViews
from enr.model.sighting import find_boxes
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.mirroring import MIRROR, mirrored
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def view_set(tmp_path_factory):
    shard = write_toy(tmp_path_factory.mktemp("shards") / "rototrans.h5", Toy(splits=("train",) * 4 + ("val",)))
    return ViewSet.open([shard])


def batch_of(view_set, views_per_scene=2, sources=1) -> PosedViews:
    batch = next(PairLoader(view_set, "train", 3, 5, views_per_scene, sources))
    return PosedViews(
        images=composite(torch.from_numpy(batch.rgba.copy()), view_set.background),
        sources=torch.from_numpy(batch.sources),
        target=torch.from_numpy(batch.target),
        target_from_sources=torch.from_numpy(batch.target_from_sources),
        centre=torch.randn(len(batch.views), 3, dtype=torch.float64),
    )


@pytest.mark.parametrize(("views_per_scene", "sources"), [(2, 1), (3, 2), (4, 1)])
def test_scenes_are_mirrored_by_a_plain_loop(view_set, views_per_scene, sources):
    before = batch_of(view_set, views_per_scene, sources)
    chosen = torch.tensor([True, False, True])
    after = mirrored(before, chosen)
    mirror = torch.diag(torch.tensor(MIRROR, dtype=torch.float64))
    for row in range(len(before.images)):
        flip = bool(chosen[row % 3])
        picture = before.images[row].flip(2) if flip else before.images[row]
        assert torch.equal(after.images[row], picture)
        assert torch.equal(after.centre[row], mirror[:3, :3] @ before.centre[row] if flip else before.centre[row])
    for pair, target in enumerate(before.target.tolist()):
        for motion, found in zip(before.target_from_sources[pair], after.target_from_sources[pair], strict=True):
            torch.testing.assert_close(
                found, mirror @ motion @ mirror if chosen[target % 3] else motion, rtol=0, atol=0
            )


def test_where_the_object_is_seen_moves_with_the_mirror(view_set):
    """Of points before the cameras: mirrored ones, moved by mirrored motions, are the mirrored moved ones."""
    before = batch_of(view_set)
    after = mirrored(before, torch.ones(3, dtype=torch.bool))
    points = torch.randn(len(before.target), 4, dtype=torch.float64)
    points[:, 3] = 1
    mirror = torch.diag(torch.tensor(MIRROR, dtype=torch.float64))
    there = (before.target_from_sources[:, 0] @ points[..., None])[..., 0]
    mirrored_there = (after.target_from_sources[:, 0] @ (points @ mirror)[..., None])[..., 0]
    torch.testing.assert_close(mirrored_there, there @ mirror)
    rotation = after.target_from_sources[:, 0, :3, :3]
    assert torch.linalg.det(rotation).min() > 0.99, "a motion still, and no reflection"
    white = torch.tensor(view_set.background)
    boxes, flipped = find_boxes(before.images, white), find_boxes(after.images, white)
    width = before.images.shape[3]
    torch.testing.assert_close(flipped.middle[:, 0], width - boxes.middle[:, 0])
    torch.testing.assert_close(flipped.middle[:, 1], boxes.middle[:, 1])


def steps_of(view_set, *assignments, share=slice(None)):
    config, _ = resolve_config(view_set, "smoke", ["batch_size=4", "precision=float32", *assignments])
    torch.manual_seed(0)
    loader = PairLoader(view_set, "train", 4, 5, share=share)
    trainer = Trainer(Renderer(config.model), loader, config.train, CPU)
    torch.manual_seed(1)
    return trainer


def test_training_mirrors_the_share_that_is_asked_for(view_set):
    batches = {share: steps_of(view_set, f"mirror={share}")._next_batch() for share in (0, 0.5, 1)}
    plain = batches[0]
    assert torch.equal(batches[1].images, plain.images.flip(3))
    turned = [not torch.equal(*pair) for pair in zip(batches[0.5].images, plain.images, strict=True)]
    assert turned[:4] == turned[4:], "all views of a scene alike"
    assert 0 < sum(turned) < len(turned)


def test_a_share_of_a_batch_is_mirrored_as_in_the_whole(view_set):
    whole = steps_of(view_set, "mirror=0.5")._next_batch().images.unflatten(0, (2, 4))
    parts = [steps_of(view_set, "mirror=0.5", share=share)._next_batch() for share in (slice(0, 1), slice(1, 4))]
    joined = torch.cat([part.images.unflatten(0, (2, -1)) for part in parts], dim=1)
    assert torch.equal(joined, whole)


def test_the_step_s_motions_are_those_between_the_mirrored_cameras(view_set):
    cameras = view_set.views["world_from_camera"]
    loader = PairLoader(view_set, "train", 4, 5)
    batch = next(loader)
    found = steps_of(view_set, "mirror=1")._next_batch().target_from_sources[:, 0].numpy()
    mirror = np.diag(MIRROR)
    for pair, (source, target) in enumerate(zip(batch.views, batch.views[batch.target], strict=True)):
        turned = [np.diag(MIRROR) @ cameras[view] @ mirror for view in (source, target)]
        np.testing.assert_allclose(found[pair], invert_rigid(turned[1]) @ turned[0], atol=1e-12)
