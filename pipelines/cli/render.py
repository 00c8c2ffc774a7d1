"""`enr render`: other views of a picture of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.camera import Array
from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.pipelines.rendering.camera_paths import CameraStep, PathName

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
@click.option("--frames", type=click.IntRange(2, 1000), default=FRAMES, show_default=True, help="Views of a path.")
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
@click.option(
    "--size-px", type=click.IntRange(16, 2048), default=256, show_default=True, help="Width of what is shown."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .png, or for a path a .gif or .webp [default: PICTURE's name with -view.png or -<path>.gif].",
)
def command(**options: Any) -> None:
    """Render the object of a picture from other cameras."""
    from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
    from enr.pipelines.rendering.writing import write_views

    path_name, path_file, size_px = (options.pop(name) for name in ("path_name", "path_file", "size_px"))
    name = path_name or ("path" if path_file else None)
    out = _output(options["picture"], options.pop("out"), name)
    steps, cameras = _asked_for(options, path_name, path_file)
    views = render_novel_views(NovelViewSettings(steps=steps, cameras=cameras, **options))
    write_views(views.views, views.source, out, size_px)
    click.echo(f"Checkpoint: {views.checkpoint}")
    for note in views.notes:
        click.echo(note)
    click.echo(f"{'Views' if name else 'View'}: {out}")


def _output(picture: Path, out: Path | None, path_name: str | None) -> Path:
    """Where to write; refused before anything is rendered."""
    from enr.pipelines.rendering.writing import MOVING, STILL, check_output

    ending = STILL[0] if path_name is None else MOVING[0]
    return check_output(
        out or picture.with_name(f"{picture.stem}-{path_name or 'view'}{ending}"), path_name is not None
    )


def _asked_for(
    options: dict[str, Any], path_name: PathName | None, path_file: Path | None
) -> tuple[tuple[CameraStep, ...], Array | None]:
    """The camera steps, or the cameras of a file."""
    from enr.datagen.cameras.pose_files import read_cameras
    from enr.pipelines.rendering.camera_paths import CameraStep, path_steps

    step = CameraStep(options.pop("azimuth_deg"), options.pop("elevation_deg"), options.pop("translate"))
    frames = options.pop("frames")
    if path_name is None and path_file is None:
        return (step,), None
    if step != CameraStep():
        raise EnrError(
            "A single camera was asked for beside a path; leave out the path, or the angles and --translate."
        )
    if path_file is not None:
        if path_name is not None:
            raise EnrError(f"--path and --{path_name} were both given; choose one.")
        return (), read_cameras(path_file).world_from_camera
    assert path_name is not None
    return path_steps(path_name, frames), None
