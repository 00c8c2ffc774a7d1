"""Other methods of the paper's comparison: trained on the same shards for the same time, and what they predict.

The predictions lie where `enr eval --predictions` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from pydantic import Field, SkipValidation
from torch import Tensor, nn

from enr.camera import near_far
from enr.checking import Positive, checked
from enr.errors import EnrError
from enr.files import replacing_folder, write_json
from enr.model.baselines.query_network import QueryNetwork
from enr.model.baselines.scene_representation import SceneRepresentationNetwork
from enr.model.losses import reconstruction_loss
from enr.model.warp import Frustum
from enr.pipelines.config import (
    Assignments,
    TrainConfig,
    check_agreement,
    find_key,
    key_values,
    override,
    read_preset,
    validated_train,
)
from enr.pipelines.data.views import Indices, Scene, ViewSet, composite
from enr.pipelines.evaluation.predicted_folder import METHOD_NAME
from enr.pipelines.machine import autocast, choose_device, choose_precision, prepare_cpu
from enr.pipelines.training.journal import Stopwatch
from enr.pipelines.training.loader import Batch, PairLoader
from enr.pipelines.training.loop import DivergedError, Moment, learning_rate, progress
from enr.shards import Split
from enr.words import count_of, minutes_in_words

MethodName = Literal["gqn", "srn"]
TARGETS_AT_A_TIME = 32


@dataclass(frozen=True)
class Query:
    """What a method is given of one object, and what it is asked for.

    Attributes:
        images: (sources, 3, height, width) in [0, 1].
        world_from_sources: (sources, 4, 4) their absolute poses.
        world_from_targets: (n, 4, 4) the poses that are asked for.
    """

    images: Tensor
    world_from_sources: Tensor
    world_from_targets: Tensor


class ComparedMethod(Protocol):
    """A method of the comparison; `network` holds all that it learns."""

    network: nn.Module

    def loss(self, batch: Batch) -> Tensor:
        """A scalar to be lowered."""

    def predict(self, query: Query) -> Tensor:
        """Pictures (n, 3, height, width) in [0, 1]."""


class QueryMethod:
    """A deterministic generative query network: every view of a batch is predicted from its partner."""

    def __init__(self, view_set: ViewSet, config: TrainConfig, device: torch.device) -> None:
        """For pictures of that view set."""
        self._view_set, self._config, self._device = view_set, config, device
        shape = (3, view_set.height_px, view_set.width_px)
        radius = float(np.median(view_set.distances(np.arange(len(view_set)))))
        self.network: nn.Module = QueryNetwork(shape, view_set.background, radius).to(device)

    def loss(self, batch: Batch) -> Tensor:
        """The renderer's own loss."""
        images = composite(torch.from_numpy(batch.rgba).to(self._device), self._view_set.background)
        poses = _poses(self._view_set, batch.views, self._device)
        with autocast(self._device, self._config.precision):
            predicted = self.network(images[batch.sources], poses[batch.sources], poses[batch.target])
        return reconstruction_loss(predicted.float(), images[batch.target], self._config.loss)[0]

    def predict(self, query: Query) -> Tensor:
        """All targets from the same sources."""
        count = len(query.world_from_targets)
        images, sources = (given.expand(count, *given.shape) for given in (query.images, query.world_from_sources))
        predicted: Tensor = self.network(images, sources, query.world_from_targets)
        return predicted


