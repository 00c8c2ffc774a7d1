"""A smaller picture holds the mean over each pixel's area, of colour over white and of alpha."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from enr.datagen.convert.resample import area_weights, shrink

LEVELS = st.one_of(st.integers(0, 255), st.sampled_from([0, 85, 255]))
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(sorted)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """(height, width, 3) float, not rounded."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def exact_mean(picture: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """The slow twin: blow the picture up until the old pixels fit into the new ones, then take plain means."""
    fine = picture.repeat(height_px, axis=0).repeat(width_px, axis=1)
    height, width = picture.shape[:2]
    return fine.reshape(height_px, height, width_px, width, -1).mean(axis=(1, 3))


@given(rgba=arrays(np.uint8, (6, 9, 4), elements=LEVELS), width_px=st.integers(1, 9), height_px=st.integers(1, 6))
def test_over_white_every_pixel_is_the_mean_of_its_area(rgba, width_px, height_px):
    small = shrink(rgba, width_px, height_px)
    assert small.shape == (height_px, width_px, 4)
    wanted = exact_mean(over_white(rgba), width_px, height_px)
    assert np.abs(over_white(small) - wanted).max() <= 0.5 + 1e-6


@given(rgba=arrays(np.uint8, (6, 9, 4), elements=LEVELS), width_px=st.integers(1, 9), height_px=st.integers(1, 6))
def test_alpha_is_the_covered_share_and_nothing_covered_is_lost(rgba, width_px, height_px):
    alpha = shrink(rgba, width_px, height_px)[..., 3]
    share = exact_mean(rgba[..., 3:].astype(float), width_px, height_px)[..., 0]
    assert ((share - 1e-6 <= alpha) & (alpha < share + 1)).all()
    assert ((alpha > 0) == (share > 1e-6)).all()


@given(sizes=SIZES)
def test_weights_share_every_old_pixel_out_wholly(sizes):
    new, old = sizes
    weights = area_weights(old, new)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights.sum(axis=0) == pytest.approx(new / old)


@given(rgba=arrays(np.uint8, (4, 5, 4), elements=LEVELS))
def test_the_same_size_is_the_same_picture(rgba):
    same = shrink(rgba, 5, 4)
    assert (same[..., 3] == rgba[..., 3]).all()
    assert (same[..., :3] == rgba[..., :3])[rgba[..., 3] > 0].all()


def test_colour_beneath_transparent_pixels_does_not_shine_through():
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0, 0] = (200, 100, 50, 255)  # the other three are black, and transparent
    assert shrink(rgba, 1, 1)[0, 0] == pytest.approx([200, 100, 50, 64], abs=1)


def test_whole_blocks_are_what_pillow_makes_of_them():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    opaque = np.concatenate([rgb, np.full((24, 32, 1), 255, np.uint8)], axis=-1)
    reduced = np.asarray(Image.fromarray(rgb).reduce(4)).astype(int)
    assert np.abs(shrink(opaque, 8, 6)[..., :3].astype(int) - reduced).max() <= 1
