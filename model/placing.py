"""From what pictures tell of their object, and what the user knows, to where each scene is placed.

Three ways to know a distance: the user gives it, several pictures triangulate it, one picture's network guesses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from enr.errors import EnrError
from enr.model.aiming import aimed_motion
from enr.model.checks import between
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene, PlacedScene, frustum_around, move_points, ray_through
from enr.model.sighting import Sighting
from enr.model.triangulation import Rays, check_agreement, triangulate
from enr.model.warp import Frustum, frustum_warp, invert_rigid

OTHER_UNITS = 2.0
"""Triangulated distances that lie by such a factor beyond those trained on are of poses in other units."""


@dataclass(frozen=True)
class Depths:
    """How far away the objects of pictures are taken to be, along the cameras' axes; each (b,), in object units.

    Attributes:
        distance: depth of the centre.
        uncertainty: half the width of the range that is to hold it nine times in ten; 0 where it is known.
        learned_uncertainty: what the renderer is told of that, see `enr.model.sighting.Sighting`.
    """

    distance: Tensor
    uncertainty: Tensor
    learned_uncertainty: Tensor


def place(
    sighting: Sighting, distance: Tensor | Depths | None, config: RendererConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """The objects' centres and how unsure their distances are; no gradient passes.

    Args:
        sighting: of b pictures.
        distance: (b,) known depth of the centres, in object units; NaN or None where it is to be estimated. Or what
            `locate` found.
        config: of the renderer.

    Returns:
        (b, 3) in the cameras' coordinates, and (b,), as those of `enr.model.scene.PlacedScene`; then (b,) the
        uncertainty that the renderer is to be told.
    """
    sighting = sighting.detach()
    depths = distance if isinstance(distance, Depths) else _known_or_estimated(sighting, distance)
    centre = ray_through(sighting.pixel, config) * depths.distance[:, None]
    return centre, depths.uncertainty, depths.learned_uncertainty


def _known_or_estimated(sighting: Sighting, distance: Tensor | None) -> Depths:
    estimated = Depths(sighting.distance, sighting.uncertainty, sighting.learned_uncertainty)
    if distance is None:
        return estimated
    known = distance.detach().to(estimated.distance)
    is_known = known.isfinite()
    return Depths(
        known.where(is_known, estimated.distance),
        estimated.uncertainty.masked_fill(is_known, 0),
        estimated.learned_uncertainty.masked_fill(is_known, 0),
    )


def locate(sighting: Sighting, target_from_sources: Tensor, config: RendererConfig) -> Depths:
    """The distance of one object in several pictures, triangulated.

    Args:
        sighting: of s pictures; those that show nothing do not count.
        target_from_sources: (s, 4, 4) motions to one common frame.
        config: of the renderer.

    Returns:
        (s,) of each picture's camera.

    Raises:
        EnrError: the pictures contradict the poses, or these are in other units than the renderer's.
    """
    sighting = sighting.detach()
    shown = sighting.boxes.is_there
    if not shown.any():
        return _known_or_estimated(sighting, None)
    direction = ray_through(sighting.pixel, config)
    rays = Rays(direction[shown], sighting.distance[shown], sighting.uncertainty[shown])
    point, unsure = triangulate(rays, target_from_sources[shown])
    depth = move_points(point, invert_rigid(target_from_sources))[..., 2].to(direction)
    _check_units(depth[shown], config)
    check_agreement(point, rays, target_from_sources[shown], reach=config.half_depth)
    # The renderer is told what it would be of one picture: the same picture twice is one picture.
    learned = replace(rays, uncertainty=sighting.learned_uncertainty[shown])
    _, told = triangulate(learned, target_from_sources[shown])
    return Depths(depth, *(_of_all(values.to(direction), shown) for values in (unsure, told)))


def _of_all(values: Tensor, shown: Tensor) -> Tensor:
    """(s,) numbers of the pictures that show something; of the others their mean."""
    return values.mean().expand(len(shown)).masked_scatter(shown, values)


def _check_units(depth: Tensor, config: RendererConfig) -> None:
    """Refuse depths (s,) of an object that are far from all that was trained on, but not those behind a camera."""
    nearest, median, farthest = (float(number) for number in (depth.min(), depth.median(), depth.max()))
    if nearest > 0 and (nearest < config.near / OTHER_UNITS or farthest > config.far * OTHER_UNITS):
        raise EnrError(
            f"By the pictures' poses the object is {nearest:.3g} to {farthest:.3g} units away, but this renderer was "
            f"trained on objects {between(config.near, config.far)}; if the poses are in other units, multiply their "
            f"translations by {config.radius / median:.2g}."
        )


def check_one_place(scenes: AnyScene, target_from_sources: Tensor, reach: float) -> None:
    """Refuse scenes (s, ...) of one object whose distances are known and put it in several places.

    Args:
        scenes: each of one picture.
        target_from_sources: (s, 4, 4) motions to one common frame.
        reach: how far they may lie from their middle, in object units.

    Raises:
        EnrError: one lies further away.
    """
    assert isinstance(scenes, PlacedScene)
    if scenes.centre.is_meta:
        return
    centre = move_points(scenes.centre, target_from_sources)
    beside = float((centre - centre.mean(0)).norm(dim=1).max())
    if not beside <= reach:
        raise EnrError(
            f"The pictures contradict the poses, or the distances: one picture's object lies {beside:.2f} units from "
            "where all together have it; give pictures of one object, each with its own pose and distance."
        )


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
    aimed = aimed_motion(motion, source, target) if config.reaim else motion
    return Passage(aimed, frustum_around(source, config), frustum_around(target, config))
