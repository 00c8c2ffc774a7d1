"""Optimisers that leave torch's compiler alone.

Torch (2.13.0) imports its compiler when an optimiser is built and at its first step, only to say that these methods are
not to be compiled. That takes a second of every training. Nothing here compiles them: the methods as they were written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _as_written(method: Callable[..., Any]) -> Any:
    """Without the wrapper that loads the compiler, if there is one."""
    return getattr(method, "__wrapped__", method)


class WithoutCompiler:
    """What every optimiser inherits, as it was written; to be named before torch's own class."""

    add_param_group = _as_written(torch.optim.Optimizer.add_param_group)
    zero_grad = _as_written(torch.optim.Optimizer.zero_grad)
    state_dict = _as_written(torch.optim.Optimizer.state_dict)
    load_state_dict = _as_written(torch.optim.Optimizer.load_state_dict)


class Adam(WithoutCompiler, torch.optim.Adam):
    """Torch's Adam, to the bit."""

    step = torch.no_grad()(_as_written(torch.optim.Adam.step))
