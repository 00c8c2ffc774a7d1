"""Pictures with straight alpha, as shards store them, over a background (torch twin: `enr.pipelines.data.views`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WHITE = (1.0, 1.0, 1.0)


def blend(views: NDArray[np.uint8], background: Sequence[float] = WHITE) -> NDArray[np.float64]:
    """Colours (..., height, width, 3) from 0 to 255 of RGBA views (..., height, width, 4), not rounded.

    Args:
        views: straight alpha.
        background: red, green, blue in [0, 1].
    """
    alpha = views[..., 3:] / 255.0
    colours: NDArray[np.float64] = alpha * views[..., :3] + (1 - alpha) * 255.0 * np.asarray(background, np.float64)
    return colours


def over_background(views: NDArray[np.uint8], background: Sequence[float] = WHITE) -> NDArray[np.uint8]:
    """Pictures (..., height, width, 3) uint8: `blend`, rounded."""
    return np.rint(blend(views, background)).astype(np.uint8)
