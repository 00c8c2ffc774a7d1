"""Where the cameras stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from enr import camera

if TYPE_CHECKING:
    from enr.datagen.poses import PoseSettings

OPTIONS = (
    click.option(
        "--group",
        type=click.Choice(camera.GROUPS),
        default="rototrans",
        show_default=True,
        help="Motions of the camera.",
    ),
    click.option("--views", type=click.IntRange(1), default=50, show_default=True, help="Pictures of each mesh."),
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
        default=tuple(bound for axis in camera.BOX for bound in axis),
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
        type=click.Choice(["angles", "area"]),
        default="angles",
        show_default=True,
        help="Elevation uniform in the angle, or uniform on the sphere's area.",
    ),
)


def pose_settings(options: dict[str, Any]) -> PoseSettings:
    """The cameras' settings.

    Raises:
        EnrError: a range is reversed, not finite or beyond the poles.
    """
    from enr.datagen.poses import PoseSettings

    x0, x1, y0, y1, z0, z1 = options["box"]
    return PoseSettings(
        group=options["group"],
        radius=options["radius"],
        box=((x0, x1), (y0, y1), (z0, z1)),
        elevation_deg=options["elevation_deg"],
        azimuth_deg=options["azimuth_deg"],
        sphere=options["sphere"],
    )
