"""What a renderer refuses to work on, a sentence each."""

from __future__ import annotations

import torch
from torch import Tensor

from enr.camera import check_rigid
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.model.scene import AnyScene, PlacedScene

SLACK = 1e-3
"""Pictures that were resampled may leave [0, 1] by a rounding error."""


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
    if images.ndim != 4 or tuple(images.shape[1:]) != config.image_shape:
        raise EnrError(
            f"Pictures of shape {tuple(images.shape)} do not fit this renderer; "
            f"it expects (batch, {', '.join(map(str, config.image_shape))})."
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
    if isinstance(scene, PlacedScene) != config.has_travelling_range:
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


def checked_motion(target_from_source: Tensor, count: int, device: torch.device, skip_on_gpu: bool) -> Tensor:
    """The motions (count, 4, 4) on the device.

    Raises:
        EnrError: the shape does not fit, or a matrix is not rigid.
    """
    motion = torch.as_tensor(target_from_source)
    if motion.shape != (count, 4, 4):
        raise EnrError(f"target_from_source has shape {tuple(motion.shape)}; expected ({count}, 4, 4), one a scene.")
    if not motion.is_cuda or not skip_on_gpu:  # on a GPU the check waits for the device: not at every step
        check_rigid(motion.detach().cpu().numpy())
    return motion.to(device)


def checked_distance(distance: Tensor | float, count: int, config: RendererConfig) -> Tensor:
    """Distances (count,) as the user gives them: one number, or one for each picture.

    Raises:
        EnrError: the renderer takes none, their number is another, or one is 0, negative, not finite or
            beyond what the renderer was trained on.
    """
    if not config.has_travelling_range:
        raise EnrError("This renderer's depth range stands still and takes no distance; leave it out.")
    given = torch.as_tensor(distance, dtype=torch.float32).reshape(-1)
    if len(given) not in (1, count):
        raise EnrError(
            f"{len(given)} distances are given for {count} picture{'s' * (count != 1)}; give one number, or one for "
            "each."
        )
    for value in given.tolist():
        if not value > 0:
            raise EnrError(
                f"A distance is {value:g}; expected the depth of the object's centre along the camera's axis, a "
                "positive number of object units."
            )
        if not config.near <= value <= config.far:
            raise EnrError(
                f"A distance is {value:g}, but this renderer was trained on objects between {config.near:.3g} and "
                f"{config.far:.3g} units from the camera; scale the scene, or train on such views."
            )
    return given.expand(count)
