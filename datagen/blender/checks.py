"""Inside Blender: what a picture alone cannot tell of its view. Standard library, NumPy and the surface's own rays."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.camera import project
from enr.datagen.blender.lens import view_lens
from enr.datagen.blender.spread import directions_around, surface_points
from enr.datagen.blender.surface import Surface, surface_of
from enr.datagen.messages import Answer, Job

INSIDE_DIRECTIONS = 64
INSIDE_SHARE = 0.9
"""A camera is inside a mesh where at least this share of the directions around it end on the mesh."""

Floats = NDArray[np.float64]


class ViewChecks:
    """Checks the cameras of one mesh; its surface is looked at only when a view asks for it."""

    def __init__(self, objects: list[Any], vertices: Floats) -> None:
        """Take a mesh as it stands in the world now: its objects and their vertices (vertices, 3)."""
        self._objects = objects
        self._low, self._high = vertices.min(axis=0), vertices.max(axis=0)

    @cached_property
    def _surface(self) -> Surface:
        return surface_of(self._objects)

    @cached_property
    def _points(self) -> Floats:
        return surface_points(self._surface.corners)

    def facts(self, job: Job, clipped: list[bool]) -> Answer:
        """What the parent has to know of a job's views, of which `clipped` says whether they are."""
        size_px = (job["width_px"], job["height_px"])
        cameras = [np.array(view["world_from_camera"]) for view in job["views"]]
        shares = [
            self.clipped_share(camera, view_lens(job, view), size_px) if is_clipped else 0.0
            for camera, view, is_clipped in zip(cameras, job["views"], clipped, strict=True)
        ]
        return {"clipped_share": shares, "camera_inside": [self.camera_inside(camera[:3, 3]) for camera in cameras]}

    def clipped_share(self, world_from_camera: Floats, K: Floats, size_px: tuple[int, int]) -> float:
        """Share of the surface, by area and whether hidden or not, that lies beyond the picture's border.

        Args:
            world_from_camera: (4, 4).
            K: (3, 3) in pixels.
            size_px: width and height.
        """
        pixels, depth = project(self._points, world_from_camera, K)
        inside = (depth > 0) & ((pixels >= 0) & (pixels <= size_px)).all(axis=1)
        return float(1 - inside.mean())

    def camera_inside(self, position: Floats) -> bool:
        """Whether a camera (3,) is enclosed by the mesh: hardly a direction leads out.

        Rays are cast only from inside the bounding box. It does not matter which way faces are wound, whether they are
        doubled, or whether a small hole is left.
        """
        if not ((position > self._low) & (position < self._high)).all():
            return False
        hits, _ = self._surface.first_hits(position, directions_around(INSIDE_DIRECTIONS))
        return float((hits >= 0).mean()) >= INSIDE_SHARE
