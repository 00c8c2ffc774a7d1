"""A second, finer level of the scene: what the source picture shows, in its own resolution, at a predicted depth.

The coarse volume guesses the whole object; this level only places what was seen. Every picture cell predicts how opaque
each depth on its ray is and carries its colour (and a few learned features) there. The level moves by the same motion
as the coarse one. Along the target's rays both are composited together, so that what the coarse volume believes in
front hides the detail behind it.

All channels are premultiplied with the opacity, so that resampling mixes them rightly. The level travels packed into
the coarse volume's cells (`pack`), so that a scene stays one tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from enr.model.compositing import light
from enr.model.config import COLOUR_CHANNELS, RendererConfig
from enr.model.layers import ResidualBlock, activation

HIDDEN = 16
START_LOGIT = -3.0
"""Cells start nearly transparent."""


def pack(volume: Tensor, factor: int) -> Tensor:
    """(b, c, d, factor h, factor w) to (b, c factor^2, d, h, w): each coarse cell holds its fine cells as channels."""
    by_depth = functional.pixel_unshuffle(volume.transpose(1, 2), factor)
    return by_depth.transpose(1, 2)


def unpack(packed: Tensor, factor: int) -> Tensor:
    """The inverse of `pack`."""
    by_depth = functional.pixel_shuffle(packed.transpose(1, 2), factor)
    return by_depth.transpose(1, 2)


class LiftDetail(nn.Module):
    """A picture (b, 3, h, w) and its coarse map (b, c, ...) to the level (b, 1 + channels, depth, fine h, fine w)."""

    def __init__(self, map_channels: int, config: RendererConfig) -> None:
        super().__init__()
        self._config = config
        self.from_picture = nn.Conv2d(COLOUR_CHANNELS, HIDDEN, 3, padding=1)
        self.from_map = nn.Conv2d(map_channels, HIDDEN, 1)
        self.mix = nn.Sequential(ResidualBlock(2, 2 * HIDDEN, HIDDEN), activation())
        self.alpha = nn.Conv2d(2 * HIDDEN, config.lifted_shape[1], 1)
        self.features = nn.Conv2d(2 * HIDDEN, config.detail_channels, 1) if config.detail_channels else None
        assert self.alpha.bias is not None
        nn.init.constant_(self.alpha.bias, START_LOGIT)

    def forward(self, images: Tensor, coarse: Tensor) -> Tensor:
        """The level: opacity, colour and features times opacity."""
        height, width = self._config.detail_shape
        picture = functional.adaptive_avg_pool2d(images, (height, width))
        near = enlarge(self.from_map(coarse), (height, width))
        hidden = self.mix(torch.cat([self.from_picture(picture), near], dim=1))
        alpha = torch.sigmoid(self.alpha(hidden))[:, None]
        parts = [picture] if self.features is None else [picture, self.features(hidden)]
        carried = torch.cat(parts, dim=1)[:, :, None]
        return torch.cat([alpha, carried * alpha], dim=1)


@dataclass(frozen=True)
class CoarseRays:
    """What the coarse level lays on the rays of its own cells.

    Attributes:
        alpha: (b, 1, d, h, w) opacity.
        colour: (b, 3, d, h, w) of each cell, over the background where nothing was seen.
    """

    alpha: Tensor
    colour: Tensor


def composite_levels(coarse: CoarseRays, detail: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
    """Composite both levels front to back; in a cell the detail lies in front.

    Args:
        coarse: the coarse level.
        detail: (b, 1 + channels, d, fine h, fine w): opacity, then premultiplied channels, colour first.
        background: (1, 3, 1, 1).

    Returns:
        The picture (b, 3, fine h, fine w), and maps (b, 2 + features, fine h, fine w): both levels' opacity on the ray,
        the detail's own and its composited features.
    """
    levels = torch.cat([coarse.alpha, coarse.alpha * coarse.colour], dim=1)
    fine = enlarge(levels.flatten(1, 2), detail.shape[3:]).unflatten(1, levels.shape[1:3])
    coarse_alpha, coarse_colour = fine.split((1, COLOUR_CHANNELS), dim=1)
    left = 1 - detail[:, :1].clamp(0, 1)
    in_front, remaining = light(left * (1 - coarse_alpha))
    carried = (in_front * detail).sum(2)
    behind = (in_front * left * coarse_colour).sum(2)
    opacity, colour, features = carried.split((1, COLOUR_CHANNELS, carried.shape[1] - 1 - COLOUR_CHANNELS), dim=1)
    return colour + behind + remaining * background, torch.cat([1 - remaining, opacity, features], dim=1)


def enlarge(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (b, c, h, w) in another height and width, bilinear between the middles of the pixels.

    On a CPU as two products, unless the channels come last: torch's own (2.13.0) copies the others to and fro and takes
    five times as long.
    """
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    if maps.device.type != "cpu" or not maps.is_contiguous():
        return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    with torch.autocast("cpu", enabled=False):
        rows, columns = (_interpolation(*counts).to(maps.dtype) for counts in zip(maps.shape[2:], size, strict=True))
        return rows @ (maps @ columns.T)


@lru_cache(maxsize=16)
def _interpolation(count: int, wanted: int) -> Tensor:
    """(wanted, count) float64 weights of linear interpolation between the middles of `count` cells."""
    with torch.inference_mode(False):
        eye = torch.eye(count, dtype=torch.float64)[None]
        return functional.interpolate(eye, size=wanted, mode="linear", align_corners=False)[0].T.contiguous()


class Refine(nn.Module):
    """Corrects the composited picture with what the levels' maps say; starts by leaving it alone."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, HIDDEN, 3, padding=1), activation(), nn.Conv2d(HIDDEN, COLOUR_CHANNELS, 3, padding=1)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, picture: Tensor, maps: Tensor) -> Tensor:
        """(b, 3, h, w) and (b, n, h, w) to (b, 3, h, w)."""
        corrected: Tensor = picture + self.layers(torch.cat([picture, maps], dim=1))
        return corrected
