"""The building blocks of the paper's networks, in two and three dimensions.

They follow the published implementation (Dupont et al. 2020): GroupNorm and LeakyReLU(0.2) throughout, residual
blocks that narrow and widen again, 4-wide convolutions that halve or double.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from enr.model.config import group_count

Dims = Literal[2, 3]
SLOPE = 0.2
_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_CONV_TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


HEAD_SCALE = 0.1
"""The linear head starts this much smaller than torch's default, so that a new model paints the background."""


def start_at(head: nn.Module, colour: tuple[float, ...]) -> None:
    """Have a picture's last layer start at one colour, with small weights: no room for the white collapse."""
    assert isinstance(head, nn.Conv2d) and head.bias is not None
    with torch.no_grad():
        head.weight *= HEAD_SCALE
        head.bias.copy_(torch.tensor(colour))


def activation() -> nn.Module:
    """LeakyReLU with the paper's slope."""
    return nn.LeakyReLU(SLOPE, inplace=True)


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with the published number of groups."""
    return nn.GroupNorm(group_count(channels), channels)


class ResidualBlock(nn.Module):
    """(b, channels, ...) to the same shape: normalise, 1x1 to `width`, 3x3, 1x1 back, and add to the input."""

    def __init__(self, dims: Dims, channels: int, width: int) -> None:
        super().__init__()
        conv = _CONV[dims]
        self.residual = nn.Sequential(
            norm(channels),
            activation(),
            conv(channels, width, 1, bias=False),
            norm(width),
            activation(),
            conv(width, width, 3, padding=1, bias=False),
            norm(width),
            activation(),
            conv(width, channels, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The block's output, of the input's shape."""
        output: Tensor = features + self.residual(features)
        return output


class ResNet(nn.Module):
    """A 1x1 convolution to the first width, then one layer for each (width, stride); (b, in, ...) to (b, out, ...).

    Args:
        dims: 2 for maps, 3 for volumes.
        in_channels: channels of the input.
        channels: widths; empty makes the network the identity (apart from `out_channels`).
        strides: 1 residual block, 2 halving, -2 doubling convolution.
        out_channels: channels after a last 1x1 convolution; None leaves it out.
    """

    def __init__(
        self,
        dims: Dims,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        conv = _CONV[dims]
        layers: list[nn.Module] = [conv(in_channels, channels[0], 1)] if channels else []
        current = channels[0] if channels else in_channels
        for width, stride in zip(channels, strides, strict=True):
            if stride == 1:
                layers.append(ResidualBlock(dims, current, width))
                continue
            layers += [_resample(dims, current, width, stride), norm(width), activation()]
            current = width
        if out_channels is not None:
            layers.append(conv(current, out_channels, 1))
        self.layers = nn.Sequential(*layers)
        self.out_channels = current if out_channels is None else out_channels
        self.is_volumetric = dims == 3 and bool(layers)

    def forward(self, features: Tensor) -> Tensor:
        """The network's output."""
        if self.is_volumetric and features.device.type == "cpu":
            # The bfloat16 gradients of torch's small 3D convolutions on a CPU (2.13.0) read memory that nothing wrote.
            with torch.autocast("cpu", enabled=False):
                return self._pass_through(features.to(next(self.parameters()).dtype))
        return self._pass_through(features)

    def _pass_through(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features)
        return output


class CellConv(nn.Conv3d):
    """A 1x1x1 convolution; on a CPU the one product that it is: torch's own (2.13.0) takes twice as long from 16 scenes
    on, nine times for a single channel.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """(b, in_channels, d, h, w) to (b, out_channels, d, h, w)."""
        # Only asked about the CPU: torch knows no autocast on the device `meta`, on which parameters are counted.
        if volume.device.type != "cpu" or torch.is_autocast_enabled("cpu") or self.bias is None:
            return super().forward(volume)
        weight = self.weight.flatten(1).expand(len(volume), -1, -1)
        return torch.baddbmm(self.bias[:, None], weight, volume.flatten(2)).unflatten(2, volume.shape[2:])


class Pointwise(nn.Module):
    """1x1 convolutions through `widths` with LeakyReLU (and GroupNorm, if `normalise`) between, not after the last."""

    def __init__(self, dims: Dims, in_channels: int, widths: Sequence[int], normalise: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            layers.append((CellConv if dims == 3 else nn.Conv2d)(in_channels, width, kernel_size=1))
            if index < len(widths) - 1:
                layers += [norm(width), activation()] if normalise else [activation()]
            in_channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(b, widths[-1], ...)."""
        output: Tensor = self.layers(features)
        return output


def _resample(dims: Dims, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    kind = _CONV[dims] if stride > 0 else _CONV_TRANSPOSED[dims]
    return kind(in_channels, out_channels, kernel_size=4, stride=2, padding=1)
