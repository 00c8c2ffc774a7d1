"""Checkpoints: safetensors beside a JSON config, and reading the published implementation's files safely."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from enr.errors import EnrError
from enr.files import replacing
from enr.model.config import RendererConfig
from enr.model.description import CheckpointMetadata, Description
from enr.model.renderer import Renderer

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "model.json"
HUB_CONFIG_NAME = "config.json"
"""The same in the layout of the Hub (`enr.model.hub`)."""

FORMAT = "enr-model"
FORMAT_VERSION = 1

PUBLISHED_FOCAL_PX_PER_WIDTH = 131.25 / 128
PUBLISHED_RADIUS = 2.0
OBJECT_RADIUS = 0.5
"""The lens, distance and object size of the published pictures; its files do not say them."""

_PUBLISHED_KEYS = ("channels_2d", "strides_2d", "channels_3d", "strides_3d")
_PUBLISHED_PROJECTIONS = ("num_channels_inv_projection", "num_channels_projection")


def save_model(folder: Path, model: Renderer, metadata: CheckpointMetadata) -> None:
    """Write `model.safetensors` and `model.json` into `folder`, each complete or absent.

    Args:
        folder: made if missing; earlier files of those names are replaced.
        model: the renderer.
        metadata: JSON values: the group(s) learned, the data's description, steps; whatever `read_metadata` is to give
            back. Lens, near, far and background stand in the config.

    Raises:
        EnrError: weights are NaN or infinite; nothing is written then.
        OSError: the disk is full or the like; a file that was there is as it was.
    """
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    broken = _not_finite(weights)
    if broken:
        raise EnrError(
            f"The model's weights hold NaN or infinity (first: {broken[0]}), so that all its pictures would; nothing "
            f"was written to {folder}: train anew with a smaller learning_rate."
        )
    with replacing(folder / WEIGHTS_NAME) as partial:
        partial.write_bytes(save(weights))  # `save_file` heeds no umask, and its error on a full disk is no OSError
    with replacing(folder / CONFIG_NAME) as partial:
        partial.write_text(json.dumps(describe(model.config, metadata), indent=2) + "\n")


def describe(config: RendererConfig, metadata: CheckpointMetadata) -> Description:
    """What stands beside the weights, as JSON values."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config.to_dict(),
        "metadata": metadata,
    }


def load_model(path: Path, device: str | torch.device = "cpu") -> Renderer:
    """A renderer in eval mode, whose weights ask for no gradient; `requires_grad_(True)` is what a training needs.

    Args:
        path: a folder written by `save_model` or by `enr.model.hub.save_packed`, its weights or its config, or a `.pt`
            file of the published implementation (read with `weights_only`: no code in it is run).
        device: where the weights go.

    Raises:
        EnrError: there is no such file, or it is no checkpoint of either kind.
    """
    path = Path(path)
    if path.suffix in (".pt", ".pth"):
        return _load_published(path).to(device).eval().requires_grad_(False)
    folder = _folder_of(path)
    described, weights = _read_description(folder), _read_weights(folder / WEIGHTS_NAME)
    model = _with_weights(Renderer(RendererConfig.from_dict(described["config"])), weights, str(folder))
    return model.to(device).eval().requires_grad_(False)


def read_metadata(path: Path) -> CheckpointMetadata:
    """What `save_model` was given as metadata.

    Raises:
        EnrError: there is no checkpoint.
    """
    if Path(path).suffix in (".pt", ".pth"):
        return {"source": "published implementation", "groups": ["rot"]}
    return _read_description(_folder_of(Path(path)))["metadata"]


def published_config(values: Mapping[str, Any]) -> RendererConfig:
    """The config in a published checkpoint, with the lens and distance of the published pictures.

    Raises:
        EnrError: an entry is missing or does not fit.
    """
    if not isinstance(values, Mapping):
        raise EnrError(f"The published checkpoint's config is {values!r}; expected a table of names and values.")
    missing = [name for name in ("img_shape", *_PUBLISHED_KEYS, *_PUBLISHED_PROJECTIONS) if name not in values]
    if missing:
        raise EnrError(f"The published checkpoint's config lacks {', '.join(missing)}; it is not of that kind.")
    shape = values["img_shape"]
    if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        raise EnrError(f"The published checkpoint's config has img_shape = {shape!r}; expected [3, height, width].")
    own = {
        "warp": "rigid",
        "spherical_mask": True,
        "projection": "fold",
        "output": "sigmoid",
        "focal_px": PUBLISHED_FOCAL_PX_PER_WIDTH * shape[2],
        "radius": PUBLISHED_RADIUS,
        "near": PUBLISHED_RADIUS - OBJECT_RADIUS,
        "far": PUBLISHED_RADIUS + OBJECT_RADIUS,
    }
    kept = {name: values[name] for name in (*_PUBLISHED_KEYS, *_PUBLISHED_PROJECTIONS)}
    return RendererConfig.from_dict({"image_shape": shape, **kept, **own})


