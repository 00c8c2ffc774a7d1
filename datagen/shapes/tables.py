"""Procedural tables and mugs, in the frame and with the material roles of `enr.datagen.shapes.chairs`."""

from __future__ import annotations

import numpy as np

from enr.datagen.shapes.chair_parts import Rng
from enr.datagen.shapes.solids import Solid, box, lathe, tube


def table(rng: Rng) -> list[Solid]:
    """A dining, coffee or side table, its top round or square, on legs, trestles or a pedestal."""
    height, thick = rng.uniform(0.38, 0.78), rng.uniform(0.02, 0.05)
    width = rng.uniform(0.7, 1.5)
    kind = rng.random()
    if kind < 0.35:
        return _round_table(rng, width * 0.42, height, thick)
    depth = width * rng.uniform(0.5, 1.0)
    top = box((0, 0, height - thick / 2), (depth, width, thick), "seat", 0.006)
    if kind < 0.55:
        return [top, *_trestles(depth, width, height - thick)]
    return [top, *_table_legs(rng, depth, width, height - thick)]


def mug(rng: Rng) -> list[Solid]:
    """A cup with one handle towards the front, straight, conical or bellied."""
    height, radius = rng.uniform(0.08, 0.12), rng.uniform(0.034, 0.05)
    wall = rng.uniform(0.003, 0.005)
    shape, step = rng.uniform(-0.25, 0.15), np.linspace(0, 1, 9)
    belly = rng.uniform(0.0, 0.18) * np.sin(np.pi * step)
    outside = radius * (1 + shape * (1 - step) + belly)
    outer = np.column_stack([outside, step * height])
    inner = np.column_stack([outside - wall, np.maximum(step * height, wall * 1.5)])[::-1]
    lip = [[outside[-1] - wall / 2, height + wall / 3]]
    base = [[outside[0] * 0.9, -0.003]]
    cup = lathe(np.concatenate([base, outer, lip, inner]), "seat", 40)
    solids = [cup, _handle(rng, outside, height)]
    if rng.random() < 0.5:
        low, high = sorted(rng.uniform(0.1, 0.9, 2))
        band = np.linspace(low, max(high, low + 0.08), 6)
        round_ = np.interp(band, step, outside) + 0.0006
        solids.append(lathe(np.column_stack([round_, band * height]), "trim", 40))
    return solids


def _handle(rng: Rng, outside: np.ndarray, height: float) -> Solid:
    turn = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 13)
    low, high = rng.uniform(0.15, 0.25) * height, rng.uniform(0.75, 0.88) * height
    edge = float(outside.min()) - 0.001
    bulge = float(outside.max()) - edge + rng.uniform(0.02, 0.03)
    squareness = rng.uniform(0.5, 1.0)
    x = edge + bulge * np.cos(turn) ** squareness
    z = (low + high) / 2 + (high - low) / 2 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** squareness
    path = np.column_stack([x, np.zeros_like(x), z])
    return tube(path, rng.uniform(0.004, 0.006), "seat", 12, flatten=rng.uniform(0.8, 1.2))


def _round_table(rng: Rng, radius: float, height: float, thick: float) -> list[Solid]:
    rim = 0.006
    low = height - thick
    top = lathe([(radius - rim, low), (radius, low + rim), (radius, height - rim), (radius - rim, height)], "seat", 40)
    if rng.random() < 0.5:
        waist = rng.uniform(0.025, 0.05)
        outline = [(radius * 0.62, 0), (radius * 0.62, 0.015), (waist * 1.4, 0.05), (waist, 0.1), (waist, low - 0.06)]
        return [top, lathe([*outline, (radius * 0.35, low + 0.002)], "frame", 32)]
    legs = int(rng.integers(3, 5))
    leg = tube([[radius * 0.95, 0, 0], [radius * 0.55, 0, low + 0.004]], [0.014, 0.026], "frame", 12)
    return [top, *(leg.turned_z(360 / legs * index + 45) for index in range(legs))]


def _table_legs(rng: Rng, depth: float, width: float, top: float) -> list[Solid]:
    thick, sides = rng.uniform(0.02, 0.035), int(rng.choice([4, 12]))
    x, y = depth / 2 - 0.05, width / 2 - 0.05
    taper = rng.uniform(0.5, 1.0)
    legs = [
        tube([[at_x, at_y, 0], [at_x, at_y, top + 0.004]], [thick * taper, thick], "frame", sides)
        for at_x in (-x, x)
        for at_y in (-y, y)
    ]
    apron = [box((0, at, top - 0.035), (2 * x, 0.02, 0.08), "frame") for at in (-y, y)]
    apron += [box((at, 0, top - 0.035), (0.02, 2 * y, 0.08), "frame") for at in (-x, x)]
    if rng.random() < 0.3:
        apron.append(box((0, 0, top * 0.3), (2 * x, 2 * y, 0.02), "trim", 0.004))
    return legs + (apron if rng.random() < 0.75 else [])


def _trestles(depth: float, width: float, top: float) -> list[Solid]:
    y, x = width / 2 - 0.18, depth / 2 - 0.06
    solids = [tube([[0, -y, top * 0.5], [0, y, top * 0.5]], 0.02, "frame", 4)]
    for at in (-y, y):
        solids += [tube([[foot, at, 0], [-foot * 0.75, at, top + 0.004]], 0.024, "frame", 4) for foot in (-x, x)]
        solids.append(box((0, at, top - 0.015), (2 * x, 0.06, 0.03), "frame"))
    return solids
