"""Turning a scene by the numbers of the published implementation (Dupont et al. 2020): a matrix, or two views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from enr.camera import orbit_camera, target_from_source
from enr.errors import EnrError
from enr.model.checks import as_numbers, check_scene, checked_angles, checked_motion
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene
from enr.model.warp import resample_volume, turn_about


class PublishedTurns:
    """Two more ways to say a motion, for whatever moves scenes by matrices."""

    config: RendererConfig

    @abstractmethod
    def transform(self, scene: AnyScene, target_from_source: Tensor) -> AnyScene:
        """The scene as a camera has it that moved by `target_from_source` (b, 4, 4)."""

    def rotate(self, scene: AnyScene, rotation_matrix: Tensor) -> AnyScene:
        """The scene turned about the target point (published implementation).

        Args:
            scene: (b, *config.scene_shape).
            rotation_matrix: (b, 3, 3) in the volume's (depth, height, width) axes; the volume is resampled at its
                inverse.

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: a matrix is no rotation.
        """
        check_scene(scene, self.config)
        rotation = as_numbers(rotation_matrix, "rotation_matrix", "(batch, 3, 3)").to(torch.float64)
        if rotation.shape[1:] != (3, 3):
            raise EnrError(f"rotation_matrix has shape {tuple(rotation.shape)}; expected (batch, 3, 3).")
        motion = turn_about(rotation, self.config.radius)
        if (
            isinstance(scene, Tensor) and self.config.warp == "rigid"
        ):  # the same numbers, without the way through the camera's frame
            checked_motion(motion, len(scene), motion.device, skip_on_gpu=False)
            return resample_volume(scene, rotation.transpose(1, 2), torch.zeros(len(rotation), 3))
        return self.transform(scene, motion)

    def rotate_source_to_target(
        self,
        scene: AnyScene,
        azimuth_source_deg: ArrayLike,
        elevation_source_deg: ArrayLike,
        azimuth_target_deg: ArrayLike,
        elevation_target_deg: ArrayLike,
    ) -> AnyScene:
        """The scene seen from one orbit camera, as another one at the same distance has it (published implementation).

        Args:
            scene: (b, *config.scene_shape).
            azimuth_source_deg: (b,) of the camera that saw the scene, in degrees; likewise the others.
            elevation_source_deg: (b,).
            azimuth_target_deg: (b,).
            elevation_target_deg: (b,).

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: angles are no finite numbers, or not as many of each as there are scenes.
        """
        source_azimuth, source_elevation, azimuth, elevation = checked_angles(
            azimuth_source_deg=azimuth_source_deg,
            elevation_source_deg=elevation_source_deg,
            azimuth_target_deg=azimuth_target_deg,
            elevation_target_deg=elevation_target_deg,
        )
        source = orbit_camera(source_azimuth, source_elevation, self.config.radius)
        target = orbit_camera(azimuth, elevation, self.config.radius)
        return self.transform(scene, torch.as_tensor(target_from_source(source, target)))


def orbit_motions(source_deg: tuple[float, float], targets_deg: Sequence[tuple[float, float]], radius: float) -> Tensor:
    """Motions (n, 4, 4) float64 from one orbit camera to others, for `Renderer.generate_novel_views`.

    Args:
        source_deg: azimuth and elevation of the picture's camera, in degrees.
        targets_deg: azimuth and elevation of each wanted view.
        radius: distance of all of them from the target point, in object units.

    Raises:
        EnrError: a camera is not said by two numbers, or none is wanted.
    """
    try:
        pairs = np.array([source_deg, *targets_deg], dtype=np.float64)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2 or not np.isfinite(pairs).all():
        raise EnrError(
            f"Cameras are given as {repr(source_deg)[:40]} and {repr(targets_deg)[:40]}; expected azimuth and "
            "elevation in degrees for the picture, and for each of at least one wanted view."
        )
    azimuths, elevations = pairs.T
    cameras = orbit_camera(azimuths, elevations, radius)
    return torch.as_tensor(target_from_source(cameras[0], cameras[1:]))
