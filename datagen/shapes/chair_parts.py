"""The parts of procedural chairs: seats, legs and what braces them, backs, arms, swivelling bases.

Frame: Z up, metres, the floor at z = 0, the front towards +X. The materials are named by role: `frame`, `seat`, `trim`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from enr.camera import Array
from enr.datagen.shapes.solids import Solid, box, extrude, lathe, sheet, tube

Rng = np.random.Generator


@dataclass(frozen=True)
class Seat:
    """A seat's measures in metres; `height` is its top."""

    width: float
    depth: float
    height: float
    thickness: float

    @property
    def underside(self) -> float:
        """Height of the seat's lower face."""
        return self.height - self.thickness


@dataclass(frozen=True)
class Back:
    """A back's surface: it leans away from the seat's rear edge and may be curved around the sitter.

    Attributes:
        width: metres at the top.
        height: metres above the seat.
        lean: metres backwards for a metre upwards.
        curve: metres by which the sides come forward.
        rear: x of its foot.
        foot: z of its foot.
    """

    width: float
    height: float
    lean: float
    curve: float
    rear: float
    foot: float

    def at(self, side: float | Array, rise: float | Array) -> Array:
        """Points (..., 3) at `side` in [-1, 1] (right to left) and at `rise` metres above the seat."""
        side, rise = np.broadcast_arrays(np.asarray(side, dtype=np.float64), np.asarray(rise, dtype=np.float64))
        x = self.rear - self.lean * rise + self.curve * side**2
        return np.stack([x, side * self.width / 2, self.foot + rise], axis=-1)

    def board(self, low: float, high: float, thickness: float, material: str, reach: float = 1.0) -> Solid:
        """A board on the surface between two heights above the seat."""
        side, rise = np.meshgrid(np.linspace(-reach, reach, 7), [low, high])
        return sheet(self.at(side, rise), (-thickness, 0, 0), material)


def random_seat(rng: Rng) -> Seat:
    """A seat of ordinary measures."""
    return Seat(rng.uniform(0.4, 0.52), rng.uniform(0.4, 0.5), rng.uniform(0.42, 0.48), rng.uniform(0.025, 0.05))


def random_back(rng: Rng, seat: Seat) -> Back:
    """A back that fits the seat, more or less leaning and curved."""
    return Back(
        width=seat.width * rng.uniform(0.88, 1.05),
        height=rng.uniform(0.36, 0.62),
        lean=rng.uniform(0.05, 0.28),
        curve=float(rng.choice([0.0, 0.03, 0.06])),
        rear=-seat.depth / 2 + 0.025,
        foot=seat.height,
    )


def seat_board(rng: Rng, seat: Seat) -> list[Solid]:
    """A board narrowing to the rear, a cushion on a board, or slats."""
    kind = rng.random()
    rear, front = seat.width / 2 * rng.uniform(0.84, 1.0), seat.width / 2
    half = seat.depth / 2
    trapeze = [(-half, -rear), (half, -front), (half, front), (-half, rear)]
    if kind < 0.4:
        return [extrude(trapeze, seat.underside, seat.height, "seat")]
    if kind < 0.85:
        cushion = rng.uniform(0.03, 0.06)
        return [
            extrude(trapeze, seat.underside, seat.height - 0.005, "frame"),
            box((0.005, 0, seat.height + cushion / 2 - 0.01), (seat.depth * 0.97, rear * 1.96, cushion), "seat", 0.02),
        ]
    slats = np.linspace(-half + 0.03, half - 0.03, 6)
    z = seat.height - 0.01
    boards = [box((x, 0, z), (seat.depth / 8, seat.width, 0.02), "seat", 0.004) for x in slats]
    rails = [box((0, y, z - 0.025), (seat.depth, 0.03, 0.035), "frame") for y in (-rear * 0.85, rear * 0.85)]
    return boards + rails


def four_legs(rng: Rng, seat: Seat, splay: float | None = None) -> list[Solid]:
    """Four legs, straight or splayed, round or square, tapered or not, and what braces them."""
    splay = float(rng.choice([0.0, 0.0, 0.03, 0.06])) if splay is None else splay
    top, foot = rng.uniform(0.017, 0.026), rng.uniform(0.55, 1.0)
    sides = 4 if splay < 0.02 and rng.random() < 0.7 else 12
    x, y = seat.depth / 2 - 0.03, seat.width / 2 - 0.03
    corners = np.array([[x, y], [-x, y], [-x, -y], [x, -y]])
    heads = np.column_stack([corners, np.full(4, seat.underside + 0.004)])
    feet = np.column_stack([corners + np.sign(corners) * splay, np.zeros(4)])
    legs = [tube([low, high], [top * foot, top], "frame", sides) for low, high in zip(feet, heads, strict=True)]
    return legs + _stretchers(rng, feet, heads, top * 0.55)


