"""One model, its optimiser and its loader: a training step, and a state that can be put away and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from enr.model.losses import reconstruction_loss
from enr.model.lpips import Lpips, load_lpips
from enr.model.objective import PosedViews, Predictions, predict_targets
from enr.model.renderer import Renderer
from enr.pipelines.config import Config, TrainConfig
from enr.pipelines.data.device import ResidentViews, fits_on, sent
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.machine import autocast, choose_device
from enr.pipelines.training.adam import Adam
from enr.pipelines.training.centres import CentreTruths
from enr.pipelines.training.compiling import compiled, pays
from enr.pipelines.training.loader import MIN_VIEWS, PairLoader, Pairs
from enr.pipelines.training.mirroring import mirrored
from enr.pipelines.training.muon import MuonAndAdam
from enr.pipelines.training.processes import ALONE, Processes
from enr.pipelines.training.validation import FixedViews


@dataclass(frozen=True)
class StepResult:
    """What a step measured, left on the device until `reading`.

    Attributes:
        loss: scalar.
        psnr_db: scalar, mean over the batch's pictures.
        parts: the loss's parts, unweighted.
    """

    loss: Tensor
    psnr_db: Tensor
    parts: dict[str, Tensor]

    def reading(self) -> Callable[[], dict[str, float]]:
        """Begin to copy the numbers to the CPU; what is returned gives them, and waits for this step at most."""
        named = {"loss": self.loss, "psnr_db": self.psnr_db}
        named |= {f"loss_{name}": part for name, part in self.parts.items()}
        numbers = torch.stack([value.float() for value in named.values()]).to("cpu", non_blocking=True)
        arrived = torch.cuda.current_stream(self.loss.device).record_event() if self.loss.is_cuda else None

        def read() -> dict[str, float]:
            if arrived is not None:
                arrived.synchronize()
            return dict(zip(named, numbers.tolist(), strict=True))

        return read


class Trainer:
    """Trains a renderer on pairs of views (Dupont et al. 2020: each view is its partner's target).

    With `targets` above 1 every view of a scene is the target of several others; with `sources` above 1 it is predicted
    from several at once in some steps.

    Attributes:
        model: in training mode, on `device`.
        step: steps done.
        device: where it is trained.
        processes: that train it together, each with the loader of its share.
    """

    def __init__(
        self,
        model: Renderer,
        loader: PairLoader,
        config: TrainConfig,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        """Bring the model to the device; `config.precision` must be resolved.

        Raises:
            EnrError: there are no LPIPS weights where the configuration says, or the pictures are too small for them.
        """
        self.model = self._stepping = _channels_last(model.to(device)).train()
        self.step = 0
        self.device, self.processes = device, processes
        self._loader, self._config = loader, config
        self._background = torch.tensor(loader.view_set.background, device=device)
        self._resident: ResidentViews | None = None
        if fits_on(loader.view_set, loader.members, device):
            self._resident = ResidentViews(loader.view_set, loader.members, device)
        loader.is_for_gpu = device.type == "cuda"
        self._averaged = _average_of(self.model, config.ema) if config.ema else None
        self._places = CentreTruths(loader, model.config, config) if model.config.has_travelling_range else None
        self._optimizer = _optimizer_of(self.model, config)
        self._lpips: Lpips | None = None
        if config.lpips_weights is not None:
            self._lpips = load_lpips(Path(config.lpips_weights)).to(device)
            self._lpips.check_size(*model.config.image_shape[1:])

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take another renderer's weights in place of the drawn ones, before the first step."""
        self.model.load_state_dict(weights)
        self.best_estimate.load_state_dict(weights)

    def compile(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Where that pays, compile what the steps predict with, for the steps alone, and say how that went.

        Neither weights nor what is drawn at random change.
        """
        if not pays(self._config, self.device):
            return
        say("Compiling the steps (minutes that max_minutes does not end; --compile off goes without) ...")
        with torch.random.fork_rng(devices=[]):
            self._stepping, words = compiled(self.model, self._try_out)
        self._optimizer.zero_grad(set_to_none=True)
        say(words)

    def _try_out(self, model: Renderer) -> list[Tensor]:
        """The gradients of the next step, of this process's share alone; nothing of it is kept."""
        torch.manual_seed(0)
        position = self._loader.state_dict()
        views = self._next_batch()
        self._loader.load_state_dict(position)
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self._config.precision):
            predicted = predict_targets(model, views, self._config.loss)
        weights, targets = self._config.loss, views.images[views.target]
        loss, _ = reconstruction_loss(predicted.images.float(), targets, weights, self._lpips)
        sum((getattr(weights, name) * value for name, value in predicted.losses.items()), loss).backward()
        return [parameter.grad.clone() for parameter in self.model.parameters() if parameter.grad is not None]

    @property
    def best_estimate(self) -> Renderer:
        """The model to measure, show and keep: the moving average of the weights, or the weights themselves."""
        if self._averaged is None:
            return self.model
        averaged = self._averaged.module
        assert isinstance(averaged, Renderer)
        return averaged

    @torch.no_grad()
    def calibrate(self, views: FixedViews) -> None:
        """Hold the ranges of the distance to the sources of held-out scenes (`enr.model.sighting.Sight.widen`)."""
        model, training = self.best_estimate, self.model
        if self._places is None or model.sight is None or training.sight is None:
            return
        model.eval()
        sightings = [model.look(images)[1] for images in views.sources()]
        model.train()
        seen = [(one.quantiles, one.boxes.is_there) for one in sightings if one is not None]
        quantiles, is_there = (torch.cat(column) for column in zip(*seen, strict=True))
        depth = self._places.depths(views.source_views, self.device)
        model.sight.widen(quantiles, depth.masked_fill(~is_there, torch.nan))
        training.sight.widening.copy_(model.sight.widening)

    @property
    def pictures_per_step(self) -> int:
        """Pictures that a step renders."""
        return self._loader.pairs_per_batch

    def train_step(self, learning_rate: float) -> StepResult:
        """Take the loader's next batch and make one step with it; all processes must do so at once."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group.get("times", 1.0)
        self._optimizer.zero_grad(set_to_none=True)
        views = self._next_batch()
        weights, targets = self._config.loss, views.images[views.target]
        share = views.images.shape[0] / (self._loader.batch_size * self._loader.views_per_scene)
        with autocast(self.device, self._config.precision):
            predicted = predict_targets(self._stepping, views, weights)
        loss, parts = reconstruction_loss(predicted.images.float(), targets, weights, self._lpips)
        for name, value in self._of_all(predicted, share).items():
            loss = loss + getattr(weights, name) * value
            parts[name] = value.detach()
        result = StepResult(loss.detach(), _mean_psnr(predicted.images.detach(), targets), parts)
        if self.processes.count == 1:
            loss.backward()
        else:
            (loss * share).backward()
            result = self._joint(result, share)
        if self._config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self.model)
        self.step += 1
        return result

    def _joint(self, result: StepResult, share: float) -> StepResult:
        """What all processes measured, weighted by their shares of the batch; gradients are summed along with it."""
        values = torch.stack([result.loss, result.psnr_db, *result.parts.values()]).float() * share
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        self.processes.sum([*gradients, values])
        loss, psnr_db, *parts = values
        return StepResult(loss, psnr_db, dict(zip(result.parts, parts, strict=True)))

    def _of_all(self, predicted: Predictions, share: float) -> dict[str, Tensor]:
        """The losses, that of the distance as a part of the mean over all located pictures, in whichever share."""
        if self.processes.count == 1 or predicted.located is None:
            return predicted.losses
        everywhere = predicted.located.clone()
        self.processes.sum([everywhere])
        part = predicted.located / everywhere.clamp_min(1) / share
        return {**predicted.losses, "distance": predicted.losses["distance"] * part}

    def state_dict(self) -> dict[str, Any]:
        """All but the weights: optimiser, loader, random number generators, step."""
        cuda = torch.cuda.get_rng_state_all() if self.device.type == "cuda" else []
        averaged: dict[str, Any] = {}
        if self._averaged is not None:
            averaged = {"raw_weights": self.model.state_dict(), "n_averaged": self._averaged.n_averaged}
        return {
            **averaged,
            "step": self.step,
            "optimizer": self._optimizer.state_dict(),
            "loader": self._loader.state_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": cuda,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; the model must hold the `best_estimate` of that time."""
        if self._averaged is not None:
            self._averaged.n_averaged.copy_(state["n_averaged"])
            self.model.load_state_dict(state["raw_weights"])
        self.step = int(state["step"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._loader.load_state_dict(state["loader"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and state["rng_cuda"]:
            torch.cuda.set_rng_state_all(state["rng_cuda"])

    def _next_batch(self) -> PosedViews:
        """Pairs of views with their pictures and what is told of where their objects are, on the device."""
        batch: Pairs
        if self._resident is not None:
            batch = self._loader.draw()
            rgba = self._resident.images(batch.views)
        else:
            batch = read = next(self._loader)
            rgba = sent(read.rgba, self.device)
        weights, places = self._config.loss, self._places
        is_plain = self._loader.views_per_scene == MIN_VIEWS  # every view is a source, in its order
        views = PosedViews(
            images=composite(rgba, self._background),
            sources=None if is_plain else sent(batch.sources, self.device),
            target=sent(batch.target, self.device),
            target_from_sources=sent(batch.target_from_sources, self.device),
            distance=None if places is None else places.distances(batch, self.device),
            centre=None if places is None or not weights.distance else places.centres(batch, self.device),
            cycle=self._way_back(batch) if weights.cycle else None,
        )
        if not self._config.mirror:
            return views
        # Drawn for a whole batch, whoever takes a share; its first rows are one of each scene.
        drawn = torch.rand(self._loader.batch_size)[self._loader.shared_rows[: batch.scenes]]
        return mirrored(views, sent((drawn < self._config.mirror).numpy(), self.device))

    def _way_back(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        """One pair of each scene, and its first source; the way back of all pairs would double a step."""
        _, pairs = np.unique(batch.target % batch.scenes, return_index=True)
        return sent(pairs, self.device), sent(batch.sources[pairs, 0], self.device)


def new_trainer(config: Config, view_set: ViewSet, processes: Processes = ALONE) -> Trainer:
    """A new renderer with drawn weights, to be trained on the training scenes as a resolved configuration says.

    Raises:
        EnrError: the scenes have too few views, or there are fewer scenes in a batch than processes.
    """
    how, share = config.train, processes.share_of(config.train.batch_size)
    return Trainer(
        Renderer(config.model),
        PairLoader(view_set, "train", how.batch_size, how.seed, how.views_per_scene, how.sources, share),
        how,
        choose_device(how.device),
        processes,
    )


def _average_of(model: Renderer, decay: float) -> AveragedModel:
    """An exponential moving average of the weights; young averages forget faster, or they would keep the start."""

    def blend(averaged: Any, current: Any, _: Tensor | int) -> None:
        count = int(average.n_averaged)  # on the CPU; the copy that is given is on the device, and would be waited for
        share = min(decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averaged, current, 1 - share)

    average = AveragedModel(model, multi_avg_fn=torch.no_grad()(blend))
    return average


def _optimizer_of(model: Renderer, config: TrainConfig) -> torch.optim.Adam | MuonAndAdam:
    if config.muon_learning_rate:
        return MuonAndAdam(model, config.learning_rate, config.muon_learning_rate)
    return Adam(model.parameters(), lr=config.learning_rate, fused=True)


def _channels_last(model: Renderer) -> Renderer:
    """Lay the 2D convolutions' weights out with channels last: a tenth quicker on a CPU, more on a GPU in bfloat16."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _mean_psnr(predicted: Tensor, targets: Tensor) -> Tensor:
    error = (predicted.float().clamp(0, 1) - targets).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error.clamp_min(1e-10))).mean()
