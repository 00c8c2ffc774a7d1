"""Checkpoints of a training: the model beside everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from enr.errors import EnrError
from enr.model.checkpoint import save_model, sync
from enr.model.renderer import Renderer
from enr.pipelines.training.runs import beside, replaced_from

STATE_NAME = "trainer.pt"
STATE_ENTRIES: dict[str, Any] = {
    "step": int,
    "elapsed_s": (int, float),
    "best_psnr_db": (int, float),
    "optimizer": dict,
    "loader": dict,
    "rng": torch.Tensor,
    "rng_cuda": list,
}
_NEW = ".new"


def save_checkpoint(
    folder: Path, model: Renderer, metadata: Mapping[str, Any], state: Mapping[str, Any] | None = None
) -> None:
    """Replace the checkpoint in `folder`: an interruption leaves the old one or the new one, never a mixture.

    Args:
        folder: where it shall lie.
        model: the renderer.
        metadata: for `save_model`.
        state: the trainer's state; without it the checkpoint can be used, but not resumed.
    """
    new, old = beside(folder, _NEW), replaced_from(folder)
    shutil.rmtree(new, ignore_errors=True)
    save_model(new, model, metadata)
    if state is not None:
        torch.save(dict(state), new / STATE_NAME)
        sync(new / STATE_NAME)
        sync(new)
    restore_interrupted(folder)
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_interrupted(folder: Path) -> None:
    """Put the old checkpoint back where a replacement was cut off between its two renames."""
    old = replaced_from(folder)
    if old.exists() and not folder.exists():
        old.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> dict[str, Any]:
    """The trainer's state in a checkpoint.

    Raises:
        EnrError: there is none, or it is not readable.
    """
    restore_interrupted(folder)
    path = folder / STATE_NAME
    if not path.is_file():
        raise EnrError(f"{folder} holds no training to resume (no {STATE_NAME}); give the folder of an earlier run.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what reading junk as a pickle raises is not to be listed
        raise EnrError(f"{path} is not readable (truncated or of another kind); start a new training.") from error
    _check_state(state, path)
    return state


def _check_state(state: Any, path: Path) -> None:
    entries = state if isinstance(state, dict) else {}
    unfit = [name for name, kind in STATE_ENTRIES.items() if not isinstance(entries.get(name), kind)]
    if unfit:
        raise EnrError(f"{path} is not the state of a training (no fitting {unfit[0]}); start a new training.")
