"""Inside Blender: the intrinsics K of a view as Blender's camera has them. NumPy and plain attributes only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.camera import SENSOR_MM, intrinsics
from enr.datagen.messages import Job, JobView

SHORTEST_MM = 1.0
"""Blender takes a shorter lens for one of this length without a word; a wider sensor sees the same."""

Floats = NDArray[np.float64]


def job_lens(job: Job) -> Floats:
    """K (3, 3) in pixels of views that bring none of their own: the job's focal length, centred."""
    return intrinsics(job["focal_px"], job["width_px"], job["height_px"])


def view_lens(job: Job, view: JobView) -> Floats:
    """K (3, 3) in pixels of one of a job's views."""
    return np.array(view["K"]) if "K" in view else job_lens(job)


def set_lens(scene: Any, K: Floats) -> None:
    """Give the scene's camera the focal lengths and the principal point of K (3, 3).

    Blender measures the lens and both shifts by the picture's width, and has one focal length: where K has two, the
    pixels are made oblong.
    """
    render, camera = scene.render, scene.camera.data
    width, height = render.resolution_x, render.resolution_y
    oblong = K[0, 0] / K[1, 1]
    render.pixel_aspect_x, render.pixel_aspect_y = max(1.0, 1 / oblong), max(1.0, oblong)
    share = K[0, 0] / width
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = max(SENSOR_MM, SHORTEST_MM / share)
    camera.lens = share * camera.sensor_width
    camera.shift_x = (width / 2 - K[0, 2]) / width
    camera.shift_y = (K[1, 2] - height / 2) * oblong / width
