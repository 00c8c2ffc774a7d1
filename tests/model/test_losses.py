"""The loss is the weighted sum of its parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.losses import LossWeights, cycle_loss, reconstruction_loss, scene_loss
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
    with pytest.raises(EnrError, match=r"Loss weights|loss\.(l1|cycle) is (-1|nan)"):
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
    """Moved by nothing, exactly; there and back, better than there alone; a scene's scale does not matter."""
    model = Renderer(config).eval()
    scene = model.inverse_render(torch.rand(2, *config.image_shape))
    still = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    if config.warp != "conditioned":
        moved_by_nothing = scene_loss(model.transform(scene, still), scene, config)
        torch.testing.assert_close(moved_by_nothing, torch.zeros(()), atol=1e-6, rtol=0)
    motion = motions(2, reach=0.1)
    there = model.transform(scene, motion)
    back = model.transform(there, invert_rigid(motion))
    assert scene_loss(back, scene, config) < scene_loss(there, scene, config)
    learned = torch.ones(config.scene_shape[0])
    learned[: config.feature_channels] = 7
    larger = learned.view(-1, 1, 1, 1)
    torch.testing.assert_close(
        scene_loss(there * larger, scene * larger, config), scene_loss(there, scene, config), rtol=1e-4, atol=1e-6
    )


def test_pictures_of_different_shapes_are_refused() -> None:
    with pytest.raises(EnrError, match="differ in shape"):
        reconstruction_loss(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))
