"""Novel views of one picture: framed, lifted to a scene once, and rendered from each camera asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, InstanceOf

from enr.camera import Array
from enr.checking import checked
from enr.datagen.cameras.pose_files import GivenCameras
from enr.errors import EnrError
from enr.model import Renderer, load_model
from enr.model.checks import between, was_trained_on
from enr.model.scene import AnyScene, PlacedScene
from enr.pipelines.machine import pick_device
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.camera_paths import Cameras, CameraStep, Distance
from enr.pipelines.rendering.framing import Said, check_picture, frame_picture
from enr.pipelines.rendering.input_views import InputView, ShardScenes
from enr.pipelines.rendering.maps import SceneMaps, scene_maps
from enr.pipelines.rendering.several import FusedScenes, cameras_of, lift_together, posed_views
from enr.pipelines.source_picture import BELIEVED_DEG
from enr.pipelines.training.runs import RUNS, find_checkpoint, latest_run

SHIPPED = Path("shapes")
"""The model that comes with enr."""
OTHER_UNITS = 1.5
"""A distance by poses that differs by such a factor from what a picture looks like is said."""
BATCH_SIZE = 16
"""On a graphics card. On the CPU it is one: no slower, and each view has the bits that it has alone."""


@checked(names={"views": "view"})
@dataclass(frozen=True)
class NovelViewSettings:
    """What `enr render` is told.

    Attributes:
        picture: the file: a picture, or a shard.
        cameras: where the views are taken from; of a shard, the single camera of the picture itself stands for those
            of the scene's other views.
        checkpoint: a run, a checkpoint folder or a published `.pt`; None takes the latest run's best, or the
            model that comes with enr.
        distance: depth of the object's centre in the picture's camera, in object units; None: the model estimates it.
        source_elevation_deg: how far the picture's camera stands above the object's horizon; shards say it themselves.
        fov_deg: horizontal field of view of the picture; None frames the object instead.
        device: `auto`, `cpu`, `cuda` …
        scene: of a shard, the scene's id, or the beginning of it; None: the first unseen one.
        views: of a shard, which view is the picture; of several, all are fused, and the first is the cameras' own.
        further: further pictures of the same object, fused with the first.
        poses: a camera for each of the pictures, in their order or by their names; needed where there are several.
        towards: a second picture (file or shard), whose object the first one turns into and back; None: none.
        with_maps: whether depth and opacity are asked for.
    """

    picture: Path
    cameras: InstanceOf[Cameras]
    checkpoint: Path | None = None
    distance: Distance | None = None
    source_elevation_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    fov_deg: Annotated[float, Field(ge=BELIEVED_DEG[0], le=BELIEVED_DEG[1])] | None = None
    device: str = "auto"
    scene: str | None = None
    views: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    further: tuple[Path, ...] = ()
    poses: InstanceOf[GivenCameras] | None = None
    towards: Path | None = None
    with_maps: bool = False


@dataclass(frozen=True)
class NovelViews:
    """What was rendered.

    Attributes:
        source: (height, width, 3) uint8, the picture as the model was given it.
        images: (views, height, width, 3) uint8.
        checkpoint: what rendered them.
        notes: what was assumed or estimated, a sentence each.
        truth: (views, height, width, 3) uint8, what a shard has from the same cameras; None where nobody knows.
        maps: depth and opacity, if they were asked for.
        centre_depth: (views,) depth of the object's centre in each view, in object units.
    """

    source: NDArray[np.uint8]
    images: NDArray[np.uint8]
    checkpoint: Path
    notes: tuple[str, ...]
    truth: NDArray[np.uint8] | None
    maps: SceneMaps | None
    centre_depth: Array


def default_checkpoint() -> Path:
    """The latest run, else the model that comes with enr.

    Raises:
        EnrError: there is neither.
    """
    try:
        return latest_run()
    except EnrError:
        with suppress(EnrError):
            return find_checkpoint(SHIPPED)[0]
        raise EnrError(
            f"No earlier run in {RUNS}/, and this copy of enr has no model of its own; train one with "
            "`enr train shards/*.h5`, or name a checkpoint."
        ) from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread for a while: the number of threads decides the last bits, and with it what is shown."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
@torch.no_grad()
def render_novel_views(settings: NovelViewSettings) -> NovelViews:
    """Render a picture's object from other cameras.

    Raises:
        EnrError: there is no checkpoint, or it or the picture cannot be used, or the distance does not fit.
    """
    _check_pictures(settings)
    checkpoint, _ = find_checkpoint(settings.checkpoint or default_checkpoint())
    model = load_model(checkpoint, pick_device(settings.device))
    given, shards, number = _input_views(settings.picture, (settings.scene, settings.views), settings, model)
    first, cameras, truth = given[0], settings.cameras, None
    if shards is not None and cameras == Cameras((CameraStep(),)):
        cameras, truth = _other_views(shards, number, settings.views)
    distance = settings.distance if settings.distance is not None else cameras.distance
    together = lift_together(model, given) if len(given) > 1 else None
    scene = lift(model, first, distance) if together is None else together.single
    notes = [note for view in given for note in view.notes]
    notes += _in_words(model, scene, given, distance)
    elevation_deg: float | Array = first.elevation_deg
    if settings.towards is not None:
        (other,), _, _ = _input_views(settings.towards, (None, (0,)), settings, model)
        shares = np.sin(np.pi * np.arange(len(cameras)) / len(cameras)) ** 2
        scene = blend(scene, lift(model, other, distance), torch.as_tensor(shares))
        elevation_deg = first.elevation_deg + shares * (other.elevation_deg - first.elevation_deg)
        notes += other.notes
    centre = centre_of(scene, model)
    motions = cameras.motions(centre, elevation_deg)
    images, maps = _render_each(model, together or scene, torch.as_tensor(motions), settings.with_maps)
    centre_depth = (motions[:, 2, :3] * centre).sum(-1) + motions[:, 2, 3]
    return NovelViews(to_uint8(first.image), images, checkpoint, tuple(notes), truth, maps, centre_depth)


def _check_pictures(settings: NovelViewSettings) -> None:
    """Refuse what can be told of pictures before a model is there."""
    pictures, poses = (settings.picture, *settings.further), settings.poses
    for picture in (*pictures, *([settings.towards] if settings.towards else [])):
        if not _is_shard(picture):
            check_picture(picture)
    if any(map(_is_shard, pictures)) and (settings.further or poses is not None):
        raise EnrError("A shard brings its own pictures and poses; give it alone, with --view 0,3,7 for several views.")
    for name in ("fov_deg", "source_elevation_deg"):
        if getattr(settings, name) and all(map(_is_shard, (*pictures, settings.towards or settings.picture))):
            raise EnrError(f"A shard says how its pictures were taken; leave out --{name.replace('_', '-')}.")
    if settings.further and poses is None:
        raise EnrError(
            f"{len(pictures)} pictures were given, and nothing says where they were taken; give --poses with a camera "
            "for each, or one picture."
        )
    if poses is not None:
        cameras_of(pictures, poses)
        if settings.source_elevation_deg:
            raise EnrError("The poses say how the pictures were taken; leave out --source-elevation-deg.")
    if len(pictures) > 1 or len(settings.views) > 1:
        for name in ("distance", "towards"):
            if getattr(settings, name) is not None:
                raise EnrError(f"--{name} goes with one picture, and several were given; leave it out.")


def _is_shard(picture: Path) -> bool:
    return picture.suffix == ".h5" or picture.is_dir()


def _input_views(
    picture: Path, choice: tuple[str | None, tuple[int, ...]], settings: NovelViewSettings, model: Renderer
) -> tuple[list[InputView], ShardScenes | None, int]:
    """The pictures that the model is given; and where they are a shard's, its scenes and which of them."""
    if _is_shard(picture):
        shards = ShardScenes([picture], model.config)
        scene = shards.find(choice[0])
        return [shards.input_view(scene, view) for view in choice[1]], shards, scene
    if choice != (None, (0,)):
        raise EnrError(f"--scene and --view choose from a shard, and {picture} is none; leave them out.")
    if settings.poses is not None and picture == settings.picture:
        return posed_views((picture, *settings.further), settings.poses, model.config, settings.fov_deg), None, 0
    framed = frame_picture(picture, model.config, Said(settings.fov_deg))
    elevation_deg = settings.source_elevation_deg
    return [InputView(picture.name, framed.image, framed.notes, elevation_deg, None, framed.zoom)], None, 0


