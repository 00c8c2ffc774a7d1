"""Several processes that train one model together, as `torchrun` starts them: each takes a share of every batch.

The first process leads: it alone reads settings, measures, speaks and writes. The others are sent what they need to
begin and a learning rate for each step; gradients are summed over all of them, so that all have the same weights.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from enr.errors import EnrError

THE_END = -1.0
"""In place of a learning rate: no further step."""


class LostProcessError(EnrError):
    """Another process of the training has ended, which that one may have said itself."""


@dataclass(frozen=True)
class Processes:
    """The processes that train one model.

    Attributes:
        number: of this one, from 0.
        count: of all.
    """

    number: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one leads."""
        return self.number == 0

    def share_of(self, scenes: int) -> slice:
        """Which of a batch's scenes this process takes; no two processes' shares differ by more than one.

        Raises:
            EnrError: there are fewer scenes than processes.
        """
        if scenes < self.count:
            raise EnrError(
                f"batch_size={scenes} is shared by {self.count} processes, of which each needs a scene; give "
                f"--set batch_size={self.count} or more, or start fewer."
            )
        return slice(scenes * self.number // self.count, scenes * (self.number + 1) // self.count)

    def check_device(self, device: torch.device) -> None:
        """Refuse more processes on a machine than it has GPUs, where these are to be used.

        Raises:
            EnrError: there are.
        """
        here, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if self.count > 1 and device.type == "cuda" and here >= gpus:
            raise EnrError(
                f"There are more processes than GPUs on this machine ({gpus}); start one for each, as "
                f"`torchrun --nproc-per-node {gpus}` does, or train on the CPU with --set device=cpu."
            )

    def agree(self, learning_rate: float) -> float:
        """The first process's `learning_rate`, in all of them: one call before each step, and one with `THE_END`."""
        if self.count == 1:
            return learning_rate
        told = torch.tensor([learning_rate], dtype=torch.float64)
        with self._all_alive():
            dist.broadcast(told, src=0)
        return float(told)

    def send(self, value: dict[str, Any] | None = None) -> dict[str, Any]:
        """The first process's `value`, in all of them: plain values and tensors, which arrive on the CPU."""
        content = io.BytesIO()
        if self.is_first:
            torch.save(value, content)
        box = [content.getvalue()]
        with self._all_alive():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        received: dict[str, Any] = torch.load(io.BytesIO(box[0]), map_location="cpu", weights_only=True)
        return received

    def check(self, refusal: str | None) -> None:
        """Go on when no process has a reason not to.

        Args:
            refusal: this process's reason.

        Raises:
            EnrError: one has; all processes raise it.
        """
        if self.count == 1:
            return
        refusals: list[str | None] = [None] * self.count
        with self._all_alive():
            dist.all_gather_object(refusals, refusal)
        for number, reason in enumerate(refusals):
            if reason is not None:
                kind = EnrError if self.is_first else LostProcessError
                raise kind(f"Process {number + 1} of {self.count} cannot take part: {reason}")

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one go."""
        if self.count == 1 or not tensors:
            return
        joint = torch.cat([tensor.float().flatten() for tensor in tensors])
        with self._all_alive():
            dist.all_reduce(joint)
        parts = joint.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])

    @contextmanager
    def _all_alive(self) -> Iterator[None]:
        """Say in words that somebody has hung up."""
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                f"Another of the {self.count} processes of this training has ended ({str(error).splitlines()[0]}). "
                "The run keeps its last checkpoint: go on with --resume, with any number of processes."
            ) from error


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that `torchrun` (or a launcher with the same variables) has started; else this one alone.

    However a process leaves, the others notice it.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not dist.is_available() or "MASTER_ADDR" not in os.environ:
        yield Processes()
        return
    here = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available() and here < torch.cuda.device_count():
        torch.cuda.set_device(here)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


ALONE = Processes()


def is_first_process() -> bool:
    """Whether this process is the one that speaks, as far as its launcher says."""
    return os.environ.get("RANK", "0") == "0"
