"""The loss is the weighted sum of its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.losses import LossWeights, cycle_loss, reconstruction_loss, scene_loss
from enr.model.projection import SceneParts
from enr.model.renderer import Renderer
from enr.model.warp import invert_rigid

weight = st.floats(0.01, 10)


@given(l1=weight, l2=weight, ssim=weight)
@settings(max_examples=10, deadline=None)
def test_the_loss_is_the_weighted_sum_of_its_parts(l1: float, l2: float, ssim: float) -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.rand(2, 2, 3, 16, 16, generator=generator)
    loss, parts = reconstruction_loss(predicted, target, LossWeights(l1, l2, ssim))
    difference = predicted - target
    torch.testing.assert_close(parts["l1"], difference.abs().mean())
    torch.testing.assert_close(parts["l2"], difference.square().mean())
    assert 0 < parts["ssim"] < 2
    torch.testing.assert_close(loss, l1 * parts["l1"] + l2 * parts["l2"] + ssim * parts["ssim"])


def test_equal_pictures_cost_nothing_and_worse_ones_more() -> None:
    image = torch.rand(2, 3, 16, 16)
    weights = LossWeights(1, 1, 1)
    costs = [reconstruction_loss(image + noise * torch.randn_like(image), image, weights)[0] for noise in (0, 0.1, 0.5)]
    torch.testing.assert_close(costs[0], torch.zeros(()), rtol=0, atol=1e-5)
    assert costs[0] < costs[1] < costs[2]


def test_parts_without_weight_are_not_computed() -> None:
    tiny = torch.rand(1, 3, 4, 4)  # too small for the window of SSIM
    assert set(reconstruction_loss(tiny, tiny, LossWeights(l1=1, l2=0, ssim=0))[1]) == {"l1"}


@pytest.mark.parametrize("weights", [(0, 0, 0), (-1, 1, 0), (float("nan"), 1, 0), (0, 0, 0, 0, 1, 1), (1, 0, 0, 0, -1)])
def test_senseless_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(EnrError, match=r"loss\.lpips are all 0|loss\.(l1|cycle) is (-1|nan)"):
        LossWeights(*weights)


def test_lpips_is_a_part_like_the_others() -> None:
    predicted, target = torch.rand(2, 2, 3, 16, 16)
    loss, parts = reconstruction_loss(
        predicted, target, LossWeights(l1=0, ssim=0, lpips=3), lambda one, other: (one - other).abs().max()
    )
    torch.testing.assert_close(loss, 3 * (predicted - target).abs().max())
    assert set(parts) == {"lpips"}


def shift(images: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
    """A renderer that is exactly equivariant: the picture goes round by as many pixels as the motion's x says."""
    steps = motion[:, 0, 3].round().int().tolist()
    return torch.stack([image.roll(step, dims=-1) for image, step in zip(images, steps, strict=True)])


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_the_way_there_and_back_costs_nothing_for_a_renderer_that_undoes_itself(steps: list[int]) -> None:
    source = torch.rand(len(steps), 3, 4, 8)
    motion = torch.eye(4, dtype=torch.float64).repeat(len(steps), 1, 1)
    motion[:, 0, 3] = torch.tensor(steps, dtype=torch.float64)
    assert cycle_loss(shift, shift(source, motion), source, motion) == 0
    forgetful = cycle_loss(lambda images, motion: images, shift(source, motion), source, motion)
    assert (forgetful == 0) == all(step % 8 == 0 for step in steps)


def test_the_way_back_is_that_of_the_inverse_motion(config: RendererConfig, motions) -> None:
    """It is the mean absolute difference of two renderings written out, and it teaches both."""
    model, (source, motion) = Renderer(config).eval(), (torch.rand(2, *config.image_shape), motions(2))
    predicted = model(source, motion)
    loss = cycle_loss(model, predicted, source, motion)
    torch.testing.assert_close(loss, (model(predicted, torch.linalg.inv(motion)) - source).abs().mean())
    (once,) = torch.autograd.grad(loss, predicted, retain_graph=True)
    assert once.abs().max() > 0


def test_scenes_that_are_moved_to_themselves_agree(config: RendererConfig, motions) -> None:
    """Moved by nothing, exactly; there and back, better than there alone; neither scale nor a common part matters."""
    model = Renderer(config).eval()
    scene = model.inverse_render(torch.rand(4, *config.image_shape))
    features = SceneParts.split(scene, config).features
    if config.warp != "conditioned":
        still = torch.eye(4, dtype=torch.float64).expand(4, 4, 4)
        unmoved = SceneParts.split(model.transform(scene, still), config)
        torch.testing.assert_close(scene_loss(unmoved, features), torch.zeros(()), atol=1e-5, rtol=0)
    motion = motions(4, reach=0.1)
    moved = model.transform(scene, motion)
    back, there = (SceneParts.split(each, config) for each in (model.transform(moved, invert_rigid(motion)), moved))
    expected = scene_loss(there, features)
    assert scene_loss(back, features) < expected
    larger = scene_loss(replace(there, features=7 * there.features), 7 * features)
    torch.testing.assert_close(larger, expected, rtol=1e-4, atol=1e-6)
    seen = 1 if there.visibility is None else there.visibility
    shifted = scene_loss(replace(there, features=there.features + 3 * seen), features + 3)
    torch.testing.assert_close(shifted, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("has_visibility", [False, True])
def test_a_scene_is_compared_with_another_pair_s_by_a_plain_loop(has_visibility: bool) -> None:
    moved, target, seen = torch.rand(4, 5, 2, 3, 3), torch.rand(4, 5, 2, 3, 3), torch.rand(4, 1, 2, 3, 3)
    near = far = 0.0
    for pair, other in enumerate((2, 3, 0, 1)):
        for channel in range(5):
            share = seen[pair, 0] if has_visibility else 1.0
            near += float((moved[pair, channel] - target[pair, channel] * share).square().sum())
            far += float((moved[pair, channel] - target[other, channel] * share).square().sum())
    parts = SceneParts(moved, None, None, seen if has_visibility else None)
    assert float(scene_loss(parts, target)) == pytest.approx(near / far, rel=1e-4)
    alone = SceneParts(moved[:1], None, None, None)
    assert float(scene_loss(alone, target[:1])) == pytest.approx(1.0), "nothing to tell apart"


def test_pictures_of_different_shapes_are_refused() -> None:
    with pytest.raises(EnrError, match="differ in shape"):
        reconstruction_loss(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))
