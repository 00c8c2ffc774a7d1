"""Random views of one scene in each other's company: what a training step is fed with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enr.errors import EnrError
from enr.pipelines.data.device import in_background, pinned
from enr.pipelines.data.images import Images
from enr.pipelines.data.views import Indices, Scene, ViewSet
from enr.shards import Split
from enr.words import count_of

MIN_VIEWS = 2
"""A source and a target."""

AHEAD = 8
"""So many batches before they are needed, the system is told to fetch their pictures."""

BUFFERS = 3
"""Of pictures: the last batch, the present one, and the next, which is being read."""


@dataclass(frozen=True)
class Pairs:
    """A few views of each of some scenes, every one the target of others of its scene; by number, without pictures.

    A pair is a target with its sources, of which there are as many in each pair of a batch.

    Attributes:
        scenes: how many.
        views: (scenes * views_per_scene,) indices of views; the first view of every scene, then every second, ...
        sources: (pairs, sources) rows of `views`; for two views a scene simply every row in its order.
        target: (pairs,) rows of `views`.
        target_from_sources: (pairs, sources, 4, 4) float64 motions from each source's camera to its target's.
    """

    scenes: int
    views: Indices
    sources: Indices
    target: Indices
    target_from_sources: NDArray[np.float64]


@dataclass(frozen=True)
class Batch(Pairs):
    """Pairs with their pictures.

    Attributes:
        rgba: (len(views), height, width, 4) uint8; good until the next batch but one is taken.
    """

    rgba: Images


class PairLoader:
    """Endless random pairs of different views of one scene of a split.

    Every view is the first of its scene once per pass over the data; its companions are any other views of its scene.
    Batch number i depends on the seed and i alone, so the loader's whole state is a number. While a GPU works with a
    batch, a thread reads the pictures of the next one; a CPU would have to make room for it. The system is told what is
    next.

    With `sources` above 1 each batch has another number of sources for every target, drawn from 1 to `sources`: a
    renderer that is to be used with one picture or several must see them all in training.
    """

    def __init__(
        self,
        view_set: ViewSet,
        split: Split,
        batch_size: int,
        seed: int,
        views_per_scene: int = MIN_VIEWS,
        sources: int = 1,
        share: slice = slice(None),
    ) -> None:
        """Prepare batches of `batch_size` scenes of `split`, `views_per_scene` views each.

        Each of these views is the target of `views_per_scene - sources` pairs, all of different sources. Of each batch
        the scenes `share` are given, with the pairs that they have in it whatever the share.

        Raises:
            EnrError: the split has no scene, or a scene with too few views.
        """
        assert 1 <= sources < views_per_scene, (sources, views_per_scene)
        scenes = view_set.scenes(split)
        check_pairs(scenes, split, views_per_scene, sources)
        self.view_set, self.batch_size, self.seed = view_set, batch_size, seed
        self.views_per_scene, self.sources = views_per_scene, sources
        self.position = 0
        self.is_for_gpu = False  # whether pictures are to lie in pinned memory
        self._members: Indices = np.concatenate([scene.view_indices for scene in scenes])
        self._share = range(batch_size)[share]
        self._first = np.array([scene.first for scene in view_set.all_scenes])
        self._count = np.array([scene.count for scene in view_set.all_scenes])
        shape = (views_per_scene * len(self._share), view_set.height_px, view_set.width_px, 4)
        self._buffers = [np.zeros(shape, np.uint8) for _ in range(BUFFERS)]
        self._reading: tuple[int, Future[Images]] | None = None
        self._pass: tuple[int, Indices] = (-1, self._members)
        self._drawn: dict[int, Indices] = {}
        self._ordered = self._shared(*_ordered_pairs(batch_size, views_per_scene))

    @property
    def members(self) -> Indices:
        """The views that batches are drawn from, each once."""
        return self._members

    @property
    def pairs_per_batch(self) -> int:
        """Pictures that a whole batch asks for: of one source, one for each ordered pair of views of a scene."""
        return self.batch_size * self.views_per_scene * (self.views_per_scene - self.sources)

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            EnrError: its pictures cannot be read.
        """
        position = self.position
        self._look_ahead()
        pairs = self.draw()
        rgba = self._awaited(position)
        if rgba is None:
            rgba = self._read(position, pairs.views)
        if self.is_for_gpu:
            following = self._drawn[self.position]
            self._reading = self.position, in_background(lambda: self._read(position + 1, following))
        return Batch(**vars(pairs), rgba=rgba)

    def _read(self, position: int, views: Indices) -> Images:
        pictures = self.view_set.images(views, out=self._buffers[position % BUFFERS])
        return pinned(pictures) if self.is_for_gpu else pictures

    def _awaited(self, position: int) -> Images | None:
        """The pictures that were read meanwhile, if they are of that batch; nothing is being read afterwards."""
        reading, self._reading = self._reading, None
        if reading is None:
            return None
        number, pictures = reading
        if number == position:
            return pictures.result()
        pictures.exception()  # until it is done, a buffer is written to
        return None

    def draw(self) -> Pairs:
        """The next batch for those who have the pictures already: nothing is read."""
        drawn = self._drawn.pop(self.position, None)
        views = self._own_views(self.position) if drawn is None else drawn
        sources, target = self._ordered if self.sources == 1 else self._shared(*self._draw_sources(self.position))
        self.position += 1
        motions = self.view_set.target_from_source(views[sources], views[target][:, None])
        return Pairs(len(self._share), views, sources, target, motions)

    def _own_views(self, position: int) -> Indices:
        return self.groups(position)[:, self._share].ravel()

    def _look_ahead(self) -> None:
        """Draw the following batches, each once, and have their pictures fetched while the steps go on."""
        for position in range(self.position + 1, self.position + 1 + AHEAD):
            if position not in self._drawn:
                self._drawn[position] = self._own_views(position)
                self.view_set.expect(self._drawn[position])

    @property
    def shared_rows(self) -> Indices:
        """Which rows of a whole batch's `views` those of a batch are."""
        return np.arange(self.views_per_scene * self.batch_size).reshape(-1, self.batch_size)[:, self._share].ravel()

    def _shared(self, sources: Indices, target: Indices) -> tuple[Indices, Indices]:
        """Of a whole batch's pairs those of the shared scenes, in rows of these."""
        if len(self._share) == self.batch_size:
            return sources, target
        row = np.full(self.views_per_scene * self.batch_size, -1)
        row[self.shared_rows] = np.arange(len(self._share) * self.views_per_scene)
        kept = row[target] >= 0
        return row[sources[kept]], row[target[kept]]

    def groups(self, position: int) -> Indices:
        """The views (views_per_scene, batch_size) of batch number `position`; a column is of one scene."""
        size = len(self._members)
        places = np.arange(position * self.batch_size, (position + 1) * self.batch_size)
        first = np.concatenate(
            [self._order(number)[places[places // size == number] % size] for number in np.unique(places // size)]
        )
        rng = np.random.default_rng([self.seed, 1, position])
        scene = self.view_set.views["scene"][first]
        start, count = self._first[scene], self._count[scene]
        others = start + (first - start + self._steps(rng, count)) % count
        return np.concatenate([first[None], others])

    def _steps(self, rng: np.random.Generator, count: Indices) -> Indices:
        """How far (views_per_scene - 1, scenes) the companions stand from the first view, all different."""
        wanted = self.views_per_scene - 1
        if wanted == 1:
            return rng.integers(1, count)[None]
        return np.stack([1 + rng.choice(views - 1, wanted, replace=False) for views in count.tolist()], axis=1)

    def _draw_sources(self, position: int) -> tuple[Indices, Indices]:
        """Rows of the sources (pairs, number) and of the targets (pairs,) of batch number `position`.

        The other views of each target's scene stand in a random order on a circle; its pairs take neighbours on it,
        each beginning one place later, so that no two of them have the same sources.
        """
        rng = np.random.default_rng([self.seed, 3, position])
        number = int(rng.integers(1, self.sources + 1))
        rows = np.arange(self.views_per_scene * self.batch_size).reshape(self.views_per_scene, self.batch_size)
        others = np.stack([np.delete(rows, place, axis=0).T for place in range(self.views_per_scene)])
        circle = rng.permuted(others, axis=2)
        pairs = self.views_per_scene - self.sources
        places = (np.arange(pairs)[:, None] + np.arange(number)) % circle.shape[2]
        return circle[:, :, places].reshape(-1, number), np.repeat(rows.ravel(), pairs)

    def state_dict(self) -> dict[str, int]:
        """All that `load_state_dict` needs to go on with the same batches."""
        return {"seed": self.seed, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken."""
        self._awaited(-1)
        self.seed, self.position = int(state["seed"]), int(state["position"])
        self._pass, self._drawn = (-1, self._members), {}

    def _order(self, number: int) -> Indices:
        """The views in the random order of pass `number` over the data."""
        if self._pass[0] != number:
            rng = np.random.default_rng([self.seed, 0, int(number)])
            self._pass = (int(number), rng.permutation(self._members))
        return self._pass[1]


def _ordered_pairs(batch_size: int, views_per_scene: int) -> tuple[Indices, Indices]:
    """Rows of the sources (pairs, 1) and of the targets (pairs,), each view of a scene with each other one."""
    rows = np.arange(views_per_scene * batch_size).reshape(views_per_scene, batch_size)
    places = list(itertools.permutations(range(views_per_scene), 2))
    sources, target = (np.concatenate([rows[pair[end]] for pair in places]) for end in range(2))
    return sources[:, None], target


def check_pairs(scenes: Sequence[Scene], split: Split, views_per_scene: int = MIN_VIEWS, sources: int = 1) -> None:
    """Check that pairs can be drawn.

    Raises:
        EnrError: no scene, or a scene with too few views.
    """
    if not scenes:
        raise EnrError(f"The shards hold no scene of the split '{split}'; add meshes or change `enr datagen --split`.")
    poor = next((scene for scene in scenes if scene.count < views_per_scene), None)
    if poor is None:
        return
    where = f"Scene {poor.scene_id} ({poor.group}, {split})"
    if poor.count < MIN_VIEWS:
        raise EnrError(
            f"{where} has a single view, training needs pairs of views; "
            "make the shards with `enr datagen --views 2` or more."
        )
    raise EnrError(
        f"{where} has {poor.count} views, but {count_of(views_per_scene - sources, 'target')} from "
        f"{count_of(sources, 'source')} need {views_per_scene}; "
        f"lower `targets`{' or `sources`' * (sources > 1)}, or make the shards with more `--views`."
    )
