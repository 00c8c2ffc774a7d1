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
@click.option("--azimuth-deg", type=float, default=0.0, show_default=True, help="Turn to the right around the object.")
@click.option("--elevation-deg", type=float, default=0.0, show_default=True, help="Turn upwards around the object.")
@click.option(
    "--translate",
    type=(float, float, float),
    default=(0.0, 0.0, 0.0),
    help="Then move the camera right, down and forward, in object units (an object's box has a diagonal of about 1).",
)
@click.option("--orbit", "path_name", flag_value="orbit", help="A path: once around the object.")
@click.option("--spiral", "path_name", flag_value="spiral", help="A path: twice around it, up and down again.")
@click.option("--dolly", "path_name", flag_value="dolly", help="A path: towards the object and away from it.")
@click.option(
    "--path",
    "path_file",
    type=click.Path(path_type=Path),
    help="A path: the cameras of a pose file (as enr datagen reads them), of which the first is the picture's.",
)
@click.option("--frames", type=int, default=FRAMES, show_default=True, help="Views of a path.")
@click.option("--distance", type=float, help="Depth of the object's centre in object units [default: estimated].")
@click.option(
    "--source-elevation-deg",
    type=float,
    default=0.0,
    show_default=True,
    help="How far above the object's horizon PICTURE was taken; it tells which way is up.",
)
@click.option("--fov-deg", type=float, help="Horizontal field of view of PICTURE [default: the object is framed].")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="A run or a checkpoint [default: the latest run's best]."
)
@click.option("--size-px", type=int, default=256, show_default=True, help="Width of what is shown.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .png, or for a path a .gif or .webp [default: PICTURE's name with -view.png or -<path>.gif].",
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
