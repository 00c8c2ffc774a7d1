"""The built-in shapes' colours: palettes, and what is drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enr.camera import Array
from enr.datagen.shapes.chair_parts import Rng

ROLES = ("frame", "seat", "trim")
"""Material names of chairs, tables and mugs."""

WOODS = ("#8a5a33", "#b98550", "#d2a871", "#5b3a24", "#6f4325", "#a0683a", "#e0c496", "#3d2a1f")
METALS = ("#b9bcc0", "#8d9196", "#2c2d30", "#d6d3cc", "#474a4f", "#a58a55")
PAINTS = ("#ded7c5", "#1f2226", "#c0392b", "#1f6f8b", "#e0a526", "#3f7d4e", "#5a3d7a", "#dd7247", "#8fb5bd", "#20416b")
FABRICS = (
    "#b5482f", "#2f5d8a", "#7a8b3c", "#d9a441", "#6c6f75", "#c9b79c", "#8c2f39", "#2d7d74", "#463f5a", "#d88c9a",
    "#3b4a3f", "#cdc5b2", "#7c4a2d", "#1f2a44", "#a8462b", "#4f8fb0",
)  # fmt: skip


def furniture_colours(rng: Rng, kind: str) -> dict[str, Array]:
    """Plausible linear RGB colours of a chair, table or mug by role: wood, steel or paint; fabric, wood or paint."""
    families = {"wood": WOODS, "metal": METALS, "paint": PAINTS, "fabric": FABRICS}
    frame = pick(rng, families[str(rng.choice(["wood", "metal", "paint"], p=[0.5, 0.25, 0.25]))])
    if kind == "mug":
        seat, trim = pick(rng, PAINTS + FABRICS), pick(rng, PAINTS)
    elif kind == "table":
        seat = pick(rng, families[str(rng.choice(["wood", "paint"], p=[0.8, 0.2]))])
        trim = frame
    else:
        plain = rng.random() < 0.22
        seat = (
            frame if plain else pick(rng, families[str(rng.choice(["fabric", "paint", "wood"], p=[0.6, 0.25, 0.15]))])
        )
        trim = frame if rng.random() < 0.6 else pick(rng, FABRICS)
    return dict(zip(ROLES, (frame, seat, trim), strict=True))


def pick(rng: Rng, palette: Sequence[str]) -> Array:
    """One of the palette's sRGB codes, a little lighter or darker, as linear RGB (3,) in [0, 1]."""
    code = palette[int(rng.integers(len(palette)))]
    srgb = np.array([int(code[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    srgb = np.clip(srgb * rng.uniform(0.9, 1.1) + rng.uniform(-0.02, 0.02, 3), 0.02, 0.88)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
