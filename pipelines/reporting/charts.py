"""Charts as what a template needs to draw them as SVG: scaled points, ticks, and a text in place of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 12, 44
TICKS = 5
Kind = Literal["line", "faint", "dashed", "dots", "marked"]


@dataclass(frozen=True)
class Line:
    """Points (x, y) that belong together; those that are no numbers are left out.

    Attributes:
        name: for the legend; empty: it is not named there.
        x, y: of equal length.
        colour: which of the page's colours.
        kind: how it is drawn.
    """

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    colour: int = 0
    kind: Kind = "line"

    @property
    def points(self) -> list[tuple[float, float]]:
        """Those that are numbers."""
        pairs = zip(self.x, self.y, strict=True)
        return [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)]


@dataclass(frozen=True)
class Axis:
    """From data to picture: `low` is drawn at pixel `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is drawn; those beyond an end are drawn there."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Where round numbers are drawn, and what is written there."""
        step = _round_step((self.high - self.low) / TICKS)
        numbers = np.arange(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1) * step
        return [(self.at(number), f"{number + 0.0:.6g}") for number in numbers.tolist()]


@dataclass(frozen=True)
class Chart:
    """A chart, ready to be drawn.

    Attributes:
        title, description: what is said to those who do not see it.
        labels: of the axes, x and y.
        axes: x and y.
        lines: what is drawn.
    """

    title: str
    description: str
    labels: tuple[str, str]
    axes: tuple[Axis, Axis]
    lines: tuple[Line, ...]

    width, height = WIDTH, HEIGHT

    def drawn(self, line: Line) -> list[tuple[float, float]]:
        """Where its points are."""
        return [(self.axes[0].at(x), self.axes[1].at(y)) for x, y in line.points]

    def cut(self, line: Line) -> list[float]:
        """Where, along x, its points lie above the frame."""
        return [self.axes[0].at(x) for x, y in line.points if y > self.axes[1].high]


def make_chart(
    title: str, labels: tuple[str, str], lines: Sequence[Line], description: str = "", top: float | None = None
) -> Chart | None:
    """A chart whose axes hold all its points (up to `top`); None where there is none."""
    kept = tuple(line for line in lines if line.points)
    if not kept:
        return None
    xs, ys = (np.array([point[part] for line in kept for point in line.points]) for part in range(2))
    axes = (
        _axis(np.append(xs, 0.0), LEFT, WIDTH - RIGHT, 0.0),
        _axis(np.minimum(ys, top or np.inf), HEIGHT - BOTTOM, TOP, 0.05),
    )
    return Chart(title, description or _described(kept, labels), labels, axes, kept)


def _axis(values: np.ndarray, start: float, end: float, margin: float) -> Axis:
    low, high = float(values.min()), float(values.max())
    spread = high - low or max(abs(high), 1.0) * 0.1
    return Axis(low - margin * spread, low + spread + margin * spread, start, end)


def _round_step(step: float) -> float:
    """The nearest of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return min((1, 2, 5, 10), key=lambda times: abs(times * power - step)) * power


def _described(lines: Sequence[Line], labels: tuple[str, str]) -> str:
    said = []
    for line in lines:
        if line.kind != "dots":
            (x0, y0), (x1, y1) = line.points[0], line.points[-1]
            said.append(f"{line.name or 'it'}: {labels[1]} {y0:.2f} at {x0:.4g}, {y1:.2f} at {x1:.4g} ({labels[0]})")
    return "; ".join(said) + "."
