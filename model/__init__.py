"""Tensors in, tensors out: the two warps and the renderer. No files but checkpoints, no Blender.

`Renderer`, `RendererConfig`, `load_model` and `save_model` are imported when they are first asked for, so that this
package itself loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enr.model.checkpoint import load_model, read_metadata, save_model
    from enr.model.config import RendererConfig
    from enr.model.renderer import Renderer
    from enr.model.scene import PlacedScene

_HOME = {
    "Renderer": "enr.model.renderer",
    "RendererConfig": "enr.model.config",
    "PlacedScene": "enr.model.scene",
    "load_model": "enr.model.checkpoint",
    "read_metadata": "enr.model.checkpoint",
    "save_model": "enr.model.checkpoint",
}

__all__ = ["PlacedScene", "Renderer", "RendererConfig", "load_model", "read_metadata", "save_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
