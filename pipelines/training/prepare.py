"""From shards and wishes to a resolved configuration, and what can be known to go wrong, before anything is written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from enr import __version__
from enr.camera import invert_rigid, near_far
from enr.errors import EnrError
from enr.model.description import CheckpointMetadata, TrainedData, TrainedShard
from enr.pipelines.config import (
    Assignments,
    Config,
    Preset,
    TrainConfig,
    find_key,
    key_values,
    override,
    read_preset,
    resolve,
    validated_train,
)
from enr.pipelines.data.views import ViewSet, repeated_meshes
from enr.pipelines.machine import choose_device, choose_precision, describe, describe_machine
from enr.pipelines.metrics import SSIM_WINDOW_PX
from enr.pipelines.training.initial import Initial, check_architecture, check_size
from enr.pipelines.training.loader import check_pairs
from enr.shards import SPLITS
from enr.words import count_of

WAYS = ("render", "poses", "converted")
"""Entries of a shard's `config` that say how its pictures were made, and nothing of single meshes."""

MARGIN = 0.1
"""A frustum that travels reaches so much further than the object's ball: its centre is known to about half of that."""

FAR_OUT = 2.0
"""A camera that is so many times as far from the object as the middle one, or as near, is worth a word: the depth range
must hold the object of all of them."""

BESIDE_AXIS = 0.02
"""An object whose centre lies so far beside the camera's axis, in object units, is not in the middle of its picture."""

SAME_SIDE = 0.02
"""Cameras whose axes differ by less than this all look the same way."""

SAME_RADIUS = 0.01
"""Radii that differ by less than this share are one for the rigid warp, whose volume has a single distance."""

CPU_PRESET, CPU_PRESETS = "small-64", {(32, 32): "small-32"}
GPU_PRESETS = {(64, 64): "chairs-64", (128, 128): "chairs-128"}


def choose_preset(size_px: tuple[int, int], device: torch.device) -> tuple[Preset, str]:
    """The preset that fits pictures of (height, width) and the device, and a line that says why."""
    height, width = size_px
    where = "a GPU" if device.type == "cuda" else "a CPU"
    fitting = GPU_PRESETS if device.type == "cuda" else CPU_PRESETS
    name = fitting.get(size_px, CPU_PRESET)
    preset = read_preset(name)
    words = f"Preset {name}: it fits {width}x{height} px and {where}."
    if preset.size_px != size_px:
        preset = dataclasses.replace(preset, model={**preset.model, "image_shape": [3, height, width]})
        words = f"Preset {name}, adapted to {width}x{height} px: the nearest one for {where}."
    return preset, words + " Choose another with --preset."


def resolve_config(
    view_set: ViewSet, name: str | None, assignments: Assignments, initial: Initial | None = None
) -> tuple[Config, str]:
    """The configuration for these shards on this machine, and a line about the preset.

    Args:
        view_set: the data.
        name: of a preset; chosen if None.
        assignments: what is set over the preset.
        initial: the checkpoint to start from, whose architecture it must be.

    Raises:
        EnrError: an unknown preset or key, a preset for another picture size or architecture, a value that does not
            fit, or data that cannot be trained on.
    """
    check_pairs(view_set.scenes("train"), "train")
    held_out = view_set.scenes("val")
    if held_out and all(scene.count < 2 for scene in held_out):
        check_pairs(held_out, "val")  # a few single views are left out, but nothing could be measured here
    size_px = (view_set.height_px, view_set.width_px)
    # The device may be set by an override, and the preset depends on the device: look at the overrides first.
    asked = {find_key(key)[-1]: value for key, value in key_values(assignments)}
    device = choose_device(validated_train({"device": asked.get("device", "auto")}).device)
    preset, words = (read_preset(name), f"Preset {name}.") if name else choose_preset(size_px, device)
    if initial is not None:
        check_size(initial, view_set)
        preset, words = _preset_of(initial, preset, name)
    wished = override(preset, assignments)
    if initial is not None:
        check_architecture(initial, wished)  # before entries that contradict each other are found
    config = resolve(wished, camera_of(view_set), size_px)
    _check_what_is_learned(config, view_set)
    return dataclasses.replace(config, train=_on_this_machine(config.train)), words


