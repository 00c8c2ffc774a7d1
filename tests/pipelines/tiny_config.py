"""The configuration of a renderer that is as small as one can be."""

from __future__ import annotations

from typing import Any

from enr.model import RendererConfig


def tiny_config(size_px: int, **changes: Any) -> RendererConfig:
    """Of square pictures, with a lens as `enr datagen`'s (50 mm on 36 mm); any entry may be another."""
    entries: dict[str, Any] = {
        "image_shape": (3, size_px, size_px),
        "channels_2d": (8,),
        "strides_2d": (2,),
        "channels_3d": (),
        "strides_3d": (),
        "num_channels_inv_projection": (16,),
        "num_channels_projection": (8,),
        "depth_cells": 4,
        "focal_px": size_px * 50 / 36,
        "near": 1.0,
        "far": 3.0,
    }
    return RendererConfig(**{**entries, **changes})
