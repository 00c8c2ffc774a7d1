"""`enr bench gpu`: what a card makes of training and rendering beside the plain way, in one run of ten minutes at most.

A figure that fails leaves its reason in its place: the others are worth their minutes.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from enr.errors import EnrError
from enr.model import Renderer
from enr.pipelines.config import Config, Device
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.evaluate import evaluate
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.machine import choose_device, describe, describe_machine, prepare_cpu
from enr.pipelines.speed.clock import seconds_each
from enr.pipelines.speed.noise import write_noise_shard
from enr.pipelines.speed.plain_training import PlainTrainer
from enr.pipelines.speed.steps import How, measure_frames, measure_steps, memory, start_memory
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.trainer import Trainer

Size = Literal["full", "toy"]
PRESETS: dict[Size, dict[str, tuple[str, int]]] = {
    "full": {
        "default at 64 px": ("chairs-64", 64),
        "published at 64 px": ("paper-64", 64),
        "default at 128 px": ("chairs-128", 128),
        "published at 128 px": ("paper-128", 128),
    },
    "toy": {"default at 32 px": ("small-32", 32), "published at 32 px": ("paper-32", 32)},
}
FRAME_BATCHES: dict[Size, tuple[int, ...]] = {"full": (1, 16, 64), "toy": (1, 2)}


@dataclass(frozen=True)
class GpuSettings:
    """What is measured.

    Attributes:
        device: `auto`, `cuda`, or `cpu` to rehearse.
        size: `full`, or `toy`: small models and batches, for a rehearsal on a CPU.
        seconds: for each figure.
        shards: of the groups that are trained on; none leaves the trainings out.
        train_minutes: of each group.
        batch_size: scenes a step; None takes each preset's own.
    """

    device: Device = "auto"
    size: Size = "full"
    seconds: float = 5.0
    shards: tuple[Path, ...] = ()
    train_minutes: float = 2.0
    batch_size: int | None = None


def benchmark_gpu(settings: GpuSettings, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Training steps and frames of both architectures, and a short training of each group with its evaluation.

    Args:
        settings: what is measured.
        say: is told what is measured next.

    Returns:
        Everything, ready for JSON; see docs/speed.md.

    Raises:
        EnrError: there is no such device, or the shards cannot be read.
    """
    device = choose_device(settings.device)
    prepare_cpu(0)
    torch.backends.cudnn.benchmark = True
    groups = _groups(settings)
    began = time.perf_counter()
    results: dict[str, Any] = {"machine": describe_machine(), "settings": _plain(settings)}
    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        for name, (preset, size_px) in PRESETS[settings.size].items():
            say(f"{name} ({preset})")
            results[name] = _architecture(_Model(preset, size_px, Path(folder), device), settings)
        for group, shards in groups.items():
            say(f"training on {group} for {settings.train_minutes:g} min")
            results[f"training on {group}"] = _or_reason(partial(_short_training, shards, Path(folder), settings))
    return {**results, "seconds": time.perf_counter() - began}


@dataclass(frozen=True)
class _Model:
    """One architecture on noise pictures of its size.

    Attributes:
        preset: that describes it.
        size_px: width and height of the pictures.
        folder: where the noise is written.
        device: it is measured on.
    """

    preset: str
    size_px: int
    folder: Path
    device: torch.device

    def open(self, settings: GpuSettings) -> tuple[ViewSet, Config]:
        """The pictures and the configuration."""
        folder = self.folder / f"{self.size_px}px"
        path = folder / "noise.h5"
        if not path.exists():
            folder.mkdir()
            path = write_noise_shard(folder, self.size_px)
        view_set = ViewSet.open([path])
        batch = [] if settings.batch_size is None else [f"batch_size={settings.batch_size}"]
        config, _ = resolve_config(view_set, self.preset, [f"device={settings.device}", *batch])
        return view_set, config


def _architecture(model: _Model, settings: GpuSettings) -> dict[str, Any]:
    view_set, config = model.open(settings)
    how = How.on(model.device, config.train.precision, settings.seconds)
    steps = _or_reason(lambda: _training(view_set, config, how))
    plain = _or_reason(lambda: _plain_training(view_set, config, how))
    results = {"training": steps, "plain training": plain}
    if "reason" not in {**steps, **plain}:
        results["training beside plain training"] = {
            "speed": steps["images_per_second"] / plain["images_per_second"],
            **{f"share_of_{key}": steps[key] / plain[key] for key in memory(model.device)},
        }
    results["frames"] = _or_reason(
        lambda: measure_frames(Renderer(config.model).to(model.device).eval(), FRAME_BATCHES[settings.size], how)
    )
    return results


def _training(view_set: ViewSet, config: Config, how: How) -> dict[str, Any]:
    train = config.train
    loader = PairLoader(view_set, "train", train.batch_size, train.seed)
    trainer = Trainer(Renderer(config.model), loader, train, how.device)
    return {**measure_steps(trainer, train.learning_rate, how), "batch_size": train.batch_size}


def _plain_training(view_set: ViewSet, config: Config, how: How) -> dict[str, Any]:
    start_memory(how.device)
    trainer = PlainTrainer(config, view_set, how.device)
    each_s = seconds_each(trainer.train_step, how.seconds, how.device)
    return {
        "images_per_second": trainer.pictures_per_step / each_s,
        "seconds_per_step": each_s,
        "device": describe(how.device, "float32"),
        **memory(how.device),
    }


def _groups(settings: GpuSettings) -> dict[str, tuple[Path, ...]]:
    """The shards by group."""
    if not settings.shards:
        return {}
    view_set = ViewSet.open(settings.shards)
    groups: dict[str, tuple[Path, ...]] = {}
    for path, meta in zip(view_set.paths, view_set.metas, strict=True):
        groups[meta.group] = (*groups.get(meta.group, ()), path)
    return groups


def _short_training(shards: tuple[Path, ...], folder: Path, settings: GpuSettings) -> dict[str, Any]:
    words: list[str] = []
    assignments = (f"device={settings.device}", *([f"batch_size={settings.batch_size}"] if settings.batch_size else ()))
    result = train(
        TrainSettings(
            shards,
            assignments=assignments,
            max_minutes=settings.train_minutes,
            runs=folder / "runs",
            show_progress=False,
        ),
        words.append,
    )
    started = time.perf_counter()
    report = evaluate(EvalSettings(result.run.folder, device=settings.device))
    return {
        "steps": result.step,
        "images_per_second": result.images_per_s,
        "validation_psnr_db": result.best_psnr_db,
        "evaluation_seconds": time.perf_counter() - started,
        "evaluation": {f"{group.group}, {group.split}": group.scores for group in report.groups},
        "words": words,
    }


def _or_reason(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is measured, or why it could not be."""
    try:
        return measure()
    except (EnrError, RuntimeError) as error:
        return {"reason": (str(error).splitlines() or [type(error).__name__])[0]}


def _plain(settings: GpuSettings) -> dict[str, Any]:
    values = dataclasses.asdict(settings)
    return {**values, "shards": [str(path) for path in settings.shards]}
