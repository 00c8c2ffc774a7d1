"""Inside Blender: whether pictures and passes show the faces that were counted, where they were placed. NumPy only.

What an importer makes of a file can come apart: hidden objects that count for the bounding box, animations that move
what was placed, leftovers. So points of the counted faces are projected into some of the pictures: there must be
something at each of them, and nothing elsewhere. Both are cheap; only what looks wrong is looked at with rays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from enr.camera import project
from enr.datagen.blender.faces import Part
from enr.datagen.blender.lens import view_lens
from enr.datagen.blender.passes import NEAR_PLANE, pixel_rays
from enr.datagen.blender.spread import SURFACE_POINTS, spread_over
from enr.datagen.blender.surface import Surface, tree_of
from enr.datagen.messages import Job

VIEWS = 3
"""Pictures that are looked at; all of them if one of these is wrong."""
SEEN = 0.1
"""Points of less opacity may leave no trace in a picture."""
SOLID = 255
CELLS = 32
"""Cells along a picture's longer side, in which the points are looked for."""
FEW = 8
WRONG_SHARE = 0.03
"""Less than this, or so few pixels, is the edge of something."""

Floats = NDArray[np.float64]
Pixels = NDArray[np.int64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """The counted faces of a mesh as they should stand in the world.

    Attributes:
        points: (n, 3), spread over the faces by area.
        opacity: (n,) of the material at the points.
        parts: the faces, before they were placed.
        scale: and
        offset: (3,) place a point p at scale * (p + offset).
    """

    points: Floats
    opacity: Floats
    parts: list[Part]
    scale: float
    offset: Floats

    @cached_property
    def surface(self) -> Surface:
        """The faces, whatever can be seen through them."""
        corners = self.scale * (np.concatenate([part.triangles() for part in self.parts]) + self.offset)
        return Surface(corners, tree_of(corners), [])


def placed(parts: list[Part], scale: float, offset: Floats) -> Placed:
    """The faces that count, with points on them; to be taken before they are placed and painted."""
    triangles = np.concatenate([part.triangles() for part in parts])
    owner, weights = spread_over(triangles, SURFACE_POINTS)
    points = (weights[..., None] * triangles[owner]).sum(axis=1)
    opacity = np.ones(len(points))
    first = 0
    for part in parts:
        here = (owner >= first) & (owner < first + len(part.corners))
        opacity[here] = part.opacity(owner[here] - first, weights[here])
        first += len(part.corners)
    return Placed(scale * (points + offset), opacity, parts, scale, offset)


def unlike_mesh(mesh: Placed, alpha: NDArray[np.uint8], hits: Marks | None, job: Job) -> list[bool]:
    """Which views do not show the mesh as it was placed; those that are not looked at do.

    Args:
        mesh: the faces that count.
        alpha: (views, height, width) of the pictures.
        hits: (views, height, width) where the passes have a surface; None without passes.
        job: with `views` and the picture's size.
    """
    count = len(alpha)
    if job.get("engine", "cycles") == "workbench":  # which shows what can be seen through as well
        return [False] * count

    def is_unlike(view: int) -> bool:
        camera = np.array(job["views"][view]["world_from_camera"])
        picture = SeenMesh(mesh, alpha[view], camera, view_lens(job, job["views"][view]))
        return (hits is not None and _differ(alpha[view], hits[view])) or picture.misses() or picture.shows_more()

    some = np.unique(np.linspace(0, count - 1, min(count, VIEWS)).round().astype(int)).tolist()
    wrong = {view: is_unlike(view) for view in some}
    if any(wrong.values()):
        wrong |= {view: is_unlike(view) for view in range(count) if view not in wrong}
    return [wrong.get(view, False) for view in range(count)]


class SeenMesh:
    """One picture and the points of the mesh that lie in it.

    Args:
        mesh: the faces that count.
        alpha: (height, width).
        camera: world from camera (4, 4).
        K: (3, 3) in pixels.
    """

    def __init__(self, mesh: Placed, alpha: NDArray[np.uint8], camera: Floats, K: Floats) -> None:
        self._mesh, self._alpha, self._camera, self._K = mesh, alpha, camera, K
        pixels, depth = project(mesh.points, camera, K)
        inside = (depth > NEAR_PLANE) & ((pixels >= 0) & (pixels < alpha.shape[::-1])).all(axis=1)
        self._pixels: Pixels = pixels[inside].astype(np.int64)
        self._opacity = mesh.opacity[inside]

    def misses(self) -> bool:
        """Whether the picture is empty where points of the mesh are projected."""
        pixels = self._pixels[self._opacity >= SEEN]
        empty = ~_near(self._alpha > 0, 2)
        lost = pixels[empty[pixels[:, 1], pixels[:, 0]]]
        if not _is_much(len(lost), len(pixels)):
            return False
        # What is thinner than a pixel may leave no trace. What is not lies on the centres of most of the pixels.
        where = np.unique(lost, axis=0)
        return 2 * int(self._are_hit(where).sum()) > len(where)

    def shows_more(self) -> bool:
        """Whether the picture is solid where no point of the mesh is near, and no face either."""
        height, width = self._alpha.shape
        size = -(-max(width, height) // CELLS)
        cells = np.zeros((-(-height // size), -(-width // size)), dtype=bool)
        cells[self._pixels[:, 1] // size, self._pixels[:, 0] // size] = True
        near = np.kron(_near(cells, 2), np.ones((size, size), dtype=bool))[:height, :width]
        solid = ~_near(self._alpha < SOLID, 1)
        more = np.argwhere(solid & ~near)[:, ::-1]
        count = int(solid.sum())
        return _is_much(len(more), count) and _is_much(int((~self._are_hit(more)).sum()), count)

    def _are_hit(self, pixels: Pixels) -> Marks:
        """Whether the rays through the centres of some pixels (n, 2), column and row, meet the mesh."""
        rays = np.concatenate([pixel_rays(self._K, (u, v, u + 1, v + 1)) for u, v in pixels.tolist()])
        triangles, _ = self._mesh.surface.first_hits(self._camera[:3, 3], rays @ self._camera[:3, :3].T)
        return triangles >= 0


def _differ(alpha: NDArray[np.uint8], hits: Marks) -> bool:
    """Whether the passes have a surface well outside of the picture's, or none well inside of it."""
    outside, inside = hits & ~_near(alpha > 0, 1), ~_near(alpha < SOLID, 1) & ~hits
    return _is_much(int(outside.sum()), int(hits.sum())) or _is_much(int(inside.sum()), int((alpha == SOLID).sum()))


def _near(marks: Marks, reach: int) -> Marks:
    """Where one of some marks (height, width) is at most `reach` rows and columns away."""
    for _ in range(reach):
        rows = marks.copy()
        rows[1:] |= marks[:-1]
        rows[:-1] |= marks[1:]
        marks = rows.copy()
        marks[:, 1:] |= rows[:, :-1]
        marks[:, :-1] |= rows[:, 1:]
    return marks


def _is_much(count: int, total: int) -> bool:
    return count >= FEW and count > WRONG_SHARE * total
