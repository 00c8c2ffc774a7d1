"""Where the cameras stand: pure functions of settings and of a random generator per view."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enr.camera import Array, orbit_angles, orbit_camera, roll_camera
from enr.datagen.cameras import samplers
from enr.datagen.cameras.hold_out import Patch
from enr.datagen.cameras.pose_files import GivenCameras, orbit_columns
from enr.datagen.cameras.pose_settings import PoseSettings
from enr.datagen.cameras.samplers import Direction
from enr.errors import EnrError
from enr.shards import Split

NOISE_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Poses:
    """Cameras of one scene's views, as the group's parameters.

    Attributes:
        azimuth_deg: (views,) degrees from +X towards +Y; NaN where given cameras do not look at the origin.
        elevation_deg: (views,) degrees above the XY plane; NaN likewise.
        radius: (views,) object units; NaN likewise.
        target_point: (views, 3) the point looked at, object units; NaN likewise.
        roll_deg: (views,) turn about the camera's own axis, see `enr.camera.roll_camera`; or one for all.
        held_out_views: so many, the last ones, are test views of a scene that is trained on.
        given: the cameras themselves where they came from a file.
    """

    azimuth_deg: Array
    elevation_deg: Array
    radius: Array
    target_point: Array
    roll_deg: Array | float = 0.0
    held_out_views: int = 0
    given: GivenCameras | None = None

    def __len__(self) -> int:
        return len(self.azimuth_deg)

    @property
    def world_from_camera(self) -> Array:
        """(views, 4, 4) OpenCV cameras, see `enr.camera.orbit_camera`."""
        if self.given is not None:
            return self.given.world_from_camera
        cameras = orbit_camera(self.azimuth_deg, self.elevation_deg, self.radius, self.target_point)
        return roll_camera(cameras, self.roll_deg) if np.any(self.roll_deg) else cameras


def view_rng(seed: int, scene_id: str, view_index: int) -> np.random.Generator:
    """The random generator of one view; its numbers depend on these three values alone.

    So a view's pose stays the same whatever the number of views, meshes or workers.
    """
    digest = hashlib.sha256(f"{seed}\n{view_index}\n{scene_id}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def sample_poses(settings: PoseSettings, seed: int, scene_id: str, views: int) -> Poses:
    """Cameras of `views` views of a scene, the held-out ones last.

    Every view draws the same numbers whatever the group, so that a seed's `rot` and `rototrans` share angles.

    Raises:
        EnrError: `views` is less than 1, all of them would be held out, or the pose file has fewer.
    """
    if views < 1:
        raise EnrError(f"{views} views were asked for; give at least 1.")
    if settings.cameras is not None:
        return _given_poses(settings.cameras, views)
    trained = views - settings.held_out_views
    if trained < 1:
        raise EnrError(f"All {views} views would be held out; give more views than held-out views.")
    scene = _Scene(seed, scene_id, trained, held_out_patches(settings, seed))
    drawn = [_draw(settings, scene, index) for index in range(views)]
    turns, moves = settings.group in ("rot", "rototrans"), settings.group in ("trans", "rototrans")
    azimuth_deg, elevation_deg = np.array([view.direction for view in drawn]).T * turns
    poses = Poses(
        azimuth_deg=azimuth_deg,
        elevation_deg=elevation_deg,
        radius=np.full(views, float(settings.radius)),
        target_point=np.stack([view.target_point for view in drawn]) * moves,
        roll_deg=np.array([view.roll_deg for view in drawn]),
        held_out_views=views - trained,
    )
    if not settings.look_at_jitter:
        return poses
    return _looking_at(poses, poses.target_point + np.stack([view.look_at for view in drawn]))


def noise_seed(seed: int, scene_id: str, view_index: int) -> int:
    """The renderer's noise seed of a view, from (seed, scene, view) alone."""
    return int(view_rng(seed, f"{scene_id}/noise", view_index).integers(NOISE_SEEDS))


def held_out_patches(settings: PoseSettings, seed: int) -> tuple[Patch, ...]:
    """The held-out patches of a data set, from its seed alone: the same ones for every scene."""
    if settings.hold_out is None:
        return ()
    numbers = range(settings.hold_out.patches)
    return tuple(
        settings.directions.draw_patch(view_rng(seed, "/patches", number), settings.hold_out.size_deg)
        for number in numbers
    )


def view_columns(poses: Poses, scene_split: Split) -> dict[str, NDArray[Any]]:
    """The columns of a shard (see `enr.shards.VIEW_SHAPES`) that follow from a scene's poses and split."""
    views = len(poses)
    split = np.array([scene_split] * views, dtype=object)
    if poses.held_out_views and scene_split == "train":
        split[views - poses.held_out_views :] = "test"
    return {
        "world_from_camera": poses.world_from_camera,
        "view_index": np.arange(views, dtype=np.int32),
        "azimuth_deg": poses.azimuth_deg,
        "elevation_deg": poses.elevation_deg,
        "radius": poses.radius,
        "target_point": poses.target_point,
        "roll_deg": np.broadcast_to(poses.roll_deg, views),
        "split": split.astype(str),
    }


class _View(NamedTuple):
    """What is drawn for one view, before the group decides what of it counts."""

    direction: Direction
    target_point: Array
    look_at: Array
    roll_deg: float


@dataclass(frozen=True)
class _Scene:
    """Whose views are drawn: the data set's seed, the scene, its views that are trained on, what these avoid."""

    seed: int
    scene_id: str
    trained: int
    patches: tuple[Patch, ...]


def _draw(settings: PoseSettings, scene: _Scene, index: int) -> _View:
    """View `index` of a scene; those after the trained ones are held out, and lie in the patches in turn."""
    held_out = index - scene.trained
    if held_out >= 0:
        rng = view_rng(scene.seed, f"{scene.scene_id}/held-out", held_out)
        direction = settings.directions.draw_inside(rng, scene.patches[held_out % len(scene.patches)])
    else:
        rng = view_rng(scene.seed, scene.scene_id, index)
        direction = settings.directions.draw(rng)
        if settings.sphere == "rings":
            direction = samplers.ring(index, scene.trained, settings.rings_deg, settings.azimuth_deg)
        elif settings.sphere == "spiral":
            direction = samplers.spiral(index, scene.trained)
        if any(patch.contains(direction) for patch in scene.patches):  # another generator: the other numbers stay
            again = view_rng(scene.seed, f"{scene.scene_id}/outside", index)
            direction = settings.directions.draw_outside(again, scene.patches)
    target_point = samplers.in_box(rng, settings.box)
    look_at = samplers.around(rng, settings.look_at_jitter)
    return _View(direction, target_point, look_at, samplers.between(rng, settings.roll_deg))


def _looking_at(poses: Poses, target_point: Array) -> Poses:
    """Cameras at the same places that look at other points, as orbits around these."""
    azimuth_deg, elevation_deg, radius = orbit_angles(poses.world_from_camera[:, :3, 3], target_point)
    return replace(
        poses, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, radius=radius, target_point=target_point
    )


def _given_poses(cameras: GivenCameras, views: int) -> Poses:
    if views > len(cameras):
        raise EnrError(f"{views} views were asked for, but the pose file has {len(cameras)} cameras; ask for fewer.")
    used = cameras.first(views)
    orbit = orbit_columns(used.world_from_camera)
    return Poses(
        orbit["azimuth_deg"],
        orbit["elevation_deg"],
        orbit["radius"],
        orbit["target_point"],
        orbit["roll_deg"],
        given=used,
    )
