"""Light as plain data: what shines on the object, from where and how strongly. Knows no renderer.

Directions point from the object towards the light, in the world's axes (Z up); strengths are Blender's: W/m² of a
sun, and radiance of the even light from everywhere (1 makes a white matte convex body exactly white).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]
LightingName = Literal["default", "report", "srn", "studio"]
REAL_SUN_DEG = 0.526


@dataclass(frozen=True)
class Sun:
    """Parallel light.

    Attributes:
        direction: towards the sun; of any length.
        strength: irradiance in W/m² on a surface that faces it (π makes white exactly white).
        angle_deg: how wide the sun is seen; a wide one makes soft shadows.
    """

    direction: Vector
    strength: float
    angle_deg: float = REAL_SUN_DEG


@dataclass(frozen=True)
class Lighting:
    """All light in a scene.

    Attributes:
        ambient: strength of white light from everywhere.
        suns: parallel lights.
        shadows: whether the object hides the suns from itself.
        bounces: how often light is passed on between surfaces; 0 leaves what no light reaches black.
        highlights: whether the lights are reflected in shiny materials.
    """

    ambient: float
    suns: tuple[Sun, ...]
    shadows: bool = True
    bounces: int = 4
    highlights: bool = True


REPORT_SUN: Vector = (0.21839, -0.56639, 0.79467)
"""The lamp of Blender's startup scene (turned by 37.26°, 3.16°, 106.94° about X, Y, Z), in this project's world,
where the published world is turned by −90° about Z."""

LIGHTINGS: dict[LightingName, Lighting] = {
    # Even light and two suns, a key from above and a weaker fill from below behind: nothing is black, faces differ.
    "default": Lighting(0.6, (Sun((0.6, -0.5, 0.8), 2.0), Sun((-0.7, 0.4, -0.5), 0.8))),
    # The published script: two shadowless suns of 1 W/m² and the startup scene's dim world. Its second sun was turned
    # by 180 radians instead of degrees about X; here it shines from where the first one does not, as was meant.
    "report": Lighting(
        0.0509,
        (Sun(REPORT_SUN, 1.0), Sun((-REPORT_SUN[0], -REPORT_SUN[1], -REPORT_SUN[2]), 1.0)),
        shadows=False,
        highlights=False,
    ),
}
