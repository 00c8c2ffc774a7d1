"""Closed solids as vertices and outward faces: what the built-in shapes are put together from.

Frame: Z up, any unit. Every solid is watertight on its own; solids may overlap, as the parts of furniture do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from enr.camera import Array

Faces = list[tuple[int, ...]]


@dataclass(frozen=True)
class Solid:
    """A closed surface, in one material or in several.

    Attributes:
        vertices: (n, 3).
        faces: polygons of indices, counter-clockwise seen from outside.
        material: the name of its material; where it has several, of its first.
        own_materials: of each face, where they differ.
    """

    vertices: Array
    faces: Faces
    material: str
    own_materials: tuple[str, ...] = ()

    @property
    def face_materials(self) -> tuple[str, ...]:
        """The name of each face's material."""
        return self.own_materials or (self.material,) * len(self.faces)

    def moved(self, offset: ArrayLike) -> Solid:
        """The solid shifted by `offset` (3,)."""
        return replace(self, vertices=self.vertices + np.asarray(offset, dtype=np.float64))

    def mirrored_y(self) -> Solid:
        """The solid on the other side of the XZ plane."""
        return replace(self, vertices=self.vertices * [1.0, -1.0, 1.0], faces=[face[::-1] for face in self.faces])

    def turned_z(self, angle_deg: float) -> Solid:
        """The solid turned around the Z axis, counter-clockwise seen from above, in degrees."""
        cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        return replace(self, vertices=self.vertices @ turn.T)


def box(centre: ArrayLike, size: ArrayLike, material: str, round_by: float = 0.0, steps: int = 3) -> Solid:
    """A box whose edges are rounded by a radius; a board with 0 or little, a cushion with more.

    Args:
        centre: (3,).
        size: (3,) full lengths.
        material: its material's name.
        round_by: radius of the edges, at most half the shortest side.
        steps: facets of a quarter circle.
    """
    half = np.asarray(size, dtype=np.float64) / 2
    radius = min(round_by, float(half.min()) * 0.999)
    if radius <= 0:
        stops = [np.array([-1.0, 1.0]) * side for side in half]
    else:
        quarter = np.tan(np.linspace(0, np.pi / 4, steps // 2 + 1)) * radius
        ends = [side - radius + quarter for side in half]  # dense in the rounded ends, bare in the middle
        stops = [np.unique(np.concatenate([-end, end])) for end in ends]
    points, faces = _box_surface(stops)
    inner = np.clip(points, -(half - radius), half - radius)
    outward = points - inner
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    rounded = inner + np.divide(outward, length, out=np.zeros_like(outward), where=length > 0) * radius
    surface: Array = rounded if radius > 0 else points
    return Solid(surface + np.asarray(centre, dtype=np.float64), faces, material)


def tube(path: ArrayLike, radius: ArrayLike, material: str, sides: int = 10, flatten: float = 1.0) -> Solid:
    """A bar along a path: legs (4 sides: square), spindles, rails, handles.

    Args:
        path: (points, 3), at least two.
        radius: one, or one for each point: half the width of the bar.
        material: its material's name.
        sides: of the cross section; 4 makes a square one whose flat sides are `2 * radius` apart.
        flatten: the cross section's second width as a share of the first.
    """
    points = np.asarray(path, dtype=np.float64)
    widths = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points))
    across, along = _frames(points)
    turn = np.pi / 4 if sides == 4 else 0.0
    widths = widths / np.cos(np.pi / 4) if sides == 4 else widths
    angles = np.arange(sides) * 2 * np.pi / sides + turn
    circle = np.cos(angles)[None, :, None] * across[:, None] + flatten * np.sin(angles)[None, :, None] * along[:, None]
    rings = points[:, None] + widths[:, None, None] * circle
    return loft(rings, material)


def lathe(profile: ArrayLike, material: str, sides: int = 24) -> Solid:
    """A solid of revolution about the Z axis.

    Args:
        profile: (points, 2) of radius (positive) and height, from the bottom's rim over the outside to the last rim;
            both ends are closed by a disc. Going down again on the inside makes a cup.
        material: its material's name.
        sides: of the round.
    """
    outline = np.asarray(profile, dtype=np.float64)
    angles = np.arange(sides) * 2 * np.pi / sides
    round_ = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    rings = np.concatenate(
        [
            outline[:, None, :1] * round_[None],
            np.broadcast_to(outline[:, None, 1:], (len(outline), sides, 1)),
        ],
        axis=-1,
    )
    return loft(rings, material)


