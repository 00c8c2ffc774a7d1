"""Whether another camera explains a picture that its mesh does not fit: which tells a wrong camera from another mesh.

Tried are the mistakes that are made (another view's camera, other axes, a mirrored picture), then small moves and
turns of the stored camera and of the best of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from enr.camera import OPENCV_FROM_BLENDER, Z_UP_FROM_Y_UP, Array, invert_rigid
from enr.datagen.verify.fit import Picture, fit, outline_px
from enr.datagen.verify.raster import fine_raster

BETTER = 0.5
"""A camera explains a picture if it leaves at most this share of the distance, and no more than the limit."""
STARTS = 2
SIDE_PX = 48
"""Size at which small moves are looked for."""
BLURS_PX = (4.0, 2.0, 1.0, 0.5)
ROUNDS = 4
STEP = 0.02
"""Of moves and turns (radians), for the derivatives: about a pixel."""
FURTHEST = 0.6
"""Of moves, as a share of the distance to the mesh, and turns: more is another picture."""
MIRRORS = {"front and back": np.diag([-1.0, 1, 1, 1]), "left and right": np.diag([1.0, -1, 1, 1])}
FLIPS = {
    "mirrored": (slice(None), slice(None, None, -1)),
    "upside down": (slice(None, None, -1), slice(None)),
    "turned by 180 degrees": (slice(None, None, -1), slice(None, None, -1)),
}


@dataclass(frozen=True, eq=False)
class Other:
    """A picture seen from another camera, or a changed picture, in words that follow `its camera is wrong: `."""

    words: str
    picture: Picture


def explanation(picture: Picture, cameras: dict[str, Array], limit_px: float) -> str | None:
    """What is wrong with a picture's camera, in words; None where no other camera explains the picture.

    Args:
        picture: its triangles do not fit it.
        cameras: others (4, 4) that it may be from, by words.
        limit_px: largest distance of the outlines of a right view.
    """
    enough_px = min(limit_px, BETTER * fit(picture).outline_px)

    def quick_outline_px(other: Other) -> float:
        return outline_px((other.picture.alpha > 127).astype(float), _drawn(other.picture, 1))

    ranked = sorted(_others(picture, cameras), key=quick_outline_px)
    for other in ranked[:STARTS]:
        if fit(other.picture).outline_px <= enough_px:
            return other.words
    for start in [Other("", picture), *ranked[:STARTS]]:
        found = _refined(start.picture)
        if fit(found).outline_px <= enough_px:
            between = invert_rigid(start.picture.world_from_camera) @ found.world_from_camera
            turned = np.degrees(np.arccos(np.clip((np.trace(between[:3, :3]) - 1) / 2, -1, 1)))
            moved = f"turned by {turned:.1f} degrees and moved by {np.linalg.norm(between[:3, 3]):.2f}"
            return f"{start.words}, {moved}" if start.words else f"the picture is from a camera {moved}"
    return None


def _others(picture: Picture, cameras: dict[str, Array]) -> Iterator[Other]:
    """The mistakes that are made."""
    camera = picture.world_from_camera
    stored = {
        **cameras,
        "it is written with the axes of OpenGL and Blender": camera @ OPENCV_FROM_BLENDER,
        "it is the inverse, camera from world": invert_rigid(camera),
        "its world has Y up": Z_UP_FROM_Y_UP @ camera,
        "its world has Z up where the mesh's has Y": invert_rigid(Z_UP_FROM_Y_UP) @ camera,
    }
    for axis, words in enumerate("xyz"):
        for angle_deg in (90, 180, 270):
            turn = np.eye(4)
            turn[:3, :3] = _rotation(np.radians(angle_deg) * np.eye(3)[axis])
            stored[f"it is turned around the world's {words} axis by {angle_deg} degrees"] = turn @ camera
            if words == "z":
                stored[f"it is rolled by {angle_deg} degrees"] = camera @ turn
    for words, mirror in MIRRORS.items():
        stored[f"its place is mirrored, {words}"] = mirror @ camera @ np.diag([-1.0, 1, 1, 1])
    yield from (Other(words, picture.seen_from(other)) for words, other in stored.items())
    size = np.array(picture.alpha.shape[::-1], dtype=float)
    for words, (rows, columns) in FLIPS.items():
        K = picture.K.copy()
        flipped = np.array([columns.step == -1, rows.step == -1])
        K[:2, 2] = np.where(flipped, size - K[:2, 2], K[:2, 2])
        yield Other(f"the picture is {words}", replace(picture, alpha=picture.alpha[rows, columns], K=K))


def _drawn(picture: Picture, fine: int) -> Array:
    """(height, width) share of each pixel that the triangles cover, drawn so many times finer."""
    height, width = picture.alpha.shape
    return fine_raster(picture.triangles, picture.world_from_camera, picture.K, (height, width), fine).coverage()


def _refined(picture: Picture) -> Picture:
    """The picture with the camera near its own that shows it best: damped Gauss-Newton on ever sharper pictures."""
    small = _shrunk(picture)
    pivot = small.triangles.reshape(-1, 3).mean(axis=0)
    motion = np.zeros(6)
    for blur_px in BLURS_PX:
        down, right = (_bell(side, blur_px) for side in small.alpha.shape)

        def residual(trial: Array, down: Array = down, right: Array = right) -> Array:
            moved = small.seen_from(_moved(small.world_from_camera, trial, pivot))
            return (down @ (_drawn(moved, 2) - moved.alpha / 255.0) @ right).ravel()

        motion = _minimum(residual, motion, STEP * max(blur_px, 1.0) / 2)
    return picture.seen_from(_moved(picture.world_from_camera, motion, pivot))


def _minimum(residual: Callable[[Array], Array], start: Array, step: float) -> Array:
    """Where some residuals of (6,) numbers are least, by Levenberg and Marquardt."""
    motion, damping = start, 1e-2
    for _ in range(ROUNDS):
        base = residual(motion)
        slope = np.array([(residual(motion + step * axis) - base) / step for axis in np.eye(6)])
        square = slope @ slope.T
        damped = square + damping * np.diag(np.diag(square)) + 1e-9 * np.eye(6)
        trial = np.clip(motion - np.linalg.solve(damped, slope @ base), -FURTHEST, FURTHEST)
        if np.square(residual(trial)).sum() < np.square(base).sum():
            motion, damping = trial, damping / 4
        else:
            damping *= 16
    return motion


def _shrunk(picture: Picture) -> Picture:
    """The picture at a whole share of its size, about SIDE_PX."""
    share = max(1, round(max(picture.alpha.shape) / SIDE_PX))
    height, width = (side // share for side in picture.alpha.shape)
    blocks = picture.alpha[: height * share, : width * share].reshape(height, share, width, share)
    alpha = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return replace(picture, alpha=alpha, K=np.diag([1 / share, 1 / share, 1.0]) @ picture.K)


def _moved(camera: Array, motion: Array, pivot: Array) -> Array:
    """A camera (4, 4) moved around and towards a point by motion[:3], and turned in its own axes by motion[3:]."""
    around, turn = np.eye(4), np.eye(4)
    around[:3, :3] = camera[:3, :3] @ _rotation(np.array([motion[1], -motion[0], 0.0])) @ camera[:3, :3].T
    around[:3, 3] = pivot - around[:3, :3] @ pivot
    turn[:3, :3] = _rotation(motion[3:])
    turn[2, 3] = motion[2] * np.linalg.norm(camera[:3, 3] - pivot)
    return np.asarray(around @ camera @ turn)


def _rotation(vector: Array) -> Array:
    """(3, 3) turn by a vector's length in radians around it."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _bell(count: int, sigma_px: float) -> Array:
    """(count, count) matrix that blurs a column of so many pixels."""
    apart = np.subtract.outer(np.arange(count), np.arange(count)) / sigma_px
    return np.exp(-0.5 * apart**2) / (sigma_px * np.sqrt(2 * np.pi))
