"""What a renderer refuses to work on, a sentence each."""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from enr.camera import check_rigid, invert_rigid
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene, PlacedScene

SLACK = 1e-3
"""Pictures that were resampled may leave [0, 1] by a rounding error."""
ROUNDING = 1e-6
"""A bound in float32 is a little below or above itself."""
SAME_MOTION = 1e-3
"""Motions whose numbers differ by no more of the largest are the same, up to the rounding of poses."""


def as_numbers(given: object, name: str, expected: str) -> Tensor:
    """What a user gives, as a tensor of real numbers.

    Raises:
        EnrError: it is text, nothing, of unequal lengths or the like.
    """
    try:
        if isinstance(given, str | bytes | dict):
            raise TypeError
        numbers = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        numbers = None
    if numbers is None or numbers.dtype == torch.bool or numbers.is_complex():
        raise EnrError(f"{name} is given as {repr(given)[:60]}; expected {expected}.")
    return numbers


def checked_angles(**given_deg: object) -> list[NDArray[np.float64]]:
    """Angles in degrees, one number or (b,) of each, as (b,) or (1,).

    Raises:
        EnrError: they are no finite numbers, or of unequal lengths.
    """
    angles = []
    for name, given in given_deg.items():
        try:
            found = np.atleast_1d(np.asarray(given))
        except (TypeError, ValueError, RuntimeError):
            found = np.array([""])
        if found.dtype.kind not in "fiu" or found.ndim > 1 or not found.size or not np.isfinite(found).all():
            raise EnrError(f"{name} is given as {repr(given)[:60]}; expected finite numbers of degrees, one a scene.")
        angles.append(found.astype(np.float64))
    if len({len(angle) for angle in angles} - {1}) > 1:
        counts = ", ".join(f"{len(angle)} {name}" for name, angle in zip(given_deg, angles, strict=True))
        raise EnrError(f"Angles are given as {counts}; expected as many of each, one a scene.")
    return angles


def check_images(images: object, weights: Tensor, config: RendererConfig) -> None:
    """Refuse what torch would stumble over somewhere inside, or take in silence: arrays, 8-bit values, NaN, another
    precision or size.
    """
    if weights.dtype not in (torch.float32, torch.float64):
        raise EnrError(
            f"The renderer's weights are {weights.dtype}, whose positions would be off by cells; leave them float32 "
            "and run it inside torch.autocast."
        )
    kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
    is_float = isinstance(images, Tensor) and images.is_floating_point()
    if kind != weights.dtype and not (is_float and torch.is_autocast_enabled(weights.device.type)):
        raise EnrError(
            f"Pictures are given as {kind}; expected a tensor of {weights.dtype} in [0, 1]: divide 8-bit pictures "
            "by 255 and put the channels first."
        )
    assert isinstance(images, Tensor)
    if images.ndim != 4 or tuple(images.shape[1:]) != config.image_shape or not len(images):
        raise EnrError(
            f"Pictures of shape {tuple(images.shape)} do not fit this renderer; "
            f"it expects (batch, {', '.join(map(str, config.image_shape))}), one picture at least."
        )
    _check_values(images)


def _check_values(images: Tensor) -> None:
    """In [0, 1]. Not of a renderer's own predictions in training, nor where a training step would wait for a GPU."""
    waits = images.is_meta or (images.is_cuda and torch.is_grad_enabled()) or torch.compiler.is_compiling()
    if waits or images.requires_grad or not images.numel():
        return
    lowest, highest = (float(end) for end in torch.aminmax(images.detach()))
    if not (lowest >= -SLACK and highest <= 1 + SLACK):  # so put, NaN does not pass
        raise EnrError(
            f"Pictures hold values from {lowest:.4g} to {highest:.4g}; expected [0, 1] without NaN: divide 8-bit "
            "values by 255."
        )


def check_scene(scene: AnyScene, config: RendererConfig) -> None:
    """Refuse a scene of another shape, or without a place where the renderer needs one."""
    if not isinstance(scene, PlacedScene if config.has_travelling_range else Tensor):
        kinds = ("a tensor", "a PlacedScene: a tensor and the place of its object")
        raise EnrError(
            f"A scene of this renderer is {kinds[config.has_travelling_range]}, not {type(scene).__name__}; take one "
            "that its own inverse_render made."
        )
    if scene.ndim != 5 or tuple(scene.shape[1:]) != config.scene_shape:
        raise EnrError(
            f"A scene of shape {tuple(scene.shape)} does not fit this renderer; "
            f"it expects (batch, {', '.join(map(str, config.scene_shape))})."
        )


def check_sources(scenes: AnyScene, target_from_sources: Tensor) -> None:
    """Refuse several scenes of each object whose motions are not as many."""
    sizes = tuple(scenes.shape) if isinstance(scenes, Tensor | PlacedScene) else type(scenes).__name__
    if len(sizes) != 6 or not sizes[1] or target_from_sources.shape != (*sizes[:2], 4, 4):
        raise EnrError(
            f"Scenes of shape {sizes} and target_from_sources of shape {tuple(target_from_sources.shape)} do not "
            "belong together; expected (batch, sources, channels, depth, height, width) and (batch, sources, 4, 4)."
        )


