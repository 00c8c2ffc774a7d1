"""How well projected triangles fit a picture's silhouette: distance of the outlines, and the move that explains it.

A glass surface makes the alpha small, not the silhouette, and a mask knows no shares, so a view is also right if the
pixels that are half covered, or merely touched, agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array
from enr.datagen.verify.raster import fine_raster

GLASS_PX = 0.3
"""Where the shares of pixels fit worse than the touched pixels by this, the object is seen through."""
FINE_WIDTH = 1024
MOST_FINE, LEAST_FINE = 8, 2


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture's silhouette, the triangles that it should show and the camera that it should be from.

    Attributes:
        alpha: (height, width) uint8.
        triangles: (m, 3, 3) in the world.
        world_from_camera: (4, 4).
        K: (3, 3) in pixels.
    """

    alpha: NDArray[np.uint8]
    triangles: Array
    world_from_camera: Array
    K: Array

    def expected(self) -> Array:
        """(height, width) share of each pixel that the triangles cover, in [0, 1]."""
        height, width = self.alpha.shape
        fine = int(np.clip(FINE_WIDTH // max(width, height), LEAST_FINE, MOST_FINE))
        return fine_raster(self.triangles, self.world_from_camera, self.K, (height, width), fine).coverage()

    def seen_from(self, world_from_camera: Array) -> Picture:
        """The same with another camera (4, 4)."""
        return replace(self, world_from_camera=world_from_camera)


@dataclass(frozen=True)
class Fit:
    """How a picture and projected triangles lie on each other.

    Attributes:
        iou: intersection over union of the silhouettes (pixels of which half is covered; 1 if both are empty).
        outline_px: mean distance of the outlines in pixels.
        offset_px: (4,) how the picture lies relative to the projection: right, down, outwards, turned.
        excess_px: how much of that distance is where the picture has more than the triangles.
        missing_px: and where it has less.
        noise_px: what one sample a pixel adds to the distance; much where the mesh is thinner than a pixel.
    """

    iou: float
    outline_px: float
    offset_px: Array
    excess_px: float
    missing_px: float
    noise_px: float


def fit(picture: Picture) -> Fit:
    """How well a picture's triangles fit it."""
    found, expected = picture.alpha / 255.0, picture.expected()
    first, second = found >= 0.5, expected >= 0.5
    iou = float((first & second).sum() / max((first | second).sum(), 1)) if (first | second).any() else 1.0
    touched = (found > 0).astype(float), (expected > 0).astype(float)
    shares = outline_px(found, expected)
    distance = min(shares, outline_px(*touched))
    if 2 * _length_px(second.astype(float)) > _length_px(expected):  # not where all is thinner than half a pixel
        distance = min(distance, outline_px(first.astype(float), second.astype(float)))
    more, less = (outline_px(side(found, expected), expected) for side in (np.maximum, np.minimum))
    noise = outline_px(expected + np.sqrt(expected * (1 - expected)), expected)
    if ((found > 0) & (found < 1)).any() and shares <= distance + GLASS_PX:
        return Fit(iou, distance, _offset_px(found, expected), more, less, noise)
    # A few samples miss pixels that are hardly touched, so nothing is said of the growth.
    return Fit(iou, distance, _offset_px(*touched) * [1, 1, np.nan, 1], more, less, noise)


def outline_px(found: Array, expected: Array) -> float:
    """Area of the difference over the length of the outline; over 1 px where there is no outline."""
    return float(np.abs(found - expected).sum() / max(_length_px(expected), 1.0))


def _length_px(shares: Array) -> float:
    """Length of the outline of covered pixels (height, width)."""
    down, right = np.gradient(shares)
    return float(np.hypot(down, right).sum())


def _offset_px(found: Array, expected: Array) -> Array:
    """(4,) least-squares move right, down, outwards and turn clockwise, in pixels at the outline; NaN without one."""
    down, right = np.gradient(expected)
    weight = np.hypot(down, right)
    if not weight.any():
        return np.full(4, np.nan)
    y, x = np.mgrid[: found.shape[0], : found.shape[1]] + 0.5
    y, x = y - np.average(y, weights=weight), x - np.average(x, weights=weight)
    reach = max(float(np.sqrt(np.average(x**2 + y**2, weights=weight))), 1.0)
    outwards, turned = (right * x + down * y) / reach, (down * x - right * y) / reach
    columns = np.stack([motion.ravel() for motion in (right, down, outwards, turned)], axis=1)
    return np.asarray(np.linalg.lstsq(columns, (expected - found).ravel(), rcond=None)[0])
