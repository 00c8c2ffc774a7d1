"""A small training on a toy shard, and what it said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enr.pipelines.training.loop import TrainResult
from enr.pipelines.training.train import TrainSettings, train

QUICK = (
    "batch_size=2",
    "validation_pictures=4",
    "frames=1",
    "frame_scenes=2",
    "validations=1",
    "threads=1",
    "precision=float32",
    "device=cpu",
)


@dataclass(frozen=True)
class Fit:
    """How a training ended, and its lines."""

    result: TrainResult
    lines: list[str]

    @property
    def folder(self) -> Path:
        return self.result.run.folder

    def said(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]


def fit(shards: Path | tuple[Path, ...], runs: Path, *assignments: str, stop: Any = None, **options: Any) -> Fit:
    """Train the smallest preset with `key=value` assignments; options are those of `TrainSettings`."""
    lines: list[str] = []
    paths = shards if isinstance(shards, tuple) else (shards,)
    settings: dict[str, Any] = {"preset": "smoke", "runs": runs, "show_progress": False, **options}
    result = train(TrainSettings(paths, assignments=(*QUICK, *assignments), **settings), say=lines.append, stop=stop)
    return Fit(result, lines)


def resume(run: Path, *assignments: str, shards: tuple[Path, ...] = (), **options: Any) -> Fit:
    """Go on with a run."""
    lines: list[str] = []
    settings = TrainSettings(shards, assignments=assignments, resume=run, show_progress=False, **options)
    return Fit(train(settings, say=lines.append), lines)
