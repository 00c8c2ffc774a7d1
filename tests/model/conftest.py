"""Shared by the tests of the model: one thread, small configs, random motions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from enr.camera import orbit_camera, target_from_source
from enr.model.config import RendererConfig

SMALL: dict[str, Any] = {
    "image_shape": (3, 16, 16),
    "channels_2d": (8, 16, 16),
    "strides_2d": (1, 2, 1),
    "channels_3d": (),
    "strides_3d": (),
    "num_channels_inv_projection": (16, 64),
    "num_channels_projection": (8, 8),
    "focal_px": 22.0,
    "near": 1.0,
    "far": 3.0,
}
VOLUME = {"channels_3d": (8, 8, 16, 8, 8), "strides_3d": (1, 2, 1, -2, 1)}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {**SMALL, **VOLUME, "warp": "rigid", "spherical_mask": True, "projection": "fold", "output": "sigmoid"},
    "rigid-fold": {**SMALL, **VOLUME, "warp": "rigid", "projection": "fold"},
    "rigid-composite": {**SMALL, "warp": "rigid", "projection": "composite"},
    "frustum-fold": {**SMALL, **VOLUME, "projection": "fold"},
    "frustum-composite": {**SMALL, "depth_cells": 4},
    "frustum-colour": {**SMALL, **VOLUME, "depth_cells": 4, "carry_colour": True, "depth_spacing": "disparity"},
    "frustum-wide": {**SMALL, "image_shape": (3, 12, 20), "depth_cells": 4, "carry_colour": True},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(params=VARIANTS)
def config(request: pytest.FixtureRequest) -> RendererConfig:
    """Each kind of renderer, small."""
    return RendererConfig(**VARIANTS[request.param])


@pytest.fixture
def variants() -> dict[str, dict[str, Any]]:
    """Config values of each kind of renderer, by name."""
    return VARIANTS


@pytest.fixture
def small() -> dict[str, Any]:
    """Config values that all kinds share."""
    return SMALL


@pytest.fixture
def motions() -> Callable[..., Tensor]:
    """`motions(count, seed=0, reach=0.3)`: target_from_source (count, 4, 4) float64 between random orbit cameras."""
    return random_motions


def random_motions(count: int, seed: int = 0, reach: float = 0.3) -> Tensor:
    """Motions between random cameras at distance 2 around points displaced by up to `reach`."""
    rng = np.random.default_rng(seed)
    cameras = orbit_camera(
        rng.uniform(-180, 180, (2, count)),
        rng.uniform(-90, 90, (2, count)),
        2.0,
        rng.uniform(-reach, reach, (2, count, 3)),
    )
    return torch.as_tensor(target_from_source(cameras[0], cameras[1]))
