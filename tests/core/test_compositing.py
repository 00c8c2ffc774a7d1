"""Straight alpha over a background."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enr.compositing import over_background


@given(seed=st.integers(0, 2**32 - 1), background=st.tuples(*[st.floats(0, 1)] * 3))
def test_over_background_equals_its_slow_twin(seed, background):
    view = np.random.default_rng(seed).integers(0, 256, (3, 2, 4), dtype=np.uint8)
    result = over_background(view, background)
    for y in range(3):
        for x in range(2):
            alpha = view[y, x, 3] / 255
            expected = [alpha * view[y, x, c] + (1 - alpha) * 255 * background[c] for c in range(3)]
            assert result[y, x] == pytest.approx(expected, abs=0.5 + 1e-9)
