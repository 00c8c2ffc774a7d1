"""`enr datagen`: meshes to shards of posed pictures."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr import camera
from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.datagen.generate import Summary
    from enr.datagen.plan import GenerateSettings

SECONDS_A_MESH = 120.0
SECONDS_A_VIEW = 2.0
SECONDS_A_PATH = 2e-5
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@click.command("datagen")
@click.argument("meshes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--group", type=click.Choice(camera.GROUPS), default="rototrans", show_default=True, help="Motions of the camera."
)
@click.option("--views", type=click.IntRange(1), default=50, show_default=True, help="Pictures of each mesh.")
@click.option("--resolution", default="64", show_default=True, help="Picture size in pixels: N or WIDTHxHEIGHT.")
@click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Paths for each pixel.")
@click.option("--focal-px", type=click.FloatRange(0, min_open=True), help="Focal length in pixels [default: 50 mm].")
@click.option(
    "--radius", type=click.FloatRange(0, min_open=True), default=camera.RADIUS, show_default=True, help="Orbit radius."
)
@click.option(
    "--box",
    type=(float,) * 6,
    default=tuple(bound for axis in camera.BOX for bound in axis),
    show_default=True,
    metavar="X0 X1 Y0 Y1 Z0 Z1",
    help="Where the target points of translations lie.",
)
@click.option("--elevation-deg", type=(float, float), default=camera.ELEVATION_DEG, show_default=True, help="Range.")
@click.option("--azimuth-deg", type=(float, float), default=camera.AZIMUTH_DEG, show_default=True, help="Range.")
@click.option(
    "--sphere",
    type=click.Choice(["angles", "area"]),
    default="angles",
    show_default=True,
    help="Elevation uniform in the angle, or uniform on the sphere's area.",
)
@click.option(
    "--normalise",
    type=click.Choice(["diagonal", "longest", "none"]),
    default="diagonal",
    show_default=True,
    help="What becomes 1: the box's diagonal, its longest side, or nothing.",
)
@click.option(
    "--materials",
    type=click.Choice(["original", "grey", "palette"]),
    help="The file's own, one grey, or seeded colours [default: the file's where it brings some, else palette].",
)
@click.option("--background", default="white", show_default=True, help="Colour name, #RRGGBB, or R,G,B in 0..1.")
@click.option(
    "--split",
    type=(float, float, float),
    default=(86.0, 12.0, 2.0),
    show_default=True,
    metavar="TRAIN VAL TEST",
    help="Shares of the meshes; which goes where is decided by a hash of its id.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of poses, colours and noise."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("shards"), show_default=True, help="Folder.")
@click.option(
    "--compression", type=click.Choice(["none", "gzip"]), default="none", show_default=True, help="Of the pictures."
)
@click.option("--overwrite", is_flag=True, help="Replace shards of the same group made with other settings.")
@click.option("--workers", type=click.IntRange(1), help="Blender processes [default: one for each core].")
@click.option(
    "--mesh-timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds before a mesh is given up [default: by views, picture size and samples].",
)
def command(**options: Any) -> None:
    """Render MESHES (files or folders of OBJ, glTF, PLY, STL, OFF; ShapeNet layouts) into shards of posed pictures."""
    from enr.datagen.generate import generate

    try:
        summary = generate(_settings(options), progress=True)
    except KeyboardInterrupt:
        click.echo("Stopped; finished shards are kept, and the same command goes on from there.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(_report(summary))
    sys.exit(0 if summary.scenes else 1)


def _settings(options: dict[str, Any]) -> GenerateSettings:
    from enr.datagen.plan import GenerateSettings
    from enr.datagen.poses import PoseSettings

    x0, x1, y0, y1, z0, z1 = options["box"]
    poses = PoseSettings(
        group=options["group"],
        radius=options["radius"],
        box=((x0, x1), (y0, y1), (z0, z1)),
        elevation_deg=options["elevation_deg"],
        azimuth_deg=options["azimuth_deg"],
        sphere=options["sphere"],
    )
    shares = options["split"]
    total = sum(shares)
    if min(shares) < 0 or not total > 0:
        raise EnrError(f"--split got {shares}; give three shares that are not negative, such as 86 12 2.")
    return GenerateSettings(
        meshes=options["meshes"],
        views=options["views"],
        poses=poses,
        render=_render_settings(options),
        split_shares=(shares[0] / total, shares[1] / total, shares[2] / total),
        background=_colour(options["background"]),
        compression=options["compression"],
        out=options["out"],
        overwrite=options["overwrite"],
        pool=_pool_settings(options),
    )


def _render_settings(options: dict[str, Any]) -> Any:
    from enr.datagen.jobs import RenderSettings

    width_px, height_px = _picture_size(options["resolution"])
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


def _pool_settings(options: dict[str, Any]) -> Any:
    from enr.datagen.pool import PoolSettings, default_workers

    width_px, height_px = _picture_size(options["resolution"])
    paths = width_px * height_px * options["samples"]
    patience_s = SECONDS_A_MESH + options["views"] * (SECONDS_A_VIEW + SECONDS_A_PATH * paths)
    return PoolSettings(
        workers=options["workers"] or default_workers(), mesh_timeout_s=options["mesh_timeout"] or patience_s
    )


def _picture_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    width_px = int(found[1]) if found else 0
    height_px = int(found[2] or found[1]) if found else 0
    if not (1 <= width_px <= 8192 and 1 <= height_px <= 8192):
        raise EnrError(f"--resolution got {text!r}; give N or WIDTHxHEIGHT in pixels, up to 8192, such as 64 or 96x64.")
    return width_px, height_px


def _colour(text: str) -> tuple[float, float, float]:
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


def _report(summary: Summary) -> str:
    """The summary in a few lines."""
    lines = [f"{summary.images:,} image(s) of {summary.scenes:,} mesh(es) in {len(summary.shards)} shard(s)"]
    if summary.images_made:
        rate = summary.images_made / summary.seconds
        lines.append(
            f"{summary.images_made:,} images made in {summary.seconds:.1f} s ({rate:.1f} images/s), "
            f"peak memory of a worker {summary.worker_peak_memory_mb:.0f} MB"
        )
    elif summary.scenes:
        lines.append("nothing to do: all shards were there already, made with the same settings")
    if summary.scenes:
        lines.append(f"{summary.clipped_share:.1%} of the views are clipped by the picture's border")
    lines.append(f"{len(summary.failures)} mesh(es) failed" + (":" if summary.failures else ""))
    lines += [f"  {scene_id}: {reason}" for scene_id, reason in summary.failures.items()]
    if summary.contact_sheet:
        lines.append(f"shards in {summary.contact_sheet.parent}, contact sheet {summary.contact_sheet}")
    return "\n".join(lines)
