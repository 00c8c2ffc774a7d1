"""The built-in shapes: seeded procedural objects as mesh files, so that everything runs without a download."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from enr.camera import Z_UP_FROM_Y_UP, Array
from enr.datagen.meshes.triangles import normalisation
from enr.datagen.shapes.cars import car, car_colours
from enr.datagen.shapes.chair_parts import Rng
from enr.datagen.shapes.colours import furniture_colours
from enr.datagen.shapes.furniture import chair, mug, table
from enr.datagen.shapes.mountains import mountain, mountain_colours
from enr.datagen.shapes.solids import Solid
from enr.errors import EnrError

# A kind's place is part of its seeds: new kinds come last.
Kind = Literal["chair", "table", "mug", "car", "mountain"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Painter = Callable[[Rng], dict[str, Array]]
MAKERS: dict[Kind, tuple[Callable[[Rng], list[Solid]], Painter]] = {
    "chair": (chair, partial(furniture_colours, kind="chair")),
    "table": (table, partial(furniture_colours, kind="table")),
    "mug": (mug, partial(furniture_colours, kind="mug")),
    "car": (car, car_colours),
    "mountain": (mountain, mountain_colours),
}
"""What makes a kind's solids, and then draws their colours by material."""


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
        paths[-1].write_text(_obj_text(solids, colours))
    return tuple(paths)


def make_shape(kind: Kind, seed: int, index: int) -> tuple[list[Solid], dict[str, Array]]:
    """The solids of a shape (Z up, front +X, bounding box centred, diagonal 1), and linear RGB colours by material."""
    rng = np.random.default_rng([seed, index, KINDS.index(kind)])
    make, paint = MAKERS[kind]
    solids = make(rng)
    scale, offset = normalisation(np.concatenate([solid.vertices for solid in solids]), "diagonal")
    scaled = [replace(solid, vertices=scale * (solid.vertices + offset)) for solid in solids]
    return scaled, paint(rng)


def _obj_text(solids: Sequence[Solid], colours: Mapping[str, Array]) -> str:
    """OBJ in the Y-up frame, the solids and their faces in the order of the materials."""
    order, lines, first, current = list(colours), ["mtllib model.mtl", "o shape"], 1, ""
    for solid in sorted(solids, key=lambda solid: order.index(solid.material)):
        faces = sorted(zip(solid.face_materials, solid.faces, strict=True), key=lambda pair: order.index(pair[0]))
        points = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in solid.vertices @ Z_UP_FROM_Y_UP[:3, :3]]
        for material, group in groupby(faces, key=lambda pair: pair[0]):
            lines += [] if material == current else [f"usemtl {material}"]
            lines += points
            lines += ["f " + " ".join(str(first + corner) for corner in face) for _, face in group]
            points, current = [], material
        first += len(solid.vertices)
    return "\n".join(lines) + "\n"
