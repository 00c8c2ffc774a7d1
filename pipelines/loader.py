"""Random views of one scene in each other's company: what a training step is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enr.errors import EnrError
from enr.pipelines.data import Indices, Scene, ViewSet
from enr.pipelines.images import Images
from enr.shards import Split


@dataclass(frozen=True)
class Batch:
    """Pairs of views of a scene, both ways: row i and row i + pairs are each other's target.

    Attributes:
        views: (2 pairs,) indices of the source views.
        rgba: (2 pairs, height, width, 4) uint8; the buffer is used again for the next batch but one.
        target_from_source: (2 pairs, 4, 4) float64 motions from row i's camera to its target's.
    """

    views: Indices
    rgba: Images
    target_from_source: NDArray[np.float64]


class PairLoader:
    """Endless random pairs of different views of one scene of a split.

    Every view is the first of a pair once per pass over the data; its partner is any other view of its scene.
    Batch number i depends on the seed and i alone, so the loader's whole state is a number.
    """

    def __init__(self, view_set: ViewSet, split: Split, batch_size: int, seed: int) -> None:
        """Prepare pairs of `split`, `batch_size` pairs a batch.

        Raises:
            EnrError: the split has no scene, or a scene with a single view.
        """
        scenes = view_set.scenes(split)
        check_pairs(scenes, split)
        self.view_set, self.batch_size, self.seed = view_set, batch_size, seed
        self.position = 0
        self._members = np.concatenate([scene.view_indices for scene in scenes])
        self._first = np.array([scene.first for scene in view_set.all_scenes])
        self._count = np.array([scene.count for scene in view_set.all_scenes])
        shape = (2 * batch_size, view_set.height_px, view_set.width_px, 4)
        self._buffers = (np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
        self._pass: tuple[int, Indices] = (-1, self._members)

    def __next__(self) -> Batch:
        """The next batch."""
        first, second = self.pairs(self.position)
        views = np.concatenate([first, second])
        partners = np.concatenate([second, first])
        rgba = self.view_set.images(views, out=self._buffers[self.position % 2])
        self.position += 1
        return Batch(views, rgba, self.view_set.target_from_source(views, partners))

    def pairs(self, position: int) -> tuple[Indices, Indices]:
        """The views (pairs,) and (pairs,) of batch number `position`."""
        size = len(self._members)
        places = np.arange(position * self.batch_size, (position + 1) * self.batch_size)
        first = np.concatenate(
            [self._order(number)[places[places // size == number] % size] for number in np.unique(places // size)]
        )
        rng = np.random.default_rng([self.seed, 1, position])
        scene = self.view_set.views["scene"][first]
        start, count = self._first[scene], self._count[scene]
        second = start + (first - start + rng.integers(1, count)) % count
        return first, second

    def state_dict(self) -> dict[str, int]:
        """All that `load_state_dict` needs to go on with the same batches."""
        return {"seed": self.seed, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken."""
        self.seed, self.position = int(state["seed"]), int(state["position"])
        self._pass = (-1, self._members)

    def _order(self, number: int) -> Indices:
        """The views in the random order of pass `number` over the data."""
        if self._pass[0] != number:
            rng = np.random.default_rng([self.seed, 0, int(number)])
            self._pass = (int(number), rng.permutation(self._members))
        return self._pass[1]


def check_pairs(scenes: Sequence[Scene], split: Split) -> None:
    """Check that pairs can be drawn.

    Raises:
        EnrError: no scene, or a scene with a single view.
    """
    if not scenes:
        raise EnrError(f"The shards hold no scene of the split '{split}'; add meshes or change `enr datagen --split`.")
    single = next((scene for scene in scenes if scene.count < 2), None)
    if single is not None:
        raise EnrError(
            f"Scene {single.scene_id} ({single.group}, {split}) has a single view, training needs pairs of views; "
            "make the shards with `enr datagen --views 2` or more."
        )
