"""The lens of one frame of a NeRF `transforms.json`: every key that says something of it is used, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enr.errors import EnrError

DISTORTION = re.compile(r"k\d+|p\d+|s\d+|.*distort.*", re.IGNORECASE)
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
"""Models of which nothing but a pinhole is left where the distortions are 0."""
WIDEST_ANGLE = 3.1
"""Radians; of a wider lens, the focal length is a few hundredths of the picture, and nothing is to be seen."""
AGREE = 0.01
"""A focal length and an angle that differ by less, as a share, say the same with other digits."""


@dataclass(frozen=True)
class NerfLens:
    """What a frame says of its lens.

    Attributes:
        focal_px: x and y, None where the frame does not say it in pixels or by angle and size.
        angle: x and y in radians, None where not given.
        centre_px: principal point; None for the middle.
        size_px: width and height of the picture.

    """

    focal_px: tuple[float, float] | None
    angle: tuple[float | None, float | None]
    centre_px: tuple[float, float] | None
    size_px: tuple[int, int] | None

    @property
    def kind(self) -> str:
        """What there is to know: `pixels`, `angle`, or `none`."""
        return "pixels" if self.focal_px else "angle" if self.angle[0] else "none"

    def K(self) -> list[list[float]]:
        """The intrinsics in pixels, of a frame whose `kind` is `pixels`."""
        assert self.focal_px and self.size_px
        centre_x, centre_y = self.centre_px or (self.size_px[0] / 2, self.size_px[1] / 2)
        return [[self.focal_px[0], 0.0, centre_x], [0.0, self.focal_px[1], centre_y], [0.0, 0.0, 1.0]]


def nerf_lens(frame: Mapping[str, Any]) -> NerfLens:
    """The lens that a frame's keys say (the file's own among them).

    Raises:
        EnrError: it is no pinhole, or says too little, or one thing twice with another value; the key is named.
    """
    _refuse_bent(frame)
    size_px = _size_px(frame)
    angle = (_angle(frame, "camera_angle_x"), _angle(frame, "camera_angle_y"))
    in_pixels = [key for key in ("fl_x", "fl_y", "cx", "cy") if key in frame]
    if size_px is None:
        if in_pixels:
            raise EnrError(f"{', '.join(in_pixels)} are pixels of a picture of unknown size; give w and h, too.")
        if angle[1] and not angle[0]:
            raise EnrError("camera_angle_y alone does not say how wide the pictures are; give w and h, too.")
        return NerfLens(None, angle, None, None)
    focal_x, focal_y = (_focal_px(frame, f"fl_{axis}", angle[index], size_px[index]) for index, axis in enumerate("xy"))
    if focal_x is None and focal_y is None:
        if in_pixels:
            raise EnrError(f"{', '.join(in_pixels)} without a focal length says no lens; give fl_x or camera_angle_x.")
        return NerfLens(None, angle, None, size_px)
    centre_px = (float(frame.get("cx", size_px[0] / 2)), float(frame.get("cy", size_px[1] / 2)))
    focal_px = (focal_y if focal_x is None else focal_x, focal_x if focal_y is None else focal_y)
    assert focal_px[0] is not None and focal_px[1] is not None
    return NerfLens((focal_px[0], focal_px[1]), angle, centre_px, size_px)


def _refuse_bent(frame: Mapping[str, Any]) -> None:
    bent = sorted(key for key, value in frame.items() if DISTORTION.fullmatch(key) and _is_something(value))
    if bent:
        raise EnrError(
            f"its lens is distorted ({', '.join(bent)}), which is not rendered; undistort the cameras first."
        )
    model = frame.get("camera_model")
    if model is not None and str(model).upper() not in PINHOLES:
        raise EnrError(f"its camera_model is {model!r}, which is not rendered; give pinhole cameras.")
    wide = [key for key in ("is_fisheye", "is_equirectangular", "is_panorama") if frame.get(key)]
    if wide:
        raise EnrError(f"{wide[0]} is set, and such a lens is not rendered; give pinhole cameras.")


def _is_something(value: Any) -> bool:
    """Whether a distortion, a number or a list of them, is other than 0."""
    if isinstance(value, list | tuple):
        return any(_is_something(one) for one in value)
    return bool(value)


def _size_px(frame: Mapping[str, Any]) -> tuple[int, int] | None:
    if "w" not in frame and "h" not in frame:
        return None
    if "w" not in frame or "h" not in frame:
        given, other = ("w", "h") if "w" in frame else ("h", "w")
        raise EnrError(f"it says {given} but not {other}; give both or none.")
    width, height = float(frame["w"]), float(frame["h"])
    if not (width >= 1 and height >= 1 and width == int(width) and height == int(height)):
        raise EnrError(f"w and h are {frame['w']} and {frame['h']}; give whole pixels above 0.")
    return int(width), int(height)


def _angle(frame: Mapping[str, Any], key: str) -> float | None:
    if frame.get(key) is None:
        return None
    angle = float(frame[key])
    if not 0 < angle < WIDEST_ANGLE:
        advice = "which seems to be degrees; convert it" if angle > math.tau / 2 else "which no pinhole has; give it"
        raise EnrError(f"{key} is {angle:g}, {advice} in radians, above 0 and below {WIDEST_ANGLE}.")
    return angle


def _focal_px(frame: Mapping[str, Any], key: str, angle: float | None, side_px: int) -> float | None:
    """The focal length of one axis, by its own key or by the angle."""
    by_angle = None if angle is None else side_px / 2 / math.tan(angle / 2)
    if key not in frame:
        return by_angle
    focal = float(frame[key])
    if by_angle is not None and abs(by_angle - focal) > AGREE * abs(focal):
        raise EnrError(
            f"{key} is {focal:g} px, but camera_angle_{key[-1]} means {by_angle:.6g} px; leave the wrong one out."
        )
    return focal
