"""What can be said about a data set that is rendered (`enr datagen`) or converted (`enr convert`), by option.

The command line, an experiment's `datagen` and Python's keywords are views of these classes; `enr.pipelines.generation`
makes the settings of `enr.datagen` from them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from enr.camera import Group
from enr.checking import Count, NotNegative, Positive, Seed, Table, nearest, of_option, option, refusal
from enr.datagen.appearance.lighting import LightingName
from enr.datagen.appearance.look import Device, Engine, Look
from enr.datagen.cameras.hold_out import HoldOut, PatchSize
from enr.datagen.cameras.lens import FocalShare, LensJitter
from enr.datagen.cameras.pose_settings import PoseSettings, SphereName
from enr.datagen.cameras.samplers import Range
from enr.datagen.convert.cameras import LayoutName
from enr.datagen.convert.conversion import ConvertSettings, SplitChoice
from enr.datagen.meshes.formats import UpAxis
from enr.datagen.settings import (
    MAX_SIZE_PX,
    BadFlag,
    Compression,
    GenerateSettings,
    Materials,
    Normalise,
    OnBad,
    Pixels,
    Policy,
    PoolSettings,
    RenderSettings,
)
from enr.errors import EnrError
from enr.shards import NormalsSpace

Box = tuple[float, float, float, float, float, float]


def picture_size(given: object) -> object:
    """Width and height in pixels of N, `N`, `WIDTHxHEIGHT` or a pair."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(given).strip())
    if found is None and isinstance(given, list | tuple) and len(given) == 2:
        return given
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not all(1 <= pixels <= MAX_SIZE_PX for pixels in size):
        raise EnrError(
            f"--resolution got {given!r}; give N or WIDTHxHEIGHT in pixels, up to {MAX_SIZE_PX}, such as 64 or 96x64."
        )
    return size


def read_part(given: object) -> object:
    """(i, n) of a text such as `3/10`."""
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", given.strip())
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise EnrError(f"--part got {given!r}; give I/N with I from 1 to N, such as 3/10.")
    return number, count


def elevations(given: object) -> object:
    """Numbers of a text such as `-30,0,30`."""
    if not isinstance(given, str):
        return given
    try:
        return tuple(float(word) for word in given.split(","))
    except ValueError as error:
        raise EnrError(f"--rings-deg got {given!r}; give elevations in degrees, such as -30,0,30.") from error


def text_of(given: object) -> object:
    """A path, or the three numbers of a colour, as the text that says the same."""
    if isinstance(given, list | tuple):
        return ",".join(map(str, given))
    return str(given) if isinstance(given, Path) else given


def listed(given: object) -> object:
    """One entry as a list of it."""
    return [given] if isinstance(given, str | Path) else given


Size = Annotated[tuple[Pixels, Pixels], BeforeValidator(picture_size)]
Text = Annotated[str, BeforeValidator(text_of)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(listed)]


