"""How a renderer is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SkipValidation

from enr.checking import Count, NotNegative, Positive, Seed, checked
from enr.errors import EnrError
from enr.model.config import LossWeights

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
Clock = Literal["wall", "process"]
Compile = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(lambda value: ("off", "on")[value] if isinstance(value, bool) else value),  # as YAML reads them
]

Assignments = Mapping[str, object] | Iterable[str | tuple[str, object]]
"""Keys and their values, or texts such as `learning_rate=1e-4`."""

SHARDS = Path("shards")
RUNS = Path("runs")
"""The folder of all runs, where no other is named."""


@checked("train")
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a renderer is trained. Numbers that a run needs to be made again; nothing about its data or its model.

    Attributes:
        steps: training ends after so many steps (None: by minutes alone)...
        max_minutes: ...or after so many minutes of training, whichever comes first (None: by steps alone).
        clock: what minutes are: `wall`, or `process`, the processor time of this process, which compares models fairly
            on a busy machine (CPU alone, the same number of threads).
        batch_size: scenes a step.
        targets: targets of each encoded source; targets + 1 views of each scene are all rendered from each other, so
            1 means pairs, used in both directions.
        sources: each target is predicted from 1 to so many sources, as many in a whole step, drawn anew for each step;
            targets + sources views of each scene are needed.
        distance_dropout: share of the pictures whose distance the renderer is not told, so that it learns to do
            without; where the depth range travels alone.
        mirror: share of the scenes that a step sees in a mirror (`training/mirroring.py`).
        ema: share of the old weights that their moving average keeps at each step (0: no average); the average is
            what is measured and kept.
        learning_rate: Adam's, between warm-up and decay.
        muon_learning_rate: Muon's, for matrices, over the same course; 0: Adam for all (`training/muon.py`).
        warmup_steps: steps over which the learning rate rises from 0.
        decay: last share of the training over which it falls to 0 again.
        clip_norm: longest gradient; 0 for no limit.
        loss: weights of its parts.
        lpips_weights: file or folder of the weights that `loss.lpips` needs (`enr.model.lpips`).
        seed: of the weights and of the pairs.
        device: `auto` takes a GPU where torch sees one.
        precision: `auto` takes bfloat16 where the device multiplies it quickly.
        threads: of torch on the CPU; 0: as many as are quickest, now and when other programs come or go.
        compile: whether training steps go through `torch.compile`; `auto`: where that is known to pay.
        validations: how often the held-out scenes are measured, evenly over the training.
        validation_pictures: how many pictures of held-out scenes are measured.
        frames: how often the fixed pictures are rendered, evenly over the training.
        frame_scenes: how many of them there are.
        checkpoint_minutes: longest time without a checkpoint.
        log_every: steps between two lines of measurements.
    """

    steps: Count | None = 100_000
    max_minutes: Positive | None = None
    clock: Clock = "wall"
    batch_size: Count = 16
    targets: Count = 1
    sources: Count = 1
    distance_dropout: Annotated[float, Field(ge=0, le=1)] = 0.3
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    learning_rate: Positive = 2e-4
    muon_learning_rate: NotNegative = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    decay: Annotated[float, Field(gt=0, le=1)] = 0.3
    clip_norm: NotNegative = 1.0
    loss: LossWeights = field(default_factory=LossWeights)
    lpips_weights: str | None = None
    seed: Seed = 0
    device: Device = "auto"
    precision: Precision = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    compile: Compile = "auto"
    validations: Count = 20
    validation_pictures: Count = 256
    frames: Count = 24
    frame_scenes: Count = 6
    checkpoint_minutes: Positive = 5.0
    log_every: Count = 20

    def __post_init__(self) -> None:
        if self.steps is None and self.max_minutes is None:
            raise EnrError("train.steps is null and no minutes are given; give --max-minutes M, or a number of steps.")
        if self.loss.lpips and not self.lpips_weights:
            raise EnrError(
                f"train.loss.lpips is {self.loss.lpips} and no weights are given; they are never downloaded: name a "
                "file or folder with --set lpips_weights=PATH."
            )
        if self.lpips_weights and not self.loss.lpips:
            raise EnrError("train.lpips_weights is given, but loss.lpips is 0; give it a weight, or leave both out.")

    @property
    def views_per_scene(self) -> int:
        """Views of each scene that a step takes."""
        return self.targets + self.sources


def shards_or_default(shards: tuple[Path, ...], resume: Path | None) -> tuple[Path, ...]:
    """The shards of a training: those given; else those of the run that goes on (none here), or the folder `shards`.

    Raises:
        EnrError: it is a new run, and there is no such folder; or a folder holds no shard.
    """
    from enr.shards.find import find_shards

    if not shards and resume is None:
        if not SHARDS.is_dir():
            raise EnrError("No shards were given and there is no folder shards/; give .h5 files made by `enr datagen`.")
        shards = (SHARDS,)
    if shards:
        find_shards(shards)
    return shards


@checked()
@dataclass(frozen=True)
class TrainSettings:
    """What `enr train` is asked for.

    Attributes:
        shards: .h5 files or folders of them.
        preset: name of a preset; None chooses one.
        assignments: what is set over the preset: a table of keys and values, or `key=value` texts.
        batch_size: scenes a step, or `auto` for as many as fit into memory; None takes the preset's.
        max_minutes: minutes of training; when a run is resumed, further ones.
        compile: whether steps are compiled; None takes the preset's, or the resumed run's.
        resume: the run to go on with.
        init: the checkpoint to start from: a run folder, a checkpoint folder or file, or a published `.pt`.
        runs: the folder of all runs.
        name: last part of the run folder's name; None takes the preset's.
        show_progress: whether to draw a progress bar.
    """

    shards: tuple[Path, ...] = ()
    preset: str | None = None
    assignments: SkipValidation[Assignments] = ()
    batch_size: Count | Literal["auto"] | None = None
    max_minutes: Positive | None = None
    compile: Compile | None = None
    resume: Path | None = None
    init: Path | None = None
    runs: Path = RUNS
    name: str | None = None
    show_progress: bool = True
