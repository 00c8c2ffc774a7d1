"""How large a renderer is: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from enr.model.config import RendererConfig
from enr.model.renderer import Renderer


def count_parameters(config: RendererConfig) -> int:
    """Learned numbers; no memory is taken for them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Renderer(config).parameters())


def count_macs(config: RendererConfig) -> int:
    """Multiply-adds of the convolutions to encode one picture and render one view (the warp's reads not counted)."""
    with torch.device("meta"), torch.no_grad():
        model = Renderer(config)
        images = torch.zeros(1, *config.image_shape)
        with FlopCounterMode(display=False) as counter:
            model.render(model.inverse_render(images))
    return counter.get_total_flops() // 2
