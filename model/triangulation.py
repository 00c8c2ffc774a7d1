"""The object's centre from several pictures with relative poses: where their rays through it come nearest.

Rays are intersected by least squares. What each picture guesses of its own distance enters as a weak prior: with rays
that hardly cross it decides, elsewhere it does not matter. The guesses of several pictures count as one, because they
err together: the same picture twice is one picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from enr.errors import EnrError
from enr.model.warp import invert_rigid

BESIDE = 0.05
"""By so much, in object units, the middle of an object's box lies beside its centre (standard deviation)."""

NINE_IN_TEN = 1.645
"""Half the width of the range that holds nine in ten of a normal distribution, in standard deviations."""

LEAST_UNCERTAINTY = 0.01


@dataclass(frozen=True)
class Rays:
    """Where each of some pictures sees the object.

    Attributes:
        direction: (..., s, 3) in each camera, at depth 1.
        distance: (..., s) guess of the depth, in object units.
        uncertainty: (..., s) half the width of the range that holds it nine times in ten; infinite: no guess.
    """

    direction: Tensor
    distance: Tensor
    uncertainty: Tensor


def triangulate(rays: Rays, target_from_sources: Tensor) -> tuple[Tensor, Tensor]:
    """The point that is nearest to all rays, weighed against the guesses.

    Args:
        rays: of s pictures.
        target_from_sources: (..., s, 4, 4) motions to one common frame.

    Returns:
        The point (..., 3) in the common frame, and the uncertainty (..., s) of its depth in each picture's camera,
        float64.
    """
    motion = target_from_sources.to(torch.float64)
    rotation, origin = motion[..., :3, :3], motion[..., :3, 3]
    along = (rotation @ rays.direction.to(motion)[..., None])[..., 0]
    unit = along / along.norm(dim=-1, keepdim=True)
    across = torch.eye(3).to(motion) - unit[..., :, None] * unit[..., None, :]
    sigma = (rays.uncertainty.to(motion) / NINE_IN_TEN).clamp_min(LEAST_UNCERTAINTY)
    guess = unit[..., :, None] * unit[..., None, :] / sigma.square()[..., None, None] / rays.distance.shape[-1]
    guessed = origin + along * rays.distance.to(motion)[..., None]
    information = (across / BESIDE**2).sum(-3) + guess.sum(-3)
    wanted = (across / BESIDE**2 @ origin[..., None] + guess @ guessed[..., None]).sum(-3)
    inverse = torch.linalg.inv(information + 1e-9 * torch.eye(3).to(motion))
    axis = rotation[..., :, 2]
    variance = (axis[..., None, :] @ inverse[..., None, :, :] @ axis[..., None])[..., 0, 0]
    return (inverse @ wanted)[..., 0], NINE_IN_TEN * variance.clamp_min(0).sqrt()


def distance_from_rays(point: Tensor, rays: Rays, target_from_sources: Tensor) -> Tensor:
    """How far the point (..., 3) of the common frame lies beside each ray (..., s), float64."""
    inverse = invert_rigid(target_from_sources)
    local = (inverse[..., :3, :3] @ point.to(inverse)[..., None, :, None])[..., 0] + inverse[..., :3, 3]
    unit = rays.direction.to(local)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    return (local - (local * unit).sum(-1, keepdim=True) * unit).norm(dim=-1)


def check_agreement(point: Tensor, rays: Rays, target_from_sources: Tensor, reach: float) -> None:
    """Refuse pictures whose rays pass further from each other than one object is large.

    Raises:
        EnrError: a ray passes the point at more than `reach`, or the point lies behind a camera.
    """
    beside = float(distance_from_rays(point, rays, target_from_sources).max())
    inverse = invert_rigid(target_from_sources)
    depth = float(
        (inverse[..., 2:3, :3] @ point.to(inverse)[..., None, :, None])[..., 0, 0].add(inverse[..., 2, 3]).min()
    )
    if not beside <= reach or not depth > 0:
        where = f"{beside:.2f} units beside one picture's object" if depth > 0 else "behind one picture's camera"
        raise EnrError(
            f"The pictures contradict the poses: the point nearest to what all of them show lies {where}; give "
            "pictures of one object, each with its own pose."
        )
