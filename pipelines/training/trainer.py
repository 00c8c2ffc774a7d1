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

from enr.model.losses import cycle_loss, reconstruction_loss, scene_loss
from enr.model.lpips import Lpips, load_lpips
from enr.model.renderer import Renderer
from enr.model.sighting import Sighting
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.device import ResidentViews, fits_on, sent
from enr.pipelines.data.views import composite
from enr.pipelines.machine import autocast
from enr.pipelines.training.adam import Adam
from enr.pipelines.training.centres import CentreTruths
from enr.pipelines.training.compiling import compiled, pays
from enr.pipelines.training.loader import MIN_VIEWS, PairLoader, Pairs
from enr.pipelines.training.muon import MuonAndAdam
from enr.pipelines.training.processes import ALONE, Processes


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

    def compile(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Where that pays, compile what the steps predict with, for the steps alone, and say how that went.

        Neither weights nor what is drawn at random change.
        """
        if not pays(self._config, self.device):
            return
        say("Compiling the steps (--compile off goes without) ...")
        with torch.random.fork_rng(devices=[]):
            self._stepping, words = compiled(self.model, self._try_out)
        self._optimizer.zero_grad(set_to_none=True)
        say(words)

    def _try_out(self, model: Renderer) -> None:
        """The next step's predictions and gradients, of this process alone, and nothing of it is kept."""
        before, position = (self._stepping, self.processes), self._loader.state_dict()
        batch, images = self._next_batch()
        self._loader.load_state_dict(position)
        self._stepping, self.processes = model, ALONE
        try:
            with autocast(self.device, self._config.precision):
                predicted, further = self._predict(images, batch, sent(batch.target_from_sources, self.device))
        finally:
            self._stepping, self.processes = before
        sum(further.values(), predicted.float().sum()).backward()

    @property
    def best_estimate(self) -> Renderer:
        """The model to measure, show and keep: the moving average of the weights, or the weights themselves."""
        if self._averaged is None:
            return self.model
        averaged = self._averaged.module
        assert isinstance(averaged, Renderer)
        return averaged

    @property
    def pictures_per_step(self) -> int:
        """Pictures that a step renders."""
        return self._loader.pairs_per_batch

    def train_step(self, learning_rate: float) -> StepResult:
        """Take the loader's next batch and make one step with it; all processes must do so at once."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group.get("times", 1.0)
        batch, images = self._next_batch()
        motion, targets = sent(batch.target_from_sources, self.device), images[sent(batch.target, self.device)]
        with autocast(self.device, self._config.precision):
            predicted, further = self._predict(images, batch, motion)
        loss, parts = reconstruction_loss(predicted.float(), targets, self._config.loss, self._lpips)
        for name, value in further.items():
            loss = loss + getattr(self._config.loss, name) * value
            parts[name] = value.detach()
        self._optimizer.zero_grad(set_to_none=True)
        result = StepResult(loss.detach(), _mean_psnr(predicted.detach(), targets), parts)
        if self.processes.count == 1:
            loss.backward()
        else:
            share = batch.scenes / self._loader.batch_size
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

    def _predict(self, images: Tensor, batch: Pairs, motion: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Each target (pairs, 3, h, w) from its sources; a picture with several targets is encoded once.

        With it come the further losses by name: those that compare the renderer with itself, and that of the distance.
        """
        losses: dict[str, Tensor] = {}
        distance = None if self._places is None else self._places.distances(batch, self.device)
        if self._loader.views_per_scene == MIN_VIEWS and not self._config.loss.scene:
            # Every view is one source, in its order.
            predicted, sighting = self._stepping.predict(images, motion[:, 0], distance)
        else:
            encoded, sighting = self._stepping.look(images, distance)
            moved = self._stepping.fuse(encoded[sent(batch.sources, self.device)], motion)
            predicted = self._stepping.render(moved)
            if self._config.loss.scene:
                there = encoded[sent(batch.target, self.device)]
                losses["scene"] = scene_loss(moved, there, self.model.config)
        if self._places is not None and sighting is not None and self._config.loss.distance:
            losses["distance"] = self._distance_loss(self._places, sighting, batch)
        if self._config.loss.cycle:
            losses["cycle"] = self._cycle(images, batch, motion, predicted)
        return predicted, losses

    def _distance_loss(self, places: CentreTruths, sighting: Sighting, batch: Pairs) -> Tensor:
        """The mean over the pictures whose distance is known; they may be anywhere in the whole batch."""
        loss, known = places.loss(sighting, batch)
        if self.processes.count == 1:
            return loss
        of_all = known.clone()
        self.processes.sum([of_all])
        return loss * (known / of_all.clamp_min(1)) * (self._loader.batch_size / batch.scenes)

    def _cycle(self, images: Tensor, batch: Pairs, motion: Tensor, predicted: Tensor) -> Tensor:
        """The way back from one prediction of each scene to its first source; all of them would double a step."""
        _, first = np.unique(batch.target % batch.scenes, return_index=True)
        source = images[sent(batch.sources[first, 0], self.device)]
        pairs = sent(first, self.device)
        return cycle_loss(self._stepping, predicted[pairs], source, motion[pairs, 0])

    def _next_batch(self) -> tuple[Pairs, Tensor]:
        """Pairs, and their views (n, 3, h, w) on the device."""
        if self._resident is not None:
            batch = self._loader.draw()
            return batch, composite(self._resident.images(batch.views), self._background)
        read = next(self._loader)
        return read, composite(sent(read.rgba, self.device), self._background)


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
