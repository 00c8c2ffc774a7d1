"""`enr.novel_views`: a picture's object from other cameras."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from enr.errors import EnrError
from enr.pipelines.front_door.given import PathInput, PathsInput, checked, many_paths, one_path
from enr.pipelines.front_door.learning import LATEST
from enr.pipelines.rendering.camera_paths import CameraStep, choose_cameras, read_poses
from enr.pipelines.rendering.novel_views import NovelViews, NovelViewSettings, render_novel_views
from enr.pipelines.rendering.published_guide import generate_novel_views
from enr.pipelines.rendering.writing import check_kept, write_views

__all__ = ["Views", "generate_novel_views", "novel_views"]


@dataclass(frozen=True)
class Views:
    """Novel views of a picture.

    Attributes:
        images: (views, height, width, 3) uint8.
        source: (height, width, 3) uint8, the picture as the model was given it.
        checkpoint: what rendered them.
        notes: what was assumed or estimated, a sentence each.
        truth: (views, height, width, 3) uint8, what a shard has from the same cameras; else None.
        depth: (views, height, width) float32 in object units, NaN where nothing is; None unless asked for.
        opacity: (views, height, width) float32 in [0, 1]; None unless asked for.
        inputs: the files that they were made from, which `save` does not replace.
    """

    images: NDArray[np.uint8]
    source: NDArray[np.uint8]
    checkpoint: Path
    notes: tuple[str, ...]
    truth: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    opacity: NDArray[np.float32] | None = None
    inputs: tuple[Path, ...] = ()

    @classmethod
    def of(cls, found: NovelViews, inputs: tuple[Path, ...], with_depth: bool, with_opacity: bool) -> Views:
        """What was rendered of those files, with the maps that are wanted."""
        depth = found.maps.depth if found.maps and with_depth else None
        opacity = found.maps.opacity if found.maps and with_opacity else None
        return cls(found.images, found.source, found.checkpoint, found.notes, found.truth, depth, opacity, inputs)

    def save(self, path: PathInput, *, size_px: int = 256) -> Path:
        """Write a PNG of the view (of several: a sheet with picture and truth), or a GIF, WebP or MP4 that plays them.

        Raises:
            EnrError: the name has another ending or is an input, the folder is missing, the size does not fit.
        """
        try:
            output = one_path(path, "The output")
            check_kept(self.inputs, [output])
            return write_views(self.images, self.source, output, size_px, self.truth)
        except EnrError as error:
            said = str(error).replace("a path such as --orbit", 'views of a path such as path="orbit"')
            raise EnrError(said.replace("give another --out", "give another path=")) from error

    def __repr__(self) -> str:
        count, height, width = self.images.shape[:3]
        return f"<Views: {count} of {width}x{height} px>"


@checked
def novel_views(
    picture: PathsInput,
    *,
    poses: PathInput | ArrayLike | None = None,
    checkpoint: PathInput | None = None,
    azimuth_deg: float = 0.0,
    elevation_deg: float = 0.0,
    translate: tuple[float, float, float] = (0.0, 0.0, 0.0),
    path: PathInput | None = None,
    frames: int | None = None,
    distance: float | None = None,
    source_elevation_deg: float = 0.0,
    fov_deg: float | None = None,
    scene: str | None = None,
    view: int | Sequence[int] = 0,
    towards: PathInput | None = None,
    depth: bool = False,
    opacity: bool = False,
    device: str = "auto",
) -> Views:
    """Render the object of a picture from other cameras, as `enr render` does.

    Args:
        picture: of an object before a plain background; several are fused; or a shard, whose other views are rendered.
        poses: where pictures were taken: a pose file, or `world_from_camera` (n, 4, 4), OpenCV axes, z upwards.
        checkpoint: a run, a checkpoint or a published `.pt`; None: the latest run, or `shapes`.
        azimuth_deg: turn to the right around the object.
        elevation_deg: turn upwards around it.
        translate: then move the camera right, down and forward, in object units.
        path: `orbit`, `spiral`, `dolly`, `shift`, `screw`, one saved by the viewer, or a pose file.
        frames: views of a path by name, or towards another object; None: 36.
        distance: depth of the object's centre, in object units; None: estimated.
        source_elevation_deg: how far above the object's horizon the picture was taken.
        fov_deg: horizontal field of view of the picture; None: the object is framed.
        scene: of a shard, the beginning of the scene's id; None: the first unseen one.
        view: of a shard, which view is the picture, or which ones are fused.
        towards: a second picture, whose object the first one becomes, and then itself again.
        depth: whether depth is wanted, too.
        opacity: whether opacity is.
        device: auto, cpu or cuda.

    Raises:
        EnrError: something does not fit; the message says what to do.
    """
    step = CameraStep(azimuth_deg, elevation_deg, _three_numbers(translate))
    cameras = choose_cameras(step, _path_or_none(path, "path"), frames, is_blend=towards is not None)
    trained = _path_or_none(None if checkpoint == LATEST else checkpoint, "checkpoint")
    pictures = many_paths(picture, "The picture")
    views = render_novel_views(
        NovelViewSettings(
            *(pictures[0], cameras, trained, distance, source_elevation_deg, fov_deg, device, scene),
            views=tuple(np.atleast_1d(view).tolist()),
            further=pictures[1:],
            poses=read_poses(Path(poses) if isinstance(poses, str | os.PathLike) else poses),
            towards=_path_or_none(towards, "towards"),
            with_maps=depth or opacity,
        )
    )
    inputs = (*pictures, *(Path(each) for each in (poses, path, towards) if isinstance(each, str | os.PathLike)))
    return Views.of(views, inputs, with_depth=depth, with_opacity=opacity)


def _three_numbers(translate: object) -> tuple[float, float, float]:
    if not isinstance(translate, Sequence | np.ndarray) or isinstance(translate, str) or len(translate) != 3:
        raise EnrError(f"translate is given as {translate!r}; give three numbers: right, down, forward.")
    return (translate[0], translate[1], translate[2])


def _path_or_none(given: PathInput | None, what: str) -> Path | None:
    return None if given is None else one_path(given, what)
