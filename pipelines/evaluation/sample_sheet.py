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
"""Of a scene's id its end is shown: ids of one kind begin alike."""


@dataclass(frozen=True)
class Sample:
    """A few target views of one scene: pictures (height, width, 3) uint8.

    Attributes:
        title: its rank in words, and the id of its mesh.
        views: the numbers of the targets shown.
        sources: what the model was given; two of them at most.
        truths: the true pictures, spread evenly over the scene's targets.
        predictions: the model's pictures of them.
        psnr_db: mean over the targets shown.
    """

    title: tuple[str, str]
    views: tuple[int, ...]
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


def take_sample(
    title: tuple[str, str], views: Sequence[int], sources: torch.Tensor, pictures: tuple[torch.Tensor, torch.Tensor]
) -> Sample:
    """Keep a few targets of a scene.

    Args:
        title: its rank in words, and its id.
        views: (n,) numbers of the targets.
        sources: (s, 3, height, width) in [0, 1].
        pictures: the targets and the predictions, each (n, 3, height, width) in [0, 1].
    """
    shown = np.linspace(0, len(views) - 1, min(MAX_TARGETS, len(views))).round().astype(int)
    truths, guesses = (images[shown].cpu() for images in pictures)
    return Sample(
        title=title,
        views=tuple(int(views[place]) for place in shown),
        sources=tuple(to_uint8(sources[:MAX_SOURCES].cpu())),
        truths=tuple(to_uint8(truths)),
        predictions=tuple(to_uint8(guesses)),
        psnr_db=float(psnr(guesses, truths).mean()),
    )


def draw_samples(samples: Sequence[Sample]) -> Image.Image:
    """Two rows for each scene: its sources and true target views, and below them what the model predicts."""
    rows: list[list[Picture | None]] = []
    labels: list[str] = []
    for sample in samples:
        nothing = [None] * len(sample.sources)
        rows += [[*sample.sources, *sample.truths], [*nothing, *sample.predictions]]
        rank, scene_id = sample.title
        end = scene_id if len(scene_id) <= TITLE_LETTERS else f"…{scene_id[1 - TITLE_LETTERS :]}"
        labels += [f"{rank}\n{end}\ntruth", f"prediction\n{sample.psnr_db:.1f} dB"]
    zoom = max(1, CELL_PX // max(samples[0].sources[0].shape[:2]))
    return image_grid(rows, labels, column_heads(samples), zoom)


def column_heads(samples: Sequence[Sample]) -> list[str]:
    """Over each column what it holds: the view's number where it is the same for all scenes."""
    sources = len(samples[0].sources)
    heads = ["source", "2nd source"][:sources]
    if len({sample.views for sample in samples}) == 1:
        return heads + [f"view {number}" for number in samples[0].views]
    targets = max(len(sample.truths) for sample in samples)
    return heads + [f"target {number}" for number in range(1, targets + 1)]
