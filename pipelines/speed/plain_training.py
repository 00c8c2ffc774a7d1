"""The plain way to train the same model on the same shards: float32, eager, a `DataLoader` with a worker for each core.

What `enr train` does besides is measured against it: nothing here stays on the device between steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from enr.datagen.workers.pool import default_workers
from enr.model import Renderer
from enr.model.losses import reconstruction_loss
from enr.pipelines.config import Config
from enr.pipelines.data.views import ViewSet, composite

MOST_WORKERS = 8


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """A view, and one of the same scene at random: their pictures (2, height, width, 4) and motions (2, 4, 4)."""

    def __init__(self, view_set: ViewSet) -> None:
        """Of the scenes that are trained on."""
        self._view_set = view_set
        self._pairs = [scene.view_indices for scene in view_set.scenes("train") if scene.count > 1]
        self._scene_of = np.repeat(np.arange(len(self._pairs)), [len(views) for views in self._pairs])
        self._first = np.concatenate(self._pairs)

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        view = self._first[number]
        others = self._pairs[self._scene_of[number]]
        other = others[int(torch.randint(len(others), ()))]
        pair, back = np.array([view, other]), np.array([other, view])
        rgba, motion = self._view_set.images(pair), self._view_set.target_from_source(pair, back)
        return torch.from_numpy(np.array(rgba)), torch.from_numpy(motion)


class PlainTrainer:
    """One model and its loader, and a step that makes and waits for everything in turn."""

    def __init__(self, config: Config, view_set: ViewSet, device: torch.device) -> None:
        """A new model on `device`."""
        self._config, self._view_set, self._device = config, view_set, device
        self._model = Renderer(config.model).to(device).train()
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=config.train.learning_rate)
        workers = min(MOST_WORKERS, default_workers()) if device.type == "cuda" else 0
        loader = DataLoader(PairDataset(view_set), config.train.batch_size, True, num_workers=workers, drop_last=True)
        self._batches = _endless(loader)

    @property
    def pictures_per_step(self) -> int:
        """Pictures that a step renders."""
        return 2 * self._config.train.batch_size

    def train_step(self) -> float:
        """One step; its loss, for which it waits."""
        rgba, motion = (part.flatten(0, 1).to(self._device) for part in next(self._batches))
        images = composite(rgba, self._view_set.background)
        targets = images.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        loss, _ = reconstruction_loss(self._model(images, motion), targets, self._config.train.loss)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
