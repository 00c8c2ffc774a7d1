"""How cameras are sampled, checked before anything is rendered."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import InstanceOf

from enr.camera import AZIMUTH_DEG, BOX, ELEVATION_DEG, RADIUS, Group
from enr.checking import NotNegative, Positive, checked
from enr.datagen.cameras.hold_out import HoldOut, Sphere, check_room
from enr.datagen.cameras.pose_files import GivenCameras
from enr.datagen.cameras.samplers import Box, Range, uniform_angles, uniform_area
from enr.errors import EnrError
from enr.shards.config import PoseConfig

SphereName = Literal["angles", "area", "rings", "spiral"]
RINGS_DEG = (-30.0, 0.0, 30.0)
NO_ROLL = (0.0, 0.0)


@checked("poses")
@dataclass(frozen=True)
class PoseSettings:
    """How cameras are sampled.

    Attributes:
        group: `rot` turns around the origin; `trans` looks from azimuth 0, elevation 0 at points in the box;
            `rototrans` does both, its camera orbits a displaced point.
        radius: distance from the point looked at, object units.
        box: ranges of the point looked at along X, Y and Z, object units.
        elevation_deg: range within [-90, 90]; for `angles` and `area`.
        azimuth_deg: range; for `angles`, `area` and `rings`.
        sphere: `angles` samples the elevation uniformly, `area` the sphere (the elevation's sine uniformly); `rings`
            and `spiral` leave nothing to chance, see `enr.datagen.cameras.samplers`.
        rings_deg: elevations of the rings.
        look_at_jitter: standard deviation along each axis of a displacement of the point that the camera looks at from
            where it stands, object units.
        roll_deg: range of the turn about the camera's own axis.
        hold_out: what test views of the same scenes are held out, if any.
        cameras: given cameras, which leave nothing of the above to be sampled.

    Raises:
        EnrError: a range is reversed, not finite or beyond the poles, the radius is not positive, or settings
            contradict each other.
    """

    group: Group
    radius: Positive = RADIUS
    box: Box = BOX
    elevation_deg: Range = ELEVATION_DEG
    azimuth_deg: Range = AZIMUTH_DEG
    sphere: SphereName = "angles"
    rings_deg: tuple[float, ...] = RINGS_DEG
    look_at_jitter: NotNegative = 0.0
    roll_deg: Range = NO_ROLL
    hold_out: HoldOut | None = None
    cameras: InstanceOf[GivenCameras] | None = None

    def __post_init__(self) -> None:
        """Refuse settings from which no camera can be sampled."""
        for axis, limits in zip("XYZ", self.box, strict=True):
            _check_range(f"The box along {axis}", limits)
        _check_range("The azimuth range in degrees", self.azimuth_deg)
        _check_range("The roll range in degrees", self.roll_deg)
        _check_range("The elevation range in degrees", self.elevation_deg)
        if min(self.elevation_deg) < -90 or max(self.elevation_deg) > 90:
            raise EnrError(
                f"The elevation range is {self.elevation_deg} degrees; give one within -90 to 90 "
                "(beyond a pole the same place has the azimuth + 180 and the elevation 180 - e)."
            )
        if not self.rings_deg or not all(-90 <= ring <= 90 for ring in self.rings_deg):
            raise EnrError(f"The rings' elevations are {self.rings_deg}; give numbers within -90 to 90 degrees.")
        _check_combination(self)
        if self.hold_out is not None:
            check_room(self.hold_out, self.directions)

    @property
    def directions(self) -> Sphere:
        """Where random directions lie and how they are drawn."""
        sampler = uniform_area if self.sphere == "area" else uniform_angles
        return Sphere(sampler, self.azimuth_deg, self.elevation_deg)

    @property
    def held_out_views(self) -> int:
        """So many of a scene's views, the last ones, are held out."""
        return self.hold_out.views if self.hold_out else 0


def pose_config(settings: PoseSettings) -> PoseConfig:
    """The settings as JSON, for the record; given cameras by their number and the hash of their numbers."""
    config = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    config["hold_out"] = dataclasses.asdict(settings.hold_out) if settings.hold_out else None
    if settings.cameras is not None:
        config["cameras"] = {"views": len(settings.cameras), "sha256": settings.cameras.digest()}
    return cast(PoseConfig, {name: _plain(value) for name, value in config.items()})


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON will give them back."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _check_range(name: str, limits: Range) -> None:
    if limits[0] > limits[1]:
        raise EnrError(f"{name} is {tuple(limits)}; give the smaller number first, then the larger.")


def _check_combination(settings: PoseSettings) -> None:
    """Refuse settings of which one would silently go unheard."""
    trans, drawn = settings.group == "trans", settings.sphere in ("angles", "area")
    jitter, held = settings.look_at_jitter, settings.hold_out is not None
    ranged = settings.elevation_deg != ELEVATION_DEG or (
        settings.sphere == "spiral" and settings.azimuth_deg != AZIMUTH_DEG
    )
    trouble = [
        (trans and not drawn, f"The group trans does not turn, so it has no {settings.sphere}; use rot or rototrans."),
        (trans and settings.roll_deg != NO_ROLL, "The group trans does not turn; give the roll to rot or rototrans."),
        (jitter > 0 and settings.group != "rototrans", "A look-at jitter moves and turns; use the group rototrans."),
        (not drawn and ranged, f"The {settings.sphere} set their own angles; leave the ranges of angles out."),
        (
            settings.rings_deg != RINGS_DEG and settings.sphere != "rings",
            "Rings are given; use the sphere `rings` too.",
        ),
        (held and trans, "The group trans does not turn, so no patch can be held out; use rot or rototrans."),
        (held and not drawn, f"The {settings.sphere} cannot avoid patches; hold out with the sphere angles or area."),
        (held and jitter > 0, "Held-out patches are patches of exact directions; leave the look-at jitter out."),
        (held and settings.cameras is not None, "Given cameras cannot avoid patches; leave the held-out patches out."),
    ]
    for is_wrong, sentence in trouble:
        if is_wrong:
            raise EnrError(sentence)
