"""What each picture looks like: size, lens, quality, colours."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from enr import camera
from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.datagen.jobs import RenderSettings

OPTIONS = (
    click.option("--resolution", default="64", show_default=True, help="Picture size in pixels: N or WIDTHxHEIGHT."),
    click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Paths for each pixel."),
    click.option(
        "--focal-px", type=click.FloatRange(0, min_open=True), help="Focal length in pixels [default: 50 mm]."
    ),
    click.option(
        "--normalise",
        type=click.Choice(["diagonal", "longest", "none"]),
        default="diagonal",
        show_default=True,
        help="What becomes 1: the box's diagonal, its longest side, or nothing.",
    ),
    click.option(
        "--materials",
        type=click.Choice(["original", "grey", "palette"]),
        help="The file's own, one grey, or seeded colours [default: the file's where it brings some, else palette].",
    ),
    click.option("--background", default="white", show_default=True, help="Colour name, #RRGGBB, or R,G,B in 0..1."),
    click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of poses, colours and noise."
    ),
)


def render_settings(options: dict[str, Any]) -> RenderSettings:
    """How every picture is made.

    Raises:
        EnrError: the size or the lens is not one that can be rendered.
    """
    from enr.datagen.jobs import RenderSettings

    width_px, height_px = picture_size(options["resolution"])
    focal_px = options["focal_px"] or camera.focal_px_from_lens(width_px)
    if not math.isfinite(focal_px):
        raise EnrError(f"--focal-px got {focal_px}; give a focal length in pixels, such as 88.9 for 64 px.")
    return RenderSettings(
        width_px=width_px,
        height_px=height_px,
        focal_px=focal_px,
        samples=options["samples"],
        normalise=options["normalise"],
        materials=options["materials"],
        seed=options["seed"],
    )


def picture_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of N or WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    width_px = int(found[1]) if found else 0
    height_px = int(found[2] or found[1]) if found else 0
    if not (1 <= width_px <= 8192 and 1 <= height_px <= 8192):
        raise EnrError(f"--resolution got {text!r}; give N or WIDTHxHEIGHT in pixels, up to 8192, such as 64 or 96x64.")
    return width_px, height_px


def colour(text: str) -> tuple[float, float, float]:
    """The sRGB numbers in [0, 1] of a colour name, #RRGGBB, or three numbers."""
    from PIL import ImageColor

    try:
        if "," in text and "(" not in text:
            red, green, blue = (float(part) for part in text.split(","))
        else:
            red, green, blue = (value / 255 for value in ImageColor.getrgb(text)[:3])
    except ValueError:
        red = -1.0
    if red < 0 or not all(0 <= value <= 1 for value in (red, green, blue)):
        raise EnrError(f"--background got {text!r}; give a colour name, #RRGGBB, or R,G,B between 0 and 1.")
    return red, green, blue
