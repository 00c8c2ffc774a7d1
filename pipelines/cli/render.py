"""`enr render`: other views of a picture of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.pipelines.rendering.camera_paths import Cameras


@click.command(
    "render",
    help="""Render the object of PICTURE from other cameras.

    Any photograph of an object before a plain background, or a PNG with transparency. Without a path, one view: the
    camera goes around the object by the angles and then moves by --translate. The object is found and framed; what was
    assumed is said. A shard in place of PICTURE gives a view of an unseen scene, and its other views as the truth.

    \b
    enr render chair.jpg --azimuth-deg 60 --elevation-deg 20
    enr render chair.jpg --orbit --out chair.gif --depth
    enr render chair.jpg --towards table.jpg --orbit
    enr render front.jpg side.jpg back.jpg --poses transforms.json --orbit
    enr render shards/rot-00000-of-00001.h5
    """,
)
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--poses",
    type=click.Path(path_type=Path),
    help="Fuse several pictures, taken by these cameras: a pose file (as enr datagen reads them), in the pictures' "
    "order or with their names.",
)
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
@click.option("--orbit", is_flag=True, help="Follow a path once around the object.")
@click.option("--spiral", is_flag=True, help="Follow a path twice around the object, up and down again.")
@click.option("--dolly", is_flag=True, help="Follow a path towards the object and away from it.")
@click.option("--shift", is_flag=True, help="Follow a path to the sides, up and down, without turning.")
@click.option("--screw", is_flag=True, help="Follow a path once around the object that rises and sinks meanwhile.")
@click.option(
    "--path",
    "path_file",
    type=click.Path(path_type=Path),
    help="Follow a path saved by the viewer, or the cameras of a pose file (as enr datagen reads them), of which the "
    "first is the picture's.",
)
@click.option(
    "--towards",
    type=click.Path(path_type=Path),
    help="Turn the object into that of a second picture, and back again, over the frames.",
)
@click.option(
    "--scene", help="Take this scene of a shard, by its id or the beginning of it [default: the first unseen one]."
)
@click.option(
    "--view",
    "views",
    default="0",
    show_default=True,
    metavar="N,N,...",
    help="Take this view of a shard's scene as the picture, or fuse several.",
)
@click.option("--frames", type=int, help="Render so many views of a path by name, or of --towards [default: 36].")
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
    help="Render with this run or checkpoint [default: the latest run's best, else the model that comes with enr].",
)
@click.option("--size-px", type=int, default=256, show_default=True, help="Show the views so many pixels wide.")
@click.option("--depth", is_flag=True, help="Write depth, too: white is nearest, black is nothing.")
@click.option("--opacity", is_flag=True, help="Write opacity, too: white is opaque.")
@click.option(
    "--device", default="auto", show_default=True, help="Compute on this device: auto, cpu, cuda, cuda:1 and so on."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a .png, or for a path a .gif, .webp, .mp4 or a sheet as .png [default: PICTURE's name with "
    "-view.png, -<path>.gif or, with --towards, -to-<second>-<path>.gif].",
)
def command(**options: Any) -> None:
    """`enr render`."""
    from enr.pipelines.rendering.camera_paths import PATHS, CameraStep, choose_cameras, read_poses
    from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
    from enr.pipelines.rendering.writing import check_kept, check_size, map_path, write_maps, write_views

    path_file = options.pop("path_file")
    named = [name for name in PATHS if options.pop(name)]
    if len(chosen := [*["--path"] * bool(path_file), *(f"--{name}" for name in named)]) > 1:
        raise EnrError(f"{chosen[0]} and {chosen[1]} were both given; choose one.")
    path = named[0] if named else path_file
    step = CameraStep(*(options.pop(name) for name in ("azimuth_deg", "elevation_deg", "translate")))
    kinds = [kind for kind in ("depth", "opacity") if options.pop(kind)]
    size_px, frames, out = check_size(options.pop("size_px")), options.pop("frames"), options.pop("out")
    cameras = choose_cameras(step, path, frames, is_blend=options["towards"] is not None)
    picture, *further = options.pop("pictures")
    out = _output((picture, options["towards"]), out, Path(path).stem if path else "", cameras)
    inputs = (picture, *further, options["towards"], options["poses"], path_file)
    check_kept(inputs, [out, *(map_path(out, kind) for kind in kinds)])
    given = {"picture": picture, "further": tuple(further), "poses": read_poses(options.pop("poses"))}
    given["views"] = tuple(options.pop("views").split(","))
    views = render_novel_views(NovelViewSettings(cameras=cameras, with_maps=bool(kinds), **given, **options))
    written = [write_views(views.images, views.source, out, size_px, views.truth)]
    written += write_maps(views.maps, views.centre_depth, out, size_px, kinds) if views.maps else []
    click.echo(f"Checkpoint: {views.checkpoint}")
    for note in views.notes:
        click.echo(note)
    click.echo(f"{'View' if len(views.images) == 1 else 'Views'}: {', '.join(map(str, written))}")


def _output(pictures: tuple[Path, Path | None], out: Path | None, path_name: str, cameras: Cameras) -> Path:
    """Where to write; refused before anything is rendered."""
    from enr.pipelines.rendering.camera_paths import CameraStep
    from enr.pipelines.rendering.writing import MOVING, STILL, check_output

    picture, towards = pictures
    is_shard = picture.suffix == ".h5" or picture.is_dir()
    several = len(cameras) > 1
    words = [picture.stem, *(["to", towards.stem] if towards else []), *([path_name] if path_name else [])]
    name = f"{'-'.join(words)}{MOVING[0]}" if several else f"{picture.stem}-view{STILL[0]}"
    holder = Path() if is_shard else picture.parent  # beside shards nothing is written: folders of them are read whole
    return check_output(out or holder / name, several=several or (is_shard and cameras.steps == (CameraStep(),)))
