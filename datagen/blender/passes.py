"""Inside Blender: depth, normals and mask beside the colour, by rays through the pixels' centres. NumPy only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.camera import project
from enr.datagen.blender.lens import view_lens
from enr.datagen.blender.surface import Surface, surface_of
from enr.datagen.messages import Job

NEAR_PLANE = 1e-3
Region = tuple[int, int, int, int]
"""Left, top, right, bottom of some pixels; the last two are beyond them."""


def save_passes(objects: list[Any], images: NDArray[np.uint8], job: Job) -> tuple[list[str], NDArray[np.bool_] | None]:
    """Save the passes that a job asks for beside its pictures, as `<stem of out>.<name>.npy`.

    Args:
        objects: the mesh as it stands in the world.
        images: the pictures of its views, RGBA (views, height, width, 4).
        job: with an entry `passes`; and `normals_space`, `camera` or `world`.

    Returns:
        their names, and where (views, height, width) they have a surface; None if none is asked for.
    """
    names = list(job.get("passes", []))
    if not names:
        return [], None
    passes = Passes(surface_of(objects), job)
    for index, view in enumerate(job["views"]):
        passes.fill(index, view_lens(job, view), np.array(view["world_from_camera"]))
    passes.add_coverage(images[..., 3])
    for name in names:
        np.save(Path(job["out"]).with_suffix(f".{name}.npy"), passes.pictures[name])
    return names, passes.hits


class Passes:
    """The passes that a job asks for, filled view by view.

    Attributes:
        pictures: by name, for all views: `depth` float32 (views, height, width), `normals` float16 (views, height,
            width, 3), `mask` bool (views, height, width).
        hits: (views, height, width) whether the ray through a pixel's centre meets the surface.
    """

    def __init__(self, surface: Surface, job: Job) -> None:
        self._surface = surface
        self._size = (job["width_px"], job["height_px"])
        self._normals_space = job.get("normals_space", "camera")
        shape = (len(job["views"]), job["height_px"], job["width_px"])
        empty: dict[str, NDArray[Any]] = {
            "depth": np.full(shape, np.inf, dtype=np.float32),
            "normals": np.zeros((*shape, 3), dtype=np.float16),
            "mask": np.zeros(shape, dtype=bool),
        }
        self.pictures = {name: empty[name] for name in job["passes"]}
        self.hits = np.zeros(shape, dtype=bool)

    def fill(self, index: int, K: NDArray[np.float64], world_from_camera: NDArray[np.float64]) -> None:
        """Fill one view.

        Args:
            index: the view's number.
            K: (3, 3) intrinsics in pixels.
            world_from_camera: (4, 4), OpenCV axes.
        """
        if not len(self._surface.corners):  # nothing of the mesh can be seen
            return
        region = pixel_region(self._surface.corners.reshape(-1, 3), K, world_from_camera, self._size)
        left, top, right, bottom = region
        directions = pixel_rays(K, region) @ world_from_camera[:3, :3].T
        triangles, depth = self._surface.first_hits(world_from_camera[:3, 3], directions)
        window = (index, slice(top, bottom), slice(left, right))
        shape = (bottom - top, right - left)
        self.hits[window] = (triangles >= 0).reshape(shape)
        if "depth" in self.pictures:
            self.pictures["depth"][window] = depth.reshape(shape)
        if "mask" in self.pictures:
            self.pictures["mask"][window] = self.hits[window]
        if "normals" in self.pictures:
            normals = self._normals(triangles, directions, world_from_camera)
            self.pictures["normals"][window] = normals.reshape(*shape, 3)

    def add_coverage(self, alpha: NDArray[np.uint8]) -> None:
        """Add to the mask what the object covers in part: pixels with colour whose centre it misses.

        Args:
            alpha: (views, height, width).
        """
        if "mask" in self.pictures:
            self.pictures["mask"] |= alpha > 0

    def _normals(
        self, triangles: NDArray[np.int64], directions: NDArray[np.float64], world_from_camera: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Unit normals (rays, 3) that face the camera (winding cannot be trusted); zero where nothing is."""
        normals = self._surface.normals(triangles)
        normals *= np.where((normals * directions).sum(axis=1, keepdims=True) > 0, -1.0, 1.0)
        normals[triangles < 0] = 0.0
        return normals @ world_from_camera[:3, :3] if self._normals_space == "camera" else normals


def pixel_rays(K: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """Directions (pixels, 3) through the centres of a region's pixels in the camera's axes, scaled to z = 1.

    Scaled like this, the distance along a ray in units of its direction is the depth along the optical axis.
    """
    left, top, right, bottom = region
    v, u = np.meshgrid(np.arange(top, bottom) + 0.5, np.arange(left, right) + 0.5, indexing="ij")
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    return pixels @ np.linalg.inv(K).T


def pixel_region(
    points: NDArray[np.float64], K: NDArray[np.float64], world_from_camera: NDArray[np.float64], size: tuple[int, int]
) -> Region:
    """The pixels of a picture (width, height) around the projection of points (n, 3); all where one is beside it."""
    pixels, depth = project(points, world_from_camera, K)
    if depth.min() <= NEAR_PLANE:
        return 0, 0, *size
    low = np.clip(np.floor(pixels.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)), low, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