def _other_views(shards: ShardScenes, scene: int, views: tuple[int, ...]) -> tuple[Cameras, NDArray[np.uint8]]:
    """The cameras of a scene's other views, told from the first of those given, and their pictures."""
    others = np.delete(np.arange(shards.scenes[scene].count), views)
    if not len(others):
        raise EnrError(f"{shards.scenes[scene].scene_id} has no further view, so no truth; say where to look from.")
    truth = to_uint8(shards.images(shards.scenes[scene].first + others))
    return Cameras((), shards.cameras(scene)[[views[0], *others]]), truth


def lift(model: Renderer, given: InputView, distance: float | None) -> AnyScene:
    """The scene (1, *config.scene_shape) of a picture, whose object's real distance may be known.

    Raises:
        EnrError: the model was trained on no such distance.
    """
    config, seen = model.config, None if distance is None else distance / given.zoom
    if seen is not None and config.has_travelling_range and not was_trained_on(seen, config):
        expected = between(given.zoom * config.near, given.zoom * config.far)
        raise EnrError(
            f"The distance is {distance:g} units, but with this picture's lens the model knows objects {expected} "
            "units away; give one of these, or the lens that took the picture."
        )
    return model.inverse_render(given.image[None].to(next(model.parameters()).device), seen)


def blend(scene: AnyScene, other: AnyScene, shares: torch.Tensor) -> AnyScene:
    """Scenes (n, ...) between two single ones: features and places, mixed by the other's shares (n,)."""

    def mixed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        share = shares.to(first).reshape(-1, *[1] * (first.ndim - 1))
        return first * (1 - share) + second * share

    if isinstance(scene, PlacedScene) and isinstance(other, PlacedScene):
        return PlacedScene(
            mixed(scene.features, other.features),
            mixed(scene.centre, other.centre),
            mixed(scene.uncertainty, other.uncertainty),
        )
    assert isinstance(scene, torch.Tensor) and isinstance(other, torch.Tensor)
    return mixed(scene, other)