def checked_motion(target_from_source: Tensor, scenes: int, device: torch.device, skip_on_gpu: bool) -> Tensor:
    """The motions on the device: (scenes, 4, 4), or any number of them where there is one scene.

    Raises:
        EnrError: the shape does not fit, or a matrix is not rigid.
    """
    expected = "motions (n, 4, 4) of one scene" if scenes == 1 else f"({scenes}, 4, 4), one a scene"
    motion = as_numbers(target_from_source, "target_from_source", expected)
    count = len(motion) if scenes == 1 and motion.ndim == 3 else scenes
    if motion.shape != (count, 4, 4) or not count:
        raise EnrError(f"target_from_source has shape {tuple(motion.shape)}; expected {expected}.")
    if not motion.is_cuda or not skip_on_gpu:  # on a GPU the check waits for the device: not at every step
        check_rigid(motion.detach().cpu().double().numpy())
    return motion.to(device)


def checked_single(image: Tensor, target_from_source: Tensor, config: RendererConfig) -> tuple[Tensor, Tensor]:
    """One picture as several (1, 3, height, width), and its motions as theirs (n, 1, 4, 4).

    Raises:
        EnrError: a shape does not fit.
    """
    given = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
    if given != config.image_shape:
        raise EnrError(f"A picture is given as {given}; expected one tensor (3, height, width), {config.image_shape}.")
    motion = as_numbers(target_from_source, "target_from_source", "motions (n, 4, 4)")
    if motion.ndim != 3 or not len(motion):
        raise EnrError(f"target_from_source has shape {tuple(motion.shape)}; expected (n, 4, 4), one a view.")
    return image[None], motion[:, None]


def checked_batches(target_from_sources: Tensor, sources: int, batch_size: int) -> tuple[Tensor, ...]:
    """The motions (n, sources, 4, 4) of pictures to views, some views at a time.

    Raises:
        EnrError: the shape does not fit, a matrix is not rigid, views differ in where the pictures were taken from each
            other, or a batch is empty.
    """
    expected = f"(n, {sources}, 4, 4): for each view the motions from all {sources} pictures"
    motions = as_numbers(target_from_sources, "target_from_sources", expected)
    if motions.ndim != 4 or motions.shape[1:] != (sources, 4, 4) or not len(motions):
        raise EnrError(f"target_from_sources has shape {tuple(motions.shape)}; expected {expected}.")
    if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
        raise EnrError(f"batch_size is {batch_size!r}; expected a whole number of views, 1 at least.")
    matrices = check_rigid(motions.detach().cpu().double().numpy())
    first_from_sources = invert_rigid(matrices[:, :1]) @ matrices
    away = np.abs(first_from_sources - first_from_sources[0]).max((1, 2, 3))
    if away.max() > SAME_MOTION * max(1, np.abs(matrices).max()):
        raise EnrError(
            f"target_from_sources[{away.argmax()}] tells otherwise than target_from_sources[0] where the pictures were "
            f"taken from each other (by {away.max():.3g}); give each picture one pose for all views."
        )
    return motions.split(int(batch_size))


def between(near: float, far: float) -> str:
    """A range of positive numbers in words, of three digits, all of which lie in it."""
    low, high = (10.0 ** (math.floor(math.log10(end)) - 2) for end in (near, far))
    return f"between {math.ceil(near / low) * low:.3g} and {math.floor(far / high) * high:.3g}"


def was_trained_on(distance: float, config: RendererConfig) -> bool:
    """Whether objects of the training can have been so far away."""
    return config.near * (1 - ROUNDING) <= distance <= config.far * (1 + ROUNDING)


def checked_distance(distance: Tensor | float, images: Tensor, config: RendererConfig) -> Tensor:
    """Distances (b,) of pictures (b, ...) as the user gives them: one number, or one for each picture.

    Raises:
        EnrError: the renderer takes none, their number is another, or one is no number, 0, negative, not finite or
            beyond what the renderer was trained on.
    """
    count = len(images) if isinstance(images, Tensor) and images.ndim else 1
    if not config.has_travelling_range:
        raise EnrError("This renderer's depth range stands still and takes no distance; leave it out.")
    expected = "a number of object units, or one for each picture"
    given = as_numbers(distance, "A distance", expected).to(torch.float32).reshape(-1)
    if len(given) not in (1, count):
        raise EnrError(
            f"{len(given)} distances are given for a batch of {count}; give one number, or one for each picture."
        )
    for value in given.tolist():
        if not value > 0:
            raise EnrError(
                f"A distance is {value:g}; expected the depth of the object's centre along the camera's axis, a "
                "positive number of object units."
            )
        if not was_trained_on(value, config):
            raise EnrError(
                f"A distance is {value:g}, but this renderer was trained on objects {between(config.near, config.far)} "
                "units from the camera; scale the scene, or train on such views."
            )
    return given.expand(count)
