"""Patches of the sphere of directions that training views avoid and test views of the same scenes come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from enr.checking import Count, checked
from enr.datagen.cameras.samplers import FULL_CIRCLE_DEG, Direction, Range
from enr.errors import EnrError

PATCH_SIZE_DEG = 2.9
"""Half the sides of the roto-translation report's patches: 0.05 radians."""
LARGEST_SHARE = 0.5
TRIES = 1000

PatchSize = Annotated[float, Field(gt=0, le=90)]
Sampler = Callable[[np.random.Generator, Range, Range], Direction]


@checked("hold_out")
@dataclass(frozen=True)
class HoldOut:
    """What is held out of every scene.

    Attributes:
        patches: number of patches; their centres are seeded for the data set, the same for all its scenes.
        size_deg: a patch reaches so far from its centre in azimuth and in elevation.
        views: held-out views of each scene, the last ones of its views; they lie in the patches in turn.

    Raises:
        EnrError: a number is not positive, or a patch reaches further than a pole does.
    """

    patches: Count
    size_deg: PatchSize = PATCH_SIZE_DEG
    views: Count = 10


@dataclass(frozen=True)
class Patch:
    """Directions within `size_deg` of a centre, in azimuth and in elevation.

    Attributes:
        azimuth_deg, elevation_deg: its centre.
        size_deg: reach from the centre, so that a patch is twice as wide; near a pole it is a sliver.
    """

    azimuth_deg: float
    elevation_deg: float
    size_deg: float

    def contains(self, direction: Direction) -> bool:
        """Whether a direction (azimuth, elevation in degrees) lies within, all the way around the circle."""
        aside_deg = (direction[0] - self.azimuth_deg + 180.0) % FULL_CIRCLE_DEG - 180.0
        return abs(aside_deg) <= self.size_deg and abs(direction[1] - self.elevation_deg) <= self.size_deg


@dataclass(frozen=True)
class Sphere:
    """Where directions may lie and how they are drawn there.

    Attributes:
        sampler: from a generator and the two ranges to a direction.
        azimuth_deg, elevation_deg: ranges.
    """

    sampler: Sampler
    azimuth_deg: Range
    elevation_deg: Range

    def draw(self, rng: np.random.Generator) -> Direction:
        """A direction anywhere."""
        return self.sampler(rng, self.azimuth_deg, self.elevation_deg)

    def draw_outside(self, rng: np.random.Generator, patches: tuple[Patch, ...]) -> Direction:
        """A direction in none of the patches.

        Raises:
            EnrError: there is hardly a place left.
        """
        for _ in range(TRIES):
            direction = self.draw(rng)
            if not any(patch.contains(direction) for patch in patches):
                return direction
        raise EnrError("The held-out patches leave no place for other views; give fewer or smaller patches.")

    def draw_inside(self, rng: np.random.Generator, patch: Patch) -> Direction:
        """A direction in a patch."""
        low, high = self.elevation_deg
        elevations_deg = (
            max(low, patch.elevation_deg - patch.size_deg),
            min(high, patch.elevation_deg + patch.size_deg),
        )
        azimuths_deg = (patch.azimuth_deg - patch.size_deg, patch.azimuth_deg + patch.size_deg)
        if not self._is_full_circle:
            azimuths_deg = (max(self.azimuth_deg[0], azimuths_deg[0]), min(self.azimuth_deg[1], azimuths_deg[1]))
        azimuth_deg, elevation_deg = self.sampler(rng, azimuths_deg, elevations_deg)
        if self._is_full_circle:
            azimuth_deg = self.azimuth_deg[0] + (azimuth_deg - self.azimuth_deg[0]) % FULL_CIRCLE_DEG
        return azimuth_deg, elevation_deg

    def draw_patch(self, rng: np.random.Generator, size_deg: float) -> Patch:
        """A patch that lies within the ranges as a whole where they are wide enough."""
        azimuths_deg = self.azimuth_deg if self._is_full_circle else _narrowed(self.azimuth_deg, size_deg)
        return Patch(*self.sampler(rng, azimuths_deg, _narrowed(self.elevation_deg, size_deg)), size_deg)

    @property
    def _is_full_circle(self) -> bool:
        return self.azimuth_deg[1] - self.azimuth_deg[0] >= FULL_CIRCLE_DEG


def check_room(hold_out: HoldOut, sphere: Sphere) -> None:
    """Check that the patches leave at least half of the directions.

    Raises:
        EnrError: they do not.
    """
    side_deg = 2 * hold_out.size_deg
    spans_deg = [high - low for low, high in (sphere.azimuth_deg, sphere.elevation_deg)]
    share = hold_out.patches * np.prod([min(side_deg, span) / span if span > 0 else 1.0 for span in spans_deg])
    if share > LARGEST_SHARE:
        raise EnrError(
            f"{hold_out.patches} patches of +-{hold_out.size_deg} degrees take {share:.0%} of the directions; "
            "give fewer or smaller patches, or wider ranges."
        )


def _narrowed(limits: Range, margin: float) -> Range:
    low, high = limits[0] + margin, limits[1] - margin
    middle = (limits[0] + limits[1]) / 2
    return (low, high) if low <= high else (middle, middle)
