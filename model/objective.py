"""What a training step compares: pictures of other views, and the renderer with itself and with where objects are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from enr.model.config import LossWeights
from enr.model.forward_pass import ForwardPass
from enr.model.losses import cycle_loss, scene_loss
from enr.model.projection import SceneParts
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
        views: of at least one pair.
        weights: a loss of weight 0 is not computed.
    """
    losses: dict[str, Tensor] = {}
    located = None
    rendered = _render_targets(model, views)
    if weights.scene:
        losses["scene"] = scene_loss(rendered.moved, rendered.scenes.features[views.target])
    if views.centre is not None and rendered.sighting is not None:
        centre = views.centre.to(rendered.sighting.pixel)
        losses["distance"] = sighting_loss(rendered.sighting, centre, model.config)
        located = (rendered.sighting.boxes.is_there & torch.isfinite(centre).all(1)).sum().float()
    if views.cycle is not None:
        pairs, first = views.cycle
        motion = views.target_from_sources[pairs, 0]
        losses["cycle"] = cycle_loss(model, rendered.images[pairs], views.images[first], motion)
    return Predictions(rendered.images, losses, located)


def _render_targets(model: Renderer, views: PosedViews) -> ForwardPass:
    """The pairs' pictures, their scenes moved, and the scenes of all `views.images`."""
    motions = views.target_from_sources
    if motions.shape[1] == 1:
        source = None if views.sources is None else views.sources[:, 0]
        return model.predict(views.images, motions[:, 0], views.distance, source)
    assert views.sources is not None, "of several sources, each target has its own"
    scenes, sighting = model.look(views.images, views.distance)
    fused = model.fuse(scenes[views.sources], motions)
    split = partial(SceneParts.split, config=model.config)
    return ForwardPass(model.render(fused), scenes=split(scenes), moved=split(fused), sighting=sighting)
