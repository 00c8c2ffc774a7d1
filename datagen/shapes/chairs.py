"""Procedural seats: dining chairs, armchairs, office chairs, stools, benches, sofas and sled chairs.

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
