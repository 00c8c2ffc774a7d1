"""The parts of a mask: what hangs together, told from stray pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NOTEWORTHY = 0.02
"""What has less than this share of the largest part's pixels is no part of an object."""


def noteworthy_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its small parts; pixels hang together by their sides and corners.

    Args:
        mask: (height, width).

    Returns:
        (height, width): parts with at least `NOTEWORTHY` of the largest one's pixels.
    """
    flat = np.pad(mask, ((0, 0), (0, 1))).ravel()  # a gap behind each row, so that no run goes on in the next one
    steps = np.diff(flat.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if not len(starts):
        return mask
    labels = _joined(len(starts), *_touching(starts, ends, mask.shape[1] + 1))
    sizes = np.bincount(labels, weights=ends - starts)
    kept = np.zeros_like(mask)
    kept[mask] = np.repeat((sizes >= NOTEWORTHY * sizes.max())[labels], ends - starts)
    return kept


def _touching(
    starts: NDArray[np.int64], ends: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs of which the second touches the first, a row above."""
    first = np.searchsorted(ends, starts - width, side="left")
    counts = np.searchsorted(starts, ends - width, side="right") - first
    lower = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + within, lower


def _joined(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest number of all that each is joined to by pairs."""
    labels = np.arange(count)
    while True:
        lowest, before = np.minimum(labels[one], labels[other]), labels.copy()
        np.minimum.at(labels, before[one], lowest)
        np.minimum.at(labels, before[other], lowest)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return labels
