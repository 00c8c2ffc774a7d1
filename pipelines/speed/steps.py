"""Training steps and frames: their rates, their stages, their multiply-adds, and how near that is to the peak."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from enr.camera import orbit_camera, target_from_source
from enr.model import Renderer
from enr.model.counting import count_parameters
from enr.pipelines.config import Precision
from enr.pipelines.machine import autocast, describe
from enr.pipelines.speed.clock import Stages, peak_macs_per_second, seconds_each
from enr.pipelines.training import trainer as training
from enr.pipelines.training.trainer import Trainer

STAGES_SHARE = 0.3
"""Of the time of a figure, that of its stages: waiting after each of them slows the whole down."""


@dataclass(frozen=True)
class How:
    """On what is measured, and how long.

    Attributes:
        device: it is.
        precision: of the products.
        seconds: for each figure.
        peak: multiply-adds a second of the device.
    """

    device: torch.device
    precision: Precision
    seconds: float
    peak: float

    @classmethod
    def on(cls, device: torch.device, precision: Precision, seconds: float) -> How:
        """With the peak measured now."""
        return cls(device, precision, seconds, peak_macs_per_second(device, precision))


def measure_steps(trainer: Trainer, learning_rate: float, how: How) -> dict[str, Any]:
    """Whole steps, as `enr train` makes them: load, encode, warp, render, loss, backward, optimiser."""
    step = partial(trainer.train_step, learning_rate)
    with FlopCounterMode(display=False) as counter:
        step()
    start_memory(how.device)
    each_s = seconds_each(step, how.seconds, how.device)
    model, stages = trainer.model, Stages(how.device)
    places = (
        (trainer, "_next_batch", "load"),
        (model, "_lift", "encode"),
        (model, "_move", "warp"),
        (model, "_paint", "render"),
        (training, "reconstruction_loss", "loss"),
        (torch.Tensor, "backward", "backward"),
        (trainer._optimizer, "step", "optimiser"),
    )
    return {
        "images_per_second": trainer.pictures_per_step / each_s,
        "seconds_per_step": each_s,
        **_stages(stages, places, step, how),
        **_work(counter.get_total_flops() // 2, each_s, how),
        "parameters": count_parameters(model.config),
        "image_shape": list(model.config.image_shape),
        "device": describe(how.device, how.precision),
        **memory(how.device),
    }


@torch.inference_mode()
def measure_frames(model: Renderer, batches: tuple[int, ...], how: How) -> dict[str, Any]:
    """Frames of one scene from cameras that turn around it, brought to the CPU, by how many are made at once."""
    start_memory(how.device)
    pictures = torch.rand(1, *model.config.image_shape, device=how.device)
    with autocast(how.device, how.precision):
        parts = model.apart(model.inverse_render(pictures))
        by_batch = {
            str(batch): _frames(model, partial(model.view, parts, around(model, batch)), how) for batch in batches
        }
        encode_s = seconds_each(lambda: model.inverse_render(pictures), how.seconds / 2, how.device)
    rates = {batch: int(batch) / entry["seconds_per_batch"] for batch, entry in by_batch.items()}
    return {
        "frames_per_second": max(rates.values()),
        "frames_per_second_by_batch": rates,
        "by_batch": by_batch,
        "encode_seconds": encode_s,
        "parameters": count_parameters(model.config),
        "image_shape": list(model.config.image_shape),
        "device": describe(how.device, how.precision),
        **memory(how.device),
    }


def around(model: Renderer, count: int) -> torch.Tensor:
    """Motions (count, 4, 4) from the front to cameras all around, at the model's own distance."""
    radius = model.config.radius
    azimuths = [360 * number / count for number in range(count)]
    cameras = orbit_camera(azimuths, [20.0] * count, radius)
    return torch.as_tensor(target_from_source(orbit_camera(0.0, 20.0, radius), cameras))


def _frames(model: Renderer, view: Any, how: How) -> dict[str, Any]:
    def work() -> None:
        view().float().cpu()

    with FlopCounterMode(display=False) as counter:
        work()
    each_s = seconds_each(work, how.seconds / 2, how.device)
    places = ((model, "_move", "warp"), (model, "_paint", "render"))
    return {
        "seconds_per_batch": each_s,
        **_stages(Stages(how.device), places, work, how),
        **_work(counter.get_total_flops() // 2, each_s, how),
    }


def _stages(stages: Stages, places: Any, work: Any, how: How) -> dict[str, Any]:
    whole = Stages(how.device)
    holder = SimpleNamespace(work=work)
    with stages.watching(*places), whole.watching((holder, "work", "all")):
        seconds_each(lambda: holder.work(), STAGES_SHARE * how.seconds, how.device)
    return {"share_by_stage": stages.shares(whole.seconds["all"])}


def _work(macs: int, each_s: float, how: How) -> dict[str, float]:
    return {"macs": macs, "peak_macs_per_second": how.peak, "share_of_peak": macs / each_s / how.peak}


def start_memory(device: torch.device) -> None:
    """Count a GPU's peak memory from here on."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> dict[str, float]:
    """Peak memory on a GPU, beside that of the process."""
    return {"gpu_peak_memory_mb": torch.cuda.max_memory_allocated(device) / 2**20} if device.type == "cuda" else {}
