"""A forward pass with what lies between its pictures: scenes before and after the motions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from enr.model.projection import SceneParts
from enr.model.sighting import Sighting


@dataclass(frozen=True)
class ForwardPass:
    """What `Renderer.predict` computes.

    Attributes:
        images: (n, 3, height, width) of the moved scenes.
        scenes: of the b pictures, in parts.
        moved: of n motions, likewise.
        sighting: what the pictures themselves tell of the distance; None where the depth range stands still.
    """

    images: Tensor
    scenes: SceneParts
    moved: SceneParts
    sighting: Sighting | None
