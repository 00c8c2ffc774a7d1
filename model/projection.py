"""From the scene's volume to a feature map: the paper's folding, and alpha compositing along the ray."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from enr.model.compositing import compositing_weights, transmittance
from enr.model.config import COLOUR_CHANNELS, VISIBILITY_CHANNELS, RendererConfig
from enr.model.detail import CoarseRays, composite_levels, pack, unpack
from enr.model.layers import CellConv, Pointwise, activation
from enr.model.scene import AnyScene, PlacedScene
from enr.model.warp import at_least_float32

START_ALPHA = 0.1
"""Opacity of a cell before training: low, so that light (and the gradient) reaches every depth."""


@dataclass(frozen=True)
class SceneParts:
    """A scene (b, c, d, h, w) taken apart, in the order of its channels; then the place of its object.

    Attributes:
        features: (b, channels, d, h, w) what the network has learned.
        detail: (b, channels, d, fine h, fine w) the detail level (`enr.model.detail`); or None.
        colour: (b, 3, d, h, w) the source's colours, each on its own ray, times the visibility; or None.
        visibility: (b, 1, d, h, w) share of each cell that the source's frustum has seen; or None (rigid warp).
        centre: (b, 3) and
        uncertainty: (b,), as those of `PlacedScene`; or None (the depth range stands still).
    """

    features: Tensor
    detail: Tensor | None
    colour: Tensor | None
    visibility: Tensor | None
    centre: Tensor | None = None
    uncertainty: Tensor | None = None

    @classmethod
    def split(cls, scene: AnyScene, config: RendererConfig) -> SceneParts:
        """The parts of a scene made by a renderer of that config, with or without its detail level."""
        if isinstance(scene, PlacedScene):
            return replace(cls.split(scene.features, config), centre=scene.centre, uncertainty=scene.uncertainty)
        learned = config.feature_channels
        carried = (COLOUR_CHANNELS * config.carry_colour, VISIBILITY_CHANNELS * config.has_visibility)
        sizes = (learned, scene.shape[1] - learned - sum(carried), *carried)
        features, packed, colour, visibility = scene.split(sizes, dim=1)
        return cls(
            features=features,
            detail=unpack(packed, config.detail_factor) if packed.shape[1] else None,
            colour=colour if config.carry_colour else None,
            visibility=visibility if config.has_visibility else None,
        )

    def __getitem__(self, rows: Tensor) -> SceneParts:
        """Those of some of the scenes."""
        optional = (self.detail, self.colour, self.visibility, self.centre, self.uncertainty)
        return SceneParts(self.features[rows], *(None if part is None else part[rows] for part in optional))

    def shown(self, within: Tensor) -> SceneParts:
        """As it is where pictures show only a share (b, 1, height, width) of each pixel: the detail level has no more.

        The coarse level guesses the rest, as it guesses what is hidden.
        """
        if self.detail is None:
            return self
        share = functional.adaptive_avg_pool2d(within, (self.detail.shape[3], self.detail.shape[4]))
        return replace(self, detail=self.detail * share[:, :, None].to(self.detail))

    def scene(self, config: RendererConfig) -> AnyScene:
        """The scene, (b, *config.scene_shape); the inverse of `split`."""
        joined = self.join(config)
        if self.centre is None or self.uncertainty is None:
            return joined
        return PlacedScene(joined, self.centre, self.uncertainty)

    def join(self, config: RendererConfig) -> Tensor:
        """The scene's tensor, (b, *config.scene_shape), without a place."""
        detail = None if self.detail is None else pack(self.detail, config.detail_factor).to(self.features)
        parts = [part for part in (self.features, detail, self.colour, self.visibility) if part is not None]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class ProjectedScene:
    """What the picture-side network gets.

    Attributes:
        features: (b, channels, h, w).
        colour: (b, 3, h, w) the composited colours over the background, or None where none are carried.
        opacity: (b, 1, h, w) accumulated alpha, or None (`fold`).
        depth_share: (b, 1, h, w) expected depth as a share of the way from near to far, where opaque; or None.
        detail_maps: (b, n, fine h, fine w) of the detail level, in whose resolution `colour` is then; or None.
    """

    features: Tensor
    colour: Tensor | None = None
    opacity: Tensor | None = None
    depth_share: Tensor | None = None
    detail_maps: Tensor | None = None


