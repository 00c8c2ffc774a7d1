"""Turning a scene by the numbers of the published implementation (Dupont et al. 2020): a matrix, or two views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from enr.camera import check_rigid, orbit_camera, target_from_source
from enr.errors import EnrError
from enr.model.checks import check_scene
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
        rotation = torch.as_tensor(rotation_matrix).to(torch.float64)
        if rotation.shape[1:] != (3, 3):
            raise EnrError(f"rotation_matrix has shape {tuple(rotation.shape)}; expected (batch, 3, 3).")
        motion = turn_about(rotation, self.config.radius)
        if (
            isinstance(scene, Tensor) and self.config.warp == "rigid"
        ):  # the same numbers, without the way through the camera's frame
            check_rigid(motion.cpu().numpy())
            check_scene(scene, self.config)
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
        """
        source = orbit_camera(azimuth_source_deg, elevation_source_deg, self.config.radius)
        target = orbit_camera(azimuth_target_deg, elevation_target_deg, self.config.radius)
        return self.transform(scene, torch.as_tensor(target_from_source(source, target)))


def orbit_motions(source_deg: tuple[float, float], targets_deg: Sequence[tuple[float, float]], radius: float) -> Tensor:
    """Motions (n, 4, 4) float64 from one orbit camera to others, for `Renderer.generate_novel_views`.

    Args:
        source_deg: azimuth and elevation of the picture's camera, in degrees.
        targets_deg: azimuth and elevation of each wanted view.
        radius: distance of all of them from the target point, in object units.
    """
    azimuths, elevations = zip(*targets_deg, strict=True)
    source = orbit_camera(*source_deg, radius)
    return torch.as_tensor(target_from_source(source, orbit_camera(azimuths, elevations, radius)))
