"""Other methods' networks, small, to be compared with at equal time: none of them moves a scene by the camera's motion.

| method | poses in training | poses at inference | optimised at inference | file |
|---|---|---|---|---|
| told the motion (Tatarchenko et al. 2016) | relative | relative, of the target | no | `model/conditioning.py` |
| deterministic GQN (Eslami et al. 2018) | absolute | absolute, of source and target | no | `query_network.py` |
| scene representation network (Sitzmann et al. 2019) | absolute | absolute, both | a code | `scene_representation.py` |
| this renderer (Dupont et al. 2020) | relative | relative, of the target | no | `model/renderer.py` |
"""

from __future__ import annotations

import torch
from torch import Tensor

POSE_NUMBERS = 12


def pose_numbers(world_from_camera: Tensor, radius: float) -> Tensor:
    """(..., 12) float32: the rotation row by row, and the camera's position over the radius, of poses (..., 4, 4)."""
    rotation, position = world_from_camera[..., :3, :3].flatten(-2), world_from_camera[..., :3, 3] / radius
    return torch.cat([rotation, position], dim=-1).float()
