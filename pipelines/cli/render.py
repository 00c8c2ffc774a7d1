"""`enr render`: other views of a picture of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from enr.errors import EnrError

FRAMES = 36


@click.command(
    "render",
    help="""Render the object of PICTURE from other cameras.

    Any photograph of an object before a plain background, or a PNG with transparency. Without a path, one view: the
    camera goes around the object by the angles and then moves by --translate. The object is found and framed; what was
    assumed is said.

    \b
    enr render chair.jpg --azimuth-deg 60 --elevation-deg 20
    enr render chair.jpg --orbit --out chair.gif
    """,
)
@click.argument("picture", type=click.Path(path_type=Path))
@click.option(
    "--azimuth-deg",
    type=float,
    default=0.0,
    show_default=True,
    help="Turn the camera so many degrees to the right around the object.",
)
@click.option(
    "--elevation-deg",
    type=float,
    default=0.0,
    show_default=True,
    help="Turn the camera so many degrees upwards around the object.",
)
@click.option(
    "--translate",
    type=(float, float, float),
    default=(0.0, 0.0, 0.0),
    help="Move the turned camera right, down and forward, in object units (an object's box has a diagonal of about 1).",
)
@click.option("--orbit", "path_name", flag_value="orbit", help="Follow a path once around the object.")
@click.option(
    "--spiral", "path_name", flag_value="spiral", help="Follow a path twice around the object, up and down again."
)
@click.option("--dolly", "path_name", flag_value="dolly", help="Follow a path towards the object and away from it.")
@click.option(
    "--path",
    "path_file",
    type=click.Path(path_type=Path),
    help="Follow the cameras of a pose file (as enr datagen reads them), of which the first is the picture's.",
)
@click.option("--frames", type=int, default=FRAMES, show_default=True, help="Render so many views of a path.")
@click.option(
    "--distance", type=float, help="Take the object's centre to be at this depth, in object units [default: estimated]."
)
@click.option(
    "--source-elevation-deg",
    type=float,
    default=0.0,
    show_default=True,
    help="Say how many degrees above the object's horizon PICTURE was taken; it tells which way is up.",
)
@click.option(
    "--fov-deg", type=float, help="Say PICTURE's horizontal field of view in degrees [default: the object is framed]."
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Render with this run or checkpoint [default: the latest run's best].",
)
@click.option("--size-px", type=int, default=256, show_default=True, help="Show the views so many pixels wide.")
@click.option(
    "--device", default="auto", show_default=True, help="Compute on this device: auto, cpu, cuda, cuda:1 and so on."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a .png, or for a path a .gif, .webp or a sheet as .png [default: PICTURE's name with "
    "-view.png or -<path>.gif].",
)
def command(**options: Any) -> None:
    """`enr render`."""
    from enr.pipelines.rendering.camera_paths import CameraStep, choose_cameras
    from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
    from enr.pipelines.rendering.writing import check_size, write_views

    path_name, path_file = options.pop("path_name"), options.pop("path_file")
    if path_name and path_file:
        raise EnrError(f"--path and --{path_name} were both given; choose one.")
    out = _output(options["picture"], options.pop("out"), path_name or ("path" if path_file else None))
    size_px, frames = check_size(options.pop("size_px")), options.pop("frames")
    step = CameraStep(*(options.pop(name) for name in ("azimuth_deg", "elevation_deg", "translate")))
    cameras = choose_cameras(step, path_name or path_file, frames)
    views = render_novel_views(NovelViewSettings(cameras=cameras, **options))
    write_views(views.images, views.source, out, size_px)
    click.echo(f"Checkpoint: {views.checkpoint}")
    for note in views.notes:
        click.echo(note)
    click.echo(f"{'View' if len(views.images) == 1 else 'Views'}: {out}")


def _output(picture: Path, out: Path | None, path_name: str | None) -> Path:
    """Where to write; refused before anything is rendered."""
    from enr.pipelines.rendering.writing import MOVING, STILL, check_output

    name = f"{picture.stem}-{path_name or 'view'}{STILL[0] if path_name is None else MOVING[0]}"
    return check_output(out or picture.with_name(name), several=path_name is not None)
