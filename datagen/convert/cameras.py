"""Cameras as two published layouts store them, in this project's conventions (see `enr.camera`).

`apple`, of the published implementation (Dupont et al. 2020): degrees, a camera that circles the origin. `uva`, of the
report that added translations: radians, an elevation that may pass the poles while the camera keeps its head up, and
an object that was moved before a circling camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array, focal_px_from_lens, orbit_camera

LayoutName = Literal["apple", "uva"]
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)

AT_THE_POLE_DEG = 1e-3
FOCAL_OVER_WIDTH: dict[LayoutName, float] = {"apple": 131.25 / 128, "uva": focal_px_from_lens(1)}
"""Focal length over the picture's width: that of the SRN pictures, and 50 mm on 36 mm."""


@dataclass(frozen=True)
class HeldOutDirections:
    """Held-out directions: all within `half_size_deg` of an azimuth and of an elevation."""

    azimuth_deg: float
    elevation_deg: float
    half_size_deg: float


@dataclass(frozen=True)
class OrbitCameras:
    """Cameras of some views.

    Attributes:
        azimuth_deg, elevation_deg: (views,) degrees.
        target_point: (views, 3) the point looked at, object units.
    """

    azimuth_deg: Array
    elevation_deg: Array
    target_point: Array

    def world_from_camera(self, radius: float) -> Array:
        """(views, 4, 4) OpenCV cameras at a distance from the point looked at, see `enr.camera.orbit_camera`."""
        return orbit_camera(self.azimuth_deg, self.elevation_deg, radius, self.target_point)

    def inside(self, patch: HeldOutDirections) -> NDArray[np.bool_]:
        """(views,) bool: the views whose direction is held out by a patch."""
        turned = np.abs((self.azimuth_deg - patch.azimuth_deg + 180) % 360 - 180)
        raised = np.abs(self.elevation_deg - patch.elevation_deg)
        return (turned < patch.half_size_deg) & (raised < patch.half_size_deg)


def to_cameras(entries: Array, layout: LayoutName) -> OrbitCameras:
    """A layout's numbers in this project's conventions.

    Args:
        entries: (views, 5) azimuth, elevation, x, y, z as the layout stores them; x, y, z are zero in `apple`.
        layout: `apple` or `uva`.
    """
    azimuth, elevation, x, y, z = np.asarray(entries, dtype=np.float64).T
    if layout == "apple":
        # Straight above, a camera that looks at a point has no azimuth; the last of the published 251 pictures shows
        # that it was taken from azimuth 0, whatever its entry says.
        seen_from = np.where(elevation > 90 - AT_THE_POLE_DEG, 0.0, azimuth)
        return OrbitCameras(seen_from, elevation, np.zeros((len(azimuth), 3)))
    azimuth_deg, elevation_deg = fold(np.rad2deg(azimuth), np.rad2deg(elevation))
    # The report's object stood at (z, -x, y) of a world that is turned by 90 degrees about Z against ours, so at
    # (-x, -z, y) of ours; moving the camera by the opposite gives the same picture.
    return OrbitCameras(azimuth_deg, elevation_deg, np.stack([x, z, -y], axis=-1) + 0.0)


def fold(azimuth_deg: Array, elevation_deg: Array) -> tuple[Array, Array]:
    """The same places with the elevation within [-90, 90] and the azimuth within [-180, 180] degrees.

    For a camera that keeps its head up: beyond a pole it stands at the azimuth + 180 and the elevation 180 - e.
    """
    raised: Array = (np.asarray(elevation_deg, dtype=np.float64) + 180) % 360 - 180
    beyond = np.abs(raised) > 90
    elevation: Array = np.where(beyond, np.copysign(180 - np.abs(raised), raised), raised)
    azimuth: Array = np.where(beyond, azimuth_deg + 180.0, azimuth_deg)
    return np.mod(azimuth + 180.0, 360.0) - 180.0, elevation
