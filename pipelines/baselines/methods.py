"""What each method of the comparison learns from a batch, and how it predicts the views of an unseen object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from enr.camera import near_far
from enr.errors import EnrError
from enr.model.baselines.query_network import QueryNetwork
from enr.model.baselines.scene_representation import SceneRepresentationNetwork
from enr.model.losses import reconstruction_loss
from enr.model.warp import Frustum
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.machine import autocast
from enr.pipelines.training.loader import Batch

MethodName = Literal["gqn", "srn"]
TARGETS_AT_A_TIME = 32


@dataclass(frozen=True)
class Query:
    """What a method is given of one object, and what it is asked for.

    Attributes:
        images: (sources, 3, height, width) in [0, 1].
        world_from_sources: (sources, 4, 4) their absolute poses.
        world_from_targets: (n, 4, 4) the poses that are asked for.
    """

    images: Tensor
    world_from_sources: Tensor
    world_from_targets: Tensor


class Method(Protocol):
    """A method of the comparison; `network` holds all that it learns."""

    network: nn.Module

    def loss(self, batch: Batch) -> Tensor:
        """A scalar to be lowered."""

    def predict(self, query: Query) -> Tensor:
        """Pictures (n, 3, height, width) in [0, 1]."""


class QueryMethod:
    """A deterministic generative query network: every view of a batch is predicted from its partner."""

    def __init__(self, view_set: ViewSet, config: TrainConfig, device: torch.device) -> None:
        """For pictures of that view set."""
        self._view_set, self._config, self._device = view_set, config, device
        shape = (3, view_set.height_px, view_set.width_px)
        radius = float(np.median(view_set.distances(np.arange(len(view_set)))))
        self.network: nn.Module = QueryNetwork(shape, view_set.background, radius).to(device)

    def loss(self, batch: Batch) -> Tensor:
        """The renderer's own loss."""
        images = composite(torch.from_numpy(batch.rgba).to(self._device), self._view_set.background)
        poses = _poses(self._view_set, batch.views, self._device)
        with autocast(self._device, self._config.precision):
            predicted = self.network(images[batch.sources], poses[batch.sources], poses[batch.target])
        return reconstruction_loss(predicted.float(), images[batch.target], self._config.loss)[0]

    def predict(self, query: Query) -> Tensor:
        """All targets from the same sources."""
        count = len(query.world_from_targets)
        images, sources = (given.expand(count, *given.shape) for given in (query.images, query.world_from_sources))
        predicted: Tensor = self.network(images, sources, query.world_from_targets)
        return predicted


class SceneMethod:
    """A scene representation network: each view is rendered from its scene's code; an unseen scene's code is fitted."""

    def __init__(self, view_set: ViewSet, config: TrainConfig, device: torch.device) -> None:
        """For the training scenes of that view set, which all need one lens.

        Raises:
            EnrError: the views differ in their lens.
        """
        self._view_set, self._config, self._device = view_set, config, device
        intrinsics = view_set.views["K"]
        if not np.allclose(intrinsics, intrinsics[0]):
            raise EnrError("The views differ in their lens, and this network has one; give shards of one lens.")
        distances = view_set.distances(np.arange(len(view_set)))
        near, far = near_far(view_set.views["world_from_camera"], float(np.median(distances)))
        lens = Frustum(float(intrinsics[0, 0, 0]), view_set.width_px, view_set.height_px, near, far)
        scenes = len(view_set.all_scenes)
        self._scenes = SceneRepresentationNetwork(scenes, lens, view_set.background).to(device)
        self.network: nn.Module = self._scenes

    def loss(self, batch: Batch) -> Tensor:
        """The renderer's own loss, and the penalty of codes and depths."""
        images = composite(torch.from_numpy(batch.rgba).to(self._device), self._view_set.background)
        scenes = torch.from_numpy(self._view_set.views["scene"][batch.views]).to(self._device)
        with autocast(self._device, self._config.precision):
            rendered = self._scenes(self._scenes.codes(scenes), _poses(self._view_set, batch.views, self._device))
        return reconstruction_loss(rendered.images.float(), images, self._config.loss)[0] + rendered.penalty

    def predict(self, query: Query) -> Tensor:
        """All targets from the code that explains the sources best."""
        codes = self._scenes.fit(query.images[None], query.world_from_sources[None])
        chunks = query.world_from_targets.split(TARGETS_AT_A_TIME)
        return torch.cat([self._scenes(codes.expand(len(chunk), -1), chunk).images for chunk in chunks])


METHODS: dict[MethodName, type[QueryMethod] | type[SceneMethod]] = {"gqn": QueryMethod, "srn": SceneMethod}


def _poses(view_set: ViewSet, views: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(view_set.views["world_from_camera"][views]).float().to(device)