def _folder_of(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name in (WEIGHTS_NAME, CONFIG_NAME, HUB_CONFIG_NAME):
        config = HUB_CONFIG_NAME if (folder / HUB_CONFIG_NAME).is_file() else CONFIG_NAME
        absent = [name for name in (WEIGHTS_NAME, config) if not (folder / name).is_file()]
        if not absent:
            return folder
        raise EnrError(
            f"{folder} lacks {' and '.join(absent)}; give a checkpoint folder: a run made by `enr train` holds one as "
            "<run>/checkpoints/best."
        )
    raise EnrError(f"{path} is no checkpoint; give a folder with {WEIGHTS_NAME} and {CONFIG_NAME}, or a published .pt.")


def _read_description(folder: Path) -> Description:
    own = folder / CONFIG_NAME
    path = own if own.is_file() else folder / HUB_CONFIG_NAME
    try:
        described = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise EnrError(f"{path} is not readable JSON ({error}); take another checkpoint.") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise EnrError(f"{path} does not describe a renderer of enr; give a checkpoint made by `enr train`.")
    if described.get("format_version") != FORMAT_VERSION:
        raise EnrError(
            f"{path} has checkpoint format {described.get('format_version')}, this version of enr reads "
            f"{FORMAT_VERSION}; use the version that wrote it."
        )
    _check_entries(described, path)
    return cast(Description, described)


def _check_entries(described: Mapping[str, Any], path: Path) -> None:
    for name in ("config", "metadata"):
        if not isinstance(described.get(name), dict):
            found = f"has {name} = {described[name]!r}" if name in described else f"lacks the entry {name}"
            raise EnrError(f"{path} {found}; expected a table of names and values: take another checkpoint.")


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise EnrError(f"{path} is not a readable safetensors file ({error}); take another checkpoint.") from error
    return weights


def _load_published(path: Path) -> Renderer:
    if not path.is_file():
        raise EnrError(f"{path} is not a file; give a checkpoint of the published implementation.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what reading junk as a pickle raises is not to be listed
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EnrError(f"{path} is not a readable checkpoint of tensors alone ({reason}).") from error
    if not isinstance(content, dict) or not {"config", "state_dict"} <= content.keys():
        raise EnrError(f"{path} has no config and state_dict; give a checkpoint of the published implementation.")
    model = Renderer(published_config(content["config"]))
    state = content["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise EnrError(f"{path} has a state_dict that is no table of tensors; take another checkpoint.")
    weights = {_own_name(str(name)): tensor for name, tensor in state.items()}
    weights.pop("spherical_mask.mask", None)  # computed, not learned
    _with_weights(model, weights, str(path))
    return model


def _own_name(published: str) -> str:
    name = published.replace("residual_layers.forward_layers", "residual").replace("forward_layers", "layers")
    return re.sub(r"^projection\.", "projection.pointwise.", name)


def _with_weights(model: Renderer, weights: Mapping[str, Tensor], where: str) -> Renderer:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    kept = {name: tensor for name, tensor in model.named_buffers() if name in expected}
    weights = {**kept, **weights}  # earlier versions did not measure what a buffer holds
    wrong = [name for name in expected if name not in weights or weights[name].shape != expected[name]]
    wrong += [name for name in weights if name not in expected]
    if wrong:
        raise EnrError(f"The weights in {where} do not fit their config (first: {wrong[0]}); the file is damaged.")
    broken = _not_finite(weights)
    if broken:
        raise EnrError(
            f"The weights in {where} hold NaN or infinity (first: {broken[0]}), so that all pictures would; take "
            "another checkpoint, or train anew with a smaller learning_rate."
        )
    model.load_state_dict(dict(weights))
    return model


def _not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
