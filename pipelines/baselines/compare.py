"""Train another method for a given time, and write its predictions where `enr eval --predictions` reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from enr.errors import EnrError
from enr.files import replacing_folder, write_json
from enr.pipelines.baselines.methods import METHODS, Method, MethodName, Query
from enr.pipelines.config import Assignments, TrainConfig, override, read_preset, validated_train
from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.machine import choose_device, choose_precision, prepare_cpu
from enr.pipelines.training.journal import Stopwatch
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.loop import Moment, learning_rate, progress
from enr.shards import Split
from enr.words import count_of

PRESET = "small-32"
"""Whose training the methods share: optimiser's course, batch, loss."""
CARD = "method.json"


@dataclass(frozen=True)
class CompareSettings:
    """What a method is trained on and what it predicts.

    Attributes:
        method: `gqn` or `srn`.
        shards: .h5 files or folders.
        out: folder of the predictions; must be new.
        max_minutes: of training.
        assignments: entries of `TrainConfig` over those of the preset small-32.
        split: the scenes that are predicted.
        source: the view that the method is given.
    """

    method: MethodName
    shards: tuple[Path, ...]
    out: Path
    max_minutes: float = 5.0
    assignments: Assignments = ()
    split: Split = "test"
    source: int = 0


def compare(settings: CompareSettings, say: Callable[[str], None]) -> Path:
    """Train, predict every other view of each scene of the split, and write the pictures.

    Returns:
        The folder of `<group>/<scene id>/<view, five digits>.png`, with `method.json` beside them.

    Raises:
        EnrError: the folder exists, the shards do not fit, or no scene is in the split.
    """
    if settings.out.exists():
        raise EnrError(f"{settings.out} exists; name a new folder with --out.")
    view_set = ViewSet.open(settings.shards)
    scenes = view_set.scenes(settings.split)
    if not scenes:
        raise EnrError(f"The shards hold no scene of the split '{settings.split}'; choose another --split.")
    config, device = _resolve(settings)
    torch.manual_seed(config.seed)
    method = METHODS[settings.method](view_set, config, device)
    parameters = sum(weight.numel() for weight in method.network.parameters())
    say(f"Training {settings.method} ({parameters:,} parameters) for {config.max_minutes:g} minutes on {device}.")
    steps = _train(method, view_set, config, device)
    say(f"{count_of(steps, 'step')}. Predicting {count_of(len(scenes), 'scene')}.")
    with replacing_folder(settings.out) as folder:
        _write_predictions(method, view_set, scenes, folder, settings.source)
        facts = {"method": settings.method, "steps": steps, "parameters": parameters, "minutes": config.max_minutes}
        write_json(folder / CARD, {**facts, "seed": config.seed, "clock": config.clock, "threads": config.threads})
    return settings.out


def _resolve(settings: CompareSettings) -> tuple[TrainConfig, torch.device]:
    limit = ("max_minutes", settings.max_minutes)
    # The optimiser is Adam, as in the methods' own articles.
    preset = override(override(read_preset(PRESET), [("muon_learning_rate", 0), limit]), settings.assignments)
    wanted = dict(preset.train)
    device = choose_device(validated_train(wanted).device)
    wanted["precision"] = choose_precision(validated_train(wanted).precision, device)
    return validated_train(wanted), device


def _train(method: Method, view_set: ViewSet, config: TrainConfig, device: torch.device) -> int:
    """Steps done until the time is over."""
    prepare_cpu(config.threads)
    loader = PairLoader(view_set, "train", config.batch_size, config.seed)
    optimizer = torch.optim.Adam(method.network.parameters(), lr=config.learning_rate)
    method.network.train()
    watch, moment = Stopwatch(config, device, 0.0), Moment()
    while progress(config, moment) < 1:
        optimizer.param_groups[0]["lr"] = learning_rate(config, moment)
        loss = method.loss(next(loader))
        if not torch.isfinite(loss):
            raise EnrError(
                f"The loss is {loss.item():g} at step {moment.step}; lower it with --set learning_rate=1e-4."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(method.network.parameters(), config.clip_norm or float("inf"))
        optimizer.step()
        moment = Moment(moment.step + 1, watch.elapsed_s)
    return moment.step


@torch.no_grad()
def _write_predictions(method: Method, view_set: ViewSet, scenes: Sequence[Scene], folder: Path, source: int) -> None:
    method.network.eval()
    device = next(method.network.parameters()).device
    for scene in scenes:
        numbers = view_set.views["view_index"]
        given = scene.source_indices[numbers[scene.source_indices] == source]
        if not len(given):
            raise EnrError(f"Scene {scene.scene_id} has no view {source}; choose another --source.")
        targets = np.setdiff1d(scene.view_indices, given)
        images = composite(torch.from_numpy(view_set.images(given)), view_set.background)
        poses = torch.from_numpy(view_set.views["world_from_camera"]).float()
        query = Query(images.to(device), poses[given].to(device), poses[targets].to(device))
        pictures = (method.predict(query) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        place = folder / scene.group / scene.scene_id
        place.mkdir(parents=True, exist_ok=True)
        for number, picture in zip(numbers[targets].tolist(), pictures, strict=True):
            Image.fromarray(picture).save(place / f"{number:05d}.png")
