"""What each picture looks like: size, lens, quality, colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError
from enr.pipelines.cli.options import lens

if TYPE_CHECKING:
    from enr.datagen.appearance.look import Look, PassName, PictureFile
    from enr.datagen.settings import RenderSettings

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
RESOLUTION = "64"
WHITE = (1.0, 1.0, 1.0)

OPTIONS = (
    click.option(
        "--resolution",
        help=f"Picture size in pixels: N or WIDTHxHEIGHT [default: {RESOLUTION}; with --poses the size that it names].",
    ),
    click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Paths for each pixel."),
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
    click.option(
        "--lighting",
        type=click.Choice(["default", "report", "srn", "studio"]),
        default="default",
        show_default=True,
        help="Even light and two suns; the report's two suns; the paper's one lamp, black where unlit; soft and even.",
    ),
    click.option(
        "--hdri", type=click.Path(path_type=Path), help="Equirectangular picture that gives the light instead."
    ),
    click.option("--hdri-background", is_flag=True, help="Show that picture behind the object, too."),
    click.option(
        "--background",
        default="white",
        show_default=True,
        help="Colour name, #RRGGBB, R,G,B in 0..1, transparent, or a picture file (which makes the pictures opaque).",
    ),
    click.option("--depth", is_flag=True, help="Store depth along the optical axis, infinite where nothing is."),
    click.option("--normals", type=click.Choice(["camera", "world"]), help="Store normals, in these axes."),
    click.option("--mask", is_flag=True, help="Store where the object is."),
    click.option(
        "--engine",
        type=click.Choice(["cycles", "eevee", "workbench"]),
        default="cycles",
        show_default=True,
        help="Blender's renderer; all but cycles need a graphics card.",
    ),
    click.option(
        "--device",
        type=click.Choice(["cpu", "cuda", "optix", "hip", "metal"]),
        default="cpu",
        show_default=True,
        help="What cycles computes on.",
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of poses, colours and noise."
    ),
)


def render_settings(options: dict[str, Any]) -> RenderSettings:
    """How every picture is made.

    Raises:
        EnrError: the size or the lens is not one that can be rendered.
    """
    from enr.datagen.settings import RenderSettings

    width_px, height_px = picture_size(options["resolution"])
    return RenderSettings(
        width_px=width_px,
        height_px=height_px,
        focal_px=lens.focal_px(options, width_px),
        lens_jitter=lens.lens_jitter(options),
        samples=options["samples"],
        normalise=options["normalise"],
        materials=options["materials"],
        up_axis=options["up_axis"],
        seed=options["seed"],
        look=look(options),
    )


def look(options: dict[str, Any]) -> Look:
    """Light, background, passes and engine of all pictures.

    Raises:
        EnrError: a picture file cannot be read, or options contradict each other.
    """
    from enr.datagen.appearance.look import Look, PictureFile

    if options["hdri_background"] and not options["hdri"]:
        raise EnrError("--hdri-background needs the picture; give --hdri FILE too.")
    if options["hdri"] and options["lighting"] != "default":
        raise EnrError(f"--hdri is the only light where it is given; leave --lighting {options['lighting']} out.")
    backdrop = backdrop_path(options["background"])
    if backdrop and options["hdri_background"]:
        raise EnrError("--background and --hdri-background both stand behind the object; give one of them.")
    passes: tuple[PassName, ...] = ("depth", "normals", "mask")
    return Look(
        lighting=options["lighting"],
        hdri=PictureFile.open(options["hdri"]) if options["hdri"] else None,
        hdri_background=options["hdri_background"],
        backdrop=_backdrop(backdrop, options["resolution"]) if backdrop else None,
        passes=tuple(name for name in passes if options[name]),
        normals_space=options["normals"] or "camera",
        engine=options["engine"],
        device=options["device"],
    )


def backdrop_path(background: str) -> Path | None:
    """The picture file that `--background` names; None where it is a colour."""
    path = Path(background)
    return path if path.suffix.lower() in PICTURE_SUFFIXES else None


def _backdrop(path: Path, resolution: str) -> PictureFile:
    """A picture file that was read once to be sure."""
    from enr.datagen.appearance.backdrop import read_backdrop
    from enr.datagen.appearance.look import PictureFile

    file = PictureFile.open(path)
    read_backdrop(file, *picture_size(resolution))
    return file


def picture_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of N or WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    width_px = int(found[1]) if found else 0
    height_px = int(found[2] or found[1]) if found else 0
    if not (1 <= width_px <= 8192 and 1 <= height_px <= 8192):
        raise EnrError(f"--resolution got {text!r}; give N or WIDTHxHEIGHT in pixels, up to 8192, such as 64 or 96x64.")
    return width_px, height_px


def colour(text: str) -> tuple[float, float, float]:
    """The sRGB numbers in [0, 1] of a colour name, #RRGGBB, or three numbers; white where no colour is named."""
    from PIL import ImageColor

    if text == "transparent" or backdrop_path(text):
        return WHITE
    try:
        if "," in text and "(" not in text:
            red, green, blue = (float(part) for part in text.split(","))
        else:
            red, green, blue = (value / 255 for value in ImageColor.getrgb(text)[:3])
    except ValueError:
        red = -1.0
    if red < 0 or not all(0 <= value <= 1 for value in (red, green, blue)):
        raise EnrError(
            f"--background got {text!r}; give a colour name, #RRGGBB, R,G,B between 0 and 1, "
            "transparent, or a picture file."
        )
    return red, green, blue
