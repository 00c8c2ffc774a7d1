"""The picture of sources, predictions and truths that goes with an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from enr.pipelines.metrics import psnr
from enr.pipelines.pictures import Picture, image_grid, to_uint8

MAX_SCENES = 7
MAX_TARGETS = 7
MAX_SOURCES = 2
CELL_PX = 128
TITLE_LETTERS = 14


@dataclass(frozen=True)
class Sample:
    """A few target views of one scene: pictures (height, width, 3) uint8.

    Attributes:
        title: its rank and the id of its mesh.
        sources: what the model was given; two of them at most.
        truths: the true pictures, spread evenly over the scene's targets.
        predictions: the model's pictures of them.
        psnr_db: mean over the targets shown.
    """

    title: str
    sources: tuple[Picture, ...]
    truths: tuple[Picture, ...]
    predictions: tuple[Picture, ...]
    psnr_db: float


def choose_ranks(psnr_db: Sequence[float]) -> list[tuple[str, int]]:
    """The scenes to show, best first: their rank in words and their index; both ends, the median and some between."""
    order = sorted(range(len(psnr_db)), key=lambda index: -psnr_db[index])
    places = np.linspace(0, len(order) - 1, min(MAX_SCENES, len(order))).round().astype(int).tolist()
    names = {places[len(places) // 2]: "median", places[-1]: "worst", places[0]: "best"}
    return [(names.get(place, f"#{place + 1}"), order[place]) for place in places]


def take_sample(title: str, sources: torch.Tensor, targets: torch.Tensor, predictions: torch.Tensor) -> Sample:
    """Keep a few targets of a scene.

    Args:
        title: of the scene.
        sources: (s, 3, height, width) in [0, 1].
        targets: (n, 3, height, width) in [0, 1].
        predictions: (n, 3, height, width) in [0, 1].
    """
    shown = np.linspace(0, len(targets) - 1, min(MAX_TARGETS, len(targets))).round().astype(int)
    truths, guesses = targets[shown].cpu(), predictions[shown].cpu()
    return Sample(
        title=title,
        sources=tuple(to_uint8(sources[:MAX_SOURCES].cpu())),
        truths=tuple(to_uint8(truths)),
        predictions=tuple(to_uint8(guesses)),
        psnr_db=float(psnr(guesses, truths).mean()),
    )


def draw_samples(samples: Sequence[Sample]) -> Image.Image:
    """Two rows for each scene: its source and true target views, and below them what the model predicts.

    A second source stands under the first.
    """
    rows: list[list[Picture | None]] = []
    labels: list[str] = []
    for sample in samples:
        first, *further = sample.sources
        rows += [[first, *sample.truths], [further[0] if further else None, *sample.predictions]]
        labels += [f"{_short(sample.title)}\ntruth", f"prediction\n{sample.psnr_db:.1f} dB"]
    targets = max(len(sample.truths) for sample in samples)
    columns = ["source", *(f"target {number}" for number in range(1, targets + 1))]
    zoom = max(1, CELL_PX // max(samples[0].sources[0].shape[:2]))
    return image_grid(rows, labels, columns, zoom)


def _short(title: str) -> str:
    return title if len(title) <= TITLE_LETTERS else f"{title[: TITLE_LETTERS - 1]}…"
