"""Novel views of one picture: framed, lifted to a scene once, and rendered from each camera asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from enr.camera import Array
from enr.errors import EnrError
from enr.model import Renderer, load_model
from enr.model.scene import AnyScene, Scene
from enr.pipelines.machine import pick_device
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.camera_paths import CameraStep, motions_around, motions_between
from enr.pipelines.rendering.framing import frame_picture
from enr.pipelines.training.runs import checkpoint_of, find_checkpoint, latest_run, open_run

BATCH_SIZE = 16


@dataclass(frozen=True)
class NovelViewSettings:
    """What `enr render` is told.

    Attributes:
        picture: the file.
        steps: the cameras, told from the picture's; or
        cameras: (n, 4, 4) `world_from_camera` of given cameras, of which the first is the picture's.
        checkpoint: a run, a checkpoint folder or a published `.pt`; None takes the latest run's best.
        distance: depth of the object's centre in the picture's camera, in object units; None: the model estimates it.
        source_elevation_deg: how far the picture's camera stands above the object's horizon.
        fov_deg: horizontal field of view of the picture; None frames the object instead.
        device: `auto`, `cpu`, `cuda` …
    """

    picture: Path
    steps: tuple[CameraStep, ...] = ()
    cameras: Array | None = None
    checkpoint: Path | None = None
    distance: float | None = None
    source_elevation_deg: float = 0.0
    fov_deg: float | None = None
    device: str = "auto"


@dataclass(frozen=True)
class NovelViews:
    """What was rendered.

    Attributes:
        source: (height, width, 3) uint8, the picture as the model was given it.
        views: (n, height, width, 3) uint8.
        opacity: (n, map height, map width) in [0, 1], or None where the model has none.
        checkpoint: what rendered them.
        notes: what was assumed or estimated, a sentence each.
    """

    source: NDArray[np.uint8]
    views: NDArray[np.uint8]
    opacity: NDArray[np.float32] | None
    checkpoint: Path
    notes: tuple[str, ...]


@torch.no_grad()
def render_novel_views(settings: NovelViewSettings) -> NovelViews:
    """Render a picture's object from other cameras.

    Raises:
        EnrError: there is no checkpoint, or it or the picture cannot be used, or the distance does not fit.
    """
    checkpoint = _checkpoint(settings.checkpoint)
    model = load_model(checkpoint, pick_device(settings.device))
    framed = frame_picture(settings.picture, model.config, settings.fov_deg)
    image = framed.image.to(next(model.parameters()).device)
    scene = model.inverse_render(image[None], settings.distance)
    motions = _motions(settings, scene, model)
    views, opacity = _render(model, scene, motions)
    notes = (*framed.notes, *_distance_note(settings, scene))
    return NovelViews(to_uint8(framed.image), views, opacity, checkpoint, notes)


def _checkpoint(path: Path | None) -> Path:
    return checkpoint_of(open_run(latest_run())) if path is None else find_checkpoint(path)[0]


def _motions(settings: NovelViewSettings, scene: AnyScene, model: Renderer) -> torch.Tensor:
    if settings.cameras is not None:
        if len(settings.cameras) < 2:
            raise EnrError("The path has one camera; its first is the picture's own, so give at least two.")
        return torch.as_tensor(motions_between(settings.cameras))
    centre = np.array([0.0, 0.0, model.config.radius])
    if isinstance(scene, Scene):
        centre = scene.centre[0].double().cpu().numpy()
    return torch.as_tensor(motions_around(settings.steps, centre, settings.source_elevation_deg))


def _render(
    model: Renderer, scene: AnyScene, motions: torch.Tensor
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    views, opacities = [], []
    for chunk in motions.split(BATCH_SIZE):
        moved = model.transform(scene.expand(len(chunk), *scene.shape[1:]), chunk)
        views.append(model.render(moved).clamp(0, 1).cpu())
        opacity = model.project(moved).opacity
        opacities += [] if opacity is None else [opacity[:, 0].cpu()]
    return to_uint8(torch.cat(views)), torch.cat(opacities).numpy() if opacities else None


def _distance_note(settings: NovelViewSettings, scene: AnyScene) -> Sequence[str]:
    if not isinstance(scene, Scene) or settings.distance is not None:
        return ()
    distance, uncertainty = float(scene.distance[0]), float(scene.uncertainty[0])
    return (
        f"The object's centre is taken to be {distance:.2f} units away (within {uncertainty:.2f} nine times in ten); "
        "give --distance if you know it.",
    )
