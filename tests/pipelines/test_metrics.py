"""Metrics against slow float64 twins written from their definitions, and against values known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.pipelines.metrics import PSNR_CAP_DB, mean_chroma, mean_squared_error, psnr, silhouette_iou, ssim

torch.set_num_threads(1)
seeds = st.integers(0, 2**32 - 1)


def pictures(seed: int, count: int = 3, size: int = 7) -> torch.Tensor:
    """Random pictures (count, 3, size, size + 1) float64."""
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, size, size + 1)))


def psnr_twin(predicted: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """One picture, pixel by pixel."""
    errors = [
        (predicted[c, y, x] - target[c, y, x]) ** 2 for c in range(3) for y, x in zip(*np.nonzero(mask), strict=True)
    ]
    return math.nan if not errors else -10 * math.log10(sum(errors) / len(errors))


def ssim_twin(one: np.ndarray, two: np.ndarray) -> float:
    """One picture, window by window: the formula of Wang et al. (2004) with its 11x11 Gaussian of sigma 1.5."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(3):
        for y in range(one.shape[1] - 10):
            for x in range(one.shape[2] - 10):
                a, b = one[channel, y : y + 11, x : x + 11], two[channel, y : y + 11, x : x + 11]
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                covariance = (window * (a - mean_a) * (b - mean_b)).sum()
                c1, c2 = 0.01**2, 0.03**2
                luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                values.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


@given(seed=seeds, share=st.floats(0, 1))
def test_psnr_equals_its_slow_twin(seed, share):
    predicted, target = pictures(seed), pictures(seed + 1)
    mask = torch.from_numpy(np.random.default_rng(seed + 2).random((3, 7, 8)) < share)
    everything = torch.ones_like(mask)
    for index in range(3):
        one, two = predicted[index].numpy(), target[index].numpy()
        whole, part = psnr(predicted, target)[index], psnr(predicted, target, mask)[index]
        assert float(whole) == pytest.approx(psnr_twin(one, two, everything[index].numpy()))
        assert float(part) == pytest.approx(psnr_twin(one, two, mask[index].numpy()), nan_ok=True)


@given(error=st.floats(1e-3, 1.0))
def test_a_constant_error_gives_its_own_decibels(error):
    target = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    assert float(psnr(target + error, target)) == pytest.approx(-20 * math.log10(error))


def test_each_picture_is_measured_alone():
    predicted, target = pictures(0), pictures(1)
    alone = torch.cat([psnr(predicted[index : index + 1], target[index : index + 1]) for index in range(3)])
    assert torch.equal(psnr(predicted, target), alone)


def test_equal_pictures_meet_the_cap_and_not_infinity():
    images = pictures(0)
    assert psnr(images, images).tolist() == [PSNR_CAP_DB] * 3


def test_nothing_outside_the_mask_counts():
    predicted, target = pictures(0), pictures(1)
    mask = torch.zeros(3, 7, 8, dtype=torch.bool)
    mask[:, 2:5, 3:6] = True
    changed = torch.where(mask[:, None], predicted, 1 - predicted)
    assert torch.equal(mean_squared_error(predicted, target, mask), mean_squared_error(changed, target, mask))
    assert not torch.allclose(mean_squared_error(predicted, target), mean_squared_error(changed, target))


def test_an_empty_mask_has_no_psnr():
    assert torch.isnan(psnr(pictures(0), pictures(1), torch.zeros(3, 7, 8, dtype=torch.bool))).all()


@settings(max_examples=10)
@given(seed=seeds, mix=st.floats(0, 1))
def test_ssim_equals_its_slow_twin(seed, mix):
    target = pictures(seed, size=12)
    predicted = mix * target + (1 - mix) * pictures(seed + 1, size=12)
    expected = [ssim_twin(one, two) for one, two in zip(predicted.numpy(), target.numpy(), strict=True)]
    assert ssim(predicted, target).tolist() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_equal_pictures_is_one():
    images = pictures(0, size=16).float()
    assert ssim(images, images).tolist() == pytest.approx([1.0] * 3)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(EnrError, match=r"10x10 px.*11x11"):
        ssim(torch.zeros(1, 3, 10, 10), torch.zeros(1, 3, 10, 10))


def test_silhouette_iou_of_shifted_squares():
    white = torch.ones(3)
    predicted, mask = torch.ones(2, 3, 6, 6), torch.zeros(2, 6, 6, dtype=torch.bool)
    predicted[:, 1, 1:3, 1:3] = 0.5  # one channel is enough
    mask[0, 1:3, 1:3] = True
    mask[1, 1:3, 2:4] = True
    assert silhouette_iou(predicted, mask, white).tolist() == pytest.approx([1, 2 / 6])


def test_a_faint_stain_is_no_silhouette():
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    assert silhouette_iou(torch.full((1, 3, 2, 2), 0.95), mask, torch.ones(3)).tolist() == [0.0]


def test_chroma_is_zero_for_grey_and_signed_for_colours():
    mask = torch.ones(3, 2, 2, dtype=torch.bool)
    colours = torch.tensor([[0.4, 0.4, 0.4], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    images = colours[:, :, None, None].expand(3, 3, 2, 2)
    assert mean_chroma(images, mask).numpy() == pytest.approx(np.array([[0, 0], [1, 0.5], [0, -1]]))


def test_chroma_looks_at_the_foreground_alone():
    images, mask = torch.ones(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)
    images[0, :, 0, 0], mask[0, 0, 0] = torch.tensor([0.8, 0.2, 0.1]), True
    assert mean_chroma(images, mask).numpy() == pytest.approx(np.array([[0.6, 0.4]]))


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("wrong", [255.0, -1.0, math.nan, math.inf])
def test_what_is_no_picture_has_no_number(measure, wrong):
    good = torch.full((1, 3, 12, 12), 0.5)
    bad = good.clone()
    bad[0, 0, 0, 0] = wrong
    for pair in ((bad, good), (good, bad)):
        with pytest.raises(EnrError, match=r"give values in \[0, 1\] and no NaN"):
            measure(*pair)
