"""How much of what the target pictures show can the model not know, because its own picture ends before it?

Measured on the ball of diameter 1 around the world's origin, the bounding ball of an object normalised by its box's
diagonal. What one side of the object hides of the other does not count: that, a model may guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from enr.camera import invert_rigid, project
from enr.model.aiming import aim_points
from enr.model.config import RendererConfig
from enr.model.scene import frustum_around, standing_frustum
from enr.model.warp import frustum_coordinates
from enr.pipelines.data.views import Indices, ViewSet

BALL_DIAMETER = 1.0
BALL_STEPS = 12
"""Points across the ball."""
WORTH_A_WORD = 0.05
"""Mean shares above this are said in a sentence of their own."""


@dataclass(frozen=True)
class Unseen:
    """Shares in [0, 1] of one scene, means over its targets; NaN where there is nothing to measure.

    Attributes:
        beyond_picture: of the ball's points that a target picture shows, those beyond the border of the source's (of
            all of them, where the model is given several).
        beyond_volume: of the same points, those outside the model's volume around the source camera or around the
            target's; NaN for a model without a volume.
        source_clipped: of the object's true surface, what lies beyond the source picture's border (the least of them).
    """

    beyond_picture: float
    beyond_volume: float
    source_clipped: float


NOTHING_MEASURED = Unseen(math.nan, math.nan, math.nan)


def ball_points() -> NDArray[np.float64]:
    """(p, 3) evenly spaced points of the ball, in the world."""
    axis = (np.arange(BALL_STEPS) + 0.5) / BALL_STEPS - 0.5
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[np.linalg.norm(points, axis=1) <= 0.5] * BALL_DIAMETER


def measure_unseen(view_set: ViewSet, config: RendererConfig | None, sources: Indices, targets: Indices) -> Unseen:
    """What no source view shows of what the target views do.

    Args:
        view_set: the data.
        config: of the model; None if there is none, but predictions of another method.
        sources: (s,) indices of the views that the model is given.
        targets: (n,) indices of the target views.
    """
    views, count = np.concatenate([sources, targets]), len(sources)
    cameras, K = view_set.views["world_from_camera"][views], view_set.views["K"][views]
    pixels, depth = project(ball_points(), cameras, K)
    size_px = (view_set.width_px, view_set.height_px)
    shown = (depth > 0) & ((pixels >= 0) & (pixels < size_px)).all(axis=-1)
    held = None if config is None else _in_volume(cameras, config)
    # What no source's volume holds, or the target's does not.
    lost = None if held is None else np.asarray(~(held[:count].any(axis=0) & held[count:]))
    return Unseen(
        beyond_picture=_mean_share(~shown[:count].any(axis=0), shown[count:]),
        beyond_volume=math.nan if lost is None else _mean_share(lost, shown[count:]),
        source_clipped=float(view_set.views["clipped_share"][sources].min()),
    )


def _mean_share(lost: NDArray[np.bool_], shown: NDArray[np.bool_]) -> float:
    """Mean over the targets of the share of the shown points (n, p) that are lost (n, p) or (p,)."""
    counts = shown.sum(axis=1)
    shares = (shown & lost).sum(axis=1)[counts > 0] / counts[counts > 0]
    return float(shares.mean()) if len(shares) else math.nan


def _in_volume(cameras: NDArray[np.float64], config: RendererConfig) -> NDArray[np.bool_] | None:
    """(n, p) whether the ball's points lie in the model's volume around each camera (n, 4, 4)."""
    camera_from_world = invert_rigid(cameras)
    points = ball_points() @ camera_from_world[:, :3, :3].swapaxes(1, 2) + camera_from_world[:, None, :3, 3]
    if config.warp == "conditioned":
        return None
    if config.warp == "frustum":
        frustum = standing_frustum(config)
        if config.has_travelling_range:  # around the object, wherever that is
            centre = torch.from_numpy(camera_from_world[:, :3, 3])
            frustum = frustum_around(centre, config)
            if config.reaim:
                points = aim_points(torch.from_numpy(points), centre).numpy()
        inside: NDArray[np.bool_] = (frustum_coordinates(torch.from_numpy(points), frustum).abs() <= 1).all(-1).numpy()
        return inside
    in_cube = (points - [0.0, 0.0, config.radius]) / config.half_side
    reach = np.linalg.norm(in_cube, axis=-1) if config.spherical_mask else np.abs(in_cube).max(axis=-1)
    return np.asarray(reach <= 1)


def mean_unseen(scenes: Sequence[Unseen]) -> Unseen:
    """Means over scenes."""
    columns = zip(*(astuple(scene) for scene in scenes), strict=True)
    return Unseen(*(_mean(column) for column in columns))


def _mean(shares: Sequence[float]) -> float:
    kept = [share for share in shares if not math.isnan(share)]
    return sum(kept) / len(kept) if kept else math.nan


def format_unseen(unseen: Unseen) -> str:
    """The shares in a line."""
    volume = ""
    if _percent(unseen.beyond_volume) not in ("-", _percent(unseen.beyond_picture)):
        volume = f", {_percent(unseen.beyond_volume)} outside the model's volume"
    return (
        f"Unseen: {_percent(unseen.beyond_picture)} of what the targets show of the bounding sphere lies beyond the "
        f"input view{volume}; clipped in the input view: {_percent(unseen.source_clipped)} of the object's surface"
    )


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def unseen_notes(unseen: Unseen, config: RendererConfig | None) -> list[str]:
    """A sentence for each reason why a worthwhile part of the targets cannot be known; `config` as measured with."""
    notes = []
    if max(_known(unseen.beyond_picture), _known(unseen.source_clipped)) > WORTH_A_WORD:
        notes.append(
            f"the object leaves the source picture, and no model can know what is not in it: "
            f"{_percent(unseen.beyond_picture)} of what the targets show of the bounding sphere, "
            f"{_percent(unseen.source_clipped)} of its surface; other sources (--source N, --sources N), a shorter "
            "lens or a smaller box show more."
        )
    if config is not None and unseen.beyond_volume - _known(unseen.beyond_picture) > WORTH_A_WORD:
        volume = f"depth {config.near:g} to {config.far:g}" if config.warp == "frustum" else "its cube"
        if config.has_travelling_range:
            volume = f"{config.half_depth:g} before and behind the object's centre"
        notes.append(
            f"{unseen.beyond_volume:.0%} of what the targets show of the object lies outside the model's volume "
            f"({volume}), in which alone it can paint; train on views of this group for a volume that holds them."
        )
    return notes


def _known(share: float) -> float:
    return 0.0 if math.isnan(share) else share
