"""Cameras from files: NeRF's `transforms.json`, `render_params.json` of the published pictures, the project's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from enr.camera import (
    OPENCV_FROM_BLENDER,
    RADIUS,
    Array,
    check_rigid,
    focal_px_from_fov,
    intrinsics,
    orbit_angles,
    orbit_camera,
)
from enr.datagen.cameras.nerf_lens import frame_lenses
from enr.errors import EnrError

FORMAT = "enr-cameras"
LOOKS_AT_ORIGIN = 1e-5
"""Distance of the optical axis from the origin, as a share of the camera's, below which the camera looks at it."""
AT_THE_POLE_DEG = 1e-3
"""So near to a pole, azimuth 0 is meant, whatever is said: so was the last of the published 251 pictures taken."""
OWN_KEYS = {"format", "axes", "world_from_camera", "K", "width_px", "height_px", "names"}
ANGLE_KEYS = {"azimuth", "elevation"}
RADIANS_KEYS = {"x", "epsilon"}
"""Keys that stand beside angles in radians in some published files."""
FEW_ANGLES = 8
"""From so many views on, angles that all lie within 2 pi are taken for radians."""


@dataclass(frozen=True, eq=False)
class GivenCameras:
    """Cameras that a file names.

    Attributes:
        world_from_camera: (views, 4, 4) OpenCV cameras; the world is taken as it is.
        K: (views, 3, 3) in pixels, or None where the file says nothing of it.
        size_px: width and height of the pictures that K belongs to; None where the file does not say.
        fov_deg: (views,) horizontal field of view where a file gives this instead of K.
        fov_y_deg: (views,) vertical field of view where a file gives this, alone or beside the other.
        names: the file's own names of the views.
    """

    world_from_camera: Array
    K: Array | None = None
    size_px: tuple[int, int] | None = None
    fov_deg: Array | None = None
    fov_y_deg: Array | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @property
    def brings_lens(self) -> bool:
        """Whether the file says what lens its cameras have."""
        return any(numbers is not None for numbers in (self.K, self.fov_deg, self.fov_y_deg))

    def first(self, views: int) -> GivenCameras:
        """The first `views` of the cameras."""
        return self._some(slice(views))

    def only(self, view: int) -> GivenCameras:
        """One of the cameras alone."""
        return self._some(slice(view, view + 1))

    def _some(self, views: slice) -> GivenCameras:
        return replace(
            self,
            world_from_camera=self.world_from_camera[views],
            K=None if self.K is None else self.K[views],
            fov_deg=None if self.fov_deg is None else self.fov_deg[views],
            fov_y_deg=None if self.fov_y_deg is None else self.fov_y_deg[views],
            names=self.names[views],
        )

    def fitted(self, width_px: int, height_px: int) -> GivenCameras:
        """The same cameras with their K for pictures of that size.

        Raises:
            EnrError: the pictures of the file have another shape.
        """
        if self.size_px not in (None, (width_px, height_px)):
            width, height = self.size_px
            if abs(height * width_px / width - height_px) > 0.5:
                raise EnrError(
                    f"The pose file's pictures are {width}x{height} px, but {width_px}x{height_px} px were asked for; "
                    "give a --resolution of the same shape, or leave it out."
                )
        if self.fov_deg is not None or self.fov_y_deg is not None:
            return replace(
                self,
                K=self._lenses_of_angles(width_px, height_px),
                size_px=(width_px, height_px),
                fov_deg=None,
                fov_y_deg=None,
            )
        if self.K is None or self.size_px in (None, (width_px, height_px)):
            return self
        scale = width_px / self.size_px[0]
        scaled = self.K * np.array([scale, scale, 1.0])[:, None]
        return replace(self, K=scaled, size_px=(width_px, height_px))

    def _lenses_of_angles(self, width_px: int, height_px: int) -> Array:
        """K (views, 3, 3) of pictures of that size by the fields of view."""
        focal_x, focal_y = (
            None if angles is None else np.array([focal_px_from_fov(angle, side) for angle in angles])
            for angles, side in ((self.fov_deg, width_px), (self.fov_y_deg, height_px))
        )
        if focal_x is None or focal_y is None:
            focal = focal_y if focal_x is None else focal_x
            assert focal is not None
            return np.stack([intrinsics(one, width_px, height_px) for one in focal])
        K = np.stack([intrinsics(one, width_px, height_px) for one in focal_x])
        K[:, 1, 1] = focal_y
        return K

    def digest(self) -> str:
        """SHA-256 of the numbers: the same cameras and lenses, whatever file they came from."""
        digest = hashlib.sha256(np.ascontiguousarray(self.world_from_camera, dtype="<f8").tobytes())
        for numbers in (self.K, self.fov_deg):
            digest.update(b"-" if numbers is None else np.ascontiguousarray(numbers, dtype="<f8").tobytes())
        if self.fov_y_deg is not None:
            digest.update(np.ascontiguousarray(self.fov_y_deg, dtype="<f8").tobytes())
        return digest.hexdigest()


