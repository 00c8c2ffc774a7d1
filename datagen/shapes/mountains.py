"""Procedural mountains: fractal terrain on a block of ground, coloured by height and slope.

Frame: Z up, any unit, the lowest ground at z = 0.
"""

from __future__ import annotations

import numpy as np

from enr.camera import Array
from enr.datagen.shapes.chair_parts import Rng
from enr.datagen.shapes.colours import pick
from enr.datagen.shapes.solids import Solid, grid_faces

CELLS = 72
"""Terrain cells along each side."""

SHADES = 3
BANDS = ("water", "meadow", "wood", "rock", "scree", "snow", "earth")
LAND = ("#5f8f3a", "#7ba048", "#4e8a4f")
CLIMATES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("#2f6fa8", "#3b86b8"), LAND, ("#2f5d34", "#3d6b3a", "#274f33"), ("#7d7468", "#8b8378", "#6a645d"),
     ("#a09a90", "#8f8a84"), ("#eef2f6", "#e4ebf2"), ("#6b4e36", "#7a5a3e")),
    (("#3c8f9c", "#2f7f95"), ("#d9b36c", "#cfa35a"), ("#b98a4a", "#a8743c"), ("#a4512e", "#b5633a", "#8f4528"),
     ("#c9794a", "#d08c5c"), ("#e3c08f", "#dcae78"), ("#8a4a2c", "#9b5a36")),
    (("#28506e", "#335f78"), ("#54652f", "#616b3a"), ("#4a4a3c", "#565145"), ("#2f2c2d", "#3b3637", "#443c3b"),
     ("#59504d", "#6a5a54"), ("#c23b1e", "#d9541f"), ("#33282a", "#40302e")),
    (("#3f6f8f", "#4a7d96"), ("#b8862f", "#c79a3c", "#a8642c"), ("#8f4a26", "#a4562b", "#7a5a2c"),
     ("#6f6a6a", "#7e7878", "#5f5b5d"), ("#96908f", "#88837f"), ("#f1f1f2", "#e7e9ee"), ("#59432f", "#684f38")),
    (("#4d8aa6", "#6aa3b8"), ("#a9b8a0", "#9aae92"), ("#6f8f7f", "#7f9a8c"), ("#6a7683", "#7b8794", "#5a6673"),
     ("#9aa8b5", "#b0bcc6"), ("#e9f1f7", "#dce8f2"), ("#5b5f66", "#696c72")),
)  # fmt: skip
"""Colours of the bands by climate: alpine, desert, volcanic, autumnal, arctic."""


def mountain(rng: Rng) -> list[Solid]:
    """A block of terrain with one to three summits, on a round, square or oblong footprint; some by the water."""
    height = terrain(rng)
    sea = rng.uniform(0.08, 0.2) if rng.random() < 0.35 else 0.0
    names = _material_names(rng, height, sea)
    wide, bent = rng.uniform(0.75, 1.0), float(rng.choice([0.0, 0.25, 0.5]))  # 0: a square, 0.5: a disc
    tall, depth = rng.uniform(0.75, 1.35), rng.uniform(0.05, 0.12)
    x, y = _grid()
    plane = (x * np.sqrt(1 - bent * y**2), wide * y * np.sqrt(1 - bent * x**2))
    return [_block(np.stack([*plane, np.maximum(height, sea) * tall], axis=-1), -depth, names)]


def mountain_colours(rng: Rng) -> dict[str, Array]:
    """Linear RGB colours of one climate by material: shades of each band."""
    climate = CLIMATES[int(rng.choice(len(CLIMATES), p=[0.36, 0.16, 0.14, 0.18, 0.16]))]
    return {
        f"{band}{shade}": pick(rng, codes)
        for band, codes in zip(BANDS, climate, strict=True)
        for shade in range(SHADES)
    }


