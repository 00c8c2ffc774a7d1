"""Where the camera of a novel view stands, told from the camera of the picture: steps around the object, and paths.

A step turns the camera around the object's centre, which stays where it was seen, and then moves the camera in its own
axes (x right, y down, z forward). So a path needs no world frame, and the distance of the centre alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, TypeAdapter, ValidationError

from enr.camera import Array, check_rigid, invert_rigid, orbit_camera, target_from_source
from enr.checking import checked, nearest, refusal, validated
from enr.datagen.cameras.pose_files import GivenCameras, read_cameras
from enr.errors import EnrError

PathName = Literal["orbit", "spiral", "dolly", "shift", "screw"]
PATHS: tuple[PathName, ...] = get_args(PathName)
DOLLY = 0.5
"""How far a dolly goes to either side, in object units: half the diagonal of the object's box."""
SHIFT = 0.3
"""How far a shift goes to the right and left, and a screw up and down, in object units."""
STEPS_FORMAT = "enr-camera-steps"
"""What a path that the viewer saved says of itself: steps told from the picture's camera, not cameras of a world."""
SPIRAL_TURNS = 2
SPIRAL_TOP_DEG = 80.0
FRAMES = 36
MAX_FRAMES = 1000
LARGEST = 1e4
"""No angle and no way of a camera is longer; beyond, what is seen has no digits left."""
Bounded = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Distance = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]


@checked(names={"translation": "translate"})
@dataclass(frozen=True)
class CameraStep:
    """A camera told from the picture's.

    Attributes:
        azimuth_deg: turn around the object, from the picture's camera to its right, in degrees.
        elevation_deg: turn upwards, in degrees.
        translation: (3,) motion of the turned camera in its own axes (right, down, forward), in object units.
    """

    azimuth_deg: Bounded = 0.0
    elevation_deg: Bounded = 0.0
    translation: tuple[Bounded, Bounded, Bounded] = (0.0, 0.0, 0.0)


def path_steps(name: str, frames: int) -> tuple[CameraStep, ...]:
    """The steps of a path that ends where it began, so that it can be played for ever.

    Args:
        name: rotations: `orbit` goes round the object, `spiral` climbs meanwhile and comes back; translations: `dolly`
            goes forward and back, `shift` draws a lying eight across the view; roto-translations: `screw` rises and
            sinks while it goes round.
        frames: how many, from 2 to 1000.

    Raises:
        EnrError: another name, or too few or too many frames.
    """
    if name not in PATHS:
        raise EnrError(f"The path is {name!r}; choose {', '.join(PATHS)}.")
    if not 2 <= frames <= MAX_FRAMES:
        raise EnrError(f"A path of {frames} frames was asked for; give 2 to {MAX_FRAMES}.")
    shares = [index / frames for index in range(frames)]
    if name == "orbit":
        return tuple(CameraStep(azimuth_deg=360 * share) for share in shares)
    turns = [2 * math.pi * share for share in shares]
    if name == "dolly":
        return tuple(CameraStep(translation=(0, 0, DOLLY * math.sin(turn))) for turn in turns)
    if name == "shift":
        return tuple(CameraStep(translation=(SHIFT * math.sin(t), SHIFT / 2 * math.sin(2 * t), 0)) for t in turns)
    if name == "screw":
        rise = [(0.0, -SHIFT * math.sin(turn), 0.0) for turn in turns]
        return tuple(CameraStep(360 * share, 0.0, step) for share, step in zip(shares, rise, strict=True))
    return tuple(
        CameraStep(360 * SPIRAL_TURNS * share, SPIRAL_TOP_DEG * math.sin(math.pi * share) ** 2) for share in shares
    )


@dataclass(frozen=True)
class Cameras:
    """The cameras of novel views: steps told from the picture's, or given ones.

    Attributes:
        steps: told from the picture's camera; empty where cameras are given.
        world_from_camera: (n, 4, 4) given cameras, of which the first is the picture's; None where there are steps.
        distance: depth of the object's centre that the steps were recorded with; None where nothing is said of it.
    """

    steps: tuple[CameraStep, ...]
    world_from_camera: Array | None = None
    distance: float | None = None

    def __len__(self) -> int:
        return len(self.steps) if self.world_from_camera is None else len(self.world_from_camera) - 1

    def motions(self, centre: Array, source_elevation_deg: float | Array) -> Array:
        """`target_from_source` (views, 4, 4); see `motions_around`."""
        if self.world_from_camera is None:
            return motions_around(self.steps, centre, source_elevation_deg)
        return motions_between(self.world_from_camera)


