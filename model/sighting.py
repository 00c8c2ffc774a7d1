"""What one picture tells of where its object is: the box of what differs from the background, and an estimate.

One picture of an object of unknown shape does not tell how far away it is. A small network guesses the distance from
the box and from what the renderer's own network sees, or with re-aimed cameras from what it sees itself, as quantiles,
so that it says how sure it is; it also corrects the direction, which is the middle of the box. It is taught the centres
on which many pictures of an object agree (`enr.model.triangulation`), no depth and no shape.

A picture cut by the border: the box ends there, and the network is told so. An empty picture: its own middle, and every
distance that was trained on alike; the network is not asked. Opaque surroundings: their box has its middle there, too.
Two objects: one box around both.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from enr.model.config import COLOUR_CHANNELS, RendererConfig
from enr.model.layers import ResNet, activation
from enr.model.scene import constant, pixel_of, ray_through

DIFFERENCE = 0.02
"""By so much a pixel of an object differs from the background, in the channel where it differs most."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = QUANTILES.index(0.5)
ANYWHERE = tuple((2 * level - 1) / (QUANTILES[-1] - QUANTILES[0]) for level in QUANTILES)
"""The quantiles of not knowing, in units of half the range: evenly spread, from -1 to 1."""
MOST_WIDENED, FEWEST_HELD_OUT = 10.0, 20
HALF, NINE_IN_TEN = QUANTILES[3] - QUANTILES[1], QUANTILES[4] - QUANTILES[0]
"""How often the truth is to lie between the inner quantiles, and between the outer ones."""

CELLS = 4
HIDDEN = 128
BOX_NUMBERS = 9
START_GAP = 0.3
BOX_SHARE, SPREAD = 0.7, 0.3
"""With re-aimed cameras an estimate begins where the box would fill this share of the picture if it were at the radius;
its logarithm differs from that in units of `SPREAD`."""

LEAST_SPAN = 0.1
"""Distances are told in units of the half of their range; a rotation's all are one distance."""


@dataclass(frozen=True)
class Boxes:
    """Where pictures differ from their background; in pixels, from the picture's corner.

    Attributes:
        middle: (b, 2) column and row; the picture's middle where nothing differs.
        size: (b, 2) width and height.
        cut: (b, 4) 1 where the box touches the left, right, upper or lower border, else 0.
    """

    middle: Tensor
    size: Tensor
    cut: Tensor

    @property
    def is_there(self) -> Tensor:
        """(b,) whether anything differs."""
        return self.size.amin(1) > 0

    @property
    def is_whole(self) -> Tensor:
        """(b,) whether there is something, and no border cuts it."""
        return self.is_there & (self.cut.sum(1) == 0)


def find_boxes(images: Tensor, background: Tensor) -> Boxes:
    """The boxes of what differs from the background.

    Args:
        images: (b, 3, h, w) in [0, 1].
        background: (3,).
    """
    differs = (images - background.to(images)[:, None, None]).abs().amax(1) > DIFFERENCE
    low, high, sides = [], [], []
    for lines in (differs.any(1), differs.any(2)):
        count = lines.shape[1]
        first = lines.to(torch.uint8).argmax(1)
        last = count - lines.flip(1).to(torch.uint8).argmax(1)
        empty = ~lines.any(1)
        low.append(torch.where(empty, count / 2, first.to(images)))
        high.append(torch.where(empty, count / 2, last.to(images)))
        sides += [lines[:, 0], lines[:, -1]]
    start, end = torch.stack(low, 1), torch.stack(high, 1)
    return Boxes((start + end) / 2, end - start, torch.stack(sides, 1).to(images))


@dataclass(frozen=True)
class Sighting:
    """Where the object of each picture is, as far as the picture itself tells.

    Attributes:
        boxes: what it is seen in.
        pixel: (b, 2) column and row at which the object's centre is seen.
        quantiles: (b, 5) of the depth of the centre, in object units, at `QUANTILES`.
        learned_uncertainty: (b,) as `uncertainty`, of the objects that were trained on.
    """

    boxes: Boxes
    pixel: Tensor
    quantiles: Tensor
    learned_uncertainty: Tensor

    def detach(self) -> Sighting:
        """Without a gradient."""
        return Sighting(self.boxes, self.pixel.detach(), self.quantiles.detach(), self.learned_uncertainty.detach())

    @property
    def distance(self) -> Tensor:
        """(b,) the median."""
        return self.quantiles[:, MEDIAN]

    @property
    def uncertainty(self) -> Tensor:
        """(b,) half the width of the range that is to hold nine in ten."""
        return _half_width(self.quantiles)