def fractal(rng: Rng, size: int, exponent: float) -> Array:
    """Spectral noise (size, size), periodic: mean 0, deviation 1, amplitude falling as 1 / frequency**exponent."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / frequency**exponent
    noise: Array = np.fft.ifft2(spectrum).real
    return noise / noise.std()


def terrain(rng: Rng) -> Array:
    """Heights (CELLS + 1, CELLS + 1) in [0, 1]: summits, ridges and fractal detail, low at the border."""
    x, y = _grid()
    size = len(x)
    warp_x, warp_y = (0.16 * fractal(rng, size, 2.0) for _ in range(2))
    summits, sharp = np.zeros_like(x), rng.uniform(1.1, 1.6)
    for number in range(int(rng.integers(1, 4))):
        at, reach = rng.uniform(-0.4, 0.4, 2), rng.uniform(0.4, 0.75)
        far = np.hypot(x + warp_x - at[0], y + warp_y - at[1])
        summits = np.maximum(
            summits, (1.0 if number == 0 else rng.uniform(0.45, 0.9)) * np.exp(-((far / reach) ** sharp))
        )
    ridges = 1 - np.abs(fractal(rng, size, rng.uniform(1.7, 2.1)))
    detail = fractal(rng, size, 1.5)
    border = np.clip((1 - np.maximum(np.abs(x), np.abs(y))) / 0.45, 0, 1)
    border = border * border * (3 - 2 * border)
    raw = border * np.maximum(summits * (1 + 0.3 * ridges) + 0.03 * detail * (0.3 + summits), 0) + 0.012 * detail
    low, high = raw.min(), raw.max()
    return (raw - low) / (high - low)


def _grid() -> tuple[Array, Array]:
    """X and Y of the terrain's corners, each (CELLS + 1, CELLS + 1) in [-1, 1]."""
    side = np.linspace(-1, 1, CELLS + 1)
    x, y = np.meshgrid(side, side, indexing="ij")
    return x, y


def _material_names(rng: Rng, height: Array, sea: float) -> Array:
    """Names (CELLS, CELLS) of each cell's material."""
    middle = (height[:-1, :-1] + height[1:, :-1] + height[:-1, 1:] + height[1:, 1:]) / 4
    slope = np.hypot(*np.gradient(middle, 2 / CELLS))
    wild = fractal(rng, CELLS, 1.2)
    level = middle + 0.035 * wild
    wood, rock, snow = np.sort(rng.uniform([0.1, 0.32, 0.55], [0.22, 0.5, 0.8]))
    band = np.digitize(level, [wood, rock, (rock + snow) / 2, snow]) + 1
    band[(slope > 1.7) & (band < 4)] = 3
    band[(slope > 2.6) & (band == 5)] = 4
    band[middle <= sea] = 0
    shade = np.clip(np.floor(fractal(rng, CELLS, 1.3) * 0.9 + 1.5), 0, SHADES - 1).astype(int)
    return np.array([[f"{BANDS[b]}{s}" for b, s in zip(*row, strict=True)] for row in zip(band, shade, strict=True)])


def _block(top: Array, floor: float, names: Array) -> Solid:
    """The terrain (rows, columns, 3) with materials by cell as a closed block down to the height `floor`."""
    index = np.arange(top[..., 0].size).reshape(top.shape[:2])
    rim = np.concatenate([index[:, 0], index[-1, 1:], index[-2::-1, -1], index[0, -2:0:-1]])
    points = top.reshape(-1, 3)
    foot = points[rim] * [1, 1, 0] + [0, 0, floor]
    low, centre = len(points) + np.arange(len(rim)), len(points) + len(rim)
    after, low_after = np.roll(rim, -1), np.roll(low, -1)
    walls = np.stack([low, low_after, after, rim], axis=-1).tolist()
    ground = np.stack([low_after, low, np.full_like(low, centre)], axis=-1).tolist()
    faces = [*grid_faces(index), *map(tuple, walls), *map(tuple, ground)]
    materials = (*names.reshape(-1).tolist(), *("earth0",) * len(walls), *("earth1",) * len(ground))
    return Solid(np.concatenate([points, foot, [[0, 0, floor]]]), faces, materials[0], materials)
