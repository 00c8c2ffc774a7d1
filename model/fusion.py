"""Several scenes of one object, moved into one target frame, as one scene.

Each source picture gives a scene that was warped into the target's volume. What it says of a cell is weighted by how
well the source sees that cell: the share of the cell inside its frustum, times the light that reaches the cell through
what the source itself holds for opaque. Behind a surface a source only guesses; another one may look there. There is
nothing to learn in it: a renderer that was trained on single pictures can be given several.

`LearnedFusion` starts there and learns, from what all sources say of a cell, how much each part of each is worth; and
what their disagreement means. Sources are treated alike and only ever compared with their mean: their order does not
matter, and one source is left as it is, however often it is given.

The fused cell is as visible as in its most visible source. The maximum, not 1 - prod(1 - v): the visibility of a cell
on the border of a frustum is the share of it that was read, not a chance, and a second look from the same place must
not raise it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from enr.model.config import COLOUR_CHANNELS, RendererConfig
from enr.model.layers import activation

TOKEN = 32
HIDDEN_WEIGHT = 0.01
"""Of a source in a cell that it has no line of sight to: where all are blind, they count alike."""


def fuse_scenes(scenes: Tensor, has_visibility: bool, sight: Tensor | None = None) -> Tensor:
    """The mean of moved scenes, weighted by what each source sees.

    One source is left as it is, and so is the same source given several times; the order of the sources does not
    matter; a source that sees nothing of a cell contributes nothing to it.

    Args:
        scenes: (b, sources, c, d, h, w), all in the same target frame.
        has_visibility: the last of the c channels is the visibility in [0, 1], by which the others are already
            multiplied (the warp reads 0 outside the source's frustum); else (`rigid`, `conditioned`) the sources count
            alike.
        sight: (b, sources, 1, d, h, w) light in [0, 1] that reaches each cell from each source, likewise multiplied by
            the visibility; None: all of it.

    Returns:
        (b, c, d, h, w).
    """
    if scenes.shape[1] == 1:
        return scenes[:, 0]
    if not has_visibility:
        return scenes.mean(dim=1)
    content, visibility = scenes[:, :, :-1], scenes[:, :, -1:]
    weight = base_weight(visibility, sight)
    shares = _shares(weight, visibility)
    return torch.cat([(content * shares).sum(dim=1), visibility.amax(dim=1)], dim=1)


def base_weight(visibility: Tensor, sight: Tensor | None) -> Tensor:
    """What each source (b, s, 1, d, h, w) weighs in each cell before anything is learned."""
    return visibility if sight is None else torch.lerp(sight, visibility, HIDDEN_WEIGHT)


def _shares(weight: Tensor, visibility: Tensor) -> Tensor:
    """What the sources' content, which is multiplied by their visibility already, is still to be multiplied by.

    At the border of a frustum a cell that no source sees may hold finer ones that are seen: there they count alike.
    """
    most, total = visibility.amax(dim=1), weight.sum(dim=1)
    shares = _divide(weight, visibility) * _divide(most, total)[:, None]
    return torch.where(most[:, None] > 0, shares, 1 / visibility.shape[1])


class LearnedFusion(nn.Module):
    """Several moved scenes as one, by weights that a network gives each part of each source in each cell."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self._sizes = (config.feature_channels, config.packed_channels, COLOUR_CHANNELS * config.carry_colour)
        self.token = nn.Sequential(nn.Conv3d(sum(self._sizes) + 2, TOKEN, 1), activation(), nn.Conv3d(TOKEN, TOKEN, 1))
        self.judge = nn.Sequential(nn.Conv3d(2 * TOKEN, TOKEN, 1), activation(), nn.Conv3d(TOKEN, len(self._sizes), 1))
        self.disagreement = nn.Conv3d(TOKEN, config.feature_channels, 1, bias=False)
        self._start_as_the_mean()

    def _start_as_the_mean(self) -> None:
        last = self.judge[-1]
        assert isinstance(last, nn.Conv3d) and last.bias is not None
        for parameter in (last.weight, last.bias, self.disagreement.weight):
            nn.init.zeros_(parameter)

    def forward(self, scenes: Tensor, sight: Tensor | None) -> Tensor:
        """As `fuse_scenes`."""
        if scenes.shape[1] == 1:
            return scenes[:, 0]
        content, visibility = scenes[:, :, :-1], scenes[:, :, -1:]
        weight = base_weight(visibility, sight)
        # What a source sees of a cell, not divided by how much it sees: at a frustum's border that would be noise.
        tokens = _each(self.token, torch.cat([content, visibility, weight], dim=2))
        portion = _divide(weight, weight.sum(dim=1, keepdim=True).expand_as(weight))
        mean = (portion * tokens).sum(dim=1, keepdim=True)
        logits = _each(self.judge, torch.cat([tokens - mean, mean.expand_as(tokens)], dim=2))
        spread = (portion * (tokens - mean).square()).sum(dim=1)
        # Visibility stays what was read; a weight that is learned moves content alone.
        learned = (weight * _factors(logits)).split(1, dim=2)
        most = visibility.amax(dim=1)
        parts = [
            (part * _shares(each, visibility)).sum(dim=1)
            for part, each in zip(content.split(self._sizes, dim=2), learned, strict=True)
        ]
        parts[0] = parts[0] + most * self.disagreement(spread)
        return torch.cat([*parts, most], dim=1)


def _factors(logits: Tensor) -> Tensor:
    """Positive, between e^-4 and e^4."""
    return (4 * torch.tanh(logits / 4)).exp()


def _each(network: nn.Module, sources: Tensor) -> Tensor:
    """A network's output for each source (b, s, ...)."""
    output: Tensor = network(sources.flatten(0, 1))
    return output.unflatten(0, sources.shape[:2])


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """0 where the denominator is 0."""
    is_there = denominator > 0
    return torch.where(is_there, numerator / torch.where(is_there, denominator, 1.0), 0.0)
