"""A generative query network without its random variables: absolute poses in, a picture out (Eslami et al. 2018).

Its parts are the article's at an eighth to a half of its widths: a tower that makes a map of each picture and its pose,
the maps' sum as the scene, and a recurrent generator that draws on a canvas, told the pose that is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from enr.errors import EnrError
from enr.model.baselines import POSE_NUMBERS, pose_numbers
from enr.model.layers import activation

SCALE = 4
"""The scene's maps have the picture's size over this."""
SCENE_CHANNELS, HIDDEN_CHANNELS, CANVAS_CHANNELS = 128, 96, 32
DRAWS = 6
"""Steps of the generator."""


class QueryNetwork(nn.Module):
    """Pictures with absolute poses, and the pose that is asked for, to the picture there."""

    def __init__(
        self, image_shape: tuple[int, int, int], background: tuple[float, float, float], radius: float
    ) -> None:
        """For pictures (3, height, width) over a background, cameras about `radius` from the origin.

        Raises:
            EnrError: height or width is no multiple of 4.
        """
        super().__init__()
        _, height, width = image_shape
        if height % SCALE or width % SCALE:
            raise EnrError(f"Pictures of {width}x{height} px do not fit the query network; give a multiple of {SCALE}.")
        self._radius, self._size = radius, (height // SCALE, width // SCALE)
        self.see = nn.Sequential(
            nn.Conv2d(3, 64, 2, stride=2), activation(), nn.Conv2d(64, 64, 3, padding=1), activation(),
            nn.Conv2d(64, 128, 2, stride=2), activation(),
        )  # fmt: skip
        self.place = nn.Sequential(
            nn.Conv2d(128 + POSE_NUMBERS, 128, 3, padding=1), activation(), nn.Conv2d(128, 128, 3, padding=1),
            activation(), nn.Conv2d(128, SCENE_CHANNELS, 1),
        )  # fmt: skip
        self.gates = nn.Conv2d(
            SCENE_CHANNELS + POSE_NUMBERS + HIDDEN_CHANNELS, 4 * HIDDEN_CHANNELS, kernel_size=3, padding=1
        )
        self.draw = nn.ConvTranspose2d(HIDDEN_CHANNELS, CANVAS_CHANNELS, SCALE, stride=SCALE)
        self.finish = nn.Conv2d(CANVAS_CHANNELS, 3, 3, padding=1)
        nn.init.zeros_(self.finish.weight)
        self.finish.bias = nn.Parameter(torch.tensor(background))

    def forward(self, images: Tensor, world_from_sources: Tensor, world_from_target: Tensor) -> Tensor:
        """Predict the picture of one camera from those of others.

        Args:
            images: (b, sources, 3, height, width) in [0, 1].
            world_from_sources: (b, sources, 4, 4) their absolute poses.
            world_from_target: (b, 4, 4) the pose that is asked for.

        Returns:
            (b, 3, height, width); in training a little outside [0, 1], too.
        """
        maps = torch.cat([self.see(images.flatten(0, 1)), self._pose_maps(world_from_sources.flatten(0, 1))], dim=1)
        scene = self.place(maps).unflatten(0, images.shape[:2]).sum(dim=1)
        pictures = self._generate(torch.cat([scene, self._pose_maps(world_from_target)], dim=1))
        return pictures if self.training else pictures.clamp(0, 1)

    def _pose_maps(self, world_from_camera: Tensor) -> Tensor:
        """(n, 12, *size): each pose's numbers at every place."""
        return pose_numbers(world_from_camera, self._radius)[..., None, None].expand(-1, -1, *self._size)

    def _generate(self, told: Tensor) -> Tensor:
        """A convolutional LSTM that is told the same at each step and adds to a canvas."""
        hidden = cell = told.new_zeros(len(told), HIDDEN_CHANNELS, *self._size)
        canvas: Tensor | float = 0.0
        for _ in range(DRAWS):
            take, forget, give, new = self.gates(torch.cat([told, hidden], dim=1)).chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(take) * torch.tanh(new)
            hidden = torch.sigmoid(give) * torch.tanh(cell)
            canvas = canvas + self.draw(hidden)
        pictures: Tensor = self.finish(canvas)
        return pictures
