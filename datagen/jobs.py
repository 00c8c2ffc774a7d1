"""A render job as plain data: finished matrices, seeds and colours. Knows no renderer."""

from __future__ import annotations

import colorsys
import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from enr.camera import focal_px_from_lens
from enr.datagen.appearance.look import PLAIN, Look
from enr.datagen.cameras.lens import NO_JITTER, Lens, LensJitter, view_intrinsics
from enr.datagen.cameras.poses import Poses, view_rng
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.formats import UpAxis, stored_up_axis
from enr.datagen.meshes.staging import StagedMesh

Materials = Literal["original", "grey", "palette"]
Normalise = Literal["diagonal", "longest", "none"]
PALETTE_COLOURS = 16
NOISE_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class RenderSettings:
    """How every picture is made.

    Attributes:
        width_px: picture width in pixels.
        height_px: picture height in pixels.
        focal_px: focal length in pixels.
        samples: paths for each pixel.
        normalise: `diagonal` (box diagonal 1), `longest` (longest side 1) or `none`.
        materials: `original`, `grey`, `palette`, or None to take what the file can offer.
        up_axis: the axis that points up in the mesh files; `auto` is what their formats say.
        seed: the data set's seed.
        lens_jitter: how much the lens differs from view to view.
        look: light, background, passes and engine.
    """

    width_px: int = 64
    height_px: int = 64
    focal_px: float = focal_px_from_lens(64)
    samples: int = 16
    normalise: Normalise = "diagonal"
    materials: Materials | None = None
    up_axis: UpAxis = "auto"
    seed: int = 0
    lens_jitter: LensJitter = NO_JITTER
    look: Look = PLAIN

    @property
    def lens(self) -> Lens:
        """The lens of all views and its jitter."""
        return Lens(self.focal_px, self.width_px, self.height_px, self.lens_jitter)


def render_job(
    settings: RenderSettings, source: MeshSource, poses: Poses, staged: StagedMesh | None = None
) -> dict[str, Any]:
    """The job of one mesh, ready for JSON; the pool adds its number, threads and output file.

    Args:
        settings: how to render.
        source: the scene.
        poses: its views.
        staged: the file to import where it is not the source's own (see `enr.datagen.meshes.staging`).
    """
    staged = staged or StagedMesh(source.place, stored_up_axis(source.place, settings.up_axis))
    views = [
        {
            "world_from_camera": camera.tolist(),
            "K": K.tolist(),
            "seed": noise_seed(settings.seed, source.scene_id, index),
        }
        for index, (camera, K) in enumerate(
            zip(
                poses.world_from_camera,
                view_intrinsics(settings.lens, settings.seed, source.scene_id, poses),
                strict=True,
            )
        )
    ]
    return {
        "scene_id": source.scene_id,
        "mesh": str(staged.path.resolve()),
        "up_axis": staged.up_axis,
        "width_px": settings.width_px,
        "height_px": settings.height_px,
        "focal_px": settings.focal_px,
        "samples": settings.samples,
        "normalise": settings.normalise,
        "materials": settings.materials,
        "palette": linear_palette(settings.seed, source.scene_id),
        **settings.look.job(),
        "views": views,
    }


def render_config(settings: RenderSettings) -> dict[str, Any]:
    """Everything about the rendering that a shard's content depends on, as JSON."""
    return {**dataclasses.asdict(settings), "look": settings.look.config()}


def noise_seed(seed: int, scene_id: str, view_index: int) -> int:
    """The renderer's noise seed of a view, from (seed, scene, view) alone."""
    return int(view_rng(seed, f"{scene_id}/noise", view_index).integers(NOISE_SEEDS))


def linear_palette(seed: int, scene_id: str, colours: int = PALETTE_COLOURS) -> list[list[float]]:
    """Plausible colours of an object's parts: linear RGB, (colours, 3), from (seed, scene) alone.

    Woods, fabrics in any hue, and greys, as furniture has them. None is near white or black, so that the object
    stands out from a white background and its shading stays visible.
    """
    rng = view_rng(seed, f"{scene_id}/palette", 0)
    return [_linear_colour(rng) for _ in range(colours)]


def _linear_colour(rng: np.random.Generator) -> list[float]:
    kind = rng.choice(["wood", "fabric", "grey"], p=[0.35, 0.45, 0.2])
    if kind == "wood":
        hue, saturation, value = rng.uniform(0.04, 0.11), rng.uniform(0.4, 0.75), rng.uniform(0.45, 0.85)
    elif kind == "fabric":
        hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.35, 0.85), rng.uniform(0.45, 0.9)
    else:
        hue, saturation, value = 0.0, 0.0, rng.uniform(0.3, 0.8)
    return [_linear_from_srgb(channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)]


def _linear_from_srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
