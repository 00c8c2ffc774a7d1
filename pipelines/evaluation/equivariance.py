"""Equivariance as a number: does the scene of one picture, moved, become the scene of another picture?

Compared are the learned channels of scenes (carried colours and visibility obey the warp by construction; a detail
level shows in the pictures), over the cells whose neighbours all lie in the volume that was moved; and the pictures
that the model renders of both scenes. Beside each number stands what another view's pose gives: a scene of zeros, or
of the same value everywhere, is moved into itself by every motion. The algebra (a motion after a motion, a motion and
its inverse, no motion) is measured on the scenes of the same pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from enr.model.projection import SceneParts
from enr.model.renderer import Renderer
from enr.model.scene import AnyScene, features_of
from enr.model.warp import Cube, invert_rigid, rigid_warp
from enr.pipelines import metrics

WHOLLY_SEEN = 0.999
"""A cell whose interpolation weights inside the volume sum up to this reads nothing from outside."""

ANGLE_DEG = "angle_deg"
DISTANCE = "distance"
SEEN = "seen_share"
FEATURES = "feature_error"
FEATURES_OTHER = "feature_error_other_pose"
PICTURE = "picture_psnr_db"
PICTURE_OTHER = "picture_psnr_other_pose_db"
PICTURE_RMSE = "picture_rmse"
PICTURE_RMSE_OTHER = "picture_rmse_other_pose"
COMPOSITION = "composition_error"
COMPOSITION_OTHER = "composition_error_other_pose"
INVERSE = "inverse_error"
IDENTITY = "identity_error"

Measures = dict[str, NDArray[np.float64]]
"""One number for each pair of views, by the names above; NaN where there is nothing to measure."""


@dataclass(frozen=True)
class PosedPictures:
    """Pictures of one object with the motions between their cameras.

    Attributes:
        source: (3, height, width) in [0, 1].
        targets: (n, 3, height, width) in [0, 1].
        target_from_source: (n, 4, 4) float64 motions from the source's camera.
        other: (n,) for each target the number of another one, whose pose is the wrong one; None if there is none.
    """

    source: Tensor
    targets: Tensor
    target_from_source: Tensor
    other: Tensor | None


@dataclass(frozen=True)
class Moved:
    """Scenes after motions.

    Attributes:
        scene: (b, *config.scene_shape), with its place where the depth range travels.
        seen: (b, 1, d, h, w) share of each cell that comes from inside the volume that was moved.
    """

    scene: AnyScene
    seen: Tensor


@torch.inference_mode()
def measure_equivariance(model: Renderer, views: PosedPictures, batch_size: int = 16) -> Measures:
    """How far a model's scenes and pictures are from obeying the motions of the cameras.

    Args:
        model: in eval mode.
        views: of one object.
        batch_size: how many targets are worked on at a time.

    Returns:
        By name, (n,) each, a number for each target: `angle_deg` and `distance` (object units) of the motion,
        `seen_share` of the cells that are compared, `feature_error` |T z1 - z2| / |z2|, `picture_psnr_db` and
        `picture_rmse` of the picture of T z1 beside that of z2; the same with another target's T (`..._other_pose`);
        and the relative errors of the algebra: `composition_error` of T(b) T(a) z1 beside T(ba) z1, `inverse_error`
        of T(1/a) T(a) z1 and `identity_error` of T(1) z1 beside z1.
    """
    source = still(model, views.source[None])
    chunks = torch.arange(len(views.targets)).split(batch_size)
    parts = [_measure_chunk(model, views, source, chunk) for chunk in chunks]
    pictures = torch.cat([picture for _, picture, _ in parts])
    references = torch.cat([reference for _, _, reference in parts])
    angle_deg, distance = motion_sizes(views.target_from_source.numpy(), model.config.radius)
    measures = {ANGLE_DEG: angle_deg, DISTANCE: distance}
    measures |= {name: np.concatenate([part[name] for part, _, _ in parts]) for name in parts[0][0]}
    return measures | _picture_measures(pictures, references, views.other)


def motion_sizes(target_from_source: ArrayLike, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far motions (n, 4, 4) turn, in degrees (n,), and shift, in object units (n,).

    The shift is that of the point at `radius` in front of the camera: a turn about it shifts nothing.
    """
    motion = np.asarray(target_from_source, dtype=np.float64)
    rotation = motion[:, :3, :3]
    skew = rotation - rotation.swapaxes(1, 2)
    sine = np.linalg.norm(skew[:, [0, 0, 1], [1, 2, 2]], axis=1) / 2
    cosine = (np.trace(rotation, axis1=1, axis2=2) - 1) / 2
    centre = np.array([0.0, 0.0, radius])
    shift = rotation @ centre + motion[:, :3, 3] - centre
    return np.rad2deg(np.arctan2(sine, cosine)), np.linalg.norm(shift, axis=1)


