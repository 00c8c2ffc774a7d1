"""The built-in shapes: seeded procedural furniture as mesh files, so that everything runs without a download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from enr.camera import Z_UP_FROM_Y_UP, Array
from enr.datagen.meshes.triangles import normalisation
from enr.datagen.shapes.chair_parts import Rng
from enr.datagen.shapes.chairs import chair
from enr.datagen.shapes.solids import Solid
from enr.datagen.shapes.tables import mug, table
from enr.errors import EnrError

Kind = Literal["chair", "table", "mug"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES = ("frame", "seat", "trim")
"""Material names of every shape."""

MAKERS: dict[Kind, Callable[[Rng], list[Solid]]] = {"chair": chair, "table": table, "mug": mug}

WOODS = ("#8a5a33", "#b98550", "#d2a871", "#5b3a24", "#6f4325", "#a0683a", "#e0c496", "#3d2a1f")
METALS = ("#b9bcc0", "#8d9196", "#2c2d30", "#d6d3cc", "#474a4f", "#a58a55")
PAINTS = ("#ded7c5", "#1f2226", "#c0392b", "#1f6f8b", "#e0a526", "#3f7d4e", "#5a3d7a", "#dd7247", "#8fb5bd", "#20416b")
FABRICS = (
    "#b5482f", "#2f5d8a", "#7a8b3c", "#d9a441", "#6c6f75", "#c9b79c", "#8c2f39", "#2d7d74", "#463f5a", "#d88c9a",
    "#3b4a3f", "#cdc5b2", "#7c4a2d", "#1f2a44", "#a8462b", "#4f8fb0",
)  # fmt: skip


def write_shapes(folder: Path, count: int, seed: int, kinds: Sequence[Kind] = ("chair",)) -> tuple[Path, ...]:
    """Write `count` shapes as OBJ with MTL in ShapeNet's first layout: Y up, front +X, bounding box diagonal 1.

    A shape depends on `seed` and its index alone, so a larger `count` begins with the same shapes.

    Args:
        folder: where the `<kind>-<seed>-<index>/model.obj` go; made if missing.
        count: number of shapes.
        seed: non-negative.
        kinds: taken in turn.

    Returns:
        The paths of the OBJ files, by index.

    Raises:
        EnrError: a kind is unknown, or `count` or `seed` is out of range.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise EnrError(f"The kinds of shapes are {list(kinds)}; give one or more of {', '.join(KINDS)}.")
    if count < 1 or seed < 0:
        raise EnrError(f"{count} shapes of seed {seed} were asked for; give at least 1 and a seed of 0 or more.")
    paths = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        solids, colours = make_shape(kind, seed, index)
        place = Path(folder) / f"{kind}-{seed}-{index:04d}"
        place.mkdir(parents=True, exist_ok=True)
        materials = []
        for name, colour in colours.items():
            diffuse = " ".join(f"{value:.5f}" for value in colour)
            materials += [f"newmtl {name}", f"Kd {diffuse}", "Ks 0.08 0.08 0.08", "Ns 30", "d 1", "illum 2", ""]
        (place / "model.mtl").write_text("\n".join(materials))
        paths.append(place / "model.obj")
        paths[-1].write_text(_obj_text(solids))
    return tuple(paths)


def make_shape(kind: Kind, seed: int, index: int) -> tuple[list[Solid], dict[str, Array]]:
    """The solids of a shape (Z up, front +X, bounding box centred, diagonal 1) and its linear RGB colours by role."""
    rng = np.random.default_rng([seed, index, KINDS.index(kind)])
    solids = MAKERS[kind](rng)
    scale, offset = normalisation(np.concatenate([solid.vertices for solid in solids]), "diagonal")
    scaled = [Solid(scale * (solid.vertices + offset), solid.faces, solid.material) for solid in solids]
    return scaled, _colours(rng, kind)


def _colours(rng: Rng, kind: Kind) -> dict[str, Array]:
    """Plausible linear RGB colours: wood, steel or painted frames; fabric, wooden or painted seats."""
    families = {"wood": WOODS, "metal": METALS, "paint": PAINTS, "fabric": FABRICS}
    frame = _pick(rng, families[str(rng.choice(["wood", "metal", "paint"], p=[0.5, 0.25, 0.25]))])
    if kind == "mug":
        seat, trim = _pick(rng, PAINTS + FABRICS), _pick(rng, PAINTS)
    elif kind == "table":
        seat = _pick(rng, families[str(rng.choice(["wood", "paint"], p=[0.8, 0.2]))])
        trim = frame
    else:
        plain = rng.random() < 0.22
        seat = (
            frame if plain else _pick(rng, families[str(rng.choice(["fabric", "paint", "wood"], p=[0.6, 0.25, 0.15]))])
        )
        trim = frame if rng.random() < 0.6 else _pick(rng, FABRICS)
    return dict(zip(ROLES, (frame, seat, trim), strict=True))


def _pick(rng: Rng, palette: Sequence[str]) -> Array:
    """One of the palette's colours, a little lighter or darker, linear RGB (3,) in [0, 1]."""
    code = palette[int(rng.integers(len(palette)))]
    srgb = np.array([int(code[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    srgb = np.clip(srgb * rng.uniform(0.9, 1.1) + rng.uniform(-0.02, 0.02, 3), 0.02, 0.88)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _obj_text(solids: Sequence[Solid]) -> str:
    """OBJ in the Y-up frame, one group of faces for each material."""
    lines, first = ["mtllib model.mtl", "o shape"], 1
    ordered = sorted(solids, key=lambda solid: ROLES.index(solid.material))
    for material, group in groupby(ordered, key=lambda solid: solid.material):
        lines.append(f"usemtl {material}")
        for solid in group:
            for x, y, z in solid.vertices @ Z_UP_FROM_Y_UP[:3, :3]:
                lines.append(f"v {x:.6f} {y:.6f} {z:.6f}")
            lines += ["f " + " ".join(str(first + corner) for corner in face) for face in solid.faces]
            first += len(solid.vertices)
    return "\n".join(lines) + "\n"
