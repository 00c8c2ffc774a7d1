"""The loss is the weighted sum of its parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.model.losses import LossWeights, reconstruction_loss

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


@pytest.mark.parametrize("weights", [(0, 0, 0), (-1, 1, 0)])
def test_senseless_weights_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(EnrError, match="Loss weights"):
        LossWeights(*weights)


def test_pictures_of_different_shapes_are_refused() -> None:
    with pytest.raises(EnrError, match="differ in shape"):
        reconstruction_loss(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))
