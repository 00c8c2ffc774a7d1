"""Several scenes of one object, moved into one target frame, as one scene.

Each source picture gives a scene that was warped into the target's volume. Its features and colours are already
multiplied by its visibility there (the warp reads 0 outside the source's frustum), so that the sum of the scenes
divided by the sum of the visibilities is the mean weighted by visibility. It has no weights to learn: a renderer
that was trained on single pictures can be given several.

The fused cell is as visible as its most visible source. The maximum, not 1 - prod(1 - v): the visibility of a cell on
the border of a frustum is the share of it that was read, not a chance, and a second look from the same place must not
raise it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fuse_scenes(scenes: Tensor, has_visibility: bool) -> Tensor:
    """The mean of moved scenes, weighted by visibility.

    One source is left as it is, and so is the same source given several times; the order of the sources does not
    matter; a source that sees nothing of a cell contributes nothing to it.

    Args:
        scenes: (b, sources, c, d, h, w), all in the same target frame.
        has_visibility: the last of the c channels is the visibility in [0, 1], by which the others are already
            multiplied; else (`rigid`, `conditioned`) the sources count alike.

    Returns:
        (b, c, d, h, w).
    """
    if scenes.shape[1] == 1:
        return scenes[:, 0]
    if not has_visibility:
        return scenes.mean(dim=1)
    content, visibility = scenes[:, :, :-1], scenes[:, :, -1:]
    most, total = visibility.amax(dim=1), visibility.sum(dim=1)
    is_seen = total > 0
    share = torch.where(is_seen, most / torch.where(is_seen, total, 1.0), 0.0)
    return torch.cat([content.sum(dim=1) * share, most], dim=1)
