"""An optimiser whose steps turn all directions of a matrix alike: Muon (Jordan et al. 2024), and Adam for the rest.

The momentum of each matrix (a convolution's kernel, its rows the output channels) is replaced by the nearest matrix
with orthonormal rows, by Newton-Schulz iterations: on all matrices of one shape at once, and for wide matrices on their
small square (the Gram matrix), which halves their cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from enr.pipelines.training.adam import Adam, WithoutCompiler

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST = 16
"""Matrices with fewer rows or columns are heads, first layers and biases: Adam's."""

WIDE = 2
"""Matrices that have more columns than so many times their rows are iterated on their squares."""

EVERY = 2
"""A matrix is orthogonalised every so many steps, and goes on in the same direction between them; half of the shapes in
each step. The momentum hardly turns from one step to the next, and the iterations cost a quarter of a step."""


class Muon(WithoutCompiler, torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for parameters of two and more axes."""

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "count": 0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step with the gradients that are there."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault((len(parameter), parameter[0].numel()), []).append(parameter)
            for number, ((rows, columns), parameters) in enumerate(by_shape.items()):
                if (group["count"] + number) % EVERY == 0 or "update" not in self.state[parameters[0]]:
                    self._orthogonalise(parameters)
                else:
                    for parameter in parameters:
                        self._momentum(parameter)
                length = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter in parameters:
                    parameter.add_(self.state[parameter]["update"], alpha=-length)
            group["count"] += 1

    def _orthogonalise(self, parameters: list[Tensor]) -> None:
        updates = orthogonalised(torch.stack([self._momentum(parameter).flatten(1) for parameter in parameters]))
        for parameter, update in zip(parameters, updates, strict=True):
            self.state[parameter]["update"] = update.reshape(parameter.shape)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(state["momentum"], MOMENTUM)


class MuonAndAdam:
    """Muon for a model's large matrices, Adam for all else, as one optimiser."""

    def __init__(self, model: nn.Module, learning_rate: float, muon_learning_rate: float) -> None:
        """Learning rates at the height of their course; `param_groups` hold how they relate."""
        matrices = [parameter for parameter in model.parameters() if is_matrix(parameter)]
        others = [parameter for parameter in model.parameters() if not is_matrix(parameter)]
        self._parts: tuple[torch.optim.Optimizer, torch.optim.Optimizer] = (
            Muon(matrices, lr=muon_learning_rate),
            Adam(others, lr=learning_rate, fused=True),
        )
        self._parts[0].param_groups[0]["times"] = muon_learning_rate / learning_rate

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both."""
        return [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        """Of both."""
        for part in self._parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of both."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        muon, adam = (part.state_dict() for part in self._parts)
        return {"muon": muon, "adam": adam}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        for part, name in zip(self._parts, ("muon", "adam"), strict=True):
            part.load_state_dict(state[name])


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon takes it."""
    return parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= SMALLEST


def orthogonalised(matrices: Tensor) -> Tensor:
    """About the nearest matrices with orthonormal rows (or columns): all singular values become 0.7 to 1.2.

    Args:
        matrices: (n, rows, columns).

    Returns:
        (n, rows, columns) float32.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalised(matrices.transpose(1, 2)).transpose(1, 2)
    start = matrices.float()
    start = start / start.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    if matrices.shape[2] > WIDE * matrices.shape[1]:
        return _on_the_square(start)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = start @ start.transpose(1, 2)
        start = torch.baddbmm(start, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), start, beta=a)
    return start


def _on_the_square(start: Tensor) -> Tensor:
    """The same iterations: all of them are polynomials of the square, and the matrix is multiplied once."""
    a, b, c = COEFFICIENTS
    gram = start @ start.transpose(1, 2)
    one = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    product = one
    for step in range(STEPS):
        factor = torch.baddbmm(a * one + b * gram, gram, gram, alpha=c)
        product = factor @ product if step else factor
        if step < STEPS - 1:
            gram = factor @ (factor @ gram)
    return product @ start
