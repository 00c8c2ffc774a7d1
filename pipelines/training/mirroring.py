"""Scenes in a mirror: their pictures from left to right, and the motions between the cameras as they look there.

A mirror at the plane x = 0 of every camera turns a picture around and a motion T into M T M, M = diag(-1, 1, 1, 1): the
mirrored object from mirrored cameras, exactly. So each scene is two, without another picture.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from enr.model.objective import PosedViews
from enr.model.scene import constant

MIRROR = (-1.0, 1.0, 1.0, 1.0)


def mirrored(views: PosedViews, chosen: Tensor) -> PosedViews:
    """The same batch with some of its scenes in a mirror.

    Args:
        views: the first view of every scene, then every second, ...
        chosen: (scenes,) whether a scene is to be mirrored.
    """
    rows = chosen.repeat(len(views.images) // len(chosen))
    motions = views.target_from_sources
    sign = constant(MIRROR, motions)
    centre = views.centre
    if centre is not None:
        centre = torch.where(rows[:, None], centre * sign[:3].to(centre), centre)
    return replace(
        views,
        images=torch.where(rows[:, None, None, None], views.images.flip(-1), views.images),
        target_from_sources=torch.where(rows[views.target, None, None, None], motions * sign[:, None] * sign, motions),
        centre=centre,
    )
