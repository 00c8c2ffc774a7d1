"""The lens of each frame of NeRF's `transforms.json` and its family: read, or refused by the name of the key.

The keys are those that NeRF's synthetic set, instant-ngp, nerfstudio, Polycam and BlenderNeRF write. Keys that move no
camera and bend no ray (`aabb`, `aabb_scale`, `scale`, `offset`, `applied_transform`, which is in the matrices already)
say nothing here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from enr.camera import Array, focal_px_from_fov
from enr.errors import EnrError

PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "OPENCV", "FULL_OPENCV", "RADIAL", "SIMPLE_RADIAL")
"""Values of `camera_model` that are pinholes where all distortions are 0."""
BENDING = re.compile(
    r"[kps]_?\d+|\w*distortion\w*|\w*fish_?eye\w*|ftheta\w*|latlong|equirect\w*|panorama|spherical|ortho(graphic)?"
    r"|rolling_shutter|skew\w*|shear",
    re.IGNORECASE,
)
"""Names of keys that say that a lens is no pinhole, unless their value is 0, false or empty."""
FOREIGN = re.compile(
    r"fov\w*|\w*_fov|f|f[xy]|focal\w*|intrinsics?\w*|camera_intrinsics?\w*|K|sensor_\w+|camera_angle", re.IGNORECASE
)
"""Names under which other files tell a focal length."""
SIDES = (("fl_x", "camera_angle_x", "x_fov", "cx", "w"), ("fl_y", "camera_angle_y", "y_fov", "cy", "h"))
WIDEST_DEG = 170.0
"""A pinhole that sees more than this is a slip of units."""
SAME_FOCAL = 0.005
"""By so much two statements of one focal length may differ."""


@dataclass(frozen=True, eq=False)
class NerfLenses:
    """The lenses of a file's frames; all None where it says nothing of them.

    Attributes:
        K: (views, 3, 3) in pixels of pictures of `size_px`.
        size_px: width and height.
        fov_deg: (views,) horizontal field of view of centred lenses, in place of K.
        fov_y_deg: (views,) the vertical one; with `fov_deg` absent pixels are square.
    """

    K: Array | None = None
    size_px: tuple[int, int] | None = None
    fov_deg: Array | None = None
    fov_y_deg: Array | None = None


@dataclass(frozen=True)
class _Side:
    """What a frame says of one side of its pictures: x or y.

    Attributes:
        focal_px: by the key `fl_x` (`fl_y`).
        fov_deg: by the key `camera_angle_x` in radians or `x_fov` in degrees.
        centre_px: by the key `cx`.
        size_px: by the key `w`.
        keys: the names of these keys, for sentences.
    """

    focal_px: float | None
    fov_deg: float | None
    centre_px: float | None
    size_px: int | None
    keys: tuple[str, str, str, str, str]

    @property
    def focal(self) -> float | None:
        """The focal length in pixels, by whichever key; None where nothing tells it."""
        by_angle = (
            None if self.fov_deg is None or self.size_px is None else focal_px_from_fov(self.fov_deg, self.size_px)
        )
        if self.focal_px is not None and by_angle and abs(self.focal_px / by_angle - 1) > SAME_FOCAL:
            raise EnrError(
                f"{self.keys[0]} is {self.focal_px:g} px, but {self.keys[1]} and {self.keys[4]} make it "
                f"{by_angle:g} px; leave one of them out."
            )
        return by_angle if self.focal_px is None else self.focal_px

    @property
    def centre(self) -> float:
        """The principal point in pixels; the middle where nothing is said."""
        return self.size_px / 2 if self.centre_px is None and self.size_px else float(self.centre_px or 0.0)


def frame_lenses(frames: Sequence[Mapping[str, Any]], names: Sequence[str]) -> NerfLenses:
    """The lenses of some frames, each with what the whole file says of all.

    Args:
        frames: keys and values of each frame.
        names: of the frames, for sentences.

    Raises:
        EnrError: a lens is not a pinhole's, is said twice and differently, or only in part; the sentence names frame
            and key.
    """
    sides = []
    for frame, name in zip(frames, names, strict=True):
        try:
            _check_pinhole(frame)
            sides.append((_side(frame, SIDES[0]), _side(frame, SIDES[1])))
            _check_whole(*sides[-1])
            _check_foreign(frame, *sides[-1])
        except EnrError as error:
            raise EnrError(f"frame {name}: {error}") from error
    kinds = [[any(value is not None for value in (s.focal_px, s.fov_deg)) for s in pair] for pair in sides]
    silent = [name for name, kind in zip(names, kinds, strict=True) if not any(kind)]
    if silent and len(silent) < len(names):
        raise EnrError(f"frame {silent[0]} has no fl_x and no camera_angle_x, others have; give every frame its lens.")
    sizes = {(x.size_px, y.size_px) for x, y in sides}
    if len(sizes) > 1:
        raise EnrError("its pictures have several sizes (w, h); give files of one size.")
    width, height = sizes.pop() if sizes else (None, None)
    size_px = (width, height) if width and height else None
    if silent or not sides:
        return NerfLenses(size_px=size_px)
    return _with_angles(sides, size_px) or _with_pixels(sides, size_px)


def _with_angles(sides: list[tuple[_Side, _Side]], size_px: tuple[int, int] | None) -> NerfLenses | None:
    """Fields of view alone, where all frames have these and a lens in the middle."""
    for x, y in sides:
        for side in (x, y):
            in_middle = side.centre_px is None or (side.size_px and side.centre_px == side.size_px / 2)
            if side.focal_px is not None or not in_middle:
                return None
    across, up = ([side.fov_deg for side in pair] for pair in zip(*sides, strict=True))
    if (None in across and any(across)) or (None in up and any(up)):
        raise EnrError("some frames have a camera_angle_x, others a camera_angle_y; give all frames the same one.")
    degrees = [None if None in angles else np.array(angles, dtype=np.float64) for angles in (across, up)]
    return NerfLenses(size_px=size_px, fov_deg=degrees[0], fov_y_deg=degrees[1])


def _with_pixels(sides: list[tuple[_Side, _Side]], size_px: tuple[int, int] | None) -> NerfLenses:
    if size_px is None:
        raise EnrError(
            "fl_x, fl_y, cx and cy count pixels, but w and h do not say of how many; give w and h, or camera_angle_x."
        )
    K = []
    for x, y in sides:
        focal_x, focal_y = x.focal, y.focal
        focal = (focal_x or focal_y, focal_y or focal_x)
        K.append([[focal[0], 0.0, x.centre], [0.0, focal[1], y.centre], [0.0, 0.0, 1.0]])
    return NerfLenses(np.array(K, dtype=np.float64), size_px)


def _check_pinhole(frame: Mapping[str, Any]) -> None:
    bent = sorted(key for key, value in frame.items() if BENDING.fullmatch(key) and _says_something(value))
    if bent:
        raise EnrError(
            f"its lens is distorted or no pinhole ({', '.join(bent)}), which is not rendered; undistort the pictures "
            "and cameras first."
        )
    for key in ("camera_model", "camera_type"):
        model = frame.get(key)
        if model is not None and str(model).upper() not in PINHOLES:
            raise EnrError(f"{key} is {model}, which is not rendered; give pinhole cameras ({', '.join(PINHOLES)}).")


def _says_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_says_something, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_says_something, value))
    return bool(value)


def _side(frame: Mapping[str, Any], keys: tuple[str, str, str, str, str]) -> _Side:
    focal_key, angle_key, degrees_key, centre_key, size_key = keys
    focal_px, angle, degrees, centre_px, size = (_number(frame, key) for key in keys)
    if size is not None and (size < 1 or size != int(size)):
        raise EnrError(f"{size_key} is {size:g}; give the size of the pictures in whole pixels.")
    if angle is not None and not 0 < angle < math.pi:
        hint = f" ({angle:g} degrees are {math.radians(angle):.4g})" if math.pi <= angle < 180 else ""
        raise EnrError(f"{angle_key} is {angle:g}; give radians between 0 and pi{hint}.")
    if degrees is not None and angle is not None and abs(math.degrees(angle) / degrees - 1) > SAME_FOCAL:
        raise EnrError(f"{degrees_key} is {degrees:g} degrees, {angle_key} {angle:g} radians; leave one of them out.")
    fov_deg = degrees if angle is None else float(np.rad2deg(angle))
    if fov_deg is not None and not 0 < fov_deg <= WIDEST_DEG:
        key = degrees_key if angle is None else angle_key
        raise EnrError(f"{key} is a field of view of {fov_deg:g} degrees; a pinhole's is between 0 and {WIDEST_DEG:g}.")
    if focal_px is not None and not focal_px > 0:
        raise EnrError(f"{focal_key} is {focal_px:g}; a pinhole has a focal length above 0 pixels.")
    if focal_px and size and focal_px < focal_px_from_fov(WIDEST_DEG, int(size)):
        raise EnrError(f"{focal_key} is {focal_px:g} for {size_key} {size:g}; give the focal length in pixels.")
    if centre_px is not None and size is not None and size > 2 and 0 < centre_px <= 1:
        raise EnrError(f"{centre_key} is {centre_px:g} for {size_key} {size:g}; give the principal point in pixels.")
    return _Side(focal_px, fov_deg, centre_px, None if size is None else int(size), keys)


def _number(frame: Mapping[str, Any], key: str) -> float | None:
    value = frame.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise EnrError(f"{key} is {value!r}; give a number.") from error
    if not math.isfinite(number) or isinstance(value, bool):
        raise EnrError(f"{key} is {value!r}; give a finite number.")
    return number


def _check_whole(x: _Side, y: _Side) -> None:
    """Refuse half a statement: a width without a height, pixels without a size, a centre without a focal length."""
    if (x.size_px is None) != (y.size_px is None):
        given, lacking = ("w", "h") if y.size_px is None else ("h", "w")
        raise EnrError(f"{given} is given and {lacking} is not; give both.")
    in_pixels = [
        key
        for side in (x, y)
        for key, value in zip(side.keys[::3], (side.focal_px, side.centre_px), strict=True)
        if value is not None
    ]
    if in_pixels and x.size_px is None:
        raise EnrError(f"{' and '.join(in_pixels)} in pixels without w and h; give the size of the pictures, too.")
    has_focal = any(value is not None for side in (x, y) for value in (side.focal_px, side.fov_deg))
    if in_pixels and not has_focal:
        raise EnrError(f"{' and '.join(in_pixels)} without fl_x or camera_angle_x; give the focal length, too.")


def _check_foreign(frame: Mapping[str, Any], x: _Side, y: _Side) -> None:
    """Refuse a focal length under a name that is not read, where no other is given."""
    if any(value is not None for side in (x, y) for value in (side.focal_px, side.fov_deg)):
        return
    foreign = sorted(key for key in frame if FOREIGN.fullmatch(key))
    if foreign:
        raise EnrError(
            f"{', '.join(foreign)} is not read here; give fl_x, w and h in pixels or camera_angle_x in radians."
        )
