"""The intrinsics of every view: the lens of all, of a pose file, or jittered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from enr.camera import Array, intrinsics
from enr.checking import NotNegative, checked
from enr.datagen.cameras.poses import Poses, view_rng

FocalShare = Annotated[float, Field(ge=0, lt=1)]


@checked("lens_jitter")
@dataclass(frozen=True)
class LensJitter:
    """How much the lens differs from view to view.

    Attributes:
        focal_share: the focal length is multiplied by a number uniform in 1 -+ this share.
        centre_px: the principal point moves by up to so many pixels in each direction, uniform.

    Raises:
        EnrError: a number is negative, or the share is 1 or more.
    """

    focal_share: FocalShare = 0.0
    centre_px: NotNegative = 0.0


NO_JITTER = LensJitter()


@dataclass(frozen=True)
class Lens:
    """The lens of a data set.

    Attributes:
        focal_px: focal length in pixels.
        width_px, height_px: size of the pictures.
        jitter: what each view adds.
    """

    focal_px: float
    width_px: int
    height_px: int
    jitter: LensJitter = NO_JITTER


def view_intrinsics(lens: Lens, seed: int, scene_id: str, poses: Poses) -> Array:
    """K (views, 3, 3) of a scene's views, from (seed, scene, view) alone; that of given cameras where they have one."""
    given = None if poses.given is None else poses.given.K
    shared = intrinsics(lens.focal_px, lens.width_px, lens.height_px)
    K = np.array(given if given is not None else np.broadcast_to(shared, (len(poses), 3, 3)))
    if lens.jitter == NO_JITTER:
        return K
    drawn = [view_rng(seed, f"{scene_id}/lens", index).uniform(-1, 1, 3) for index in range(len(poses))]
    zoom, *aside = np.array(drawn).T
    K[:, [0, 1], [0, 1]] *= 1 + lens.jitter.focal_share * zoom[:, None]
    K[:, :2, 2] += lens.jitter.centre_px * np.stack(aside, axis=-1)
    return K
