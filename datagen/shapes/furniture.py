"""Procedural furniture: chairs, armchairs, office chairs, stools, benches and sofas; tables, and mugs for them.

Frame: Z up, metres, the floor at z = 0, the front towards +X. The materials are named by role: `frame`, `seat`, `trim`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from enr.datagen.shapes.chair_parts import (
    Back,
    Rng,
    Seat,
    arm_rests,
    back_filling,
    four_legs,
    office_arms,
    pedestal,
    random_back,
    random_seat,
    rounded_corners,
    seat_board,
    star_base,
)
from enr.datagen.shapes.solids import Solid, box, lathe, sheet, tube


def chair(rng: Rng) -> list[Solid]:
    """A chair of a random family."""
    families: list[tuple[Callable[[Rng], list[Solid]], float]] = [
        (dining_chair, 0.34),
        (sled_chair, 0.12),
        (office_chair, 0.16),
        (shell_chair, 0.10),
        (armchair, 0.10),
        (stool, 0.08),
        (bench, 0.05),
        (sofa, 0.05),
    ]
    weights = [weight for _, weight in families]
    return families[int(rng.choice(len(families), p=weights))][0](rng)


def dining_chair(rng: Rng) -> list[Solid]:
    """Four legs, a back of any kind, with or without stretchers and arms."""
    seat = random_seat(rng)
    back = random_back(rng, seat)
    solids = seat_board(rng, seat) + four_legs(rng, seat) + back_filling(rng, back)
    return solids + (arm_rests(rng, seat, back) if rng.random() < 0.35 else [])


def sled_chair(rng: Rng) -> list[Solid]:
    """A bent steel frame on runners, with a plain or upholstered seat."""
    seat = random_seat(rng)
    back = random_back(rng, seat)
    y, z, thick = seat.width / 2 - 0.02, seat.underside - 0.01, rng.uniform(0.012, 0.02)
    front, rear = seat.depth / 2 - 0.03, -seat.depth / 2 + 0.02
    loop = np.array([[front, y, z], [front + 0.03, y, thick], [rear - 0.06, y, thick], [rear, y, z]])
    side = tube(rounded_corners(loop, 0.05), thick, "frame")
    cantilever = rng.random() < 0.4
    if cantilever:
        side = tube(rounded_corners(loop[:3], 0.05), thick, "frame")
    cross = tube([[rear - 0.03, -y, thick], [rear - 0.03, y, thick]], thick, "frame")
    under = [tube([[x, -y, z], [x, y, z]], thick, "frame") for x in (front, rear)]
    return [side, side.mirrored_y(), cross, *under, *seat_board(rng, seat), *back_filling(rng, back)]


def office_chair(rng: Rng) -> list[Solid]:
    """A swivelling chair: star base with castors, gas spring, upholstered seat and back, arms or none."""
    seat = Seat(rng.uniform(0.46, 0.54), rng.uniform(0.44, 0.52), rng.uniform(0.44, 0.54), rng.uniform(0.06, 0.1))
    back = Back(seat.width * 0.92, rng.uniform(0.38, 0.75), rng.uniform(0.08, 0.22), 0.05, -seat.depth / 2 + 0.02, 0.0)
    back = Back(back.width, back.height, back.lean, back.curve, back.rear, seat.height)
    low = rng.uniform(0.05, 0.14)
    spine = tube([[-0.05, 0, seat.underside], *back.at(0, np.array([0.02, low + 0.15])) - [0.05, 0, 0]], 0.022, "frame")
    solids = [
        *star_base(int(rng.choice([4, 5, 5, 5, 6])), seat, bool(rng.random() < 0.75)),
        box((0, 0, seat.height - seat.thickness / 2), (seat.depth, seat.width, seat.thickness), "seat", 0.035),
        back.board(low, back.height, rng.uniform(0.04, 0.07), "seat"),
        spine,
    ]
    return solids + (office_arms(rng, seat) if rng.random() < 0.6 else [])


def shell_chair(rng: Rng) -> list[Solid]:
    """A one-piece moulded shell on splayed legs, on a pedestal or on a star base."""
    width, depth, height = rng.uniform(0.44, 0.54), rng.uniform(0.42, 0.48), rng.uniform(0.42, 0.46)
    rise, wing = rng.uniform(0.3, 0.45), rng.uniform(0.03, 0.1)
    step = np.linspace(0, 1, 15)
    x = np.interp(step, [0, 0.5, 0.62, 1], [depth / 2, -depth / 2 + 0.08, -depth / 2, -depth / 2 - 0.12])
    z = height + np.interp(step, [0, 0.08, 0.5, 0.6, 1], [-0.02, 0, 0, 0.05, rise])
    side = np.linspace(-1, 1, 11)[None, :]
    taper = np.interp(step, [0, 0.15, 0.8, 1], [0.86, 1, 0.95, 0.7])[:, None]
    lift = wing * side**4 * np.interp(step, [0, 0.5, 1], [0.4, 1.0, 0.2])[:, None]
    bend = 0.07 * side**2 * np.interp(step, [0, 0.5, 1], [0, 0.3, 1])[:, None]
    surface = np.stack([x[:, None] + bend, side * taper * width / 2, z[:, None] + lift], axis=-1)
    shell = sheet(surface, (-0.012, 0, -0.018), "seat")
    seat = Seat(width * 0.8, depth * 0.85, height, 0.02)
    base = rng.random()
    if base < 0.25:
        return [shell, *pedestal(rng, seat)]
    if base < 0.45:
        return [shell, *star_base(4, seat, False)]
    return [shell, *four_legs(rng, seat, splay=rng.uniform(0.05, 0.1))]


def armchair(rng: Rng) -> list[Solid]:
    """An upholstered chair for one."""
    return _upholstered(rng, seats=1)


def sofa(rng: Rng) -> list[Solid]:
    """An upholstered seat for two or three."""
    return _upholstered(rng, seats=int(rng.integers(2, 4)))


def stool(rng: Rng) -> list[Solid]:
    """A round or square seat without a back, low or high, on legs with a ring or on a pedestal."""
    height, width = rng.uniform(0.42, 0.78), rng.uniform(0.32, 0.42)
    seat = Seat(width, width, height, rng.uniform(0.03, 0.09))
    if rng.random() < 0.6:
        rim = min(0.02, seat.thickness / 3)
        half = width / 2
        outline = [
            (half - rim, seat.underside),
            (half, seat.underside + rim),
            (half, height - rim),
            (half - rim, height),
        ]
        solids = [lathe(outline, "seat", 28)]
    else:
        solids = [box((0, 0, height - seat.thickness / 2), (width, width, seat.thickness), "seat", seat.thickness / 3)]
    if rng.random() < 0.35:
        return solids + pedestal(rng, seat)
    legs_seat = Seat(width * 0.8, width * 0.8, height, seat.thickness)
    return solids + four_legs(rng, legs_seat, splay=rng.uniform(0.0, 0.09))


def bench(rng: Rng) -> list[Solid]:
    """A wide seat of boards or upholstery, with or without a slatted back."""
    seat = Seat(rng.uniform(0.95, 1.35), rng.uniform(0.36, 0.46), rng.uniform(0.42, 0.47), 0.04)
    boards = int(rng.integers(3, 6))
    gap = seat.depth / boards
    x = (np.arange(boards) + 0.5) * gap - seat.depth / 2
    z = seat.height - seat.thickness / 2
    solids = [box((at, 0, z), (gap * 0.82, seat.width, seat.thickness), "seat", 0.008) for at in x]
    y = seat.width / 2 - 0.12
    for side in (-y, y):
        solids.append(box((0, side, seat.underside - 0.025), (seat.depth * 0.94, 0.05, 0.05), "frame", 0.004))
        solids += [
            tube([[at, side, 0], [at * 0.9, side, seat.underside - 0.04]], 0.026, "frame", 4)
            for at in (-seat.depth * 0.42, seat.depth * 0.42)
        ]
    if rng.random() < 0.35:
        return solids
    back = Back(seat.width, rng.uniform(0.32, 0.45), 0.22, 0.0, -seat.depth / 2, seat.height)
    posts = [tube(back.at(side, np.array([-0.06, back.height])), 0.022, "frame", 4) for side in (-0.8, 0.8)]
    rails = np.linspace(0.1, back.height, int(rng.integers(3, 5)) + 1)
    return solids + posts + [back.board(low, high - 0.03, 0.02, "seat") for low, high in itertools.pairwise(rails)]


def _upholstered(rng: Rng, seats: int) -> list[Solid]:
    """Base, arms, back and cushions, on short feet or a plinth."""
    place, depth = rng.uniform(0.56, 0.66), rng.uniform(0.72, 0.86)
    arm, arm_top = rng.uniform(0.09, 0.18), rng.uniform(0.5, 0.64)
    feet, seat_top = rng.uniform(0.05, 0.14), rng.uniform(0.38, 0.44)
    back_top, back_thick = rng.uniform(0.7, 0.9), rng.uniform(0.14, 0.2)
    inner, soft = place * seats, rng.uniform(0.015, 0.05)
    outer = inner + 2 * arm
    rear, base_top = -depth / 2, seat_top - 0.12
    # Each piece ends a little before the next: faces that lie in one another render as black noise.
    pieces = [
        _block((rear + 0.04, depth / 2 - 0.015), inner + arm, (feet + 0.02, base_top), 0.012),
        _block((rear, rear + back_thick), outer - 0.02, (feet + 0.012, back_top), soft),
    ]
    for side in (-1, 1):
        block = _block((rear + 0.02, depth / 2), arm, (feet, arm_top), soft)
        pieces.append(block.moved((0, side * (outer - arm) / 2, 0)))
    return (
        pieces + _cushions(rng, seats, place, (depth, back_thick, seat_top, back_top)) + _feet(rng, depth, outer, feet)
    )


def _block(x: tuple[float, float], width: float, z: tuple[float, float], round_by: float) -> Solid:
    """An upholstered block between two x and two z, centred on y = 0."""
    return box(((x[0] + x[1]) / 2, 0, (z[0] + z[1]) / 2), (x[1] - x[0], width, z[1] - z[0]), "seat", round_by)


def _cushions(rng: Rng, seats: int, place: float, body: tuple[float, float, float, float]) -> list[Solid]:
    """One seat and one back cushion for each place; `body` is depth, back thickness, seat top and back top."""
    depth, back_thick, seat_top, back_top = body
    material = str(rng.choice(["seat", "trim"]))
    length, pad = depth - back_thick, 0.15
    pieces = []
    for y in (np.arange(seats) - (seats - 1) / 2) * place:
        pieces.append(box((back_thick / 2 + 0.015, y, seat_top - 0.065), (length, place * 0.985, 0.14), material, 0.04))
        height = back_top - seat_top - 0.02
        centre = (-depth / 2 + back_thick + pad / 2 - 0.03, y, seat_top + height / 2)
        pieces.append(box(centre, (pad, place * 0.96, height), material, 0.055))
    return pieces


def _feet(rng: Rng, depth: float, outer: float, height: float) -> list[Solid]:
    if rng.random() < 0.25:
        return [box((0, 0, height / 2 + 0.005), (depth * 0.92, outer * 0.95, height + 0.01), "frame")]
    x, y, sides = depth / 2 - 0.07, outer / 2 - 0.07, int(rng.choice([4, 12]))
    return [
        tube([[at_x, at_y, 0], [at_x, at_y, height + 0.01]], [0.018, 0.028], "frame", sides)
        for at_x in (-x, x)
        for at_y in (-y, y)
    ]


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
