"""Places of cameras: pure functions, of a random generator where chance is at work."""

from __future__ import annotations

import numpy as np

from enr.camera import Array

Range = tuple[float, float]
Box = tuple[Range, Range, Range]
Direction = tuple[float, float]
"""Azimuth and elevation in degrees of a camera on its orbit."""

SPIRAL_VIEWS = 251
SPIRAL_TURN_DEG = float(np.rad2deg(20.0))
SPIRAL_END_DEG = 270.0
FULL_CIRCLE_DEG = 360.0


def uniform_angles(rng: np.random.Generator, azimuth_deg: Range, elevation_deg: Range) -> Direction:
    """A direction uniform in the angles: places crowd towards the poles (the roto-translation report's way)."""
    azimuth, elevation = rng.random(2).tolist()
    return _between(azimuth_deg, azimuth), _between(elevation_deg, elevation)


def uniform_area(rng: np.random.Generator, azimuth_deg: Range, elevation_deg: Range) -> Direction:
    """A direction uniform on the sphere's area: the elevation's sine is uniform."""
    azimuth, height = rng.random(2).tolist()
    low, high = np.sin(np.deg2rad(elevation_deg)).tolist()
    elevation = float(np.rad2deg(np.arcsin(min(max(_between((low, high), height), -1.0), 1.0))))
    return _between(azimuth_deg, azimuth), min(max(elevation, elevation_deg[0]), elevation_deg[1])


def in_box(rng: np.random.Generator, box: Box) -> Array:
    """A point (3,) uniform in a box."""
    low, high = np.asarray(box, dtype=np.float64).T
    return low + (high - low) * rng.random(3)


def around(rng: np.random.Generator, sigma: float) -> Array:
    """A displacement (3,), normal with standard deviation `sigma` along each axis."""
    return sigma * rng.standard_normal(3)


def between(rng: np.random.Generator, limits: Range) -> float:
    """A number uniform between two."""
    return _between(limits, float(rng.random()))


def ring(index: int, views: int, rings_deg: tuple[float, ...], azimuth_deg: Range) -> Direction:
    """View `index` of `views`, spread over rings at the elevations `rings_deg`, evenly spaced in azimuth.

    The views of a ring follow each other; where the rings cannot have equally many, the first ones have one more. On a
    full circle the last view does not repeat the first; on an arc the views reach from end to end.
    """
    share, left = divmod(views, len(rings_deg))
    counts = [share + (number < left) for number in range(len(rings_deg))]
    number = 0
    while index >= counts[number]:
        index -= counts[number]
        number += 1
    span = azimuth_deg[1] - azimuth_deg[0]
    steps = counts[number] if span >= FULL_CIRCLE_DEG else max(counts[number] - 1, 1)
    return azimuth_deg[0] + span * index / steps, rings_deg[number]


def spiral(index: int, views: int = SPIRAL_VIEWS) -> Direction:
    """View `index` of the paper's test spiral: from the horizon to the pole in 20 radians of azimuth.

    With 251 views these are the cameras of its published test pictures (source view 64), to a thousandth of a degree.
    The last one stands at the pole, from where its picture was taken with azimuth 0, whatever its entry says.
    """
    way = index / max(views - 1, 1)
    azimuth_deg = (SPIRAL_END_DEG + SPIRAL_TURN_DEG * (1.0 - way)) % FULL_CIRCLE_DEG
    return azimuth_deg if way < 1 else 0.0, 90.0 * way


def _between(limits: Range, share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
