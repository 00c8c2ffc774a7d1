"""Where objects are, told by their views alone: what the estimate of the distance is taught, and held to.

The views' boxes and poses triangulate one point for each scene; nothing is taken from the meshes, nor from where the
shards' world has its origin.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from enr.camera import invert_rigid
from enr.model.config import RendererConfig
from enr.model.scene import ray_through
from enr.model.sighting import find_boxes
from enr.model.triangulation import Rays, triangulate
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.device import sent
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training.loader import PairLoader, Pairs

FEWEST_WHOLE = 4
"""From so many views on that no border cuts, the others are left out: their boxes have their middles elsewhere."""

MOST_VIEWS = 24
"""More views of a scene than that are not read: the point hardly changes."""


class CentreTruths:
    """What a training step is told of where its objects are."""

    def __init__(self, loader: PairLoader, config: RendererConfig, train: TrainConfig) -> None:
        """For batches of that loader."""
        self._view_set, self._config, self._dropout = loader.view_set, config, train.distance_dropout
        self._whole = loader.views_per_scene * loader.batch_size
        self._rows = torch.from_numpy(loader.shared_rows)
        self._centres = Centres(loader.view_set, config)

    def distances(self, batch: Pairs, device: torch.device) -> Tensor:
        """(n,) depth of the object's centre in each view of the batch; NaN in those that are to go without."""
        known = torch.from_numpy(self._view_set.distances(batch.views)).float()
        dropped = torch.rand(self._whole)[self._rows] < self._dropout  # drawn for a whole batch, whoever takes a share
        return sent(known.masked_fill(dropped | (known <= 0), torch.nan).numpy(), device)

    def depths(self, views: ArrayLike, device: torch.device) -> Tensor:
        """(n,) depth of the triangulated centre in each of some views; NaN where nothing is shown."""
        return sent(self._centres.in_views(views)[:, 2], device)

    def centres(self, batch: Pairs, device: torch.device) -> Tensor:
        """(n, 3) the triangulated centres in the cameras of the batch's views; NaN where nothing is shown."""
        return sent(self._centres.in_views(batch.views), device)


class Centres:
    """The triangulated centre of each scene, found when it is first asked for."""

    def __init__(self, view_set: ViewSet, config: RendererConfig) -> None:
        """Nothing is read yet."""
        self._view_set, self._config = view_set, config
        self._found: dict[int, NDArray[np.float64]] = {}

    def in_views(self, views: ArrayLike) -> NDArray[np.float64]:
        """(n, 3) the centres of the objects of views (n,), in their cameras' coordinates; NaN where nothing is shown.

        The centres come from all views of their scenes: of scenes that are trained on for what is taught, of those that
        are validated on for how sure the model may be.
        """
        wanted = np.asarray(views, dtype=np.int64)
        world = np.stack([self._of_scene(scene) for scene in self._view_set.views["scene"][wanted].tolist()])
        camera_from_world = invert_rigid(self._view_set.views["world_from_camera"][wanted])
        return np.asarray((camera_from_world[:, :3, :3] @ world[:, :, None])[..., 0] + camera_from_world[:, :3, 3])

    def _of_scene(self, scene: int) -> NDArray[np.float64]:
        if scene not in self._found:
            self._found[scene] = self._triangulate(self._view_set.all_scenes[scene].view_indices)
        return self._found[scene]

    def _triangulate(self, views: NDArray[np.int64]) -> NDArray[np.float64]:
        views = views[np.linspace(0, len(views) - 1, min(len(views), MOST_VIEWS)).astype(int)]
        images = composite(torch.from_numpy(self._view_set.images(views)), self._view_set.background)
        boxes = find_boxes(images, torch.tensor(self._view_set.background))
        usable = boxes.is_whole if int(boxes.is_whole.sum()) >= FEWEST_WHOLE else boxes.is_there
        if int(usable.sum()) < 2:
            return np.full(3, np.nan)
        cameras = torch.from_numpy(self._view_set.views["world_from_camera"][views])[usable]
        direction = ray_through(boxes.middle[usable].double(), self._config)
        unknown = torch.full((len(direction),), torch.inf)
        point, _ = triangulate(Rays(direction, torch.zeros(len(direction)), unknown), cameras)
        return point.numpy()
