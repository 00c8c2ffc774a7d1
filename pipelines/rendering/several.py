"""Several pictures of one object with the cameras that took them: which belongs to which, and the scene of all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from enr.camera import invert_rigid, looking_down_deg
from enr.datagen.cameras.pose_files import GivenCameras
from enr.errors import EnrError
from enr.model import Renderer
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene, PlacedScene, join_centres
from enr.pipelines.rendering.framing import Said, frame_picture
from enr.pipelines.rendering.input_views import InputView
from enr.words import count_of


@dataclass(frozen=True)
class FusedScenes:
    """Several pictures' scenes of one object, which each view takes together.

    Attributes:
        scenes: (sources, *config.scene_shape), each in its own camera's frame.
        first_from_sources: (sources, 4, 4) motions from each camera to the first.
    """

    scenes: AnyScene
    first_from_sources: torch.Tensor

    @property
    def single(self) -> AnyScene:
        """The first picture's scene; its centre is that of all."""
        first = self.scenes[:1]
        if not isinstance(first, PlacedScene) or not isinstance(self.scenes, PlacedScene):
            return first
        centre = join_centres(self.scenes[None], self.first_from_sources[None])
        return PlacedScene(first.features, centre, first.uncertainty)

    def seen_from(self, model: Renderer, target_from_first: torch.Tensor) -> AnyScene:
        """The fused scenes (n, *config.scene_shape) in the frames of cameras (n, 4, 4) told from the first."""
        motions = target_from_first[:, None] @ self.first_from_sources.to(target_from_first)
        return model.fuse(self.scenes.expand(len(motions), *self.scenes.shape), motions)


def lift_together(model: Renderer, given: Sequence[InputView]) -> FusedScenes:
    """The scenes of several pictures whose cameras are known; their poses tell the distances.

    Raises:
        EnrError: the pictures contradict the poses.
    """
    cameras = np.stack([view.world_from_camera for view in given if view.world_from_camera is not None])
    motions = torch.as_tensor(invert_rigid(cameras[0]) @ cameras)
    images = torch.stack([view.image for view in given]).to(next(model.parameters()).device)
    return FusedScenes(model.encode_together(images, motions), motions)


def cameras_of(pictures: Sequence[Path], poses: GivenCameras) -> list[GivenCameras]:
    """Each picture's own camera: by its name where the poses name the pictures, else in their order.

    Names may bring folders: of several that fit a picture, the one that shares most folders with it is meant.

    Raises:
        EnrError: the poses name some of the pictures alone, or are not as many; or a name fits several of them.
    """
    found = [_named(picture, poses.names) for picture in pictures]
    if any(index is None for index in found) and any(index is not None for index in found):
        lacking = pictures[found.index(None)]
        raise EnrError(f"The poses name other pictures, but not {lacking.name}; add its camera, or leave it out.")
    chosen: dict[int, Path] = {}
    for picture, index in zip(pictures, found, strict=True):
        if index is not None and (other := chosen.setdefault(index, picture)).absolute() != picture.absolute():
            raise EnrError(
                f"{other} and {picture} would both have the camera of {poses.names[index]}; give the names in the "
                "poses their folders, so that each fits one picture."
            )
    if not chosen and len(poses) != len(pictures):
        raise EnrError(
            f"{count_of(len(pictures), 'picture')} and {count_of(len(poses), 'camera')} were given; give a camera for "
            "each picture, in the same order or under the pictures' names."
        )
    return [poses.only(number if index is None else index) for number, index in enumerate(found)]


def _named(picture: Path, names: Sequence[str]) -> int | None:
    """Which of the names is a picture's; None where none is.

    Raises:
        EnrError: several fit equally.
    """
    likeness = []
    *folders, _ = picture.absolute().parts
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        # Names may lack the ending, and pictures may have been saved in another format.
        fits = (path.name == picture.name, path.name == picture.stem, picture.stem == path.stem)
        pairs = zip(reversed(folders), reversed(path.parts[:-1]), strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        likeness.append((shared, -fits.index(True)) if any(fits) else None)
    best = max((like for like in likeness if like), default=None)
    if best is None:
        return None
    if likeness.count(best) > 1:
        first, second = [name for name, like in zip(names, likeness, strict=True) if like == best][:2]
        raise EnrError(
            f"The poses' names {first} and {second} both fit {picture}; give each picture's camera its own name."
        )
    return likeness.index(best)


def posed_views(
    pictures: Sequence[Path], poses: GivenCameras, config: RendererConfig, fov_deg: float | None
) -> list[InputView]:
    """Pictures as the model's camera would have taken them from where they were taken.

    Raises:
        EnrError: see `cameras_of` and `frame_picture`; or a lens is said twice.
    """
    if fov_deg is not None and poses.brings_lens:
        raise EnrError("The poses say what lens took the pictures; leave out --fov-deg.")
    views = []
    for picture, camera in zip(pictures, cameras_of(pictures, poses), strict=True):
        framed = frame_picture(picture, config, Said(fov_deg=fov_deg, cameras=camera))
        world_from_camera = camera.world_from_camera[0]
        views.append(
            InputView(
                picture.name, framed.image, framed.notes, float(looking_down_deg(world_from_camera)), world_from_camera
            )
        )
    return views
