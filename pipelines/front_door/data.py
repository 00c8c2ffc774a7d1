"""`enr.generate` and `enr.open_shards`: meshes to shards, and what lies in shards."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from enr.camera import Group
from enr.compositing import over_background
from enr.errors import EnrError
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.front_door.given import PathInput, PathsInput, check_keywords, checked, many_paths
from enr.shards import SPLITS, Split
from enr.words import count_of, splits_in_words

if TYPE_CHECKING:
    from enr.datagen.generate import Summary


class DatagenOptions(TypedDict, total=False):
    """The options of `enr datagen`, by name; what is left out is what the command takes without it."""

    max_meshes: int | None
    up_axis: str
    blender: PathInput | None
    group: Group | None
    views: int | None
    radius: float
    box: Sequence[float]
    elevation_deg: Sequence[float]
    azimuth_deg: Sequence[float]
    sphere: str
    rings_deg: Sequence[float]
    look_at_jitter: float
    roll_deg: Sequence[float]
    hold_out_patches: int
    patch_size_deg: float
    hold_out_views: int
    poses: PathInput | None
    focal_px: float | None
    focal_mm: float | None
    fov_deg: float | None
    focal_jitter: float
    centre_jitter_px: float
    resolution: int | str | Sequence[int] | None
    samples: int
    normalise: str
    materials: str | None
    lighting: str
    hdri: PathInput | None
    hdri_background: bool
    background: PathInput | Sequence[float]
    depth: bool
    normals: str | None
    mask: bool
    engine: str
    device: str
    seed: int
    on_bad: str
    bad: Sequence[str]
    split: Sequence[float]
    out: PathInput
    compression: str
    resume: bool
    retry_failed: bool
    retry_bad: bool
    overwrite: bool
    workers: int | None
    workers_per_device: int | None
    mesh_timeout: float | None
    mesh_memory: float
    part: str | Sequence[int] | None
    scheduler: str | None


@dataclass(frozen=True)
class Shards(Sequence[Path]):
    """A data set: a sequence of the shards' paths, which other calls take as it is.

    Attributes:
        paths: the shards, in order.
        summary: what was made and what failed.
    """

    paths: tuple[Path, ...]
    summary: Summary

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """The path, or a tuple of them."""
        return self.paths[index]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def contact_sheet(self) -> Path | None:
        """A picture of some views; look at it before training."""
        return self.summary.contact_sheet

    @property
    def failures(self) -> dict[str, str]:
        """Reason by scene id, of the meshes that could not be rendered."""
        return self.summary.failures

    def __repr__(self) -> str:
        made = f"{count_of(self.summary.images, 'image')} of {count_of(self.summary.scenes, 'mesh')}"
        failed = f", {count_of(len(self.failures), 'mesh')} failed" if self.failures else ""
        splits = ", ".join(f"{count:,} {split}" for split, count in self.summary.scenes_by_split.items())
        return f"<Shards: {made} ({splits}) in {count_of(len(self), 'shard')}{failed}>"


@checked
def generate(meshes: PathsInput, *, quiet: bool = True, **options: Unpack[DatagenOptions]) -> Shards:
    """Render meshes into shards of posed pictures, as `enr datagen` does; finished ones are kept.

    Args:
        meshes: files, folders or zip archives, one or many.
        quiet: say nothing on standard error: no progress, no meshes by split.
        options: those of `enr datagen`, by name (`max_meshes` is `--max-meshes`), with its defaults.

    Raises:
        EnrError: something does not fit, or none of the meshes can be rendered; the message says what to do.
    """
    from enr.datagen.generate import generate as render
    from enr.pipelines.config.data_sets import DatagenConfig
    from enr.pipelines.generation.cluster import generate_on_cluster
    from enr.pipelines.generation.settings import generate_settings

    check_keywords(generate, options, DatagenOptions.__annotations__)
    config = DatagenConfig.of({"meshes": many_paths(meshes, "meshes"), **options})
    settings = generate_settings(config, "enr.generate")
    if config.scheduler:
        summary = generate_on_cluster(settings, config.scheduler, config.workers, progress=not quiet)
    else:
        summary = render(settings, progress=not quiet)
    if not summary.shards and summary.failures:
        name, reason = next(iter(summary.failures.items()))
        raise EnrError(f"None of the meshes could be rendered ({name}: {reason}); mend them, or give others.")
    if not quiet and summary.scenes:
        print(splits_in_words(summary.scenes_by_split, "split=... gives"), file=sys.stderr)
    return Shards(summary.shards, summary)


@dataclass(frozen=True)
class SceneViews:
    """The views of one object and one split.

    Attributes:
        scene_id: id of its mesh.
        group: rot, trans or rototrans.
        split: train, val or test.
        indices: (views,) their numbers among all views.
    """

    scene_id: str
    group: Group
    split: Split
    indices: NDArray[np.int64]
    _views: ViewSet

    @property
    def rgba(self) -> NDArray[np.uint8]:
        """(views, height, width, 4) uint8, straight alpha, sRGB."""
        return self._views.images(self.indices)

    @property
    def images(self) -> NDArray[np.float32]:
        """(views, height, width, 3) float32 in [0, 1], over the shards' background."""
        return (over_background(self.rgba, self._views.background) / np.float32(255)).astype(np.float32)

    @property
    def world_from_camera(self) -> NDArray[np.float64]:
        """(views, 4, 4) OpenCV cameras."""
        return np.asarray(self._views.views["world_from_camera"][self.indices])

    @property
    def K(self) -> NDArray[np.float64]:
        """(views, 3, 3) intrinsics in pixels."""
        return np.asarray(self._views.views["K"][self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"<SceneViews {self.scene_id}: {count_of(len(self), 'view')}, {self.group}, {self.split}>"


class OpenShards(Sequence[SceneViews]):
    """Shards opened for reading: a sequence of scenes; pictures are read when they are asked for.

    Attributes:
        view_set: all views, as training and evaluation read them.
    """

    def __init__(self, view_set: ViewSet) -> None:
        self.view_set = view_set
        self._scenes = tuple(self._scene(scene) for scene in view_set.all_scenes)

    def _scene(self, scene: Scene) -> SceneViews:
        return SceneViews(scene.scene_id, scene.group, scene.split, scene.view_indices, self.view_set)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """A scene by its number or by its id; several by a slice.

        Raises:
            EnrError: no scene has the id.
        """
        if not isinstance(index, str):
            return self._scenes[index]
        for scene in self._scenes:
            if scene.scene_id == index:
                return scene
        raise EnrError(f"No scene has the id {index!r}; there are {len(self)}, such as {self._scenes[0].scene_id!r}.")

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Iterator[SceneViews]:
        return iter(self._scenes)

    def split(self, name: Split) -> tuple[SceneViews, ...]:
        """The scenes of train, val or test.

        Raises:
            EnrError: it is none of these.
        """
        if name not in SPLITS:
            raise EnrError(f"There is no split {name!r}; choose {' or '.join(SPLITS)}.")
        return tuple(scene for scene in self._scenes if scene.split == name)

    def __repr__(self) -> str:
        size = f"{self.view_set.width_px}x{self.view_set.height_px} px"
        return f"<OpenShards: {count_of(len(self.view_set), 'view')} of {count_of(len(self), 'scene')}, {size}>"


@checked
def open_shards(shards: PathsInput = "shards") -> OpenShards:
    """Open shards for reading.

    Args:
        shards: `.h5` files or folders of them, one or many.

    Raises:
        EnrError: there is none, or they are damaged or do not agree.
    """
    return OpenShards(ViewSet.open(many_paths(shards, "shards")))