def _render_each(
    model: Renderer, scene: AnyScene | FusedScenes, motions: torch.Tensor, with_maps: bool
) -> tuple[NDArray[np.uint8], SceneMaps | None]:
    """Views (n, height, width, 3) of one scene, of n, each moved by its motion, or of fused ones."""
    size = 1 if next(model.parameters()).device.type == "cpu" else BATCH_SIZE
    images, maps = [], []
    parts = None if with_maps or isinstance(scene, FusedScenes) or len(scene) > 1 else model.apart(scene)
    for start in range(0, len(motions), size):
        chunk = motions[start : start + size]
        if parts is not None:
            images.append(model.view(parts, chunk).clamp(0, 1).cpu())
            continue
        if isinstance(scene, FusedScenes):
            moved = scene.seen_from(model, chunk)
        else:
            some = scene[start : start + size] if len(scene) > 1 else scene.expand(len(chunk), *scene.shape[1:])
            moved = model.transform(some, chunk)
        images.append(model.render(moved).clamp(0, 1).cpu())
        maps += [scene_maps(model, moved)] if with_maps else []
    joined = [np.concatenate(parts) for parts in zip(*((one.depth, one.opacity) for one in maps), strict=True)]
    return to_uint8(torch.cat(images)), SceneMaps(*joined) if maps else None


def centre_of(scene: AnyScene, model: Renderer) -> Array:
    """The point that cameras turn around: each scene's own centre (n, 3), else the target point (1, 3) at `radius`."""
    if isinstance(scene, PlacedScene):
        return np.asarray(scene.centre.double().cpu())
    return np.array([[0.0, 0.0, model.config.radius]])


def _in_words(model: Renderer, scene: AnyScene, given: Sequence[InputView], distance: float | None) -> list[str]:
    """What is assumed of the distance, and of several pictures."""
    several = len(given) > 1
    said = []
    if several and model.config.warp != "frustum":
        said.append("This model does not tell what each picture sees: the pictures count alike everywhere.")
    if isinstance(scene, PlacedScene) and (several or distance is None):
        depth, uncertainty = (given[0].zoom * float(number[0]) for number in (scene.distance, scene.uncertainty))
        end = f", triangulated from {len(given)} pictures." if several else "; give its distance if you know it."
        said.append(
            f"The object's centre is taken to be {depth:.2f} units away (within {uncertainty:.2f} nine times in ten)"
            + end
        )
        single = lift(model, given[0], None) if several else scene
        alone = float(single.distance[0]) if isinstance(single, PlacedScene) and several else depth
        if not 1 / OTHER_UNITS <= depth / alone <= OTHER_UNITS:
            said.append(
                f"The first picture alone looks like {alone:.2f} units: if the poses are in other units, multiply "
                f"their translations by {alone / depth:.2g}."
            )
    return said
