"""What the user can say about a data set: cameras (`PoseSettings`), pictures, bad views, workers, and the whole.

Plain, checked data at the foot of the room: whoever needs a setting's type takes it from here. What is said of cameras,
lenses and light stands beside what they mean, in `cameras` and `appearance`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from pydantic import Field

from enr.camera import focal_px_from_lens
from enr.checking import Count, Positive, Seed, checked
from enr.compositing import WHITE
from enr.datagen.appearance.look import PLAIN, Look
from enr.datagen.cameras.lens import NO_JITTER, Lens, LensJitter
from enr.datagen.cameras.pose_settings import PoseSettings, pose_config
from enr.datagen.meshes.formats import UpAxis
from enr.datagen.meshes.triangles import Normalise
from enr.datagen.splits import SPLIT_SHARES
from enr.errors import EnrError
from enr.shards.config import OnBadConfig, RenderConfig, ShardConfig

__all__ = [
    "BAD_FLAGS",
    "KEEP",
    "SHARD_BYTES",
    "SPLIT_SHARES",
    "WHITE",
    "Compression",
    "GenerateSettings",
    "Look",
    "Materials",
    "Normalise",
    "OnBad",
    "Policy",
    "PoolSettings",
    "PoseSettings",
    "RenderSettings",
]

Compression = Literal["none", "gzip"]
Materials = Literal["original", "grey", "palette"]
Policy = Literal["keep", "skip", "fail"]

SHARD_BYTES = 64 * 2**20
MAX_SIZE_PX = 8192
Pixels = Annotated[int, Field(ge=1, le=MAX_SIZE_PX)]
BadFlag = Literal["blank", "camera_inside", "flat_colour", "duplicate", "purple", "unlike_mesh"]
BAD_FLAGS: tuple[BadFlag, ...] = get_args(BadFlag)
"""What may be called bad; an object that reaches over the border is how a set with translations looks."""


@checked("render")
@dataclass(frozen=True)
class RenderSettings:
    """How every picture is made.

    Attributes:
        width_px: picture width in pixels.
        height_px: picture height in pixels.
        focal_px: focal length in pixels; None for a lens of 50 mm on 36 mm, whatever the width.
        samples: paths for each pixel.
        normalise: `diagonal` (box diagonal 1), `longest` (longest side 1) or `none`.
        materials: `original`, `grey`, `palette`, or None to take what the file can offer.
        up_axis: the axis that points up in the mesh files; `auto` is what their formats say.
        seed: the data set's seed.
        lens_jitter: how much the lens differs from view to view.
        look: light, background, passes and engine.

    Raises:
        EnrError: the size, the focal length or the number of samples is not positive, or a word is unknown.
    """

    width_px: Pixels = 64
    height_px: Pixels = 64
    focal_px: Positive | None = None
    samples: Count = 16
    normalise: Normalise = "diagonal"
    materials: Materials | None = None
    up_axis: UpAxis = "auto"
    seed: Seed = 0
    lens_jitter: LensJitter = NO_JITTER
    look: Look = PLAIN

    @property
    def lens(self) -> Lens:
        """The lens of all views and its jitter."""
        focal_px = focal_px_from_lens(self.width_px) if self.focal_px is None else self.focal_px
        return Lens(focal_px, self.width_px, self.height_px, self.lens_jitter)

    def config(self) -> RenderConfig:
        """Everything about the rendering that a shard's content depends on, as JSON."""
        said = {**dataclasses.asdict(self), "focal_px": self.lens.focal_px, "look": self.look.config()}
        return cast(RenderConfig, said)


@checked("on_bad")
@dataclass(frozen=True)
class OnBad:
    """What becomes of a mesh with a bad view.

    Attributes:
        policy: `keep` stores the flags and nothing else; `skip` makes the mesh a named failure; `fail` ends the run.
        flags: the names that count as bad (see `enr.datagen.flags`).

    Raises:
        EnrError: a name is unknown or cannot be bad.
    """

    policy: Policy = "keep"
    flags: tuple[BadFlag, ...] = BAD_FLAGS

    def __post_init__(self) -> None:
        """Refuse a policy about nothing."""
        if not self.flags:
            raise EnrError(f"Bad views got the flags none; give some of {', '.join(BAD_FLAGS)}.")

    @property
    def config(self) -> OnBadConfig:
        """For a shard's config: what its scenes depend on."""
        return {"policy": self.policy, "flags": sorted(self.flags) if self.policy != "keep" else []}


