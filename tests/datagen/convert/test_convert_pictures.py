"""A cut-out picture over white is the picture that was given, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from enr.datagen.convert.cut_out import cut_out, read_picture, touches_border
from enr.errors import EnrError

LEVELS = st.one_of(st.integers(0, 255), st.integers(248, 255))


@given(rgb=arrays(np.uint8, (5, 4, 3), elements=LEVELS))
def test_over_white_the_picture_comes_back_exactly(rgb):
    rgba = cut_out(rgb).astype(int)
    numerator = rgba[..., :3] * rgba[..., 3:] + 255 * (255 - rgba[..., 3:])
    assert (numerator == 255 * rgb.astype(int)).all()


@given(rgb=arrays(np.uint8, (5, 4, 3), elements=LEVELS))
def test_alpha_is_the_silhouette_and_its_rim(rgb):
    alpha = cut_out(rgb)[..., 3]
    assert ((alpha >= 128) == (rgb < 250).any(axis=-1)).all()
    assert ((alpha > 0) == (rgb < 255).any(axis=-1)).all()


def test_a_picture_with_an_alpha_of_its_own_keeps_it(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    rgba[0, 0, 3] = 100
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png") == rgba).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_opaque_pictures_of_every_mode_are_cut_out(tmp_path, mode):
    picture = np.full((6, 5, 3), 255, dtype=np.uint8)
    picture[2:4, 1:3] = 0
    Image.fromarray(picture).convert(mode).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png") == cut_out(picture)).all()


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(EnrError, match=r"deep\.png has more than 8 bits"):
        read_picture(tmp_path / "deep.png")


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_truncated_picture_is_named(tmp_path, keep):
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(EnrError, match=r"cut\.png cannot be read"):
        read_picture(tmp_path / "cut.png")


@given(row=st.integers(0, 4), column=st.integers(0, 6))
def test_the_border_is_reached_where_a_solid_pixel_lies_on_it(row, column):
    alpha = np.zeros((2, 5, 7), dtype=np.uint8)
    alpha[0, row, column] = 255
    alpha[1, row, column] = 85
    on_border = row in (0, 4) or column in (0, 6)
    assert touches_border(alpha).tolist() == [on_border, False]
