"""What a model must beat: predictions that need no model. Every floor of the project is computed here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

BACKGROUND = "background"
COPIED_INPUT = "copied_input"
MEAN_OF_TARGETS = "mean_of_targets"
FLOORS = (BACKGROUND, COPIED_INPUT, MEAN_OF_TARGETS)
BLIND_FLOORS = (BACKGROUND, COPIED_INPUT)
"""The floors that see no target. The mean of the targets is an oracle: no model is given them."""


def floor_predictions(
    source: torch.Tensor, targets: torch.Tensor, background: Sequence[float]
) -> dict[str, torch.Tensor]:
    """What each floor predicts for the target views of one scene.

    Args:
        source: (3, height, width) the picture that a model is given.
        targets: (n, 3, height, width) the true pictures.
        background: three sRGB numbers in [0, 1].

    Returns:
        By the names of `FLOORS`, (n, 3, height, width) each: the bare background, a copy of the source, and the mean
        of all targets (which is not rounded to 8 bits).
    """
    blank = torch.tensor(background, dtype=targets.dtype, device=targets.device).view(3, 1, 1)
    return {
        BACKGROUND: blank.expand_as(targets),
        COPIED_INPUT: source.expand_as(targets),
        MEAN_OF_TARGETS: targets.mean(dim=0).expand_as(targets),
    }


def background_name(background: Sequence[float]) -> str:
    """`white`, `black` or `red 0.2, green 0.3, blue 1`: the colour of a picture of nothing."""
    names: dict[tuple[float, ...], str] = {(1.0, 1.0, 1.0): "white", (0.0, 0.0, 0.0): "black"}
    return names.get(tuple(background), "red {:.3g}, green {:.3g}, blue {:.3g}".format(*background))


def derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order (count,) of 0 ... count - 1 in which nothing stays in its place: one cycle through all of them.

    Args:
        count: at least 2; a single thing cannot leave its place.
        rng: where the order comes from.
    """
    assert count >= 2, count
    order = rng.permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
