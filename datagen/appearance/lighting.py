"""Light as plain data: what shines on the object, from where and how strongly. Knows no renderer.

Directions point from the object towards the light, in the world's axes (Z up); strengths are Blender's: W/m² of a
light where it falls (π makes a white matte surface that faces it exactly white), and radiance of the even light from
everywhere (1 makes a white matte convex body exactly white).
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
class Lamp:
    """Light from a point.

    Attributes:
        position: where it hangs, object units.
        strength: irradiance in W/m² at the world's origin on a surface that faces it; falls with the distance squared.
    """

    position: Vector
    strength: float


@dataclass(frozen=True)
class Lighting:
    """All light in a scene.

    Attributes:
        ambient: strength of light from everywhere: white, or that of `hdri`.
        suns: parallel lights.
        lamps: lights from points.
        shadows: whether the object hides suns and lamps from itself.
        bounces: how often light is passed on between surfaces; 0 leaves what no light reaches black.
        highlights: whether suns and lamps are reflected in shiny materials.
        hdri: the file of an equirectangular picture of the surroundings, empty for none.
    """

    ambient: float
    suns: tuple[Sun, ...] = ()
    lamps: tuple[Lamp, ...] = ()
    shadows: bool = True
    bounces: int = 4
    highlights: bool = True
    hdri: str = ""


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
    # Apple's and SRN's chairs: fitted, see docs/datagen-pictures.md. The place is within 3 % that of the lamp in
    # Blender's startup scene, so that lamp it is.
    "srn": Lighting(0.0, lamps=(Lamp((1.0055, -4.0762, 5.9039), 1.12),), bounces=0, highlights=False),
    # Soft and even: suns as wide as windows, which blur their shadows, in a bright room. The strengths leave white
    # paint, as many originals have it, just below the white of the background.
    "studio": Lighting(
        0.42,
        (
            Sun((0.7, -0.5, 0.9), 1.1, angle_deg=50.0),
            Sun((-0.6, 0.8, 0.4), 0.6, angle_deg=70.0),
            Sun((-0.3, -0.5, -0.8), 0.35, angle_deg=70.0),
        ),
        highlights=False,
    ),
}
HDRI_LIGHTING = Lighting(1.0)
"""What `--hdri` fills in with its file: the surroundings alone."""