def still(model: Renderer, images: Tensor) -> Moved:
    """The scenes of pictures (b, 3, height, width), which nothing has moved yet."""
    scene = model.inverse_render(images)
    features = features_of(scene)
    seen = features.new_ones(len(features), 1, *features.shape[2:])
    return Moved(scene, seen * model.mask.to(seen) if model.config.spherical_mask else seen)


def move(model: Renderer, moved: Moved, motion: Tensor) -> Moved:
    """Scenes, however often moved before, after one more motion (b, 4, 4)."""
    scene = model.transform(moved.scene, motion)
    if model.config.warp == "conditioned":  # a network may take anything from anywhere
        return Moved(scene, moved.seen)
    if model.config.warp == "rigid":
        cube = Cube(model.config.radius, model.config.half_side)
        return Moved(scene, rigid_warp(moved.seen, motion.to(scene.device), cube))
    seen = SceneParts.split(scene, model.config).visibility
    assert seen is not None, "a frustum's scene carries it"
    return Moved(scene, seen)


def unmoved(model: Renderer, moved: Moved) -> Moved:
    """Scenes after the motion that moves nothing, T(1)."""
    return move(model, moved, torch.eye(4, dtype=torch.float64).expand(len(moved.scene), 4, 4))


def relative_error(model: Renderer, found: Moved, expected: Moved) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """|found - expected| / |expected| over the learned channels of the cells that both have wholly seen.

    Returns:
        (b,) errors, NaN where there is no such cell or nothing is expected in them, and (b,) shares of the cells that
        were compared.
    """
    both = (found.seen.minimum(expected.seen) >= WHOLLY_SEEN).to(torch.float32)
    one, two = (SceneParts.split(moved.scene, model.config).features.float() for moved in (found, expected))
    error, size = ((part.square() * both).flatten(1).sum(1, dtype=torch.float64) for part in (one - two, two))
    relative = torch.where(size > 0, (error / size).sqrt(), torch.nan)
    return relative.cpu().numpy(), both.flatten(1).mean(1).double().cpu().numpy()


def _measure_chunk(
    model: Renderer, views: PosedPictures, source: Moved, chunk: Tensor
) -> tuple[Measures, Tensor, Tensor]:
    """The numbers of some targets, the pictures of the moved scenes, and those of the targets' own scenes."""
    z1 = Moved(source.scene.expand(len(chunk), -1, -1, -1, -1), source.seen.expand(len(chunk), -1, -1, -1, -1))
    z2 = still(model, views.targets[chunk])
    motion = views.target_from_source[chunk]
    moved = move(model, z1, motion)
    error, seen = relative_error(model, moved, z2)
    back = move(model, moved, invert_rigid(motion))
    numbers = {
        FEATURES: error,
        SEEN: seen,
        INVERSE: relative_error(model, back, z1)[0],
        IDENTITY: relative_error(model, unmoved(model, source), source)[0].repeat(len(chunk)),
        **_other_pose(model, views, chunk, z1, moved, z2),
    }
    # A network that is told the motion paints nothing that it was not told one of; elsewhere T(1) changes nothing.
    reference = unmoved(model, z2) if model.config.warp == "conditioned" else z2
    return numbers, model.render(moved.scene).clamp(0, 1), model.render(reference.scene).clamp(0, 1)


def _other_pose(model: Renderer, views: PosedPictures, chunk: Tensor, z1: Moved, moved: Moved, z2: Moved) -> Measures:
    """The numbers that need another target: the wrong pose, and the way to the target by way of the other one."""
    names = (FEATURES_OTHER, COMPOSITION, COMPOSITION_OTHER)
    if views.other is None:
        return {name: np.full(len(chunk), np.nan) for name in names}
    first = views.target_from_source[views.other[chunk]]
    second = views.target_from_source[chunk] @ invert_rigid(first)
    wrong = move(model, z1, first)
    pairs = ((wrong, z2), (move(model, wrong, second), moved), (wrong, moved))
    return {name: relative_error(model, *pair)[0] for name, pair in zip(names, pairs, strict=True)}


def _picture_measures(pictures: Tensor, references: Tensor, other: Tensor | None) -> Measures:
    measured = [(pictures, PICTURE, PICTURE_RMSE)]
    measured += [] if other is None else [(pictures[other], PICTURE_OTHER, PICTURE_RMSE_OTHER)]
    unknown = torch.full((len(pictures),), torch.nan)
    found = {} if other is not None else {PICTURE_OTHER: unknown, PICTURE_RMSE_OTHER: unknown}
    for candidate, psnr, rmse in measured:
        found[psnr] = metrics.psnr(candidate, references)
        found[rmse] = metrics.mean_squared_error(candidate, references).sqrt()
    return {name: values.double().cpu().numpy() for name, values in found.items()}