def choose_cameras(
    step: CameraStep, path: str | Path | None, frames: int | None = None, is_blend: bool = False
) -> Cameras:
    """The cameras that are asked for.

    Args:
        step: a single camera.
        path: in its place, the name of a path, a file of steps that the viewer saved, or a pose file whose first camera
            is the picture's.
        frames: views of a path by name, or of a blend; None: 36.
        is_blend: whether the object becomes another one meanwhile: a single camera then stands for `frames` views.

    Raises:
        EnrError: both are asked for, the file cannot be used, or there is no path that frames would be taken from.
    """
    if frames is not None and str(path) not in PATHS and not (is_blend and path is None):
        where = "a single view" if path is None else f"the cameras of {path}, as many as it holds"
        raise EnrError(f"{frames} frames were asked for, but of {where}; leave out --frames, or follow a path by name.")
    frames = FRAMES if frames is None else frames
    if path is None:
        return Cameras((step,) * (frames if is_blend else 1))
    if step != CameraStep():
        raise EnrError(
            "A single camera was asked for beside a path; leave out the path, or the angles and translation."
        )
    if str(path) in PATHS:
        return Cameras(path_steps(str(path), frames))
    if not Path(path).suffix and not Path(path).exists():
        near = nearest(str(path), PATHS)
        known = "" if near.startswith("known") else f" Paths by name are {', '.join(PATHS)}."
        raise EnrError(f"There is no path {path}, neither by name nor as a file; {near}{known}")
    steps = read_steps(Path(path))
    if steps is not None:
        return steps
    given = read_cameras(Path(path)).world_from_camera
    if len(given) < 2:
        raise EnrError(f"{path} holds one camera; its first is the picture's own, so give at least two.")
    return Cameras((), given)


def read_poses(poses: Path | ArrayLike | None) -> GivenCameras | None:
    """Cameras of several pictures: from a pose file, or matrices (n, 4, 4) `world_from_camera`.

    Raises:
        EnrError: the file cannot be used, or a matrix is not a rotation and a translation.
    """
    if poses is None or isinstance(poses, Path):
        return None if poses is None else read_cameras(poses)
    try:
        matrices = np.asarray(poses, dtype=np.float64)
    except (TypeError, ValueError):
        matrices = np.zeros(0)
    if matrices.shape[1:] != (4, 4) or not len(matrices):
        raise EnrError("poses are neither a file nor matrices of the shape (n, 4, 4); give one for each picture.")
    return GivenCameras(np.stack([check_rigid(matrix) for matrix in matrices]))


def read_steps(path: Path) -> Cameras | None:
    """The steps that a viewer's path holds; None where the file is of another kind.

    Raises:
        EnrError: it says that it holds steps, and does not.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None  # `read_cameras` says what is wrong with it
    if not isinstance(content, dict) or content.get("format") != STEPS_FORMAT:
        return None
    try:
        steps = []
        for number, step in enumerate(content["steps"]):
            entries = {key: step[key] for key in ("azimuth_deg", "elevation_deg", "translation")}
            steps.append(validated(CameraStep, entries, f"{path}: steps.{number}"))
        distance = TypeAdapter(Distance | None).validate_python(content.get("distance"))
    except ValidationError as error:
        raise EnrError(f"{path}: {refusal(error, float, 'distance')}") from error
    except (KeyError, TypeError, ValueError) as error:
        detail = f"{type(error).__name__} {error}"
        raise EnrError(f"{path} is not written as a viewer's path should be ({detail}); record it again.") from error
    if not steps:
        raise EnrError(f"{path} holds no step; record it again.")
    return Cameras(tuple(steps), None, distance)


def motions_around(steps: Sequence[CameraStep], centre: Array, source_elevation_deg: float | Array = 0.0) -> Array:
    """`target_from_source` (n, 4, 4) of steps around the object's centre.

    The turn's axis is the world's vertical. Without a translation, the centre is seen where it was seen.

    Args:
        steps: the cameras.
        centre: (3,) the object's centre in the picture's camera (x right, y down, z forward), in object units;
            or (n, 3) where it differs from step to step.
        source_elevation_deg: how far the picture's camera stands above the object's horizon, in degrees; it tells the
            vertical in the picture; or (n,).
    """
    source = orbit_camera(0.0, source_elevation_deg, 1.0)
    azimuth_deg = [step.azimuth_deg for step in steps]
    elevation_deg = source_elevation_deg + np.array([step.elevation_deg for step in steps])
    turns = target_from_source(source, orbit_camera(azimuth_deg, elevation_deg, 1.0))[:, :3, :3]
    motions = np.zeros((len(steps), 4, 4))
    motions[:, :3, :3] = turns
    motions[:, :3, 3] = centre - (turns @ centre[..., None])[..., 0] - np.array([step.translation for step in steps])
    motions[:, 3, 3] = 1.0
    return motions


def motions_between(world_from_camera: Array) -> Array:
    """`target_from_source` (n - 1, 4, 4) from the first of given cameras (n, 4, 4) to each other one."""
    return invert_rigid(world_from_camera[1:]) @ world_from_camera[0]
