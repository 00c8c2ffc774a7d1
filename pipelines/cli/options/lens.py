"""The lens: a field of view or a focal length, and what differs from view to view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from enr import camera
from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.datagen.cameras.lens import LensJitter

WAYS = {"focal_px": "--focal-px", "focal_mm": "--focal-mm", "fov_deg": "--fov-deg"}

OPTIONS = (
    click.option(
        "--focal-px", type=click.FloatRange(0, min_open=True), help="Focal length in pixels [default: 50 mm]."
    ),
    click.option(
        "--focal-mm", type=click.FloatRange(0, min_open=True), help="Focal length on a sensor that is 36 mm wide."
    ),
    click.option(
        "--fov-deg",
        type=click.FloatRange(0, 180, min_open=True, max_open=True),
        help="Field of view from the left border to the right.",
    ),
    click.option(
        "--focal-jitter",
        type=float,
        default=0.0,
        show_default=True,
        metavar="SHARE",
        help="Each view's focal length differs by up to this share of it.",
    ),
    click.option(
        "--centre-jitter-px",
        type=float,
        default=0.0,
        show_default=True,
        help="Each view's principal point is moved by up to so many pixels along both axes.",
    ),
)


def focal_px(options: dict[str, Any], width_px: int) -> float:
    """The focal length in pixels of pictures that are `width_px` wide.

    Raises:
        EnrError: it is said in two ways, is no number, or the pose file says it already.
    """
    given = [option for name, option in WAYS.items() if options[name] is not None]
    if len(given) > 1:
        raise EnrError(f"{' and '.join(given)} say the same thing; give one of them.")
    if given and options["cameras"] is not None and options["cameras"].brings_lens:
        raise EnrError(f"The pose file says which lens its cameras have; leave {given[0]} out.")
    if options["focal_mm"] is not None:
        focal = camera.focal_px_from_lens(width_px, options["focal_mm"])
    elif options["fov_deg"] is not None:
        focal = camera.focal_px_from_fov(options["fov_deg"], width_px)
    else:
        focal = options["focal_px"] or camera.focal_px_from_lens(width_px)
    if not (math.isfinite(focal) and focal > 0):
        raise EnrError(f"{given[0]} makes a focal length of {focal} px; give a lens such as --focal-px 88.9 for 64 px.")
    return focal


def lens_jitter(options: dict[str, Any]) -> LensJitter:
    """How much the lens differs from view to view.

    Raises:
        EnrError: a number is negative, or the share is 1 or more.
    """
    from enr.datagen.cameras.lens import LensJitter

    return LensJitter(options["focal_jitter"], options["centre_jitter_px"])