def read_cameras(path: Path, radius: float | None = None) -> GivenCameras:
    """The cameras of a pose file; its content says which kind it is.

    Args:
        path: `transforms.json` (OpenGL axes), `render_params.json` (degrees) or the project's own JSON.
        radius: distance of the cameras from the origin where the file gives angles alone; None for the usual one.

    Raises:
        EnrError: the file cannot be read, is of another kind, holds a matrix that is not rigid, or leaves the given
            radius nothing to say.
    """
    content = _read_json(path)
    try:
        if content.get("format") == FORMAT or "frames" in content:
            if radius is not None:
                raise EnrError("it says how far its cameras are; leave the radius (--radius) out.")
            return _own(content) if content.get("format") == FORMAT else _nerf(content)
        if content and all(isinstance(entry, dict) and "azimuth" in entry for entry in content.values()):
            return _angles(content, RADIUS if radius is None else radius)
    except EnrError as error:
        raise EnrError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        detail = f"{type(error).__name__} {error}"
        raise EnrError(f"{path} is not written as its kind of pose file should be ({detail}); see the docs.") from error
    raise EnrError(
        f"{path} is no pose file; give a NeRF transforms.json, a render_params.json with azimuth and elevation in "
        f'degrees, or JSON with "format": "{FORMAT}".'
    )


def write_cameras(
    path: Path,
    world_from_camera: ArrayLike,
    K: ArrayLike | None = None,
    size_px: tuple[int, int] | None = None,
    names: tuple[str, ...] = (),
) -> None:
    """Write the project's own pose file, which `read_cameras` reads back to the last bit.

    Args:
        path: where to.
        world_from_camera: (views, 4, 4) OpenCV cameras.
        K: (views, 3, 3) in pixels, or None to leave the lens to the options.
        size_px: width and height of the pictures that K belongs to; needed with K.
        names: names of the views.

    Raises:
        EnrError: there is a K without a size.
    """
    if K is not None and size_px is None:
        raise EnrError("K counts pixels; give the size of its pictures (size_px), too.")
    content: dict[str, object] = {"format": FORMAT, "axes": "opencv"}
    content["world_from_camera"] = np.asarray(world_from_camera, dtype=np.float64).tolist()
    if K is not None:
        content["K"] = np.asarray(K, dtype=np.float64).tolist()
    if size_px is not None:
        content["width_px"], content["height_px"] = size_px
    if names:
        content["names"] = list(names)
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def orbit_columns(world_from_camera: Array) -> dict[str, Array]:
    """Azimuth, elevation, radius, target point and roll of cameras that look at the origin, NaN for others.

    Args:
        world_from_camera: (views, 4, 4).

    Returns:
        the columns of `enr.shards.VIEW_SHAPES` by name, `views` rows each.
    """
    position, forward = world_from_camera[:, :3, 3], world_from_camera[:, :3, 2]
    azimuth_deg, elevation_deg, radius = orbit_angles(position)
    aside = np.linalg.norm(position + radius[:, None] * forward, axis=-1)
    orbits = (radius > 0) & (aside <= LOOKS_AT_ORIGIN * radius)
    upright = orbit_camera(azimuth_deg, elevation_deg, radius)
    right = np.einsum("vij,vi->vj", upright[:, :3, :3], world_from_camera[:, :3, 0])
    columns = {
        "azimuth_deg": azimuth_deg,
        "elevation_deg": elevation_deg,
        "radius": radius,
        "target_point": np.zeros_like(position),
        "roll_deg": np.rad2deg(np.arctan2(right[:, 1], right[:, 0])),
    }
    for column in columns.values():
        column[~orbits] = np.nan
    return columns


def group_of(world_from_camera: Array) -> Literal["rot", "rototrans"]:
    """`rot` where all cameras look at the origin from one distance, else `rototrans`."""
    radius = orbit_columns(world_from_camera)["radius"]
    return "rot" if np.ptp(radius) <= LOOKS_AT_ORIGIN * radius.mean() else "rototrans"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EnrError(f"{path} cannot be read ({error.strerror or error}); give a pose file in JSON.") from error
    except ValueError as error:
        raise EnrError(f"{path} is not JSON ({error}); give a pose file in JSON.") from error
    except RecursionError as error:
        raise EnrError(f"{path} holds lists inside lists without end; give a pose file in JSON.") from error
    if not isinstance(content, dict):
        raise EnrError(f"{path} holds {type(content).__name__} where a JSON object is expected; give a pose file.")
    return content


