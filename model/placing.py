"""From what pictures tell of their object, and what the user knows, to where each scene is placed.

Three ways to know a distance: the user gives it, several pictures triangulate it, one picture's network guesses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from enr.model.aiming import aimed_motion
from enr.model.config import RendererConfig
from enr.model.scene import frustum_around, move_points, ray_through
from enr.model.sighting import Sighting
from enr.model.triangulation import Rays, check_agreement, triangulate
from enr.model.warp import Frustum, frustum_warp, invert_rigid


def place(
    sighting: Sighting, distance: Tensor | None, uncertainty: Tensor | None, config: RendererConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """The objects' centres and how unsure their distances are; no gradient passes.

    Args:
        sighting: of b pictures.
        distance: (b,) depth of the centres, in object units; NaN or None where it is to be estimated.
        uncertainty: (b,) of these distances; None: they are known.
        config: of the renderer.

    Returns:
        (b, 3) in the cameras' coordinates, and (b,), as those of `enr.model.scene.PlacedScene`; then (b,) the
        uncertainty that the renderer is to be told.
    """
    sighting = sighting.detach()
    depth, unsure, learned = sighting.distance, sighting.uncertainty, sighting.learned_uncertainty
    if distance is not None:
        given = distance.to(depth)
        told = torch.zeros_like(unsure) if uncertainty is None else uncertainty.to(unsure)
        is_given = given.isfinite()
        depth, unsure, learned = (
            given.where(is_given, depth),
            told.where(is_given, unsure),
            told.where(is_given, learned),
        )
    return ray_through(sighting.pixel, config) * depth[:, None], unsure, learned


def locate(sighting: Sighting, target_from_sources: Tensor, config: RendererConfig) -> tuple[Tensor, Tensor]:
    """The distance of one object in several pictures, triangulated.

    Args:
        sighting: of s pictures; those that show nothing do not count.
        target_from_sources: (s, 4, 4) motions to one common frame.
        config: of the renderer.

    Returns:
        (s,) depth of the object's centre in each camera, and (s,) its uncertainty.

    Raises:
        EnrError: the pictures contradict the poses.
    """
    sighting = sighting.detach()
    shown = sighting.boxes.is_there
    if not shown.any():
        return sighting.distance, sighting.uncertainty
    direction = ray_through(sighting.pixel, config)
    rays = Rays(direction[shown], sighting.distance[shown], sighting.uncertainty[shown])
    point, unsure = triangulate(rays, target_from_sources[shown])
    check_agreement(point, rays, target_from_sources[shown], reach=config.half_depth)
    depth = move_points(point, invert_rigid(target_from_sources))[..., 2]
    uncertainty = unsure.new_full(depth.shape, float(unsure.mean())).masked_scatter(shown, unsure)
    return depth.to(direction), uncertainty.to(direction)


@dataclass(frozen=True)
class Passage:
    """From one frustum to another: what a warp needs.

    Attributes:
        motion: (b, 4, 4) between the cameras of the frustums.
        source: the frustums that are left.
        target: those that are entered.
    """

    motion: Tensor
    source: Frustum
    target: Frustum

    def carry(self, volume: Tensor) -> Tensor:
        """A volume (b, c, d, h, w), or one for all motions, as the target has it."""
        return frustum_warp(volume, self.motion, self.source, self.target)


def passage(
    motion: Tensor, source: Tensor | None, target: Tensor | None, standing: Frustum, config: RendererConfig
) -> Passage:
    """The way of a motion (b, 4, 4) from around the source's centres (b, 3) to around the target's.

    Without centres, in the frustum that stands still.
    """
    if source is None or target is None:
        return Passage(motion, standing, standing)
    between = aimed_motion(motion, source, target) if config.reaim else motion
    return Passage(between, frustum_around(source, config), frustum_around(target, config))
