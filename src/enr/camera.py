"""The axes and units of the whole project. Nothing else decides them.

World
    Right-handed, Z up, lengths in object units (a normalised object is about 1 across).
Camera
    OpenCV axes: x right, y down, z forward. `world_from_camera` is a rigid 4x4 matrix (float64) that takes
    homogeneous camera coordinates to the world. Blender's and OpenGL's cameras look along -Z with Y up.
Pixels
    `intrinsics` is the 3x3 matrix K in pixels; the centre of the top-left pixel is (0.5, 0.5).
Volume
    The rigid scene volume is indexed (depth, height, width); height runs with the camera's y, width with its
    x, and the depth index falls with the distance from the camera (as in the published implementation).

Angles are degrees. Everything here is NumPy float64; batches go in leading dimensions.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from enr.errors import EnrError

Array = NDArray[np.float64]
Group = Literal["rot", "trans", "rototrans"]
GROUPS: tuple[Group, ...] = get_args(Group)

LENS_MM = 50.0
SENSOR_MM = 36.0
RADIUS = 2.0
BOX = ((-0.4, 0.4), (-0.4, 0.4), (-0.5, 0.3))
ELEVATION_DEG = (-90.0, 90.0)
AZIMUTH_DEG = (-180.0, 180.0)
NEAREST = 0.05
"""Smallest near plane, in object units."""

OPENCV_FROM_BLENDER = np.diag([1.0, -1.0, -1.0, 1.0])
"""Flips y and z; its own inverse. Also relates OpenCV to OpenGL cameras."""

Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""(x, y, z) of a Y-up file becomes (x, -z, y), as Blender's OBJ and glTF importers do."""

VOLUME_FROM_CAMERA = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
"""Rows are the volume's (depth, height, width) axes in camera coordinates."""


def orbit_camera(
    azimuth_deg: ArrayLike,
    elevation_deg: ArrayLike,
    radius: ArrayLike = RADIUS,
    target: ArrayLike = (0, 0, 0),
) -> Array:
    """Camera on a sphere around `target`, looking at it, its head towards +Z for |elevation| <= 90.

    Written with the angles themselves, so there is no singularity at the poles.

    Args:
        azimuth_deg: (...) angle from +X towards +Y, in degrees.
        elevation_deg: (...) angle above the XY plane, in degrees.
        radius: (...) distance from the target in object units.
        target: (..., 3) the point looked at.

    Returns:
        `world_from_camera` (..., 4, 4).
    """
    azimuth, elevation, radius = np.broadcast_arrays(
        np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg), np.asarray(radius, dtype=np.float64)
    )
    cos_a, sin_a, cos_e, sin_e = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
    outward = np.stack([cos_e * cos_a, cos_e * sin_a, sin_e], axis=-1)
    right = np.stack([-sin_a, cos_a, np.zeros_like(cos_a)], axis=-1)
    up = np.stack([-sin_e * cos_a, -sin_e * sin_a, cos_e], axis=-1)
    position = np.asarray(target, dtype=np.float64) + radius[..., None] * outward
    world_from_camera = np.zeros((*position.shape[:-1], 4, 4))
    for column, axis in enumerate((right, -up, -outward, position)):
        world_from_camera[..., :3, column] = axis
    world_from_camera[..., 3, 3] = 1.0
    return world_from_camera


