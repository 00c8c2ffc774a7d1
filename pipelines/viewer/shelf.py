"""The models that the viewer offers, each opened when it is first chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enr.errors import EnrError
from enr.model import load_model
from enr.model.checkpoint import read_metadata
from enr.model.hub import EXAMPLES
from enr.pipelines.machine import pick_device
from enr.pipelines.rendering.input_views import ShardScenes
from enr.pipelines.training.runs import Run, find_checkpoint, standing
from enr.pipelines.viewer.stage import Stage

LOOK_AGAIN_S = 1.0


@dataclass(frozen=True)
class Offer:
    """What every model of the viewer is shown with.

    Attributes:
        pictures: files to show.
        shards: whose scenes to show; empty, without pictures: those of each model's own run, where they still exist.
        device: `auto`, `cpu`, `cuda` …
        follow: whether the newest checkpoint of a run is taken, again and again, not its best.
    """

    pictures: tuple[Path, ...] = ()
    shards: tuple[Path, ...] = ()
    device: str = "auto"
    follow: bool = False


class OpenModel:
    """A checkpoint with its stage; it notices newer weights.

    Args:
        path: a run, a checkpoint folder or a published `.pt`.
        offer: what is shown with it.

    Raises:
        EnrError: something of it cannot be used.
    """

    def __init__(self, path: Path, offer: Offer) -> None:
        best, self._run = find_checkpoint(path)
        self._follows = offer.follow and self._run is not None
        self._device = pick_device(offer.device)
        self.path = self._newest() if self._follows else best
        self._stamp, self._looked = _stamp(self.path), time.monotonic()
        self.stage = Stage(load_model(self.path, self._device))
        self.stage.shards = self._shards(offer, self._run)
        for picture in offer.pictures or (() if self.stage.shards else sorted((best / EXAMPLES).glob("*.png"))):
            self.stage.add_picture(picture.name, picture)
        self.version = 0

    def _shards(self, offer: Offer, run: Run | None) -> ShardScenes | None:
        config = self.stage.model.config
        if offer.shards:
            return ShardScenes(offer.shards, config)
        found = [shard for shard in run.shards if shard.exists()] if run and not offer.pictures else []
        return ShardScenes(found, config) if found else None

    def _newest(self) -> Path:
        assert self._run is not None
        return standing(self._run.last)

    def look_for_newer(self) -> None:
        """Take the run's newest weights, if there are others than before; while they are being replaced, the old."""
        if not self._follows or time.monotonic() - self._looked < LOOK_AGAIN_S:
            return
        self._looked = time.monotonic()
        try:
            path = self._newest()
            stamp = _stamp(path)
            if stamp == self._stamp:
                return
            self.stage.replace_model(load_model(path, self._device))
        except (EnrError, OSError):
            return
        self._stamp, self.version = stamp, self.version + 1

    def said_of_it(self) -> dict[str, object]:
        """What the page says of the weights: their version in this viewer, and the training step if it is known."""
        try:
            step = read_metadata(self._newest() if self._follows else self.path).get("step")
        except (EnrError, OSError):
            step = None
        return {"version": self.version, "step": step, "follow": self._follows}


class Shelf:
    """Models by their numbers; the first is open.

    Args:
        paths: at least one; see `OpenModel`.
        offer: what is shown with each.

    Raises:
        EnrError: the first cannot be used.
    """

    def __init__(self, paths: Sequence[Path], offer: Offer) -> None:
        self._paths, self._offer = tuple(paths), offer
        self._open: dict[int, OpenModel] = {}
        self._lock = threading.Lock()
        self.model(0)

    @property
    def names(self) -> list[str]:
        """What the page calls them."""
        return [str(path) for path in self._paths]

    def model(self, number: int) -> OpenModel:
        """One of them.

        Raises:
            EnrError: there is none, or it cannot be used.
        """
        if not 0 <= number < len(self._paths):
            raise EnrError(f"There is no model {number} here; choose one of the list.")
        with self._lock:
            if number not in self._open:
                self._open[number] = OpenModel(self._paths[number], self._offer)
            self._open[number].look_for_newer()
        return self._open[number]


def _stamp(path: Path) -> int:
    """What changes when a checkpoint is replaced."""
    weights = path / "model.safetensors" if path.is_dir() else path
    return weights.stat().st_mtime_ns
