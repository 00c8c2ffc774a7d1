"""Measures of equivariance as means over pairs of views: by how far the motion turns, and by how far it shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from enr.pipelines.evaluation.equivariance import (
    ANGLE_DEG,
    COMPOSITION,
    COMPOSITION_OTHER,
    DISTANCE,
    FEATURES,
    FEATURES_OTHER,
    IDENTITY,
    INVERSE,
    PICTURE,
    PICTURE_OTHER,
    SEEN,
    Measures,
)
from enr.pipelines.evaluation.report_content import Bin, Means, MotionSummary
from enr.words import wrapped

ANGLE_EDGES_DEG = (0.0, 15.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)
DISTANCE_EDGES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, math.inf)
"""In object units. A bin holds its lower edge, the last one its upper edge, too."""

DEFINITION = (
    "Equivariance: |T z(x1) - z(x2)| / |z(x2)| over the learned channels of the cells that come wholly from inside the "
    "moved volume, and the picture of T z(x1) beside the picture of z(x2), which no truth enters; means over pairs of "
    "views. Another pose: the same with the motion to another target view. Turn: angle of T; shift: how far T carries "
    "the point looked at."
)
COLUMNS = (SEEN, FEATURES, FEATURES_OTHER, PICTURE, PICTURE_OTHER)
HEADERS = ("motions", "pairs", "cells\nseen", "feature\nerror", "another\npose", "picture\ndB", "another\npose")
TELLING_SHARE = 0.05
"""Errors of the right and of another pose that differ by a smaller share tell the poses apart too little to judge."""


def join(measures: Sequence[Measures]) -> Measures:
    """The measures of many scenes as those of one."""
    return {name: np.concatenate([one[name] for one in measures]) for name in measures[0]}


def summarise(measures: Measures) -> MotionSummary:
    """Means over pairs of views, as JSON holds them: of all pairs, by angle and by distance; empty bins are left out.

    Returns:
        `all`: `pairs` and every mean; `by_angle_deg` and `by_distance`: a list of the same with `from` and `to`
        (None: no end).
    """
    return {
        "all": _means(measures, np.ones(len(measures[ANGLE_DEG]), dtype=bool)),
        "by_angle_deg": _bins(measures, measures[ANGLE_DEG], ANGLE_EDGES_DEG),
        "by_distance": _bins(measures, measures[DISTANCE], DISTANCE_EDGES),
    }


def bin_numbers(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """(n,) the number of the bin that each value (n,) lies in; a bin holds its lower edge."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _bins(measures: Measures, values: NDArray[np.float64], edges: Sequence[float]) -> list[Bin]:
    numbers = bin_numbers(values, edges)
    return [
        {
            "from": edges[bin],
            "to": edges[bin + 1] if math.isfinite(edges[bin + 1]) else None,
            **_means(measures, numbers == bin),
        }
        for bin in np.unique(numbers).tolist()
    ]


def _means(measures: Measures, chosen: NDArray[np.bool_]) -> Means:
    return {"pairs": int(chosen.sum()), **{name: _mean(values[chosen]) for name, values in measures.items()}}


def _mean(values: NDArray[np.float64]) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else math.nan


def format_equivariance(summary: MotionSummary) -> str:
    """The table of a summary and its algebra, as text."""
    rows = [_row("all", summary["all"])]
    for name, unit, bins in (("turn", "°", summary["by_angle_deg"]), ("shift", "", summary["by_distance"])):
        if len(bins) > 1:
            rows += [_row(f"{name} {_range(one, unit)}", one) for one in bins]
    table = tabulate(rows, headers=HEADERS, disable_numparse=True, colalign=("left", *["right"] * (len(HEADERS) - 1)))
    means = summary["all"]
    algebra = (
        f"Algebra, relative errors: T(b) T(a) z beside T(ba) z {_number(means[COMPOSITION], 3)} (with another pose "
        f"{_number(means[COMPOSITION_OTHER], 3)}), T(1/a) T(a) z beside z {_number(means[INVERSE], 3)}, "
        f"T(1) z beside z {_number(means[IDENTITY], 3)}."
    )
    said = wrapped(f"{_verdict(means)}\n{algebra}")
    return f"Equivariance: T z(x1) beside z(x2)\n\n{table}\n\n{said}"


def _verdict(means: Means) -> str:
    """What the row of all pairs says of features and of pictures, in a sentence each."""
    features, pictures = means[FEATURES_OTHER] - means[FEATURES], means[PICTURE] - means[PICTURE_OTHER]
    if math.isnan(features) or math.isnan(pictures):
        return "There is no other pose to compare with, or no cell that both see: nothing is judged."
    share_of_error = 1 - 10 ** (-pictures / 20)  # of the root mean squared error, as the features' error is a root
    return (
        f"Moved scenes beside those of the pictures there, in the right pose and in another one: features "
        f"{_judged(features / means[FEATURES_OTHER])} ({_signed(features)}); pictures {_judged(share_of_error)} "
        f"({_signed(pictures)} dB)."
    )


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # no minus before a zero


def _judged(share: float) -> str:
    """What it says that the right pose makes an error smaller by this share (larger where negative)."""
    if abs(share) < TELLING_SHARE:
        return f"tell the poses apart too little to judge, by less than {TELLING_SHARE:.0%} of the error"
    return "agree better in the right pose" if share > 0 else "do NOT agree better in the right pose"


def _range(one: Bin, unit: str) -> str:
    end = f"to {one['to']:g}{unit}" if one["to"] is not None else "or more"
    return f"{one['from']:g}{unit} {end}"


def _row(name: str, means: Bin) -> list[str]:
    return [name, str(means["pairs"]), *(_number(means[column]) for column in COLUMNS)]


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