def _stretchers(rng: Rng, feet: Array, heads: Array, radius: float) -> list[Solid]:
    """Bars between the legs: none, an H, a box or a ring, with or without an apron under the seat."""
    share = rng.uniform(0.25, 0.5)
    at = feet + share * (heads - feet)
    kind = rng.random()
    solids: list[Solid] = []
    if kind < 0.25:
        left, right = (at[0] + at[1]) / 2, (at[2] + at[3]) / 2
        solids = [tube(pair, radius, "frame", 8) for pair in ((at[0], at[1]), (at[2], at[3]), (left, right))]
    elif kind < 0.5:
        solids = [tube((at[i], at[(i + 1) % 4]), radius, "frame", 8) for i in range(4)]
    if rng.random() < 0.45:
        high = heads - [0, 0, 0.0315]
        solids += [tube((high[i], high[(i + 1) % 4]), 0.03, "frame", 4, flatten=0.35) for i in range(4)]
    return solids


def back_filling(rng: Rng, back: Back) -> list[Solid]:
    """What the back is made of: a panel, upright or lying slats, spindles, a frame with a cushion, or a hoop."""
    fillings = (_panel_back, _upright_slats, _ladder_back, _spindle_back, _framed_cushion, _hoop_back)
    return fillings[int(rng.choice(len(fillings), p=[0.24, 0.18, 0.2, 0.12, 0.14, 0.12]))](rng, back)


def _posts(back: Back, radius: float, sides: int, top: float | None = None) -> list[Solid]:
    rise = np.array([-0.03, back.height if top is None else top])
    return [tube(back.at(side, rise) - [radius * 1.2, 0, 0], radius, "frame", sides) for side in (-0.96, 0.96)]


def _panel_back(rng: Rng, back: Back) -> list[Solid]:
    if rng.random() < 0.4:
        return [back.board(-0.01, back.height, rng.uniform(0.02, 0.05), "seat")]
    low = rng.uniform(0.1, 0.2)
    return [*_posts(back, 0.016, 4), back.board(low, back.height + 0.01, 0.022, str(rng.choice(["seat", "trim"])))]


def _upright_slats(rng: Rng, back: Back) -> list[Solid]:
    rail, slats = 0.07, int(rng.integers(3, 8))
    solids = [*_posts(back, 0.017, 4), back.board(back.height - rail, back.height + 0.01, 0.03, "frame")]
    rise = np.array([-0.01, back.height - rail / 2])
    width = back.width / 2 * rng.uniform(0.35, 0.6) / slats
    for side in np.linspace(-1, 1, slats + 2)[1:-1]:
        path = back.at(side, rise) - [0.012, 0, 0]
        solids.append(tube(path, width, "frame", 4, flatten=1.0 if width < 0.012 else 0.012 / width))
    return solids


def _ladder_back(rng: Rng, back: Back) -> list[Solid]:
    edges = np.linspace(0.1, back.height, int(rng.integers(2, 6)) + 1)
    share = rng.uniform(0.45, 0.75)
    slats = [back.board(high - share * (high - low), high, 0.018, "trim") for low, high in itertools.pairwise(edges)]
    return [*_posts(back, 0.018, int(rng.choice([4, 12]))), *slats]


def _spindle_back(rng: Rng, back: Back) -> list[Solid]:
    rise = np.array([-0.01, back.height * 0.5, back.height - 0.02])
    swell = rng.uniform(0.007, 0.012)
    sides = np.linspace(-0.94, 0.94, int(rng.integers(6, 10)))
    spindles = [tube(back.at(side, rise), [swell * 0.75, swell, swell * 0.75], "frame", 8) for side in sides]
    top = tube(back.at(np.linspace(-1.06, 1.06, 9), back.height), 0.024, "frame", 8, flatten=0.6)
    return [*spindles, top]


def _framed_cushion(rng: Rng, back: Back) -> list[Solid]:
    low = rng.uniform(0.05, 0.16)
    pad = back.board(low + 0.03, back.height - 0.03, 0.045, "seat", reach=0.86).moved((0.012, 0, 0))
    rails = [back.board(at, at + 0.035, 0.028, "frame") for at in (low, back.height - 0.035)]
    return [*_posts(back, 0.018, 4), *rails, pad]


