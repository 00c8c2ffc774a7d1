"""The layout of the Hub: weights in half precision, their config and a card, together in one folder."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import save

from enr.errors import EnrError
from enr.files import replacing
from enr.model.checkpoint import HUB_CONFIG_NAME, WEIGHTS_NAME, describe
from enr.model.description import CheckpointMetadata
from enr.model.renderer import Renderer

CARD_NAME = "README.md"
EXAMPLES = "examples"
"""In a model's folder, pictures to show where its user names none."""

LARGEST_BYTES = 15_000_000
"""Of the weights, so that they can travel inside a package."""


def save_packed(folder: Path, model: Renderer, metadata: CheckpointMetadata, card: str) -> int:
    """Write `model.safetensors` (half precision), `config.json` and `README.md`.

    All three are on the disk before the first of them takes an earlier one's place.

    `enr.model.load_model` reads the folder, in single precision as ever.

    Args:
        folder: made if missing; earlier files of those names are replaced.
        model: the renderer.
        metadata: JSON values, as `save_model` takes them.
        card: the README, in Markdown.

    Returns:
        The size of the weights, in bytes.

    Raises:
        EnrError: a weight is beyond half precision's 65,504, or the weights take more than `LARGEST_BYTES`.
        OSError: the disk is full or the like; a file that was there is as it was.
    """
    weights = {}
    for name, tensor in model.state_dict().items():
        weights[name] = tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype)
        if tensor.is_floating_point() and not weights[name].isfinite().all():
            raise EnrError(f"{name} has numbers beyond half precision's 65,504; such a model cannot be packed.")
    content = save({name: tensor.contiguous() for name, tensor in weights.items()})
    if len(content) > LARGEST_BYTES:
        raise EnrError(
            f"The weights take {len(content) / 1e6:.1f} MB in half precision; a model of at most "
            f"{LARGEST_BYTES / 1e6:.0f} MB can be packed."
        )
    files = {
        WEIGHTS_NAME: content,
        HUB_CONFIG_NAME: (json.dumps(describe(model.config, metadata), indent=2) + "\n").encode(),
        CARD_NAME: card.encode(),
    }
    with ExitStack() as replaced:  # written first, renamed together: no card beside weights that it does not tell of
        for name, data in files.items():
            replaced.enter_context(replacing(Path(folder) / name)).write_bytes(data)
    return len(content)
