"""Colours for meshes that bring none of their own."""

from __future__ import annotations

import colorsys

from enr.datagen.cameras.poses import view_rng

PALETTE_COLOURS = 16


def linear_palette(seed: int, scene_id: str, colours: int = PALETTE_COLOURS) -> list[list[float]]:
    """Plausible colours of an object's parts: linear RGB, (colours, 3), from (seed, scene) alone.

    Woods, fabrics in any hue, and greys, as furniture has them. None is near white or black, so that the object
    stands out from a white background and its shading stays visible.
    """
    rng = view_rng(seed, f"{scene_id}/palette", 0)
    palette = []
    for _ in range(colours):
        kind = rng.choice(["wood", "fabric", "grey"], p=[0.35, 0.45, 0.2])
        if kind == "wood":
            hue, saturation, value = rng.uniform(0.04, 0.11), rng.uniform(0.4, 0.75), rng.uniform(0.45, 0.85)
        elif kind == "fabric":
            hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.35, 0.85), rng.uniform(0.45, 0.9)
        else:
            hue, saturation, value = 0.0, 0.0, rng.uniform(0.3, 0.8)
        palette.append([_linear_from_srgb(channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)])
    return palette


def _linear_from_srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
