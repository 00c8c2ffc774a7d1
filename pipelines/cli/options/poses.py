"""Where the cameras stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from enr import camera
from enr.errors import EnrError
from enr.pipelines.cli.options.pictures import RESOLUTION, picture_size

if TYPE_CHECKING:
    from enr.datagen.cameras.hold_out import HoldOut
    from enr.datagen.cameras.pose_files import GivenCameras
    from enr.datagen.settings import PoseSettings

VIEWS = 50
BOX = tuple(bound for axis in camera.BOX for bound in axis)
RINGS_DEG = "-30,0,30"
UNHEARD = {
    "--box": ("box", BOX),
    "--elevation-deg": ("elevation_deg", camera.ELEVATION_DEG),
    "--azimuth-deg": ("azimuth_deg", camera.AZIMUTH_DEG),
    "--sphere": ("sphere", "angles"),
    "--look-at-jitter": ("look_at_jitter", 0.0),
    "--roll-deg": ("roll_deg", (0.0, 0.0)),
    "--hold-out-patches": ("hold_out_patches", 0),
}
"""Options of which given cameras leave nothing to say, with their defaults."""

OPTIONS = (
    click.option(
        "--group",
        type=click.Choice(camera.GROUPS),
        help="Motions of the camera [default: rototrans; with --poses what its cameras are].",
    ),
    click.option(
        "--views",
        type=click.IntRange(1),
        help=f"Pictures of each mesh [default: {VIEWS}; 251 on the spiral; with --poses all of its cameras].",
    ),
    click.option(
        "--radius",
        type=click.FloatRange(0, min_open=True),
        default=camera.RADIUS,
        show_default=True,
        help="Orbit radius.",
    ),
    click.option(
        "--box",
        type=(float,) * 6,
        default=BOX,
        show_default=True,
        metavar="X0 X1 Y0 Y1 Z0 Z1",
        help="Where the target points of translations lie.",
    ),
    click.option(
        "--elevation-deg", type=(float, float), default=camera.ELEVATION_DEG, show_default=True, help="Range."
    ),
    click.option("--azimuth-deg", type=(float, float), default=camera.AZIMUTH_DEG, show_default=True, help="Range."),
    click.option(
        "--sphere",
        type=click.Choice(["angles", "area", "rings", "spiral"]),
        default="angles",
        show_default=True,
        help="Elevation uniform in the angle, or uniform on the sphere's area; rings; the paper's test spiral.",
    ),
    click.option(
        "--rings-deg", default=RINGS_DEG, show_default=True, metavar="E,E,...", help="Elevations of the rings."
    ),
    click.option(
        "--look-at-jitter",
        type=float,
        default=0.0,
        show_default=True,
        help="Standard deviation of the point looked at, object units (group rototrans).",
    ),
    click.option(
        "--roll-deg",
        type=(float, float),
        default=(0.0, 0.0),
        show_default=True,
        metavar="MIN MAX",
        help="Range of the camera's turn about its own axis.",
    ),
    click.option(
        "--hold-out-patches",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Patches of directions that no training view comes from, seeded, the same for all meshes.",
    ),
    click.option(
        "--patch-size-deg",
        type=float,
        default=2.9,
        show_default=True,
        help="A patch reaches so far from its centre in azimuth and elevation.",
    ),
    click.option(
        "--hold-out-views",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Test views from the patches, for each mesh, beside its --views.",
    ),
    click.option(
        "--poses",
        type=click.Path(path_type=Path),
        help="Render the cameras of a file: NeRF transforms.json, render_params.json in degrees, or enr's own JSON.",
    ),
)


def settled(options: dict[str, Any]) -> dict[str, Any]:
    """The options with `cameras` (of the pose file), `group`, `views` and `resolution` filled in.

    Raises:
        EnrError: the pose file cannot be read, or does not fit to the other options.
    """
    _check_heard(options)
    cameras = _given_cameras(options)
    resolution = options["resolution"] or RESOLUTION
    if cameras is not None:
        if options["resolution"] is None and cameras.size_px is not None:
            resolution = "{}x{}".format(*cameras.size_px)
        cameras = cameras.fitted(*picture_size(resolution))
    group = options["group"] or _group(cameras)
    if cameras is not None and group == "rot" != _group(cameras):
        raise EnrError(
            f"--group rot does not go with {options['poses']}, whose cameras do not all look at the origin from one "
            "distance; leave --group out."
        )
    views = options["views"] or _default_views(options, cameras)
    if options["hold_out_patches"]:
        views += options["hold_out_views"]
    if cameras is not None and views > len(cameras):
        raise EnrError(f"--views got {views}, but {options['poses']} has {len(cameras)} cameras; ask for fewer.")
    return {**options, "cameras": cameras, "group": group, "views": views, "resolution": resolution}


def pose_settings(options: dict[str, Any]) -> PoseSettings:
    """The cameras' settings, from options that are `settled`.

    Raises:
        EnrError: a range is reversed, not finite or beyond the poles, or options contradict each other.
    """
    from enr.datagen.settings import PoseSettings

    x0, x1, y0, y1, z0, z1 = options["box"]
    return PoseSettings(
        group=options["group"],
        radius=options["radius"],
        box=((x0, x1), (y0, y1), (z0, z1)),
        elevation_deg=options["elevation_deg"],
        azimuth_deg=options["azimuth_deg"],
        sphere=options["sphere"],
        rings_deg=_rings(options["rings_deg"]),
        look_at_jitter=options["look_at_jitter"],
        roll_deg=options["roll_deg"],
        hold_out=_hold_out(options),
        cameras=options["cameras"],
    )


def _check_heard(options: dict[str, Any]) -> None:
    """Refuse options that were given but that nothing would listen to.

    Raises:
        EnrError: there is one.
    """
    deaf = {"trans": ("elevation_deg", "azimuth_deg", "sphere"), "rot": ("box",)}.get(options["group"], ())
    given = [name for name in deaf if _is_given(name)]
    if given:
        raise EnrError(f"The group {options['group']} has no use for {_as_options(given)}; leave it out.")
    given = [name for name in ("patch_size_deg", "hold_out_views") if _is_given(name)]
    if given and not options["hold_out_patches"]:
        raise EnrError(f"{_as_options(given)} has no use without --hold-out-patches N; give it, too.")


def _is_given(name: str) -> bool:
    """Whether the user wrote that option."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _as_options(names: list[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


