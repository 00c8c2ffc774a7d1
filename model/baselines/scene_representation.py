"""A scene representation network: a code for each scene, whose network is marched through along the rays.

After Sitzmann et al. 2019, small: a hypernetwork makes a scene's network of its code; the network turns a point of the
world into features; a recurrent marcher finds where each ray ends; a network for single pixels makes its colour. An
unseen scene has no code: one is optimised on its pictures, whose absolute poses must be known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from enr.model.layers import activation
from enr.model.warp import Frustum, frustum_rays

CODE_WIDTH, FEATURE_WIDTH, MARCHER_WIDTH = 128, 64, 16
LAYERS = 3
MARCHES = 8
"""Steps along each ray."""
CODE_PENALTY, DEPTH_PENALTY = 1e-3, 1e-3
"""Weights of the codes' squares and of depths before the camera."""
FITTING_STEPS, FITTING_RATE = 100, 0.01


@dataclass(frozen=True)
class Rendered:
    """What a camera sees of the scene of a code.

    Attributes:
        images: (b, 3, height, width).
        penalty: scalar, to be added to the loss: of the codes and of depths before the camera.
    """

    images: Tensor
    penalty: Tensor


class SceneRepresentationNetwork(nn.Module):
    """Codes of scenes with absolute poses to pictures."""

    rays: Tensor

    def __init__(self, scenes: int, lens: Frustum, background: tuple[float, float, float]) -> None:
        """For so many training scenes, pictures of that lens over a background; rays begin at its near end."""
        super().__init__()
        self._lens = lens
        self.codes = nn.Embedding(scenes, CODE_WIDTH)
        nn.init.normal_(self.codes.weight, std=0.01)
        sizes = [(3, FEATURE_WIDTH), *[(FEATURE_WIDTH, FEATURE_WIDTH)] * (LAYERS - 1)]
        self.hyper = nn.ModuleList(_HyperLinear(inputs, outputs) for inputs, outputs in sizes)
        self.marcher = nn.LSTMCell(FEATURE_WIDTH, MARCHER_WIDTH)
        self.stride = nn.Linear(MARCHER_WIDTH, 1)
        self._near = float(lens.near)
        nn.init.constant_(self.stride.bias, (float(lens.far) - self._near) / 2 / MARCHES)
        last = nn.Linear(FEATURE_WIDTH, 3)
        last.bias.data.copy_(torch.tensor(background))
        self.colour = nn.Sequential(
            nn.Linear(FEATURE_WIDTH, FEATURE_WIDTH), activation(), nn.Linear(FEATURE_WIDTH, FEATURE_WIDTH),
            activation(), last,
        )  # fmt: skip
        rays = frustum_rays((lens.height_px, lens.width_px), lens)
        self.register_buffer("rays", rays.reshape(-1, 3).float(), persistent=False)

    def forward(self, codes: Tensor, world_from_camera: Tensor) -> Rendered:
        """Render the scenes of codes (b, 128) from absolute poses (b, 4, 4)."""
        layers = [layer(codes) for layer in self.hyper]
        poses = world_from_camera.float()
        origin = poses[:, None, :3, 3]
        direction = self.rays @ poses[:, :3, :3].transpose(1, 2)
        depth = direction.new_full((*direction.shape[:2], 1), self._near)
        state: tuple[Tensor, Tensor] | None = None
        for _ in range(MARCHES):
            features = _evaluate(layers, origin + depth * direction)
            state = self.marcher(features.flatten(0, 1), state)
            depth = depth + self.stride(state[0]).unflatten(0, depth.shape[:2])
        colours = self.colour(_evaluate(layers, origin + depth * direction))
        images = colours.transpose(1, 2).unflatten(2, (self._lens.height_px, self._lens.width_px))
        penalty = CODE_PENALTY * codes.square().mean() + DEPTH_PENALTY * depth.clamp_max(0).square().mean()
        return Rendered(images if self.training else images.clamp(0, 1), penalty)

    def fit(self, images: Tensor, world_from_sources: Tensor) -> Tensor:
        """Codes (b, 128) of unseen scenes: those that explain their pictures best, found by Adam from the mean code.

        Args:
            images: (b, sources, 3, height, width) in [0, 1].
            world_from_sources: (b, sources, 4, 4) their absolute poses.
        """
        with torch.enable_grad():
            codes = self.codes.weight.detach().mean(0).repeat(len(images), 1).requires_grad_()
            optimizer = torch.optim.Adam([codes], lr=FITTING_RATE)
            for _ in range(FITTING_STEPS):
                rendered = self(codes.repeat_interleave(images.shape[1], dim=0), world_from_sources.flatten(0, 1))
                loss = (rendered.images - images.flatten(0, 1)).square().mean() + rendered.penalty
                (codes.grad,) = torch.autograd.grad(loss, codes)
                optimizer.step()
        return codes.detach()


class _HyperLinear(nn.Module):
    """A scene's code to the weights (b, inputs, outputs) and the bias (b, 1, outputs) of one of its layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self._shape = (inputs, outputs)
        last = nn.Linear(CODE_WIDTH, (inputs + 1) * outputs)
        self.layers = nn.Sequential(nn.Linear(CODE_WIDTH, CODE_WIDTH), activation(), last)
        # The scene's own layers start as any layer would, and all scenes alike.
        nn.init.normal_(last.weight, std=0.01 / CODE_WIDTH**0.5)
        start = torch.zeros(inputs + 1, outputs)
        nn.init.kaiming_normal_(start[:inputs], mode="fan_out")
        last.bias.data.copy_(start.flatten())

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        inputs, outputs = self._shape
        numbers = self.layers(codes).unflatten(1, (inputs + 1, outputs))
        return numbers[:, :inputs], numbers[:, inputs:]


def _evaluate(layers: list[tuple[Tensor, Tensor]], points: Tensor) -> Tensor:
    """The scenes' networks at points (b, n, 3) of the world: features (b, n, 64)."""
    features = points
    for weight, bias in layers:
        features = nn.functional.leaky_relu(nn.functional.layer_norm(features @ weight + bias, bias.shape[-1:]), 0.2)
    return features