def _check_what_is_learned(config: Config, view_set: ViewSet) -> None:
    """Refuse what would train to the end and be wrong all along."""
    radius = _radii(view_set)
    if config.model.warp == "rigid" and np.ptp(radius) > SAME_RADIUS * radius.min():
        raise EnrError(
            f"warp=rigid moves scenes about one distance, the shards' cameras are {radius.min():.3g} to "
            f"{radius.max():.3g} from their target; give shards of one radius, or --set warp=frustum."
        )
    if config.train.loss.ssim and min(view_set.height_px, view_set.width_px) < SSIM_WINDOW_PX:
        raise EnrError(
            f"loss.ssim compares windows of {SSIM_WINDOW_PX} px, the shards hold {view_set.width_px}x"
            f"{view_set.height_px} px; leave it out with --set loss.ssim=0 (and loss.l2=1), or give larger pictures."
        )
    if not np.isfinite(config.train.learning_rate):
        raise EnrError(f"train.learning_rate is {config.train.learning_rate}; give a finite one, such as 2e-4.")


def _on_this_machine(train: TrainConfig) -> TrainConfig:
    """With the precision that suits the device, and a path that holds from any folder."""
    precision = choose_precision(train.precision, choose_device(train.device))
    weights = str(Path(train.lpips_weights).resolve()) if train.lpips_weights else None
    return dataclasses.replace(train, precision=precision, lpips_weights=weights)


def _preset_of(initial: Initial, preset: Preset, name: str | None) -> tuple[Preset, str]:
    """The starting point of a training that starts from a checkpoint: the preset asked for, or the checkpoint's own."""
    start = f"The weights start from {initial.describe()}"
    if name:
        return preset, f"Preset {name}. {start}."
    own = initial.preset()
    if own is not None:
        return own, f"{start}; the training goes by its settings (preset {own.name})."
    adapted = dataclasses.replace(preset, any_size=False, model=initial.architecture())
    return adapted, f"{start}, which says no settings; the training goes by those of the preset {preset.name}."


def camera_of(view_set: ViewSet) -> dict[str, object]:
    """Entries of `RendererConfig` that the data decides: lens, distance, depth range, background.

    Raises:
        EnrError: the views' lenses differ, or a lens is not the centred one with square pixels that models have.
    """
    lenses = view_set.views["K"]
    lens = lenses[0]
    if not np.allclose(lenses, lens, rtol=1e-6, atol=1e-6):
        raise EnrError("The shards' lenses differ (data set K); give shards of one focal length.")
    expected = [[lens[0, 0], 0, view_set.width_px / 2], [0, lens[0, 0], view_set.height_px / 2], [0, 0, 1]]
    if not np.allclose(lens, expected, rtol=1e-6, atol=1e-6):
        raise EnrError(
            f"The shards' lens is {lens.tolist()}; models expect square pixels and a principal point at the centre."
        )
    radius, object_radius = _radius(view_set), _object_radius(view_set)
    near, far = near_far(view_set.views["world_from_camera"], radius, object_radius)
    return {
        "focal_px": float(lens[0, 0]),
        "radius": radius,
        "near": near,
        "far": far,
        "half_depth": object_radius + MARGIN,
        "reaim": _is_worth_an_aim(view_set),
        "background": list(view_set.background),
    }


def _is_worth_an_aim(view_set: ViewSet) -> bool:
    """Whether cameras look past their objects, and from several sides.

    Those that all look at the object have nothing to be aimed at. Of those that all look the same way, objects are seen
    from nearly one side: there resampling costs more than the aim gains (docs/results.md).
    """
    camera_from_world = invert_rigid(view_set.views["world_from_camera"])
    look_past = np.abs(camera_from_world[:, :2, 3]).max() > BESIDE_AXIS
    turn = np.ptp(camera_from_world[:, :3, :3], axis=0).max() > SAME_SIDE
    return bool(look_past and turn)


def _object_radius(view_set: ViewSet) -> float:
    """Half the diagonal of the largest box that the normalisation allows: a cube, where the longest side is 1.

    The published chairs, normalised so, reach 0.57 to 0.78 from their centres; 0.5 would cut all of them off in depth.
    """
    configs = [meta.config for meta in view_set.metas]
    longest = any(config.get("render", {}).get("normalise") == "longest" for config in configs)
    published = any(config.get("converted", {}).get("from") == "apple" for config in configs)
    return float(np.sqrt(3) / 2) if longest or published else 0.5


