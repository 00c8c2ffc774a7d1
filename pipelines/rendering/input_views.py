"""What novel views are made from: a photograph, or a view of a scene in shards, whose other views are the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from enr.camera import Array, invert_rigid
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.rendering.camera_paths import CameraStep, motions_around

ORDER = ("test", "val", "train")


@dataclass(frozen=True)
class InputView:
    """A picture that a model is given.

    Attributes:
        name: what the user knows it by.
        image: (3, height, width) float32 in [0, 1], the model's size.
        notes: what was assumed of it, a sentence each.
        elevation_deg: how far above the object's horizon it was taken.
        world_from_camera: (4, 4) its camera, where it is known. In the world of shards the object's centre is the
            origin.
        zoom: see `enr.pipelines.rendering.framing.FramedPicture`.
    """

    name: str
    image: torch.Tensor
    notes: tuple[str, ...] = ()
    elevation_deg: float = 0.0
    world_from_camera: Array | None = None
    zoom: float = 1.0


class ShardScenes:
    """The scenes of shards, unseen ones first, as input views with their truth.

    Args:
        paths: shards, or folders of them.
        config: of the model that is given their pictures.

    Raises:
        EnrError: they cannot be read, or their pictures have another size than the model's.
    """

    def __init__(self, paths: Sequence[Path], config: RendererConfig) -> None:
        self._views = ViewSet.open(paths)
        size, wanted = (self._views.height_px, self._views.width_px), tuple(config.image_shape[1:])
        if size != wanted:
            raise EnrError(
                f"The pictures of {self._views.paths[0]} have {size[1]}x{size[0]} px, the model's {wanted[1]}x"
                f"{wanted[0]} px; give shards of that size, or a model that was trained on these."
            )
        self.scenes: tuple[Scene, ...] = tuple(
            sorted(self._views.all_scenes, key=lambda scene: ORDER.index(scene.split))
        )

    def find(self, scene_id: str | None) -> int:
        """The number of a scene by its id, or by the beginning of it; None: the first unseen one.

        Raises:
            EnrError: there is none, or there are several.
        """
        if scene_id is None:
            return 0
        found = [number for number, scene in enumerate(self.scenes) if scene.scene_id.startswith(scene_id)]
        exact = [number for number in found if self.scenes[number].scene_id == scene_id] or found
        if len({self.scenes[number].scene_id for number in exact}) == 1:
            return exact[0]
        known = ", ".join(scene.scene_id for scene in self.scenes[:3])
        kind = "No scene" if not exact else "More than one scene"
        raise EnrError(f"{kind} of the shards is called {scene_id}; give one of {known} ...")

    def input_view(self, scene: int, number: int) -> InputView:
        """View `number` of a scene.

        Raises:
            EnrError: it has fewer views.
        """
        found = self.scenes[scene]
        if not 0 <= number < found.count:
            raise EnrError(f"View {number} of {found.scene_id} was asked for; give 0 to {found.count - 1}.")
        view = found.first + number
        elevation_deg = float(np.nan_to_num(self._views.views["elevation_deg"][view]))
        camera = self._views.views["world_from_camera"][view]
        return InputView(f"{found.scene_id} ({found.split})", self.images([view])[0], (), elevation_deg, camera)

    def cameras(self, scene: int) -> Array:
        """`world_from_camera` (views, 4, 4) of a scene."""
        cameras: Array = self._views.views["world_from_camera"][self.scenes[scene].view_indices]
        return cameras

    def images(self, views: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
        """Pictures (n, 3, height, width) over the background, by their numbers in the shards."""
        return composite(torch.from_numpy(self._views.images(np.asarray(views))), self._views.background)

    def nearest(self, scene: int, given: InputView, step: CameraStep) -> tuple[int, torch.Tensor]:
        """The true view from nearest to a camera: its number in the scene, and its picture (3, height, width).

        Nearest by where cameras stand and by what they look at, an object's distance ahead.
        """
        assert given.world_from_camera is not None
        centre = invert_rigid(given.world_from_camera)[:3, 3]
        wanted = given.world_from_camera @ invert_rigid(motions_around([step], centre, given.elevation_deg)[0])
        cameras = self.cameras(scene)
        apart = _marks(cameras, centre[2]) - _marks(wanted, centre[2])
        number = int(np.linalg.norm(apart, axis=-1).sum(-1).argmin())
        return number, self.images([self.scenes[scene].first + number])[0]


def _marks(world_from_camera: Array, distance: float) -> NDArray[np.float64]:
    """(..., 3, 3) where cameras (..., 4, 4) stand, what they look at, and what is beside that."""
    place, right, forward = (world_from_camera[..., :3, column] for column in (3, 0, 2))
    ahead = place + distance * forward
    return np.stack([place, ahead, ahead + right], axis=-2)