class SceneMethod:
    """A scene representation network: each view is rendered from its scene's code; an unseen scene's code is fitted."""

    def __init__(self, view_set: ViewSet, config: TrainConfig, device: torch.device) -> None:
        """For the training scenes of that view set, which all need one lens.

        Raises:
            EnrError: the views differ in their lens.
        """
        self._view_set, self._config, self._device = view_set, config, device
        intrinsics = view_set.views["K"]
        if not np.allclose(intrinsics, intrinsics[0]):
            raise EnrError("The views differ in their lens, and this network has one; give shards of one lens.")
        distances = view_set.distances(np.arange(len(view_set)))
        near, far = near_far(view_set.views["world_from_camera"], float(np.median(distances)))
        lens = Frustum(float(intrinsics[0, 0, 0]), view_set.width_px, view_set.height_px, near, far)
        trained = [number for number, scene in enumerate(view_set.all_scenes) if scene.split == "train"]
        # Unseen scenes have no code: they would pull the mean code, where fitting begins, towards the start.
        self._code_of_scene = np.zeros(len(view_set.all_scenes), dtype=np.int64)
        self._code_of_scene[trained] = np.arange(len(trained))
        self._scenes = SceneRepresentationNetwork(len(trained), lens, view_set.background).to(device)
        self.network: nn.Module = self._scenes

    def loss(self, batch: Batch) -> Tensor:
        """The renderer's own loss, and the penalty of codes and depths."""
        images = composite(torch.from_numpy(batch.rgba).to(self._device), self._view_set.background)
        scenes = torch.from_numpy(self._code_of_scene[self._view_set.views["scene"][batch.views]]).to(self._device)
        with autocast(self._device, self._config.precision):
            rendered = self._scenes(self._scenes.codes(scenes), _poses(self._view_set, batch.views, self._device))
        return reconstruction_loss(rendered.images.float(), images, self._config.loss)[0] + rendered.penalty

    def predict(self, query: Query) -> Tensor:
        """All targets from the code that explains the sources best."""
        codes = self._scenes.fit(query.images[None], query.world_from_sources[None])
        chunks = query.world_from_targets.split(TARGETS_AT_A_TIME)
        return torch.cat([self._scenes(codes.expand(len(chunk), -1), chunk).images for chunk in chunks])


METHODS: dict[MethodName, type[QueryMethod] | type[SceneMethod]] = {"gqn": QueryMethod, "srn": SceneMethod}