def _radius(view_set: ViewSet) -> float:
    """The orbit's radius; of cameras that came from a file and are on no orbit, their distance from the origin."""
    return float(np.median(_radii(view_set)))


def _radii(view_set: ViewSet) -> NDArray[np.float64]:
    radius, cameras = view_set.views["radius"], view_set.views["world_from_camera"]
    return np.where(np.isnan(radius), np.linalg.norm(cameras[:, :3, 3], axis=1), radius)


def said_of_data(view_set: ViewSet, config: Config) -> list[str]:
    """Lines about what in the data would make a training worse, or its validation better, than it seems."""
    return [*_said_of_far_cameras(view_set, config), *_said_of_repeated_meshes(view_set)]


def _said_of_far_cameras(view_set: ViewSet, config: Config) -> list[str]:
    """Views whose distance widens the depth range of all."""
    if config.model.has_travelling_range:
        return []
    distance = np.linalg.norm(view_set.views["world_from_camera"][:, :3, 3], axis=1)
    middle = float(np.median(distance))
    odd = np.flatnonzero((distance > FAR_OUT * middle) | (distance < middle / FAR_OUT))
    if not len(odd):
        return []
    worst = int(odd[np.argmax(np.abs(np.log(np.maximum(distance[odd], 1e-9) / middle)))])
    name = f"view {view_set.views['view_index'][worst]} of scene {view_set.views['scene_id'][worst]}"
    return [
        f"Warning: {count_of(len(odd), 'camera')} of {len(distance):,} "
        f"{'stands' if len(odd) == 1 else 'stand'} far from where the others do ({name}: {distance[worst]:.3g} from "
        f"the object, the middle one {middle:.3g}). The depth range of all, {config.model.near:.3g} to "
        f"{config.model.far:.3g}, must hold the object of each, and its cells grow coarse; leave such views out."
    ]


def _said_of_repeated_meshes(view_set: ViewSet) -> list[str]:
    held_out = [scene for scene in view_set.all_scenes if scene.split != "train" and not scene.is_held_out]
    pairs = repeated_meshes(view_set.scenes("train"), held_out)
    if not pairs:
        return []
    trained, other = pairs[0]
    split = next(scene.split for scene in held_out if scene.scene_id == other)
    return [
        f"Warning: {count_of(len(pairs), 'mesh')} {'is' if len(pairs) == 1 else 'are'} trained on and held out under "
        f"two ids (first: {trained} in train, {other} in {split}): scores on them are not of unseen objects."
    ]


def metadata_of(config: Config, view_set: ViewSet) -> CheckpointMetadata:
    """What a checkpoint says about its making, whatever its step: how, on what data and where it was trained."""
    data = describe_data(view_set)
    return {
        "enr_version": __version__,
        "preset": config.preset,
        "group": data["groups"],
        "data": data,
        "train": dataclasses.asdict(config.train),
        "machine": {
            "device": describe(choose_device(config.train.device), config.train.precision),
            "torch": torch.__version__,
            **describe_machine(),
        },
    }


def describe_data(view_set: ViewSet) -> TrainedData:
    """What a model was trained on, as JSON values for its checkpoint."""
    shards: list[TrainedShard] = [
        {
            "path": str(path),
            "group": meta.group,
            "seed": meta.seed,
            "views": int((view_set.views["shard"] == number).sum()),
        }
        for number, (path, meta) in enumerate(zip(view_set.paths, view_set.metas, strict=True))
    ]
    counts = Counter((scene.group, scene.split) for scene in view_set.all_scenes)
    return {
        "groups": sorted({scene.group for scene in view_set.scenes("train")}),
        "shards": shards,
        "made_with": _made_with(view_set),
        "scenes": {group: {split: counts[group, split] for split in SPLITS} for group in view_set.groups},
        "trained_scene_ids": sorted({scene.scene_id for scene in view_set.scenes("train")}),
    }


def _made_with(view_set: ViewSet) -> list[dict[str, object]]:
    """How the pictures were made, each way once: how objects were normalised, lit and coloured, where cameras stood."""
    ways = [{name: meta.config.get(name) for name in WAYS if name in meta.config} for meta in view_set.metas]
    return [way for number, way in enumerate(ways) if way not in ways[:number]]
