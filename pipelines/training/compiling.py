"""Training steps through `torch.compile`: whether it pays, and steps as they were where it does not work."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from enr.model.renderer import Renderer
from enr.pipelines.config import TrainConfig

PAYS_MINUTES, PAYS_STEPS = 30.0, 50_000
"""On a GPU, from so long a training on; where nothing limits the minutes, from so many steps on."""

SAME_SHARE, SAME_FLOOR = 0.2, 0.002
"""Compiled gradients may differ by this share of their length, and of that of the longest: so far bfloat16 rounds."""

COMPILED = ("_lift", "_move_levels", "_paint")
"""Parts of a renderer that compute; what lies between them checks what it is given."""


def pays(config: TrainConfig, device: torch.device) -> bool:
    """Whether `compile=auto` compiles: on a GPU, trainings that are long enough (`docs/speed.md`)."""
    if config.compile != "auto":
        return config.compile == "on"
    if config.max_minutes is not None:
        return device.type == "cuda" and config.max_minutes >= PAYS_MINUTES
    return device.type == "cuda" and (config.steps or 0) >= PAYS_STEPS


def compiled(model: Renderer, try_out: Callable[[Renderer], list[Tensor]]) -> tuple[Renderer, str]:
    """A twin of `model` with the same weights whose parts are compiled, and a line about it.

    Weights, their names, and what `model` itself computes stay as they are. Where nothing can be compiled, such as for
    want of a compiler, or where the compiled parts have other gradients, `model` itself is given back.

    Args:
        model: in training mode.
        try_out: the gradients of a step with what it is given, always the same step: parts are compiled when they are
            first used.
    """
    started_s = time.perf_counter()
    plain = try_out(model)
    twin = copy.copy(model)  # parameters and modules are shared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of caches that it looks through
        try:
            for name in COMPILED:
                setattr(twin, name, torch.compile(getattr(twin, name)))
            found = try_out(twin)
        except Exception as error:  # torch raises whatever its parts and other programs raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return model, f"The steps are not compiled ({reason}); the training goes on without (compile=off)."
    if not are_alike(plain, found):
        return model, "The steps are not compiled (their gradients came out wrong); the training goes on without."
    torch._dynamo.config.suppress_errors = True  # a shape that comes later and cannot be compiled is computed plainly
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    return twin, f"The steps are compiled, which took {time.perf_counter() - started_s:.0f} s."


def are_alike(plain: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether two lists of gradients are the same but for rounding, also that of bfloat16; a lost part is far off."""
    if len(plain) != len(other):
        return False
    largest = max((float(one.norm()) for one in plain), default=0.0)
    pairs = zip(plain, other, strict=True)
    return all(float((a - b).norm()) <= SAME_SHARE * float(a.norm()) + SAME_FLOOR * largest for a, b in pairs)