KEEP = OnBad()


@checked("pool")
@dataclass(frozen=True)
class PoolSettings:
    """How the workers are run.

    Attributes:
        workers: processes that render on the CPU.
        workers_per_device: processes for each graphics card, where Cycles computes on cards.
        threads: threads of each; changes no pixel.
        mesh_timeout_s: seconds after which a mesh's worker is killed.
        mesh_memory_mb: a worker that holds more than this is killed; one that has grown half-way there is replaced
            after its mesh.
        meshes_per_worker: a worker is replaced after so many meshes.
        blender: an installed Blender's executable that the workers are; None for the `bpy` package.
        pins: for each worker the variable that leaves it one graphics card, such as `CUDA_VISIBLE_DEVICES=0`; empty on
            the CPU. The run fills it in (see `enr.datagen.workers.cards`).
        checks: look through each file before Blender reads it and at some pictures afterwards (the flag `unlike_mesh`);
            without, right meshes give the same bytes, wrong ones go unnoticed. For measuring what that costs.
    """

    workers: Count = 1
    threads: Count = 1
    mesh_timeout_s: Positive = 300.0
    mesh_memory_mb: Positive = 2048.0
    meshes_per_worker: Count = 500
    blender: Path | None = None
    workers_per_device: Count = 1
    pins: tuple[str, ...] = ()
    checks: bool = True


@checked("datagen")
@dataclass(frozen=True)
class GenerateSettings:
    """Everything that `enr datagen` is told.

    Attributes:
        meshes: files and folders to search for meshes.
        max_meshes: at most so many of them, drawn by a hash of their ids; None for all.
        views: pictures of each mesh.
        poses: the group and its ranges.
        render: picture size, lens, samples, materials, seed.
        split_shares: shares of scenes for train, val and test.
        on_bad: what becomes of a mesh with a bad view.
        background: sRGB in [0, 1] that readers put behind the RGBA pictures.
        compression: `none` or `gzip`.
        out: folder of the shards.
        overwrite: make everything again, and replace shards of the same group that were made with other settings.
        retry_failed: of finished shards, render the meshes again whose failure may pass; nothing else.
        retry_bad: together with it, the other failed ones too.
        part: (i, n) to make only part i of n, from 1: every n-th shard; all parts agree on shards and splits.
        command: the command line, for the manifest; changes nothing in the data.
        pool: how the workers are run; changes nothing in the data.
        shard_bytes: about so many bytes of pictures go into a shard; fewer make more shards.

    Raises:
        EnrError: there is less than one view of each mesh.
    """

    meshes: tuple[Path, ...]
    views: Count = 50
    poses: PoseSettings = field(default_factory=lambda: PoseSettings("rototrans"))
    render: RenderSettings = field(default_factory=RenderSettings)
    split_shares: tuple[float, float, float] = SPLIT_SHARES
    on_bad: OnBad = KEEP
    background: tuple[float, float, float] = WHITE
    compression: Compression = "none"
    out: Path = Path("shards")
    overwrite: bool = False
    retry_failed: bool = False
    retry_bad: bool = False
    part: tuple[int, int] | None = None
    command: str = ""
    pool: PoolSettings = field(default_factory=PoolSettings)
    max_meshes: Count | None = None
    shard_bytes: Count = SHARD_BYTES

    def config(self) -> ShardConfig:
        """All that a shard's pixels and tables depend on but for its meshes, as JSON."""
        return {
            "views": self.views,
            "on_bad": self.on_bad.config,
            "render": self.render.config(),
            "poses": pose_config(self.poses),
            "split_shares": list(self.split_shares),
            "compression": self.compression,
            "background": list(self.background),
        }