def _own(content: Mapping[str, Any]) -> GivenCameras:
    if content.get("axes", "opencv") != "opencv":
        raise EnrError(f'the axes {content["axes"]!r} are not known; give OpenCV cameras and say "opencv".')
    _check_keys(content, OWN_KEYS)
    cameras = _rigid(content["world_from_camera"], [])
    names = _names(content.get("names") or [], len(cameras))
    has_size = "width_px" in content or "height_px" in content
    size_px = (_side_px(content, "width_px"), _side_px(content, "height_px")) if has_size else None
    if content.get("K") is None:
        return GivenCameras(cameras, size_px=size_px, names=names)
    K = np.broadcast_to(np.asarray(content["K"], dtype=np.float64), (len(cameras), 3, 3)).copy()
    check_lens(K)
    if size_px is None:
        raise EnrError("K counts pixels of pictures whose size it does not say; add width_px and height_px.")
    return GivenCameras(cameras, K, size_px, names=names)


def _names(given: Any, cameras: int) -> tuple[str, ...]:
    """Names of all cameras, or none."""
    if not isinstance(given, list) or len(given) not in (0, cameras):
        count = f"{len(given)} names" if isinstance(given, list) else repr(given)
        raise EnrError(f"names is {count} for {cameras} cameras; give a list with one for each, or leave it out.")
    return tuple(map(str, given))


def _side_px(content: Mapping[str, Any], key: str) -> int:
    """Width or height of the pictures."""
    if key not in content:
        raise EnrError(f"{key} is missing; give width_px and height_px.")
    size = content[key]
    if isinstance(size, bool) or not isinstance(size, int | float) or not 1 <= size < 2**31 or size != int(size):
        raise EnrError(f"{key} is {size!r}; give the size of the pictures in whole pixels, at least 1.")
    return int(size)


def _nerf(content: Mapping[str, Any]) -> GivenCameras:
    """OpenGL cameras (x right, y up, looking along -z); intrinsics of each frame, else of the whole file."""
    frames = content["frames"]
    shared = {key: value for key, value in content.items() if key != "frames"}
    names = [str(frame.get("file_path", index)) for index, frame in enumerate(frames)]
    cameras = _rigid([frame["transform_matrix"] for frame in frames], names) @ OPENCV_FROM_BLENDER
    lenses = [{**shared, **frame} for frame in frames]
    found = frame_lenses(lenses, names)
    return GivenCameras(
        cameras,
        None if found.K is None else check_lens(found.K),
        found.size_px,
        found.fov_deg,
        found.fov_y_deg,
        tuple(names),
    )


def _angles(content: Mapping[str, Any], radius: float) -> GivenCameras:
    """Degrees, on an orbit around the origin, in the order of the names."""
    names = sorted(content)
    for name in names:
        _check_keys(content[name], ANGLE_KEYS | RADIANS_KEYS)
    angles_deg = np.array([[content[name]["azimuth"], content[name]["elevation"]] for name in names], dtype=np.float64)
    if not np.isfinite(angles_deg).all():
        raise EnrError("an angle is not a finite number; give degrees.")
    if any(RADIANS_KEYS & set(content[name]) for name in names) or (
        len(names) >= FEW_ANGLES and np.abs(angles_deg).max() <= 2 * np.pi
    ):
        raise EnrError(
            f'its angles seem to be radians; convert them to degrees, or to matrices in JSON with "format": "{FORMAT}".'
        )
    azimuth_deg, elevation_deg = angles_deg.T
    azimuth_deg = np.where(np.abs(elevation_deg) > 90 - AT_THE_POLE_DEG, 0.0, azimuth_deg)
    return GivenCameras(orbit_camera(azimuth_deg, elevation_deg, radius), names=tuple(names))


def _check_keys(entries: Iterable[str], known: set[str]) -> None:
    unknown = sorted(set(entries) - known)
    if unknown:
        raise EnrError(f"{', '.join(unknown)} would not be heard; leave it out, known are {', '.join(sorted(known))}.")


def _rigid(matrices: Any, names: list[str]) -> Array:
    """Matrices (views, 4, 4), each of them a rotation and a translation, with the first that is not named."""
    if not len(matrices):
        raise EnrError("it names no camera; give at least one.")
    cameras = []
    for index, matrix in enumerate(matrices):
        try:
            cameras.append(check_rigid(matrix))
        except EnrError as error:
            raise EnrError(f"view {names[index] if names else index}: {error}") from error
    return np.stack(cameras)


def check_lens(K: Array) -> Array:
    """K (views, 3, 3) that Blender can render: positive focal lengths, no skew.

    Raises:
        EnrError: it cannot.
    """
    plain = np.abs(K[:, [0, 1, 2, 2, 2], [1, 0, 0, 1, 2]] - [0, 0, 0, 0, 1]).max(initial=0) <= 1e-9
    focal = K[:, [0, 1], [0, 1]]
    if not (np.isfinite(K).all() and plain and (focal > 0).all()):
        raise EnrError(
            "a K is not a pinhole's: give [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, fx and fy above 0."
        )
    return K