class Sight(nn.Module):
    """Pictures (b, 3, h, w) and what a network made of them (b, c, ...) to a `Sighting`.

    It starts at the middle of the box and the radius of the training's orbit. With re-aimed cameras it looks through
    one that is aimed at the box, so that sizes are alike before they are judged, and starts at `box_centre`. That
    picture is for this alone, so a network of its own looks at it (`glance`, of `RendererConfig.sight_channels`): three
    convolutions estimate as well as the renderer's many, and do not know the training's objects by heart.

    Outside of a training the steps from quantile to quantile are `widening` times as long: the inner ones, and those
    to the outer quantiles. The renderer is told the range that it was trained with: a wider one would have it blur more
    than it has learned to be worth it.
    """

    background: Tensor
    widening: Tensor

    def __init__(self, map_channels: int, config: RendererConfig) -> None:
        super().__init__()
        self._config = config
        self._span = span_of(config)
        self.register_buffer("background", torch.tensor(config.background), persistent=False)
        widths = config.glance_channels
        self.glance = ResNet(2, COLOUR_CHANNELS + 1, widths, (2,) * len(widths)) if widths else None
        seen_channels = widths[-1] if widths else map_channels
        look_channels = max(seen_channels // 2, 1)
        self.look = nn.Sequential(nn.Conv2d(seen_channels, look_channels, 3, padding=1), activation())
        self.judge = nn.Sequential(
            nn.Linear(look_channels * CELLS**2 + BOX_NUMBERS, HIDDEN),
            activation(),
            nn.Linear(HIDDEN, HIDDEN),
            activation(),
            nn.Linear(HIDDEN, len(QUANTILES) + 2),
        )
        self.told = nn.Linear(4, map_channels)
        self.register_buffer("widening", torch.ones(2))
        self.beyond = nn.Parameter(torch.zeros(map_channels)) if config.reaim else None
        self.register_load_state_dict_pre_hook(_keep_what_is_new)
        self._start_at_box()

    def tell(self, coarse: Tensor, centre: Tensor, uncertainty: Tensor) -> Tensor:
        """The map (b, c, ...), told where the object is taken to be and how sure that is.

        What is sure can be painted sharply.
        """
        config = self._config
        direction, depth = centre[:, :2] / centre[:, 2:], centre[:, 2:]
        if config.reaim:  # the camera that is aimed at the object has it on its axis
            direction, depth = torch.zeros_like(direction), centre.norm(dim=1, keepdim=True)
        place = (depth - config.radius) / self._span
        numbers = torch.cat([place, direction, uncertainty[:, None] / config.half_depth], dim=1)
        return coarse + self.told(numbers.to(coarse))[:, :, None, None]

    def tell_border(self, coarse: Tensor, within: Tensor) -> Tensor:
        """The map (b, c, ...), told which share (b, 1, height, width) of each pixel the picture shows."""
        assert self.beyond is not None
        share = functional.adaptive_avg_pool2d(1 - within, (coarse.shape[2], coarse.shape[3]))
        return coarse + share.to(coarse) * self.beyond[:, None, None]

    def _start_at_box(self) -> None:
        last = self.judge[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight *= 0.1
            last.bias.zero_()
            self.told.weight.zero_()
            self.told.bias.zero_()

    def boxes(self, images: Tensor) -> Boxes:
        """Where pictures (b, 3, h, w) differ from the background."""
        return find_boxes(images, self.background)

    def which_show(self, images: Tensor) -> Tensor:
        """(b,) on the CPU, the pictures (b, 3, h, w) of one object that show something; all of them where none does."""
        if images.is_meta or len(images) == 1:
            return torch.ones(len(images), dtype=torch.bool)
        shown = self.boxes(images).is_there.cpu()
        return shown | ~shown.any()

    def box_centre(self, boxes: Boxes) -> Tensor:
        """(b, 3) where the object would be whose box fills `BOX_SHARE` of the picture at the radius."""
        config = self._config
        side = min(config.image_shape[1:])
        distance = config.radius * BOX_SHARE * side / boxes.size.float().amax(1).clamp_min(1.0)
        ray = functional.normalize(ray_through(boxes.middle.float(), config), dim=1)
        return ray * distance.clamp(config.near, config.far)[:, None]

    def forward(self, images: Tensor, coarse: Tensor) -> Sighting:
        """The estimate of each picture; `coarse` is that of a camera aimed at `box_centre` where they are re-aimed.

        Args:
            images: (b, 3, h, w) of the real cameras.
            coarse: (b, c, ...), of `glance` where there is one, else of the renderer.
        """
        boxes = self.boxes(images)
        seen = functional.adaptive_avg_pool2d(self.look(coarse), CELLS).flatten(1)
        numbers = self.judge(torch.cat([seen, self._numbers(boxes).to(seen)], dim=1)).float()
        median, gaps, shift = numbers.split((1, len(QUANTILES) - 1, 2), dim=1)
        is_there, tenth = boxes.is_there[:, None], self._config.image_shape[2] / 10
        start = self.box_centre(boxes) if self._config.reaim else None
        if start is not None:  # of the aimed picture
            tenth = tenth * self._config.radius / start.norm(dim=1, keepdim=True)
        pixel = boxes.middle.float() + torch.where(is_there, shift * tenth, 0)
        steps = START_GAP * functional.softplus(gaps)
        learned = quantiles = self._depths(is_there, _spread(median, steps), start)
        if not self.training:
            widened = steps * torch.cat([self.widening.flip(0), self.widening])
            quantiles = self._depths(is_there, _spread(median, widened), start)
        return Sighting(boxes, pixel, quantiles, _half_width(learned))

    def _depths(self, is_there: Tensor, spread: Tensor, start: Tensor | None) -> Tensor:
        """Quantiles (b, 5) in object units, of what `_spread` gives; of an empty picture those of not knowing."""
        radius = self._config.radius
        anywhere = radius + self._span * constant(ANYWHERE, spread)
        depths = radius + self._span * spread if start is None else start[:, 2:] * torch.exp(SPREAD * spread)
        return torch.where(is_there, depths, anywhere)

    def widen(self, quantiles: Tensor, depth: Tensor) -> None:
        """Measure `widening` on pictures that were not trained on: their ranges then hold as many as they say.

        A network that knows its training's objects by heart is surer of them than of others. The inner range comes
        first, then what is left to the outer one (conformal prediction, as Romano et al. 2019; ranges are stretched
        here instead of shifted at both ends).

        Args:
            quantiles: (b, 5) of a sighting, outside of a training.
            depth: (b,) of the objects' centres; NaN where it is unknown. Of fewer than `FEWEST_HELD_OUT` that are
                known nothing is measured.
        """
        known = depth.isfinite()
        if known.sum() < FEWEST_HELD_OUT:
            return
        quantiles, truth = quantiles[known], depth[known].to(quantiles)
        if self._config.reaim:  # steps are those of the logarithm
            quantiles, truth = quantiles.log(), truth.log()
        error = truth - quantiles[:, MEDIAN]
        below, above = quantiles.diff(dim=1).split(MEDIAN, dim=1)
        inner, outer = torch.where(error[:, None] < 0, below.flip(1), above).clamp_min(1e-6).unbind(1)
        near = (error.abs() / inner).quantile(HALF)
        far = ((error.abs() - near * inner) / outer).quantile(NINE_IN_TEN)
        self.widening.mul_(torch.stack([near, far]).clamp(1 / MOST_WIDENED, MOST_WIDENED))

    def _numbers(self, boxes: Boxes) -> Tensor:
        _, height, width = self._config.image_shape
        sizes = constant((width, height), boxes.size)
        share = boxes.size / sizes
        return torch.cat([2 * boxes.middle / sizes - 1, share, share.amax(1, True).clamp_min(0.02).log(), boxes.cut], 1)


def _keep_what_is_new(sight: nn.Module, weights: MutableMapping[str, Tensor], prefix: str, *_: object) -> None:
    """What weights do not have stays as it is: of a version that did not measure it, or of cameras without an aim.

    An estimate that looks at something else than that of the weights (another network, or pictures of cameras with
    an aim or without) starts anew.
    """
    assert isinstance(sight, Sight)
    own = {f"{prefix}{name}": value for name, value in sight.state_dict().items()}
    looks = tuple(f"{prefix}{part}." for part in ("glance", "look", "judge"))
    given, kept = ({name: values[name].shape for name in values if name.startswith(looks)} for values in (weights, own))
    is_aimed = f"{prefix}beyond" in weights
    if given != kept or is_aimed != (sight.beyond is not None):
        for name in given:
            weights.pop(name)
        weights.update({name: own[name] for name in (*kept, f"{prefix}widening")})
    weights.setdefault(f"{prefix}widening", sight.widening)
    if sight.beyond is None:
        weights.pop(f"{prefix}beyond", None)
    else:
        weights.setdefault(f"{prefix}beyond", sight.beyond.detach())


def _half_width(quantiles: Tensor) -> Tensor:
    """(b,) of the range between the outer ones."""
    return (quantiles[:, -1] - quantiles[:, 0]) / 2


def _spread(median: Tensor, steps: Tensor) -> Tensor:
    """Rising quantiles (b, 5) from their median (b, 1) and the positive steps (b, 4) between them."""
    below = -steps[:, :MEDIAN].flip(1).cumsum(1).flip(1)
    return median + torch.cat([below, torch.zeros_like(median), steps[:, MEDIAN:].cumsum(1)], dim=1)


def span_of(config: RendererConfig) -> float:
    """Half the range of the distances trained on, in object units; `LEAST_SPAN` at least.

    `near` and `far` reach around every object, as far as the travelling range without its margin.
    """
    return max(LEAST_SPAN, (config.far - config.near) / 2 - config.half_depth)


def sighting_loss(sighting: Sighting, centre: Tensor, config: RendererConfig) -> Tensor:
    """How far estimates are from the centres that many pictures agree on.

    The pinball loss of the quantiles, in units of `span_of`, and the distance of the pixel in tenths of the picture's
    width; pictures that show nothing, and centres that are not known, do not count.

    Args:
        sighting: of b pictures.
        centre: (b, 3) in each picture's camera; NaN where unknown.
        config: of the renderer.
    """
    known = sighting.boxes.is_there & torch.isfinite(centre).all(1)
    if not known.is_cpu:
        return masked_sighting_loss(sighting, centre, config)
    if not known.any():
        return sighting.quantiles.sum() * 0
    truth = centre[known].to(sighting.quantiles)
    pinball = _pinball(truth, sighting.quantiles[known], config).mean()
    width = config.image_shape[2]
    beside = functional.smooth_l1_loss(sighting.pixel[known], pixel_of(truth, config), beta=width / 20)
    return pinball + beside / (width / 10)


def masked_sighting_loss(sighting: Sighting, centre: Tensor, config: RendererConfig) -> Tensor:
    """The same, without asking how many pictures count, for that would wait for a GPU."""
    known = sighting.boxes.is_there & torch.isfinite(centre).all(1)
    truth = torch.where(known[:, None], centre, 1.0).to(sighting.quantiles)
    width = config.image_shape[2]
    beside = functional.smooth_l1_loss(sighting.pixel, pixel_of(truth, config), beta=width / 20, reduction="none")
    loss = _pinball(truth, sighting.quantiles, config) + beside.mean(1) / (width / 10)
    return torch.where(known, loss, 0).sum() / known.sum().clamp_min(1)


def _pinball(truth: Tensor, quantiles: Tensor, config: RendererConfig) -> Tensor:
    """(n,) of quantiles (n, 5) whose truth is the depth of points (n, 3)."""
    levels = constant(QUANTILES, truth)
    error = (truth[:, 2:] - quantiles) / span_of(config)
    return torch.maximum(levels * error, (levels - 1) * error).sum(1)