def sheet(surface: ArrayLike, thickness: ArrayLike, material: str) -> Solid:
    """A curved board.

    Args:
        surface: (rows, columns, 3) its front, columns running to the left seen from the front with rows going up.
        thickness: (3,) from the front to the rear.
        material: its material's name.
    """
    front = np.asarray(surface, dtype=np.float64)
    rows, columns = front.shape[:2]
    vertices = np.concatenate([front.reshape(-1, 3), (front + np.asarray(thickness, dtype=np.float64)).reshape(-1, 3)])
    index = np.arange(rows * columns).reshape(rows, columns)
    rear = index + rows * columns
    faces = grid_faces(index) + [face[::-1] for face in grid_faces(rear)]
    rim = np.concatenate([index[0], index[1:, -1], index[-1, -2::-1], index[-2:0:-1, 0]])
    rim_rear = rim + rows * columns
    following, following_rear = np.roll(rim, -1), np.roll(rim_rear, -1)
    faces += [tuple(face) for face in np.stack([rim, following, following_rear, rim_rear], axis=-1).tolist()]
    return _outward(Solid(vertices, faces, material))


def extrude(outline: ArrayLike, low: float, high: float, material: str) -> Solid:
    """A convex outline (points, 2) in X and Y, counter-clockwise, as a board from height `low` to `high`."""
    points = np.asarray(outline, dtype=np.float64)
    rings = np.stack([np.column_stack([points, np.full(len(points), height)]) for height in (low, high)])
    return loft(rings, material)


def loft(rings: Array, material: str) -> Solid:
    """A solid through rings of points, with both ends closed.

    Args:
        rings: (rings, sides, 3), all in the same order around; the first and the last are convex.
        material: its material's name.
    """
    count, sides = rings.shape[:2]
    index = np.arange(count * sides).reshape(count, sides)
    faces = grid_faces(np.concatenate([index, index[:, :1]], axis=1), flip=True)
    faces += [tuple(index[0, ::-1].tolist()), tuple(index[-1].tolist())]
    return _outward(Solid(rings.reshape(-1, 3), faces, material))


def volume(solid: Solid) -> float:
    """The enclosed volume: positive where the faces look outwards."""
    total = 0.0
    for face in solid.faces:
        corners = solid.vertices[list(face)]
        total += sum(
            float(np.dot(corners[0], np.cross(corners[index], corners[index + 1]))) for index in range(1, len(face) - 1)
        )
    return total / 6


def _outward(solid: Solid) -> Solid:
    """The solid with its faces turned so that they look outwards."""
    if volume(solid) >= 0:
        return solid
    return Solid(solid.vertices, [face[::-1] for face in solid.faces], solid.material)


def _box_surface(stops: Sequence[Array]) -> tuple[Array, Faces]:
    """The surface of a box cut along the stops of its three axes; shared edges are shared vertices."""
    points: list[list[float]] = []
    faces: Faces = []
    known: dict[tuple[int, ...], int] = {}
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for end in (0, len(stops[axis]) - 1):
            grid = np.empty((len(stops[first]), len(stops[second])), dtype=np.int64)
            for i, j in np.ndindex(*grid.shape):
                key = [0, 0, 0]
                key[axis], key[first], key[second] = end, i, j
                if tuple(key) not in known:
                    known[tuple(key)] = len(points)
                    points.append([stops[dimension][key[dimension]] for dimension in range(3)])
                grid[i, j] = known[tuple(key)]
            sheet_faces = grid_faces(grid)
            faces += sheet_faces if end else [face[::-1] for face in sheet_faces]
    return np.array(points), faces


def _frames(points: Array) -> tuple[Array, Array]:
    """Two unit vectors (points, 3) across a path, steady along planar paths."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    reference = np.eye(3)[int(np.argmin(np.abs(tangent).sum(axis=0)))]
    across = np.cross(np.broadcast_to(reference, tangent.shape), tangent)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return across, np.cross(tangent, across)


def grid_faces(index: NDArray[np.int64], flip: bool = False) -> Faces:
    """Four-sided faces of a grid of vertex indices (rows, columns)."""
    corners = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    return [tuple(face) for face in (corners[:, ::-1] if flip else corners).tolist()]
