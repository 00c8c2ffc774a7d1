"""Procedural cars: saloons, hatchbacks, estates, off-roaders, coupés, pick-ups and vans.

Frame: Z up, metres, the ground at z = 0, the front towards +X.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from enr.camera import Array
from enr.datagen.shapes.chair_parts import Rng
from enr.datagen.shapes.colours import METALS, pick
from enr.datagen.shapes.solids import Solid, box, lathe, loft, tube

LACQUERS = (
    "#c81d25", "#8f1d2c", "#1d4e9e", "#6fb1e0", "#16324f", "#1f7a4d", "#a3b82c", "#f2b705", "#e8751a", "#7b3f98",
    "#e6e4df", "#b4b8bd", "#6d7278", "#26282b", "#7a4b2a", "#2fa6a0", "#d9c49a", "#e58fa5",
)  # fmt: skip
GLASSES = ("#1c2b38", "#22323a", "#2b4050", "#15191d")
TYRES = ("#1a1a1b", "#232222")
TRIMS = ("#2a2b2d", "#3a3a3c", "#55585c", "#8c9095")


@dataclass(frozen=True)
class Car:
    """A car's measures in metres; `at` and `windows` are shares of the length from the rear end to the front.

    Attributes:
        length: from bumper to bumper.
        width: without mirrors.
        roof: height of the roof's edge.
        belt: height of the windows' lower edge.
        bonnet: height of the body at the front.
        boot: height of the body at the rear.
        clearance: height of the body's underside.
        wheel: radius of the wheels.
        windows: where the glass begins and ends: rear foot, rear top, front top, front foot.
    """

    length: float
    width: float
    roof: float
    belt: float
    bonnet: float
    boot: float
    clearance: float
    wheel: float
    windows: tuple[float, float, float, float]

    @property
    def axles(self) -> tuple[float, float]:
        """X of the rear and the front axle."""
        return self.x(0.19), self.x(0.81)

    def x(self, at: float) -> float:
        """X of a share of the length."""
        return (at - 0.5) * self.length


def car(rng: Rng) -> list[Solid]:
    """A car of a random family."""
    name = str(rng.choice(list(FAMILIES), p=[0.2, 0.2, 0.12, 0.15, 0.12, 0.11, 0.1]))
    low, high = np.array(FAMILIES[name]).T
    drawn = low + (high - low) * rng.random(len(low))
    length, width, roof, belt, bonnet, boot, clearance, wheel, *windows = (float(value) for value in drawn)
    made = Car(length, width, roof, belt, bonnet, boot, clearance, wheel, tuple(windows))  # type: ignore[arg-type]
    solids = [_body(made), *_cabin(made, name, rng), *_wheels(made, rng), *_ends(made, rng)]
    return solids + _extras(made, name, rng)


def car_colours(rng: Rng) -> dict[str, Array]:
    """Linear RGB colours by material; in a fifth of the cars the roof has its own lacquer."""
    body = pick(rng, LACQUERS)
    return {
        "body": body,
        "roof": pick(rng, LACQUERS) if rng.random() < 0.2 else body,
        "glass": pick(rng, GLASSES),
        "tyre": pick(rng, TYRES),
        "rim": pick(rng, METALS),
        "trim": pick(rng, TRIMS),
        "lamp": pick(rng, ("#f6efd2", "#f3f5f6")),
        "tail": pick(rng, ("#b3121d", "#d4261e")),
    }


# Least and most: length, width, roof, belt, bonnet, boot, clearance, wheel, and the four ends of the windows.
FAMILIES: dict[str, tuple[tuple[float, float], ...]] = {
    "saloon": (
        (4.4, 5.0), (1.75, 1.9), (1.4, 1.48), (0.92, 0.98), (0.78, 0.86), (0.9, 0.97), (0.2, 0.26), (0.31, 0.35),
        (0.12, 0.17), (0.27, 0.33), (0.54, 0.6), (0.7, 0.76),
    ),
    "hatchback": (
        (3.5, 4.2), (1.65, 1.8), (1.42, 1.55), (0.9, 0.98), (0.78, 0.86), (0.9, 0.96), (0.2, 0.26), (0.3, 0.34),
        (0.02, 0.05), (0.1, 0.18), (0.55, 0.6), (0.74, 0.8),
    ),
    "estate": (
        (4.4, 4.9), (1.75, 1.9), (1.42, 1.52), (0.92, 0.98), (0.78, 0.86), (0.92, 0.97), (0.2, 0.26), (0.31, 0.35),
        (0.02, 0.04), (0.07, 0.12), (0.55, 0.6), (0.71, 0.76),
    ),
    "off-roader": (
        (4.0, 4.9), (1.8, 2.0), (1.65, 1.9), (1.05, 1.15), (0.98, 1.08), (1.03, 1.12), (0.34, 0.44), (0.38, 0.44),
        (0.02, 0.03), (0.04, 0.08), (0.58, 0.62), (0.66, 0.72),
    ),
    "coupé": (
        (4.1, 4.6), (1.8, 1.95), (1.18, 1.3), (0.82, 0.88), (0.66, 0.74), (0.8, 0.88), (0.15, 0.2), (0.32, 0.36),
        (0.08, 0.16), (0.32, 0.4), (0.48, 0.54), (0.66, 0.73),
    ),
    "pick-up": (
        (4.9, 5.5), (1.85, 2.0), (1.68, 1.85), (1.1, 1.18), (1.02, 1.1), (1.02, 1.1), (0.36, 0.46), (0.38, 0.43),
        (0.38, 0.4), (0.4, 0.43), (0.58, 0.62), (0.68, 0.73),
    ),
    "van": (
        (4.4, 5.4), (1.8, 2.0), (1.85, 2.3), (1.05, 1.2), (0.95, 1.08), (1.05, 1.15), (0.22, 0.32), (0.33, 0.38),
        (0.015, 0.02), (0.02, 0.035), (0.74, 0.84), (0.88, 0.94),
    ),
}  # fmt: skip


def _body(made: Car) -> Solid:
    """The lower body as a loft from the rear to the front: cut out over the wheels, narrower at the ends."""
    arch = made.wheel * 1.16
    share = np.linspace(0, 1, 41)
    round_wheel = np.cos(np.linspace(np.pi, 0, 17)) * arch
    ends = [made.x(0) + 0.03, made.x(1) - 0.03]
    x = np.unique(
        np.round(np.concatenate([made.x(0) + share * made.length, ends, *(a + round_wheel for a in made.axles)]), 6)
    )
    at = x / made.length + 0.5
    rear, _, _, front = made.windows
    stops = [0, 0.015, max(rear, 0.03), rear + 0.03, front - 0.02, front + 0.02, 0.96, 1]
    boot, belt, bonnet = made.boot, made.belt, made.bonnet
    top = np.interp(at, stops, [boot - 0.1, boot, boot, belt, belt, belt - 0.01, bonnet, bonnet - 0.08])
    bottom = made.clearance + 0.08 * np.maximum(np.abs(2 * at - 1) - 0.9, 0) / 0.1
    for axle in made.axles:
        inside = np.maximum(arch**2 - (x - axle) ** 2, 0)
        bottom = np.where(inside > 0, np.maximum(bottom, made.wheel + np.sqrt(inside)), bottom)
    bottom = np.minimum(bottom, top - 0.06)
    narrow = 1 - 0.16 * np.maximum(np.abs(2 * at - 1) - 0.8, 0) ** 2 / 0.04
    rise = np.array([0, 0, 0.25, 0.5, 0.75, 1, 1])[None] * (top - bottom)[:, None] + bottom[:, None]
    bulge = np.interp(rise, [made.clearance, 0.45 * made.belt, 0.62 * made.belt, made.belt], [0.93, 0.99, 1.0, 0.94])
    half = made.width / 2 * narrow[:, None] * bulge
    half[:, 0] *= 0.9
    half[:, -1] -= 0.06
    right = np.stack([np.broadcast_to(x[:, None], rise.shape), half, rise], axis=-1)
    return loft(np.concatenate([right, right[:, ::-1] * [1, -1, 1]], axis=1), "body")


def _cabin(made: Car, name: str, rng: Rng) -> list[Solid]:
    """Glass under a roof, with pillars at its corners and sides; a van may have panels for rear windows."""
    rear_foot, rear_top, front_top, front_foot = (made.x(at) for at in made.windows)
    sides = made.width * np.array([-1.0, 1.0, 1.0, -1.0])
    foot = np.column_stack([[rear_foot] * 2 + [front_foot] * 2, 0.43 * sides, [made.belt - 0.05] * 4])
    head = np.column_stack([[rear_top] * 2 + [front_top] * 2, 0.36 * sides, [made.roof] * 4])
    middle = head.mean(axis=0)
    brim, dome = (head - middle) * [1.02, 1.04, 1] + middle, (head - middle) * [0.86, 0.78, 1] + middle
    slab = loft(np.stack([brim - [0, 0, 0.02], np.add(brim, [0, 0, 0.025]), np.add(dome, [0, 0, 0.06])]), "roof")
    thick = rng.uniform(0.03, 0.045)
    posts = [(foot[i], head[i], thick * (1.5 if i < 2 else 1.0)) for i in range(4)]
    for share in (0.5,) if rear_top > made.x(0.25) else (0.34, 0.68):
        low, high = foot[[0, 1]] * (1 - share) + foot[[3, 2]] * share, head[[0, 1]] * (1 - share) + head[[3, 2]] * share
        posts += [(*ends, thick) for ends in zip(low, high, strict=True)]
    solids = [loft(np.stack([foot, head]), "glass"), slab, *(tube([a, b], wide, "body", 6) for a, b, wide in posts)]
    if name == "van" and rng.random() < 0.65:
        share = rng.uniform(0.4, 0.66)
        rings = [
            np.concatenate([ring[:2], (1 - share) * ring[[1, 0]] + share * ring[[2, 3]]]) * [1, 1.03, 1]
            + [-0.012, 0, 0]
            for ring in (foot, head)
        ]
        solids.append(loft(np.stack(rings) - [0, 0, 0.004], "body"))
    return solids


def _wheels(made: Car, rng: Rng) -> list[Solid]:
    """Four tyres with rims, discs or spokes, and what is dark between them where one would look through the arches."""
    (rear, front), radius, half = made.axles, made.wheel, 0.11
    outline = [(0.7, -1), (0.94, -1), (1, -0.7), (1, 0.7), (0.94, 1), (0.7, 1)]
    wheel = [lathe(np.array(outline) * [radius, half], "tyre", 28)]
    if rng.random() < 0.5:
        wheel.append(lathe(np.array([(0.66, -0.5), (0.66, 1.02), (0.5, 1.14)]) * [radius, half], "rim", 20))
        wheel.append(lathe(np.array([(0.2, -0.3), (0.2, 1.25)]) * [radius, half], "trim", 12))
    else:
        number = int(rng.integers(4, 7))
        spoke = box((0.33 * radius, 0, 0), (0.66 * radius, 0.26 * radius, 2.2 * half), "rim")
        turned = [spoke.moved((0, 0, 0.002 * index)).turned_z(360 / number * index) for index in range(number)]
        wheel += [*turned, lathe(np.array([(0.22, -0.3), (0.22, 1.24)]) * [radius, half], "rim", 12)]
    upright = [replace(part, vertices=part.vertices[:, [0, 2, 1]] * [1, -1, 1]) for part in wheel]
    left = [replace(part, vertices=part.vertices * [1, -1, 1], faces=[f[::-1] for f in part.faces]) for part in upright]
    y = made.width / 2 - 0.01 - half
    solids = [part.moved((x, -y, radius)) for x in (rear, front) for part in upright]
    solids += [part.moved((x, y, radius)) for x in (rear, front) for part in left]
    size = (front - rear + 2.4 * radius, made.width - 0.54, radius * 1.5)
    return [*solids, box(((rear + front) / 2, 0, made.clearance + 0.02 + size[2] / 2), size, "trim")]


def _ends(made: Car, rng: Rng) -> list[Solid]:
    """Lamps, grille, bumpers, number plates and mirrors."""
    width, nose, tail = made.width, made.x(1), made.x(0)
    bumper = "trim" if rng.random() < 0.6 else "body"
    z, low = made.bonnet - 0.17, made.clearance + 0.15
    lamp, red = rng.uniform(0.22, 0.36), rng.uniform(0.12, 0.3)
    tall = rng.uniform(0.12, 0.2) + (0.2 if made.roof > 1.6 else 0.0)
    solids = [
        box((nose - 0.02, 0, z - 0.01), (0.06, width * 0.7 - 2 * lamp - 0.06, 0.12), "trim"),
        box((nose - 0.03, 0, low), (0.14, width * 0.84, 0.17), bumper, 0.05),
        box((tail + 0.03, 0, low + 0.02), (0.14, width * 0.84, 0.17), bumper, 0.05),
        box((nose + 0.034, 0, low + 0.01), (0.02, 0.45, 0.11), "lamp"),
        box((tail - 0.005, 0, made.boot - 0.27), (0.03, 0.45, 0.12), "lamp"),
    ]
    for side in (-1, 1):
        mirror = (made.x(made.windows[3]) - 0.22, side * (width * 0.46 + 0.06), made.belt + 0.05)
        solids += [
            box((nose - 0.03, side * (width * 0.36 - lamp / 2), z), (0.1, lamp, 0.14), "lamp", 0.03),
            box(
                (tail + 0.03, side * (width * 0.37 - red / 2), made.boot - 0.14 - tall / 2),
                (0.1, red, tall),
                "tail",
                0.02,
            ),
            box(mirror, (0.11, 0.2, 0.12), "body", 0.03),
        ]
    return solids


def _extras(made: Car, name: str, rng: Rng) -> list[Solid]:
    """A pick-up's bed; a spoiler, a spare wheel, a roof rack or a sign, as the family has them."""
    width, tail = made.width, made.x(0)
    middle, wanted = (made.x(made.windows[1]) + made.x(made.windows[2])) / 2, rng.random() < 0.45
    if name == "pick-up":
        end, high = made.x(made.windows[0]) - 0.05, made.boot + 0.07
        size = (end - tail - 0.04, 0.07, 0.16)
        rails = [box(((tail + end) / 2, y, high), size, "body", 0.02) for y in (-0.43 * width, 0.43 * width)]
        bed = box(((tail + end) / 2, 0, made.boot), (size[0] - 0.06, 0.8 * width, 0.04), "trim")
        return [*rails, bed, box((tail + 0.06, 0, high - 0.01), (0.08, 0.84 * width, 0.15), "body", 0.02)]
    if name == "coupé" and wanted:
        feet = [box((tail + 0.22, y, made.boot + 0.07), (0.1, 0.05, 0.2), "trim") for y in (-0.3 * width, 0.3 * width)]
        return [*feet, box((tail + 0.2, 0, made.boot + 0.18), (0.26, 0.84 * width, 0.04), "roof", 0.015)]
    if name == "off-roader" and wanted:
        spare = lathe(np.array([(0.9, -1), (1, -0.6), (1, 0.6), (0.9, 1)]) * [made.wheel, 0.09], "tyre", 24)
        upright = replace(spare, vertices=spare.vertices[:, [2, 1, 0]] * [-1, 1, 1])
        return [upright.moved((tail - 0.06, 0, made.belt - 0.1))]
    if name in ("estate", "off-roader", "van") and wanted:
        long = 0.8 * (made.x(made.windows[2]) - made.x(made.windows[1]))
        z = made.roof + 0.085
        bars = [box((middle, y, z), (long, 0.04, 0.05), "trim") for y in (-0.29 * width, 0.29 * width)]
        return bars + (
            [box((middle, 0, z + 0.1), (long * 0.8, 0.4 * width, 0.22), "roof", 0.06)] if made.roof < 1.6 else []
        )
    if name in ("saloon", "hatchback") and rng.random() < 0.15:
        return [box((middle, 0, made.roof + 0.1), (0.18, 0.5, 0.13), "lamp", 0.03)]
    return []