class Section(BaseModel):
    """A section of the configuration that knows which of its entries were given.

    Raises:
        EnrError: an entry is unknown or does not fit; the message names it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, populate_by_name=True
    )
    _given: Table = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        known = type(self).model_fields
        names = [*known, *(entry.alias for entry in known.values() if entry.alias)]
        for name in values:
            if name not in names:
                raise EnrError(f"There is no option {option(name)}; {nearest(name, names)}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise EnrError(of_option(refusal(error, type(self), ""))) from error
        self._given = values

    @classmethod
    def of(cls, values: Table) -> Self:
        """The section that a table holds; `max-meshes` is `max_meshes`."""
        return cls(**{name.replace("-", "_"): value for name, value in values.items()})

    @property
    def given(self) -> Table:
        """The entries that were given, as they were given, in their order."""
        return self._given

    def but(self, **changes: object) -> Self:
        """The same with some entries changed; checked anew."""
        return type(self)(**{**self.given, **changes})


class DatagenConfig(Section):
    """A data set that is rendered; each entry is the option of `enr datagen` of that name.

    Attributes:
        meshes: files, folders and zip archives.
        max_meshes: at most so many of them; None for all.
        group: None for rototrans, or what the cameras of `poses` are.
        views: None for 50, 251 on the spiral, or all cameras of `poses`.
        resolution: width and height in pixels; None for 64 x 64, or what `poses` names.
        box: X0 X1 Y0 Y1 Z0 Z1, object units.
        background: a colour's name, #RRGGBB, R,G,B, `transparent`, or a picture file.
        split: shares of train, val and test; any positive scale.
        scheduler: of a Dask cluster; None for this machine.
    """

    meshes: Paths = ()
    max_meshes: Count | None = None
    up_axis: UpAxis = RenderSettings.up_axis
    blender: Text | None = None

    group: Group | None = None
    views: Count | None = None
    radius: Positive = PoseSettings.radius
    box: Box = tuple(bound for axis in PoseSettings.box for bound in axis)  # type: ignore[assignment]
    elevation_deg: Range = PoseSettings.elevation_deg
    azimuth_deg: Range = PoseSettings.azimuth_deg
    sphere: SphereName = PoseSettings.sphere
    rings_deg: Annotated[tuple[float, ...], BeforeValidator(elevations)] = PoseSettings.rings_deg
    look_at_jitter: NotNegative = PoseSettings.look_at_jitter
    roll_deg: Range = PoseSettings.roll_deg
    hold_out_patches: Annotated[int, Field(ge=0)] = 0
    patch_size_deg: PatchSize = HoldOut.size_deg
    hold_out_views: Count = HoldOut.views
    poses: Path | None = None

    focal_px: Positive | None = None
    focal_mm: Positive | None = None
    fov_deg: Annotated[float, Field(gt=0, lt=180)] | None = None
    focal_jitter: FocalShare = LensJitter.focal_share
    centre_jitter_px: NotNegative = LensJitter.centre_px

    resolution: Size | None = None
    samples: Count = RenderSettings.samples
    normalise: Normalise = RenderSettings.normalise
    materials: Materials | None = RenderSettings.materials
    lighting: LightingName = Look.lighting
    hdri: Path | None = None
    hdri_background: bool = False
    background: Text = "white"
    depth: bool = False
    normals: NormalsSpace | None = None
    mask: bool = False
    engine: Engine = Look.engine
    device: Device = Look.device
    seed: Seed = RenderSettings.seed

    on_bad: Policy = OnBad.policy
    bad: Annotated[tuple[BadFlag, ...], BeforeValidator(listed)] = ()

    split: tuple[float, float, float] = (86.0, 12.0, 2.0)
    out: Path = GenerateSettings.out
    compression: Compression = GenerateSettings.compression
    resume: bool = False
    retry_failed: bool = False
    retry_bad: bool = False
    overwrite: bool = False
    workers: Count | None = None
    workers_per_device: Count | None = None
    mesh_timeout: Positive | None = None
    mesh_memory: Positive = PoolSettings.mesh_memory_mb
    part: Annotated[tuple[int, int], BeforeValidator(read_part)] | None = None
    scheduler: str | None = None
    dry_run: bool = False

    def is_given(self, *names: str) -> list[str]:
        """Those of the names that were given, as options."""
        return [option(name) for name in names if name in self.given]


class ConvertConfig(Section):
    """A data set that is made of posed pictures; each entry is the option of `enr convert` of that name.

    Attributes:
        folder: of the pictures.
        layout: whose (`--from`).
        resolution: width and height in pixels; None leaves them.
        focal_px: in pixels of the pictures; None for the layout's own.
    """

    folder: Path = Path()
    layout: Annotated[LayoutName, Field(alias="from")]
    out: Path = ConvertSettings.out
    split: SplitChoice = ConvertSettings.split
    radius: Positive = ConvertSettings.radius
    focal_px: Positive | None = None
    resolution: Size | None = None
    compression: Compression = ConvertSettings.compression
    overwrite: bool = False