def orbit_angles(position: ArrayLike, target: ArrayLike = (0, 0, 0)) -> tuple[Array, Array, Array]:
    """Where on an orbit around `target` a camera stands: the inverse of `orbit_camera`'s position.

    Args:
        position: (..., 3) the camera's centre.
        target: (..., 3) the point looked at.

    Returns:
        azimuth_deg within [-180, 180], elevation_deg within [-90, 90] and radius, (...) each. At a pole, where every
        azimuth is the same place, the azimuth is 0.
    """
    outward = np.asarray(position, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    x, y, z = np.moveaxis(outward, -1, 0)
    azimuth_deg = np.rad2deg(np.arctan2(y, x))
    elevation_deg = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return azimuth_deg, elevation_deg, np.linalg.norm(outward, axis=-1)


def looking_down_deg(world_from_camera: ArrayLike) -> Array:
    """(...) the elevation from which cameras (..., 4, 4) look along their axes, in degrees, wherever they stand."""
    forward = np.asarray(world_from_camera, dtype=np.float64)[..., :3, 2]
    return np.asarray(np.rad2deg(np.arcsin(np.clip(-forward[..., 2], -1, 1))))


def roll_camera(world_from_camera: ArrayLike, roll_deg: ArrayLike) -> Array:
    """Cameras (..., 4, 4) turned by `roll_deg` (...) about their own optical axis, from x (right) towards y (down).

    A positive roll turns the camera clockwise as seen by the one who holds it, and the picture the other way.
    """
    cameras = np.asarray(world_from_camera, dtype=np.float64)
    roll = np.broadcast_to(np.deg2rad(np.asarray(roll_deg, dtype=np.float64)), cameras.shape[:-2])
    turn = np.zeros((*roll.shape, 4, 4))
    turn[..., 0, 0] = turn[..., 1, 1] = np.cos(roll)
    turn[..., 1, 0] = np.sin(roll)
    turn[..., 0, 1] = -turn[..., 1, 0]
    turn[..., 2, 2] = turn[..., 3, 3] = 1.0
    return cameras @ turn


def blender_matrix_world(world_from_camera: ArrayLike) -> Array:
    """`matrix_world` (..., 4, 4) of the Blender camera at `world_from_camera` (..., 4, 4)."""
    return np.asarray(world_from_camera, dtype=np.float64) @ OPENCV_FROM_BLENDER


def invert_rigid(transform: ArrayLike) -> Array:
    """Inverse (..., 4, 4) of rigid transforms (..., 4, 4): transposed rotation, turned-back translation."""
    transform = np.asarray(transform, dtype=np.float64)
    inverse = np.zeros_like(transform)
    rotation_t = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ transform[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def target_from_source(world_from_source: ArrayLike, world_from_target: ArrayLike) -> Array:
    """The motion (..., 4, 4) that takes source-camera to target-camera coordinates.

    It is all that a model needs, and does not depend on the world frame.
    """
    return invert_rigid(world_from_target) @ np.asarray(world_from_source, dtype=np.float64)


def is_rigid(transform: ArrayLike, tolerance: float = 1e-4) -> NDArray[np.bool_]:
    """Whether transforms (..., 4, 4) of finite numbers are a rotation and a translation (...)."""
    matrix = np.asarray(transform, dtype=np.float64)
    rotation = matrix[..., :3, :3]
    unit_error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max(axis=(-2, -1))
    last_row_error = np.abs(matrix[..., 3, :] - [0, 0, 0, 1]).max(axis=-1)
    return np.asarray((np.maximum(unit_error, last_row_error) <= tolerance) & (np.linalg.det(rotation) > 0))


def check_rigid(transform: ArrayLike, tolerance: float = 1e-4) -> Array:
    """`transform` (..., 4, 4) as float64.

    Raises:
        EnrError: it is not a rotation and a translation (scaled, mirrored, sheared, not finite, wrong shape).
    """
    matrix = np.asarray(transform, dtype=np.float64)
    if matrix.shape[-2:] != (4, 4):
        raise EnrError(f"A rigid transform has shape (..., 4, 4), but got {matrix.shape}; pass a 4x4 matrix.")
    if not np.isfinite(matrix).all():
        raise EnrError(
            "A 4x4 transform is not rigid: some of its numbers are not finite; "
            "a rotation and a translation are expected."
        )
    if not is_rigid(matrix, tolerance).all():
        raise EnrError(
            "A 4x4 transform is not rigid (a rotation with determinant +1 and a translation are expected); "
            "remove its scale, mirroring or shear."
        )
    return matrix


def focal_px_from_lens(width_px: int, lens_mm: float = LENS_MM, sensor_mm: float = SENSOR_MM) -> float:
    """Focal length in pixels of a lens on a sensor that is `sensor_mm` wide (88.889 at 64 px by default)."""
    return lens_mm / sensor_mm * width_px


def focal_px_from_fov(fov_deg: float, width_px: int) -> float:
    """Focal length in pixels of a lens that sees `fov_deg` from the left border to the right."""
    return float(width_px / 2 / np.tan(np.deg2rad(fov_deg) / 2))


def intrinsics(focal_px: float, width_px: int, height_px: int) -> Array:
    """K (3, 3): u = focal * x / z + width / 2, v = focal * y / z + height / 2, in pixels."""
    return np.array([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1.0]])


def project(points: ArrayLike, world_from_camera: ArrayLike, K: ArrayLike) -> tuple[Array, Array]:
    """Pixels (..., points, 2) and depths along the optical axis (..., points) of world points (points, 3).

    Args:
        points: (points, 3) in the world.
        world_from_camera: (..., 4, 4).
        K: (..., 3, 3) in pixels.

    Points at or behind the camera have a depth <= 0 and meaningless pixels.
    """
    camera = np.asarray(world_from_camera, dtype=np.float64)
    in_camera = (np.asarray(points, dtype=np.float64) - camera[..., None, :3, 3]) @ camera[..., :3, :3]
    homogeneous = in_camera @ np.swapaxes(np.asarray(K, dtype=np.float64), -1, -2)
    depth = homogeneous[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return homogeneous[..., :2] / depth[..., None], depth


def volume_rotation(target_from_source: ArrayLike) -> Array:
    """Rotation (..., 3, 3) of the rigid volume in its own (depth, height, width) axes.

    A R A^T with R the rotation part of `target_from_source` (..., 4, 4) and A = `VOLUME_FROM_CAMERA`.
    """
    rotation = np.asarray(target_from_source, dtype=np.float64)[..., :3, :3]
    return VOLUME_FROM_CAMERA @ rotation @ VOLUME_FROM_CAMERA.T


def near_far(world_from_camera: ArrayLike, radius: float, object_radius: float = 0.5) -> tuple[float, float]:
    """Depth range of the object: radius -+ (its own radius + the largest displacement along the optical axis).

    Args:
        world_from_camera: (views, 4, 4) cameras of a data set whose objects sit at the world's origin.
        radius: the orbit's radius in object units.
        object_radius: of a ball around the origin that holds every object: 0.5 where the box's diagonal is 1.

    Returns:
        near (at least 0.05) and far in object units.
    """
    depth_of_origin = invert_rigid(world_from_camera)[..., 2, 3]
    reach = object_radius + float(np.abs(depth_of_origin - radius).max(initial=0.0))
    return max(NEAREST, radius - reach), radius + reach