class Fold(nn.Module):
    """The paper's projection: depth folded into channels, then 1x1 convolutions."""

    def __init__(self, in_channels: int, config: RendererConfig) -> None:
        super().__init__()
        widths = config.num_channels_projection
        self.pointwise = Pointwise(2, in_channels * config.lifted_shape[1], widths)
        self.out_channels = widths[-1]

    def forward(self, volume: Tensor, parts: SceneParts) -> ProjectedScene:
        """(b, c, d, h, w) to a map of (b, out_channels, h, w)."""
        return ProjectedScene(self.pointwise(volume.flatten(1, 2)))


class Composite(nn.Module):
    """Front-to-back alpha compositing of per-cell features along the ray.

    The cells' own networks have no normalisation: a mean over the whole volume would make one cell's opacity depend
    on all others, moved or not. A cell that the source has not seen is transparent in proportion.
    """

    background: Tensor

    def __init__(self, in_channels: int, config: RendererConfig) -> None:
        super().__init__()
        widths = config.num_channels_projection
        # No linear layer follows the last activation: it would commute with compositing, and is cheaper after it.
        self.cell = nn.Sequential(Pointwise(3, in_channels, widths, normalise=False), activation())
        self.alpha = CellConv(widths[-1], 1, kernel_size=1)
        # The rigid cube's depth index falls with the distance, the frustum's rises.
        self.reverse = config.warp == "rigid"
        self.register_buffer("background", torch.tensor(config.background).reshape(1, 3, 1, 1), persistent=False)
        self.out_channels = widths[-1] + 2 + (COLOUR_CHANNELS if config.carry_colour else 0)
        self._start_transparent()

    def _start_transparent(self) -> None:
        assert self.alpha.bias is not None
        with torch.no_grad():
            self.alpha.weight *= 0.1
            self.alpha.bias.fill_(math.log(START_ALPHA / (1 - START_ALPHA)))

    def forward(self, volume: Tensor, parts: SceneParts) -> ProjectedScene:
        """(b, c, d, h, w) to a map of (b, out_channels, h, w), with opacity, depth and colour."""
        cells = self.cell(volume)
        alpha = self._opacity(cells, parts)
        weights = compositing_weights(alpha, reverse=self.reverse)
        opacity = weights.sum(2)
        depth_share = self._depth_share(weights)
        maps = [(weights * cells).sum(2), opacity, depth_share]
        colour, detail_maps = self._colour(weights, parts), None
        if colour is not None:
            maps.append(colour)
        if parts.detail is not None:
            colour, detail_maps = composite_levels(self._rays(alpha, parts), parts.detail, self.background)
        return ProjectedScene(torch.cat(maps, dim=1), colour, opacity, depth_share, detail_maps)

    def _rays(self, alpha: Tensor, parts: SceneParts) -> CoarseRays:
        assert parts.colour is not None and parts.visibility is not None
        return CoarseRays(alpha, parts.colour + (1 - parts.visibility) * self.background[:, :, None])

    def line_of_sight(self, volume: Tensor, parts: SceneParts) -> Tensor:
        """How much light reaches each cell from the camera: 1 before the object, less behind what is opaque.

        Args:
            volume: (b, c, d, h, w), as in `forward`.
            parts: of the same scene.

        Returns:
            (b, 1, d, h, w) in [0, 1].
        """
        return transmittance(self._opacity(self.cell(volume), parts), reverse=self.reverse)

    def _opacity(self, cells: Tensor, parts: SceneParts) -> Tensor:
        alpha = torch.sigmoid(at_least_float32(self.alpha(cells)))
        return alpha if parts.visibility is None else alpha * parts.visibility

    def _depth_share(self, weights: Tensor) -> Tensor:
        share = (torch.arange(weights.shape[2], device=weights.device) + 0.5) / weights.shape[2]
        share = share.flip(0) if self.reverse else share
        return (weights * share.to(weights).reshape(1, 1, -1, 1, 1)).sum(2)

    def _colour(self, weights: Tensor, parts: SceneParts) -> Tensor | None:
        """(b, 3, h, w): carried colours over the background; what nobody has seen shows the background."""
        if parts.colour is None or parts.visibility is None:
            return None
        covered = (weights * parts.visibility).sum(2)
        return (weights * parts.colour).sum(2) + (1 - covered) * self.background
