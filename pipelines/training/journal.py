"""What a training tells while it runs: to its user, and to JSON lines, TensorBoard and the fixed pictures."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from enr.pipelines.config import TrainConfig
from enr.pipelines.pictures import save_gif, save_picture
from enr.pipelines.training.runs import Run

GIF_NAME = "progress.gif"
SHOW_EVERY_S = 1.0
BAR_FORM = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""What writing says where nobody reads any more: a pipe's end that was closed, a terminal that was."""


class Console:
    """Lines for the user and a progress bar, which never share a line.

    A reader that goes away (`enr train … | head`, a terminal that is closed) does not end the training.
    """

    def __init__(self, say: Callable[[str], None], show_progress: bool) -> None:
        """Lines go through `say`, the bar to standard error."""
        self._say, self._show_progress = say, show_progress
        self._bar: tqdm[Any] | None = None
        self._shown_s = -float("inf")

    def say(self, words: str | None) -> None:
        """Say a line, if there is one."""
        if words is None:
            return
        with self._even_if_unread():
            if self._bar is not None:
                self._bar.clear()
        with self._even_if_unread(sys.stdout):
            self._say(words)

    @contextmanager
    def bar(self, share: float) -> Iterator[None]:
        """Show a progress bar inside, which begins at `share`."""
        if self._show_progress:
            with self._even_if_unread():
                self._bar = tqdm(total=1.0, initial=share, bar_format=BAR_FORM)
        try:
            yield
        finally:
            bar, self._bar = self._bar, None
            with self._even_if_unread():
                if bar is not None:
                    bar.close()

    def show(self, share: float, words: Callable[[], str]) -> None:
        """Bring the progress bar up to date, at most once a second."""
        if self._bar is None or time.perf_counter() - self._shown_s < SHOW_EVERY_S:
            return
        self._shown_s = time.perf_counter()
        with self._even_if_unread():
            self._bar.set_postfix_str(words(), refresh=False)
            self._bar.update(share - self._bar.n)

    @contextmanager
    def _even_if_unread(self, stream: Any = None) -> Iterator[None]:
        """Go on where nobody reads; what the stream still holds goes nowhere, so that its end does not fail either."""
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            self._bar = None
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stderr).fileno())
        except RuntimeError as error:  # a signal that is heard while a line is being written
            if "reentrant call" not in str(error):
                raise


class Stopwatch:
    """The time of a training, by the clock of its configuration, and what of it went to what is no step."""

    def __init__(self, config: TrainConfig, device: torch.device, elapsed_before_s: float) -> None:
        """Start it; `elapsed_before_s` seconds were trained before an interruption."""
        self._now_s = time.process_time if config.clock == "process" else time.perf_counter
        self._device, self._before_s = device, elapsed_before_s
        self._started_s = self._ready_s = self._now_s()
        self._aside_s = self.measuring_s = 0.0

    def begin(self) -> None:
        """From now on steps are done; what was before is no step."""
        self._ready_s = self._now_s()
        self._aside_s = self._ready_s - self._started_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._before_s + self._now_s() - self._started_s

    @property
    def since_begin_s(self) -> float:
        """Seconds since the first step could be done."""
        return self._now_s() - self._ready_s

    @property
    def step_s(self) -> float:
        """Seconds of the steps alone, since it was started."""
        return self._now_s() - self._started_s - self._aside_s

    @contextmanager
    def aside(self, measuring: bool = False) -> Iterator[None]:
        """Leave the time inside out of images/s: it belongs to the training, but to no step of it."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # steps that were only queued so far
        started_s = self._now_s()
        try:
            yield
        finally:
            seconds = self._now_s() - started_s
            self._aside_s += seconds
            if measuring:
                self.measuring_s += seconds


class Journal:
    """Writes a run's measurements. A resumed run first forgets what came after its checkpoint."""

    def __init__(self, run: Run, step: int = 0) -> None:
        """Open the journal of a run that goes on at `step`."""
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        _forget_after(run, step)
        self._lines = run.metrics.open("a")
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step)

    def write(self, kind: str, step: int, values: Mapping[str, object]) -> None:
        """Write a line of measurements: `kind`, `step` and `values`, which may hold tables of numbers."""
        self._lines.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in _flatten(kind, values).items():
            self._board.add_scalar(name, value, step)

    def add_frame(self, picture: Image.Image, step: int) -> None:
        """Keep the fixed pictures as the model of `step` renders them."""
        save_picture(picture, self._run.pictures / f"step-{step:08d}.png")
        self._board.add_image("pictures", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def save_gif(self) -> Path | None:
        """Write the GIF of all frames; None where there is none yet."""
        frames = [Image.open(path) for path in sorted(self._run.pictures.glob("step-*.png"))]
        return save_gif(frames, self._run.folder / GIF_NAME) if frames else None

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _forget_after(run: Run, step: int) -> None:
    kept = [json.dumps(line) + "\n" for line in read_metrics(run.metrics) if line["step"] <= step]
    run.metrics.write_text("".join(kept))
    for path in run.pictures.glob("step-*.png"):
        number = re.fullmatch(r"step-(\d+)", path.stem)
        if number and int(number[1]) > step:
            path.unlink()


def _flatten(prefix: str, values: Mapping[str, object]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(f"{prefix}/{name}", value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}/{name}"] = float(value)
    return flat
