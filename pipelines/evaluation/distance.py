"""How well a model whose depth range travels knows the distance of an object, and how well it knows how well.

Two rows that are never mixed: estimated from one picture (each view of a scene by itself), and triangulated from all
its source pictures together. The truth is the depth of the object's centre, the world's origin, in each camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from enr.errors import EnrError
from enr.model.renderer import Renderer
from enr.model.warp import invert_rigid
from enr.pipelines.evaluation.report_content import DistanceContent, ErrorSizes

CHUNK = 32
NINE_IN_TEN, HALF = "nine_in_ten", "half"
DEFINITION = (
    "Distance: depth of the object's centre along the camera's axis, in object units, and in per cent of the true one; "
    "of every view of the scenes, estimated from that picture alone; triangulated from the source pictures together. "
    "Its 90 % and 50 % intervals: how often they hold the true one."
)


@dataclass(frozen=True)
class DistanceErrors:
    """Of some pictures.

    Attributes:
        error: (n,) what was said less the truth, in object units.
        truth: (n,) in object units.
        held: (n,) of each range, by its name, whether the truth lies in it.
    """

    error: NDArray[np.float64]
    truth: NDArray[np.float64]
    held: dict[str, NDArray[np.bool_]]

    def to_dict(self) -> DistanceContent:
        """Plain values for JSON: mean, median, 95th percentile of absolute errors, and how often the ranges hold."""
        size = np.abs(self.error)

        def sizes(values: NDArray[np.float64]) -> ErrorSizes:
            """Of absolute errors (n,)."""
            p95 = float(np.quantile(values, 0.95))
            return {"mean": float(values.mean()), "median": float(np.median(values)), "p95": p95}

        return {
            "pictures": len(size),
            "units": sizes(size),
            "percent": sizes(100 * size / self.truth),
            "bias": float(self.error.mean()),
            "held": {name: float(values.mean()) for name, values in self.held.items()},
        }


def measure_distances(
    model: Renderer, pictures: tuple[Tensor, Tensor], target_from_sources: Tensor, truth: Tensor
) -> tuple[DistanceErrors | None, DistanceErrors | None]:
    """The errors of a scene's distances, estimated from each picture alone and triangulated from its sources.

    Args:
        model: in eval mode.
        pictures: the sources (s, 3, h, w) and the targets (n, 3, h, w) in [0, 1].
        target_from_sources: (s, 4, 4) to one common frame.
        truth: (s + n,) in object units.

    Raises:
        EnrError: a distance is no number.
    """
    sources, _ = pictures
    estimated = measure_estimate(model, torch.cat(pictures), truth)
    triangulated = measure_triangulated(model, sources, target_from_sources, truth[: len(sources)])
    for errors in (estimated, triangulated):
        if errors is not None and not np.isfinite(errors.error).all():
            raise EnrError("The model's distance of an object is no number; take another checkpoint.")
    return estimated, triangulated


@torch.inference_mode()
def measure_estimate(model: Renderer, images: Tensor, truth: Tensor) -> DistanceErrors | None:
    """The errors of the estimates from one picture each; None where the model's range stands still.

    Args:
        model: in eval mode.
        images: (n, 3, h, w) in [0, 1].
        truth: (n,) in object units.
    """
    if not model.config.has_travelling_range:
        return None
    sightings = [model.look(chunk)[1] for chunk in images.split(CHUNK)]
    quantiles = torch.cat([sighting.quantiles for sighting in sightings if sighting is not None]).double().cpu()
    truth = truth.double().cpu()
    held = {
        name: ((quantiles[:, first] <= truth) & (truth <= quantiles[:, last])).numpy()
        for name, first, last in ((NINE_IN_TEN, 0, -1), (HALF, 1, -2))
    }
    return DistanceErrors((quantiles[:, quantiles.shape[1] // 2] - truth).numpy(), truth.numpy(), held)


@torch.inference_mode()
def measure_triangulated(
    model: Renderer, images: Tensor, target_from_sources: Tensor, truth: Tensor
) -> DistanceErrors | None:
    """The errors of the triangulated distances in s pictures of one object; None where there is nothing to triangulate.

    Args:
        model: in eval mode.
        images: (s, 3, h, w) in [0, 1].
        target_from_sources: (s, 4, 4) to one common frame.
        truth: (s,) in object units.
    """
    if not model.config.has_travelling_range or len(images) < 2:
        return None
    first = invert_rigid(target_from_sources)[:1] @ target_from_sources
    located = model.locate(images, first)
    distance, uncertainty = located.distance.double().cpu(), located.uncertainty.double().cpu()
    expected = truth.double().cpu()
    error = (distance - expected).numpy()
    return DistanceErrors(error, expected.numpy(), {NINE_IN_TEN: np.abs(error) <= uncertainty.numpy()})


def join_errors(errors: Sequence[DistanceErrors | None]) -> DistanceContent | None:
    """Those of many scenes together, as JSON holds them; None where nothing was measured."""
    measured = [one for one in errors if one is not None]
    if not measured:
        return None
    held = {name: np.concatenate([one.held[name] for one in measured]) for name in measured[0].held}
    error, truth = (np.concatenate([getattr(one, name) for one in measured]) for name in ("error", "truth"))
    return DistanceErrors(error, truth, held).to_dict()


def format_distance(how: str, found: DistanceContent) -> str:
    """The errors in a line; `how` is `estimated from one picture` or `triangulated from n pictures`."""
    units, percent, held = found["units"], found["percent"], found["held"]
    ranges = f"its 90 % intervals hold {held[NINE_IN_TEN]:.0%}"
    if HALF in held:
        ranges += f", its 50 % intervals {held[HALF]:.0%}"
    return (
        f"Distance {how}: error {units['mean']:.3f} mean, {units['median']:.3f} median, {units['p95']:.3f} 95th "
        f"percentile ({percent['mean']:.1f} %, {percent['median']:.1f} %, {percent['p95']:.1f} %); {ranges}"
    )