def _given_cameras(options: dict[str, Any]) -> GivenCameras | None:
    if options["poses"] is None:
        return None
    unheard = [option for option, (name, default) in UNHEARD.items() if options[name] != default]
    if unheard:
        raise EnrError(f"--poses says where the cameras stand; leave {', '.join(unheard)} out.")
    from enr.datagen.cameras.pose_files import read_cameras

    return read_cameras(options["poses"], options["radius"] if _is_given("radius") else None)


def _group(cameras: GivenCameras | None) -> camera.Group:
    if cameras is None:
        return "rototrans"
    from enr.datagen.cameras.pose_files import group_of

    return group_of(cameras.world_from_camera)


def _default_views(options: dict[str, Any], cameras: GivenCameras | None) -> int:
    from enr.datagen.cameras.samplers import SPIRAL_VIEWS

    if cameras is not None:
        return len(cameras)
    return SPIRAL_VIEWS if options["sphere"] == "spiral" else VIEWS


def _rings(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise EnrError(f"--rings-deg got {text!r}; give elevations in degrees, such as {RINGS_DEG}.") from error


def _hold_out(options: dict[str, Any]) -> HoldOut | None:
    from enr.datagen.cameras.hold_out import HoldOut

    if not options["hold_out_patches"]:
        return None
    return HoldOut(options["hold_out_patches"], options["patch_size_deg"], options["hold_out_views"])
