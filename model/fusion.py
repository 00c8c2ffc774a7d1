"""Several scenes of one object, moved into one target frame, as one scene.

Each source picture gives a scene that was warped into the target's volume. What it says of a cell is weighted by how
well the source sees that cell: the share of the cell inside its frustum, times the light that reaches the cell through
what the source itself holds for opaque. Behind a surface a source only guesses; another one may look there. There is
nothing to learn in it: a renderer that was trained on single pictures can be given several.

The fused cell is as visible as in its most visible source. The maximum, not 1 - prod(1 - v): the visibility of a cell
on the border of a frustum is the share of it that was read, not a chance, and a second look from the same place must
not raise it.
"""

from __future__ import annotations

import torch
from torch import Tensor

HIDDEN_WEIGHT = 0.01
"""Of a source in a cell that it has no line of sight to: where all are blind, they count alike."""


def fuse_scenes(scenes: Tensor, has_visibility: bool, sight: Tensor | None = None) -> Tensor:
    """The mean of moved scenes, weighted by what each source sees.

    One source is left as it is, and so is the same source given several times; the order of the sources does not
    matter; a source that sees nothing of a cell contributes nothing to it.

    Args:
        scenes: (b, sources, c, d, h, w), all in the same target frame.
        has_visibility: the last of the c channels is the visibility in [0, 1], by which the others are already
            multiplied (the warp reads 0 outside the source's frustum); else (`rigid`, `conditioned`) the sources count
            alike.
        sight: (b, sources, 1, d, h, w) light in [0, 1] that reaches each cell from each source, likewise multiplied by
            the visibility; None: all of it.

    Returns:
        (b, c, d, h, w).
    """
    if scenes.shape[1] == 1:
        return scenes[:, 0]
    if not has_visibility:
        return scenes.mean(dim=1)
    content, visibility = scenes[:, :, :-1], scenes[:, :, -1:]
    weight = visibility if sight is None else torch.lerp(sight, visibility, HIDDEN_WEIGHT)
    most, total = visibility.amax(dim=1), weight.sum(dim=1)
    # The content is multiplied by the visibility already: only the rest of the weight is to come.
    shares = _divide(weight, visibility) * _divide(most, total)[:, None]
    return torch.cat([(content * shares).sum(dim=1), most], dim=1)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """0 where the denominator is 0."""
    is_there = denominator > 0
    return torch.where(is_there, numerator / torch.where(is_there, denominator, 1.0), 0.0)
