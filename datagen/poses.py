"""Where the cameras stand: pure functions of settings and of a random generator per view."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from enr.camera import AZIMUTH_DEG, BOX, ELEVATION_DEG, GROUPS, RADIUS, Array, Group, orbit_camera
from enr.errors import EnrError

Range = tuple[float, float]
Sphere = Literal["angles", "area"]


@dataclass(frozen=True)
class PoseSettings:
    """How cameras are sampled.

    Attributes:
        group: `rot` turns around the origin; `trans` looks from azimuth 0, elevation 0 at points in the box;
            `rototrans` does both, its camera orbits a displaced point.
        radius: distance from the point looked at, object units.
        box: ranges of the point looked at along X, Y and Z, object units.
        elevation_deg: range within [-90, 90].
        azimuth_deg: range.
        sphere: `angles` samples the elevation uniformly, `area` the sphere (the elevation's sine uniformly).

    Raises:
        EnrError: a range is reversed, not finite or beyond the poles, or the radius is not positive.
    """

    group: Group
    radius: float = RADIUS
    box: tuple[Range, Range, Range] = BOX
    elevation_deg: Range = ELEVATION_DEG
    azimuth_deg: Range = AZIMUTH_DEG
    sphere: Sphere = "angles"

    def __post_init__(self) -> None:
        """Refuse settings from which no camera can be sampled."""
        _check_choice("group", self.group, GROUPS)
        _check_choice("sphere", self.sphere, get_args(Sphere))
        if not (np.isfinite(self.radius) and self.radius > 0):
            raise EnrError(f"The radius is {self.radius}; give a positive distance in object units, such as {RADIUS}.")
        for axis, limits in zip("XYZ", self.box, strict=True):
            _check_range(f"The box along {axis}", limits)
        _check_range("The azimuth range in degrees", self.azimuth_deg)
        _check_range("The elevation range in degrees", self.elevation_deg)
        if min(self.elevation_deg) < -90 or max(self.elevation_deg) > 90:
            raise EnrError(
                f"The elevation range is {self.elevation_deg} degrees; give one within -90 to 90 "
                "(beyond a pole the same place has the azimuth + 180 and the elevation 180 - e)."
            )


@dataclass(frozen=True)
class Poses:
    """Cameras of one scene's views, as the group's parameters.

    Attributes:
        azimuth_deg: (views,) degrees from +X towards +Y.
        elevation_deg: (views,) degrees above the XY plane.
        radius: (views,) object units.
        target_point: (views, 3) the point looked at, object units.
    """

    azimuth_deg: Array
    elevation_deg: Array
    radius: Array
    target_point: Array

    @property
    def world_from_camera(self) -> Array:
        """(views, 4, 4) OpenCV cameras, see `enr.camera.orbit_camera`."""
        return orbit_camera(self.azimuth_deg, self.elevation_deg, self.radius, self.target_point)


def view_rng(seed: int, scene_id: str, view_index: int) -> np.random.Generator:
    """The random generator of one view; its numbers depend on these three values alone.

    So a view's pose stays the same whatever the number of views, meshes or workers.
    """
    digest = hashlib.sha256(f"{seed}\n{view_index}\n{scene_id}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def sample_poses(settings: PoseSettings, seed: int, scene_id: str, views: int) -> Poses:
    """Cameras of `views` views of a scene.

    Every view draws the same five numbers whatever the group, so that a seed's `rot` and `rototrans` share angles.

    Raises:
        EnrError: `views` is less than 1.
    """
    if views < 1:
        raise EnrError(f"{views} views were asked for; give at least 1.")
    uniform = np.stack([view_rng(seed, scene_id, index).random(5) for index in range(views)])
    turns = settings.group in ("rot", "rototrans")
    moves = settings.group in ("trans", "rototrans")
    low, high = np.asarray(settings.box, dtype=np.float64).T
    return Poses(
        azimuth_deg=_between(settings.azimuth_deg, uniform[:, 0]) * turns,
        elevation_deg=_elevation(settings, uniform[:, 1]) * turns,
        radius=np.full(views, float(settings.radius)),
        target_point=(low + (high - low) * uniform[:, 2:]) * moves,
    )


def _elevation(settings: PoseSettings, uniform: Array) -> Array:
    if settings.sphere == "angles":
        return _between(settings.elevation_deg, uniform)
    low, high = np.sin(np.deg2rad(settings.elevation_deg))
    return np.rad2deg(np.arcsin(np.clip(_between((low, high), uniform), -1.0, 1.0)))


def _between(limits: Range, uniform: Array) -> Array:
    return limits[0] + (limits[1] - limits[0]) * uniform


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise EnrError(f"The {name} is {value!r}; give one of {', '.join(choices)}.")


def _check_range(name: str, limits: Range) -> None:
    if len(limits) != 2 or not np.isfinite(limits).all() or limits[0] > limits[1]:
        raise EnrError(f"{name} is {tuple(limits)}; give the smaller number first, then the larger.")