def _poses(view_set: ViewSet, views: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(view_set.views["world_from_camera"][views]).float().to(device)


PRESET = "small-32"
"""Whose training the methods share: optimiser's course, batch, loss."""
MINUTES = 5.0
"""Of training, where none are given."""

FAR_OUT = 10.0
"""A loss that is so many times as high as that of the worst picture is of no picture at all."""

HEARD = (
    *("steps", "max_minutes", "clock", "batch_size", "learning_rate", "warmup_steps", "decay", "clip_norm"),
    *("loss.l1", "loss.l2", "loss.ssim", "seed", "device", "precision", "threads"),
)
"""Entries of a training that mean something to these methods; the others are of the renderer alone."""


@checked()
@dataclass(frozen=True)
class CompareSettings:
    """What a method is trained on and what it predicts.

    Attributes:
        method: `gqn` or `srn`.
        shards: .h5 files or folders.
        out: folder of the predictions; must be new.
        max_minutes: of training; `MINUTES` where neither this nor an assignment says.
        assignments: entries of `TrainConfig` over those of the preset small-32; those of `HEARD` alone.
        split: the scenes that are predicted.
        source: the view that the method is given.
    """

    method: MethodName
    shards: tuple[Path, ...]
    out: Path
    max_minutes: Positive | None = None
    assignments: SkipValidation[Assignments] = ()
    split: Split = "test"
    source: Annotated[int, Field(ge=0)] = 0


def compare(settings: CompareSettings, say: Callable[[str], None]) -> Path:
    """Train, predict every other view of each scene of the split, and write the pictures.

    Returns:
        The folder of `<group>/<scene id>/<view, five digits>.png`, with `method.json` beside them.

    Raises:
        EnrError: the folder exists or cannot be written, shards or settings do not fit, no scene is in the split,
            or the training diverged; nothing is written then.
    """
    if settings.out.exists():
        raise EnrError(f"{settings.out} exists; name a new folder with --out.")
    config, device = _resolve(settings)
    view_set = ViewSet.open(settings.shards)
    scenes = view_set.scenes(settings.split)
    if not scenes:
        raise EnrError(f"The shards hold no scene of the split '{settings.split}'; choose another --split.")
    for scene in scenes:
        _source_of(scene, view_set, settings.source)  # before any work
    with _new_folder(settings.out) as folder:
        torch.manual_seed(config.seed)
        method = METHODS[settings.method](view_set, config, device)
        parameters = sum(weight.numel() for weight in method.network.parameters())
        minutes = minutes_in_words(config.max_minutes or 0)
        say(f"Training {settings.method} ({count_of(parameters, 'parameter')}) for {minutes} on {device}.")
        steps = _train(method, view_set, config, device)
        say(f"{count_of(steps, 'step')}. Predicting {count_of(len(scenes), 'scene')}.")
        _write_predictions(method, view_set, scenes, folder, settings.source)
        facts: dict[str, object] = {
            "method": settings.method,
            "source": settings.source,
            "split": settings.split,
            "steps": steps,
        }
        facts |= {"minutes": config.max_minutes, "seed": config.seed, "parameters": parameters}
        facts |= {"train": {key: _entry(config, key) for key in HEARD}, "shards": view_set.shard_fingerprints()}
        write_json(folder / METHOD_NAME, facts)
    return settings.out


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Where to write what becomes `out` at the end; made at once, so that what cannot be is known before the training.

    Raises:
        EnrError: it cannot be written.
    """
    made = [place for place in out.absolute().parents if not place.exists()]
    try:
        with replacing_folder(out) as folder:
            yield folder
    except OSError as error:
        raise EnrError(f"--out {out} cannot be written ({error.strerror or error}); name another folder.") from error
    finally:
        with suppress(OSError):  # those that hold something stay
            for place in made:
                place.rmdir()


def _entry(config: TrainConfig, key: str) -> object:
    """The value of an entry such as `loss.ssim`."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _resolve(settings: CompareSettings) -> tuple[TrainConfig, torch.device]:
    check_agreement({"max_minutes": settings.max_minutes}, settings.assignments)
    for key, _ in key_values(settings.assignments):
        name = ".".join(find_key(key)[1:])
        if find_key(key)[0] != "train" or name not in HEARD:
            raise EnrError(f"--set {key} means nothing to {settings.method}; what it hears is {', '.join(HEARD)}.")
    limit = ("max_minutes", settings.max_minutes or MINUTES)
    # The optimiser is Adam, as in the methods' own articles.
    preset = override(override(read_preset(PRESET), [("muon_learning_rate", 0), limit]), settings.assignments)
    wanted = dict(preset.train)
    device = choose_device(validated_train(wanted).device)
    wanted["precision"] = choose_precision(validated_train(wanted).precision, device)
    return validated_train(wanted), device


def _train(method: ComparedMethod, view_set: ViewSet, config: TrainConfig, device: torch.device) -> int:
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
            raise _diverged(f"at step {moment.step} (the loss is {loss.item():g})", config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(method.network.parameters(), config.clip_norm or float("inf"))
        optimizer.step()
        moment = Moment(moment.step + 1, watch.elapsed_s)
    if not all(bool(weights.isfinite().all()) for weights in method.network.state_dict().values()):
        raise _diverged(f"at step {moment.step} (weights are not finite)", config)
    with torch.no_grad():  # those weights were not tried out yet
        last = method.loss(next(loader))
    most = config.loss.l1 + config.loss.l2 + 2 * config.loss.ssim  # of any pictures whatever in [0, 1]
    if not last <= FAR_OUT * most:
        raise _diverged(f"at step {moment.step} (the loss is {last.item():g})", config)
    return moment.step


def _diverged(where: str, config: TrainConfig) -> DivergedError:
    rate = config.learning_rate / 4
    return DivergedError(f"The training diverged {where}; lower its rate, such as with --set learning_rate={rate:.1g}.")


@torch.no_grad()
def _write_predictions(
    method: ComparedMethod, view_set: ViewSet, scenes: Sequence[Scene], folder: Path, source: int
) -> None:
    method.network.eval()
    device = next(method.network.parameters()).device
    for scene in scenes:
        given = _source_of(scene, view_set, source)
        targets = np.setdiff1d(scene.view_indices, given)
        images = composite(torch.from_numpy(view_set.images(given)), view_set.background)
        poses = torch.from_numpy(view_set.views["world_from_camera"]).float()
        query = Query(images.to(device), poses[given].to(device), poses[targets].to(device))
        pictures = (method.predict(query) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        place = folder / scene.group / scene.scene_id
        place.mkdir(parents=True, exist_ok=True)
        numbers = view_set.views["view_index"]
        for number, picture in zip(numbers[targets].tolist(), pictures, strict=True):
            Image.fromarray(picture).save(place / f"{number:05d}.png")


def _source_of(scene: Scene, view_set: ViewSet, number: int) -> Indices:
    """The view (1,) that the method is given."""
    given = scene.source_indices[view_set.views["view_index"][scene.source_indices] == number]
    if not len(given):
        raise EnrError(f"Scene {scene.scene_id} has no view {number}; choose another --source.")
    return given
