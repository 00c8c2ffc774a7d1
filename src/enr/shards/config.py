"""What a shard says of its making: the JSON in its attribute `config`.

Shards of earlier versions and converted ones have some of the entries; a set that is rendered has the settings'
(`enr.datagen.settings`).
"""

from __future__ import annotations

from typing import Literal, TypedDict


class LookConfig(TypedDict, total=False):
    """Light, background, passes and engine; picture files by their SHA-256."""

    lighting: str
    hdri: str | None
    hdri_background: bool
    backdrop: str | None
    passes: list[str]
    normals_space: str
    engine: str
    device: str


class RenderConfig(TypedDict, total=False):
    """How every picture was made; `focal_px` is that of the lens, whether it was given or not."""

    width_px: int
    height_px: int
    focal_px: float
    samples: int
    normalise: str
    materials: str | None
    up_axis: Literal["auto", "y", "z"]
    seed: int
    lens_jitter: dict[str, float]
    look: LookConfig


class PoseConfig(TypedDict, total=False):
    """How cameras were sampled; given ones by their number and hash, held-out patches by number, size and views."""

    group: str
    radius: float
    box: list[list[float]]
    elevation_deg: list[float]
    azimuth_deg: list[float]
    sphere: str
    rings_deg: list[float]
    look_at_jitter: float
    roll_deg: list[float]
    hold_out: dict[str, float] | None
    cameras: dict[str, int | str] | None


class OnBadConfig(TypedDict):
    """What became of a mesh with a bad view."""

    policy: str
    flags: list[str]


class PlannedMesh(TypedDict):
    """A mesh of the shard; its hash is empty where its file could not be read."""

    scene_id: str
    sha256: str
    split: str


class FailureEntry(TypedDict):
    """Why a mesh has no pictures, as a kind that can be counted and in words."""

    kind: str
    reason: str


Converted = TypedDict(
    "Converted",
    {"from": str, "folder": str, "radius": float, "focal_px": float, "found_px": list[int], "split": str},
    total=False,
)
"""Of a set that was made of posed pictures: their layout (`from`), folder and size, and what was said of them."""


class ShardConfig(TypedDict, total=False):
    """Everything that is needed to make the file again.

    Attributes:
        views: of each mesh.
        on_bad, render, poses: the settings.
        split_shares: of train, val and test.
        compression: of the pictures.
        background: sRGB in [0, 1].
        meshes: those of this shard, in order.
        failures: of this shard, by scene id; the words alone in files of earlier versions.
        converted: where the pictures come from, if they were not rendered.
        made_by: what else made them.
    """

    views: int
    on_bad: OnBadConfig
    render: RenderConfig
    poses: PoseConfig
    split_shares: list[float]
    compression: str
    background: list[float]
    meshes: list[PlannedMesh]
    failures: dict[str, FailureEntry]
    converted: Converted
    made_by: str
