"""What a training step compares: pictures of other views, and the renderer with itself and with where objects are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from enr.model.config import LossWeights
from enr.model.losses import cycle_loss, scene_loss
from enr.model.renderer import Renderer
from enr.model.sighting import sighting_loss


@dataclass(frozen=True)
class PosedViews:
    """Pictures of some scenes, the pairs among them, and what is told of where the objects are; all on one device.

    Attributes:
        images: (n, 3, height, width) in [0, 1].
        sources: (pairs, sources) rows of `images` that each target is predicted from; None: every picture is one
            target's only source, in its order.
        target: (pairs,) rows of `images`.
        target_from_sources: (pairs, sources, 4, 4) motions between their cameras.
        distance: (n,) depth of the objects' centres, NaN where it is to be estimated; None: nothing is told.
        centre: (n, 3) the objects' centres in the pictures' cameras, NaN where unknown; None: nothing is taught.
        cycle: rows of pairs, and of their first sources, of which the way back is compared; None: of none.
    """

    images: Tensor
    sources: Tensor | None
    target: Tensor
    target_from_sources: Tensor
    distance: Tensor | None = None
    centre: Tensor | None = None
    cycle: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Predictions:
    """What a renderer makes of posed views.

    Attributes:
        images: (pairs, 3, height, width) the targets as it predicts them.
        losses: beside that of the pictures, by the name of their weight (`scene`, `distance`, `cycle`); scalars.
        located: scalar, the pictures that the loss of the distance is the mean over; None without that loss.
    """

    images: Tensor
    losses: dict[str, Tensor]
    located: Tensor | None


def predict_targets(model: Renderer, views: PosedViews, weights: LossWeights) -> Predictions:
    """Predict each target from its sources; a picture with several targets is encoded once.

    Args:
        model: the renderer.
        views: with `sources` where the scenes are compared.
        weights: a loss of weight 0 is not computed.
    """
    losses: dict[str, Tensor] = {}
    located = None
    if views.sources is None:
        predicted, sighting = model.predict(views.images, views.target_from_sources[:, 0], views.distance)
    else:
        scenes, sighting = model.look(views.images, views.distance)
        moved = model.fuse(scenes[views.sources], views.target_from_sources)
        predicted = model.render(moved)
        if weights.scene:
            losses["scene"] = scene_loss(moved, scenes[views.target], model.config)
    if views.centre is not None and sighting is not None:
        centre = views.centre.to(sighting.pixel)
        losses["distance"] = sighting_loss(sighting, centre, model.config)
        located = (sighting.boxes.is_there & torch.isfinite(centre).all(1)).sum().float()
    if views.cycle is not None:
        pairs, first = views.cycle
        motion = views.target_from_sources[pairs, 0]
        losses["cycle"] = cycle_loss(model, predicted[pairs], views.images[first], motion)
    return Predictions(predicted, losses, located)
