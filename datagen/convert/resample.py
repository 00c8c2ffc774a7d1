"""Smaller pictures by area: every new pixel is the mean of what it covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array

Pixels = NDArray[np.uint8]


def shrink(rgba: Pixels, width_px: int, height_px: int) -> Pixels:
    """A picture in fewer pixels; over white it is the mean over each pixel's area, to half a level of 255.

    Colours count by their alpha, so that what shines through a rim is not what lies beneath transparent pixels. A
    pixel of which the object covers anything keeps an alpha above 0.

    Args:
        rgba: (height, width, 4), straight alpha.
        width_px: the new width, at most the old one.
        height_px: the new height, likewise.

    Returns:
        (height_px, width_px, 4), straight alpha; white where nothing is.
    """
    rows, columns = area_weights(rgba.shape[0], height_px), area_weights(rgba.shape[1], width_px)
    alpha = rgba[..., 3:] / 255.0
    darkening = (255.0 - rgba[..., :3]) * alpha  # what the object takes away from white
    mean = np.einsum("yh,hwc,xw->yxc", rows, np.concatenate([darkening, alpha], axis=-1), columns, optimize=True)
    new_alpha = np.ceil(np.round(mean[..., 3:] * 255.0, 6))
    colour = 255.0 - np.round(mean[..., :3] * 255.0 / np.maximum(new_alpha, 1.0))
    return np.concatenate([colour, new_alpha], axis=-1).clip(0, 255).astype(np.uint8)


def area_weights(size_px: int, new_size_px: int) -> Array:
    """(new_size_px, size_px) shares of the old pixels in each new one along one side of a picture; rows sum to 1."""
    return covered_shares(np.linspace(0.0, size_px, new_size_px + 1), size_px)


def covered_shares(edges: Array, size_px: int) -> Array:
    """Shares of old pixels in new ones along one side of a picture.

    Args:
        edges: (n + 1,) rising borders of the new pixels, in old pixels from the picture's border.
        size_px: old pixels.

    Returns:
        (n, size_px); a row sums to the share of the new pixel that lies within the picture.
    """
    old = np.arange(size_px)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    shares: Array = np.clip(overlap, 0.0, None) / np.diff(edges)[:, None]
    return shares
