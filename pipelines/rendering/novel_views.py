"""Novel views of one picture: framed, lifted to a scene once, and rendered from each camera asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, InstanceOf

from enr.camera import Array
from enr.model import Renderer, load_model
from enr.model.scene import AnyScene, PlacedScene
from enr.pipelines.config.checking import Positive, checked
from enr.pipelines.machine import pick_device
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.camera_paths import Cameras
from enr.pipelines.rendering.framing import frame_picture
from enr.pipelines.training.runs import find_checkpoint, latest_run

BATCH_SIZE = 16


@checked()
@dataclass(frozen=True)
class NovelViewSettings:
    """What `enr render` is told.

    Attributes:
        picture: the file.
        cameras: where the views are taken from.
        checkpoint: a run, a checkpoint folder or a published `.pt`; None takes the latest run's best.
        distance: depth of the object's centre in the picture's camera, in object units; None: the model estimates it.
        source_elevation_deg: how far the picture's camera stands above the object's horizon.
        fov_deg: horizontal field of view of the picture; None frames the object instead.
        device: `auto`, `cpu`, `cuda` …
    """

    picture: Path
    cameras: InstanceOf[Cameras]
    checkpoint: Path | None = None
    distance: Positive | None = None
    source_elevation_deg: float = 0.0
    fov_deg: Annotated[float, Field(gt=0, lt=180)] | None = None
    device: str = "auto"


@dataclass(frozen=True)
class NovelViews:
    """What was rendered.

    Attributes:
        source: (height, width, 3) uint8, the picture as the model was given it.
        images: (views, height, width, 3) uint8.
        checkpoint: what rendered them.
        notes: what was assumed or estimated, a sentence each.
    """

    source: NDArray[np.uint8]
    images: NDArray[np.uint8]
    checkpoint: Path
    notes: tuple[str, ...]


@torch.no_grad()
def render_novel_views(settings: NovelViewSettings) -> NovelViews:
    """Render a picture's object from other cameras.

    Raises:
        EnrError: there is no checkpoint, or it or the picture cannot be used, or the distance does not fit.
    """
    checkpoint, _ = find_checkpoint(settings.checkpoint or latest_run())
    model = load_model(checkpoint, pick_device(settings.device))
    framed = frame_picture(settings.picture, model.config, settings.fov_deg)
    scene = model.inverse_render(framed.image[None].to(next(model.parameters()).device), settings.distance)
    motions = settings.cameras.motions(centre_of(scene, model), settings.source_elevation_deg)
    views = [
        model.render(model.transform(scene.expand(len(chunk), *scene.shape[1:]), chunk)).clamp(0, 1).cpu()
        for chunk in torch.as_tensor(motions).split(BATCH_SIZE)
    ]
    notes = (*framed.notes, *([] if settings.distance is not None else _estimate_in_words(scene)))
    return NovelViews(to_uint8(framed.image), to_uint8(torch.cat(views)), checkpoint, notes)


def centre_of(scene: AnyScene, model: Renderer) -> Array:
    """(3,) the point that cameras turn around: the first scene's own centre, else the target point at `radius`."""
    if isinstance(scene, PlacedScene):
        return np.asarray(scene.centre[0].double().cpu())
    return np.array([0.0, 0.0, model.config.radius])


def _estimate_in_words(scene: AnyScene) -> list[str]:
    if not isinstance(scene, PlacedScene):
        return []
    distance, uncertainty = float(scene.distance[0]), float(scene.uncertainty[0])
    return [
        f"The object's centre is taken to be {distance:.2f} units away (within {uncertainty:.2f} nine times in ten); "
        "give its distance if you know it."
    ]
