"""What decides an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from enr.camera import Group
from enr.checking import Count, Seed, checked
from enr.errors import EnrError
from enr.pipelines.training.runs import RUNS
from enr.shards import Split

APPLE_SOURCE = 64
APPLE_VIEWS = 251
OPTION_OF = {"splits": "split", "with_ssim": "ssim"}
"""Options of `enr eval` whose settings have another name."""


@checked(names=OPTION_OF)
@dataclass(frozen=True)
class EvalSettings:
    """Everything that decides an evaluation.

    Attributes:
        checkpoint: a run folder, a checkpoint folder or file, or a published `.pt`; the latest run's best if None.
        predictions: a folder of pictures that another method predicted, in place of a checkpoint.
        shards: .h5 files or folders; the run's own if empty.
        splits: splits to measure; test, or val where a group has no test scene, if empty.
        groups: groups to measure; all that the shards hold if empty.
        any_group: measure groups that the checkpoint never learned, too.
        source: the view that the model is given; 0, or the protocol's, if None.
        sources: how many views it is given: `source` and the following ones.
        known_distance: whether the model is told the distance of the object in each source.
        protocol: `apple`: source view 64 of 251, all others as targets (Dupont et al. 2020).
        with_ssim: measure SSIM beside PSNR.
        untrained: measure the same architecture with random weights, too; doubles the time.
        equivariance: measure how far moved scenes are from the scenes of the pictures there; takes a few times as long.
        max_scenes: at most so many scenes of each group and split, drawn by the seed.
        seed: decides which other view's pose the model is told, and the draw of `max_scenes`.
        batch_size: pictures rendered at a time.
        device: `auto`, or a torch device.
        out: folder of the JSON file and the pictures; a new one in the run folder if None.
        runs: where runs lie.
    """

    checkpoint: Path | None = None
    predictions: Path | None = None
    shards: tuple[Path, ...] = ()
    splits: tuple[Split, ...] = ()
    groups: tuple[Group, ...] = ()
    any_group: bool = False
    source: Annotated[int, Field(ge=0)] | None = None
    sources: Count = 1
    known_distance: bool = False
    protocol: Literal["apple"] | None = None
    with_ssim: bool = False
    untrained: bool = False
    equivariance: bool = False
    max_scenes: Count | None = None
    seed: Seed = 0
    batch_size: Count = 16
    device: str = "auto"
    out: Path | None = None
    runs: Path = RUNS

    @property
    def source_view(self) -> int:
        """The view that the model is given.

        Raises:
            EnrError: the protocol names another one.
        """
        if self.protocol is None:
            return self.source or 0
        if self.source not in (None, APPLE_SOURCE):
            raise EnrError(
                f"--source {self.source} and --protocol apple (source view {APPLE_SOURCE}) contradict each other; "
                "give one of them."
            )
        return APPLE_SOURCE

    @property
    def source_views(self) -> tuple[int, ...]:
        """The views that the model is given.

        Raises:
            EnrError: the protocol has a single one, or names another one.
        """
        if self.protocol is not None and self.sources > 1:
            raise EnrError(
                f"--sources {self.sources} and --protocol apple (a single source view) contradict each other; "
                "give one of them: --source N is the first of several sources."
            )
        return tuple(range(self.source_view, self.source_view + self.sources))
