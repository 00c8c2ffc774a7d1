"""The comparison without equivariance: a network that is told the camera's motion instead of a volume that is moved."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from enr.model.config import RendererConfig
from enr.model.layers import activation

POSE_NUMBERS = 12
POSE_WIDTH = 64


class PoseConditioning(nn.Module):
    """A scene code and a relative pose, each through its own layers, concatenated, to the code of the moved scene.

    After Tatarchenko et al. 2016, whom the paper compares with (Dupont et al. 2020). A picture's code is
    one vector, so that any place can influence any other: a turn moves everything.
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self._shape, self._radius = config.scene_shape, config.radius
        width = config.conditioning_width
        self.squeeze = nn.Sequential(nn.Linear(math.prod(self._shape), width), activation())
        self.pose = nn.Sequential(
            nn.Linear(POSE_NUMBERS, POSE_WIDTH), activation(), nn.Linear(POSE_WIDTH, POSE_WIDTH), activation()
        )
        self.mix = nn.Sequential(
            nn.Linear(width + POSE_WIDTH, width), activation(), nn.Linear(width, width), activation()
        )
        self.spread = nn.Linear(width, math.prod(self._shape))

    def forward(self, scene: Tensor, motion: Tensor) -> Tensor:
        """(b, *config.scene_shape) and target_from_source (b, 4, 4) to (b, *config.scene_shape)."""
        rotation, translation = motion[:, :3, :3].flatten(1), motion[:, :3, 3] / self._radius
        numbers = torch.cat([rotation, translation], dim=1).to(self.spread.weight.dtype)
        code = torch.cat([self.squeeze(scene.flatten(1)), self.pose(numbers)], dim=1)
        moved: Tensor = self.spread(self.mix(code)).unflatten(1, self._shape)
        return moved