def _hoop_back(rng: Rng, back: Back) -> list[Solid]:
    """An arch from one side of the seat to the other, with spindles or a pad inside."""
    turn = np.linspace(0, np.pi, 19)
    side, rise = 0.95 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7, back.height * np.sin(turn) ** 0.6
    hoop = tube(back.at(side, rise - 0.01), 0.015, "frame", 8)
    if rng.random() < 0.35:
        return [hoop, back.board(back.height * 0.35, back.height * 0.8, 0.03, "seat", reach=0.8)]
    at = np.linspace(-0.62, 0.62, int(rng.integers(4, 8)))
    heights = back.height * (1 - (np.abs(at) / 0.95) ** (1 / 0.35)) ** 0.3
    spindles = [
        tube(back.at(where, np.array([-0.01, top - 0.005])), 0.008, "frame", 8)
        for where, top in zip(at, heights, strict=True)
    ]
    return [hoop, *spindles]


def arm_rests(rng: Rng, seat: Seat, back: Back) -> list[Solid]:
    """Arm rests from the back to posts at the front of the seat."""
    rise = min(rng.uniform(0.18, 0.25), back.height - 0.03)
    y = max(seat.width, back.width) / 2 - 0.005
    rear = np.array([back.at(1.0, rise)[0], y, seat.height + rise])
    front = np.array([seat.depth / 2 - rng.uniform(0.02, 0.12), y + 0.015, seat.height + rise + 0.005])
    rest = tube([rear, np.add(front, (0.03, 0, 0))], 0.03, str(rng.choice(["frame", "trim"])), 4, flatten=0.45)
    foot = np.array([front[0] - 0.01, seat.width / 2 - 0.015, seat.underside])
    post = tube([foot, front], 0.015, "frame", int(rng.choice([4, 12])))
    return [solid for part in (rest, post) for solid in (part, part.mirrored_y())]


def office_arms(rng: Rng, seat: Seat) -> list[Solid]:
    """Arm rests that stand on the seat's underside: one post each, or a loop."""
    rise, y = rng.uniform(0.17, 0.24), seat.width / 2 + 0.03
    if rng.random() < 0.5:
        path = [
            [0.0, y - 0.06, seat.underside + 0.01],
            [0.0, y + 0.01, seat.underside + 0.03],
            [0.0, y + 0.01, seat.height + rise],
        ]
        post = tube(rounded_corners(np.array(path), 0.03), 0.017, "frame", 8)
    else:
        corner = [[0.14, y, seat.height + rise], [0.16, y, seat.underside + 0.03], [-0.12, y, seat.underside + 0.03]]
        post = tube(rounded_corners(np.array([*corner, [-0.14, y, seat.height + rise]]), 0.06), 0.015, "frame", 8)
    rest = box((0, y, seat.height + rise + 0.012), (rng.uniform(0.24, 0.32), 0.07, 0.03), "trim", 0.012)
    return [solid for part in (post, rest) for solid in (part, part.mirrored_y())]


def star_base(arms: int, seat: Seat, castors: bool) -> list[Solid]:
    """A hub with radial arms on castors or glides, up to the seat."""
    reach = 0.3
    hub = lathe([(0.035, 0.05), (0.04, 0.12), (0.022, 0.15), (0.022, seat.underside)], "frame", 16)
    plate = box((0, 0, seat.underside - 0.01), (0.2, 0.2, 0.03), "frame", 0.008)
    solids = [hub, plate]
    for index in range(arms):
        low = 0.065 if castors else 0.02
        arm = tube([[0.02, 0, 0.1], [reach, 0, low]], [0.026, 0.016], "frame", 4)
        parts = [arm]
        if castors:
            parts.append(tube([[reach - 0.005, -0.028, 0.03], [reach - 0.005, 0.028, 0.03]], 0.03, "trim", 14))
        else:
            parts.append(lathe([(0.022, 0.0), (0.022, 0.02)], "frame", 12).moved((reach - 0.01, 0, 0)))
        solids += [part.turned_z(360 / arms * index + 36) for part in parts]
    return solids


def pedestal(rng: Rng, seat: Seat) -> list[Solid]:
    """One turned foot under the middle of the seat."""
    foot, waist = seat.width * rng.uniform(0.42, 0.55), rng.uniform(0.02, 0.04)
    outline = [(foot, 0), (foot, 0.012), (foot * 0.6, 0.03), (waist, 0.09), (waist, seat.underside - 0.08)]
    return [lathe([*outline, (min(0.12, foot * 0.7), seat.underside + 0.004)], "frame", 28)]


def rounded_corners(path: Array, radius: float, steps: int = 5) -> Array:
    """A path whose inner corners are replaced by quadratic curves, `radius` from the corner on both sides."""
    points = [path[0]]
    for before, corner, after in zip(path, path[1:], path[2:], strict=False):
        start = corner + (before - corner) / np.linalg.norm(before - corner) * radius
        end = corner + (after - corner) / np.linalg.norm(after - corner) * radius
        for t in np.linspace(0, 1, steps):
            points.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    return np.array([*points, path[-1]])
