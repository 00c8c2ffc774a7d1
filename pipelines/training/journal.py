"""What is measured while a model trains: JSON lines, TensorBoard, and the fixed pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from enr.pipelines.pictures import save_gif, save_picture
from enr.pipelines.training.runs import Run

GIF_NAME = "progress.gif"


class Journal:
    """Writes a run's measurements. A resumed run first forgets what came after its checkpoint."""

    def __init__(self, run: Run, step: int = 0) -> None:
        """Open the journal of a run that goes on at `step`."""
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        _forget_after(run, step)
        self._lines = run.metrics.open("a")
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
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


def _flatten(prefix: str, values: dict[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(f"{prefix}/{name}", value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}/{name}"] = float(value)
    return flat
