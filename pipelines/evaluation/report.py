"""The result of an evaluation: the numbers of each scene, and their means."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from enr.camera import Group
from enr.pipelines.evaluation.distance import DistanceErrors, join_errors
from enr.pipelines.evaluation.equivariance import Measures
from enr.pipelines.evaluation.equivariance_report import join, summarise
from enr.pipelines.evaluation.floors import BLIND_FLOORS, FLOORS, MEAN_OF_TARGETS
from enr.pipelines.evaluation.report_content import DistanceContent, Facts, MotionSummary
from enr.pipelines.evaluation.unseen import NOTHING_MEASURED, Unseen, mean_unseen
from enr.shards import Split
from enr.words import count_of

MODEL = "model"
WRONG_POSE = "wrong_pose"
UNTRAINED = "untrained"
FEWER_SOURCES = {1: "one_source", 2: "two_sources", 4: "four_sources"}
"""The model given so many of the sources, measured where it is given more."""
CANDIDATES = (MODEL, *FEWER_SOURCES.values(), WRONG_POSE, UNTRAINED, *FLOORS)
"""Whatever predicts a target picture: the model, the model given fewer sources, the model told another view's pose, the
same architecture with random weights (measured only where it is asked for), and the floors."""

PSNR = "psnr_db"
FOREGROUND = "psnr_foreground_db"
SSIM = "ssim"
FORMAT = "enr-eval"
FORMAT_VERSION = 2
MIN_CORRELATED = 3
"""Fewer scenes have no correlation of colours."""
POSE_IGNORED_DB = 0.5
"""A model that loses less than this with another view's pose hardly uses the pose."""
Scores = dict[str, dict[str, float]]
"""By candidate and metric."""


@dataclass(frozen=True)
class SceneScores:
    """One scene's numbers, means over its target views.

    Attributes:
        scene_id: id of its mesh.
        source_view: number of the (first) view that the model was given.
        sources: how many it was given.
        targets: how many target views there are.
        scores: by candidate and metric; NaN where there is nothing to measure.
        silhouette_iou: of the model's pictures with the true silhouettes.
        chroma: (2, 2) mean chroma of the foreground: the model's, then the true one.
        unseen: how much of what the targets show the source does not.
        equivariance: its measures, one number for each target, where they were asked for.
        estimated: errors of the distance, estimated from each view alone.
        triangulated: errors of the distance, triangulated from the sources.
        unmeasured: by the name of a measure, how many targets have nothing to measure and are not in its mean.
        by_motion: PSNR of each target, and how far the motion to it turns and shifts.
    """

    scene_id: str
    source_view: int
    targets: int
    scores: Scores
    silhouette_iou: float
    chroma: tuple[tuple[float, float], tuple[float, float]]
    unseen: Unseen = NOTHING_MEASURED
    equivariance: Measures | None = None
    sources: int = 1
    estimated: DistanceErrors | None = None
    triangulated: DistanceErrors | None = None
    unmeasured: Mapping[str, int] = field(default_factory=dict)
    by_motion: Measures | None = None


@dataclass(frozen=True)
class GroupReport:
    """The scenes of one group and split.

    Attributes:
        group, split: which.
        scenes: one entry a scene.
        seconds: how long the predictions took.
        picture: the picture of sources, predictions and truths.
    """

    group: Group
    split: Split
    scenes: tuple[SceneScores, ...]
    seconds: float
    picture: Path | None = None

    @property
    def scores(self) -> Scores:
        """Means over the scenes, of every candidate that was measured."""
        first = self.scenes[0].scores
        return {
            candidate: {
                metric: mean(scene.scores[candidate][metric] for scene in self.scenes) for metric in first[candidate]
            }
            for candidate in CANDIDATES
            if candidate in first
        }

    @property
    def pose_gap_db(self) -> float:
        """How much PSNR the model loses with another view's pose; about 0 if it ignores the pose."""
        scores = self.scores
        return scores[MODEL][PSNR] - scores[WRONG_POSE][PSNR]

    @property
    def lead_db(self) -> float:
        """PSNR above the better of the floors that see no target."""
        scores = self.scores
        return scores[MODEL][PSNR] - max(scores[floor][PSNR] for floor in BLIND_FLOORS)

    @property
    def silhouette_iou(self) -> float:
        """Mean over the scenes."""
        return mean(scene.silhouette_iou for scene in self.scenes)

    @property
    def unseen(self) -> Unseen:
        """Means over the scenes."""
        return mean_unseen([scene.unseen for scene in self.scenes])

    @property
    def equivariance(self) -> MotionSummary | None:
        """Its means over all pairs of views, where it was measured (`summarise` in `equivariance_report`)."""
        measured = [scene.equivariance for scene in self.scenes if scene.equivariance is not None]
        return summarise(join(measured)) if measured else None

    @property
    def by_motion(self) -> MotionSummary | None:
        """Mean PSNR over all targets by how far the motion to each turns and shifts (`summarise`)."""
        measured = [scene.by_motion for scene in self.scenes if scene.by_motion is not None]
        return summarise(join(measured)) if measured else None

    @property
    def distance(self) -> dict[str, DistanceContent]:
        """Errors of the distance by how it was found (`DistanceErrors.to_dict`), where the depth range travels."""
        found = {
            "estimated": join_errors([scene.estimated for scene in self.scenes]),
            "triangulated": join_errors([scene.triangulated for scene in self.scenes]),
        }
        return {name: errors for name, errors in found.items() if errors is not None}

    @property
    def chroma_correlation(self) -> float:
        """Correlation over the scenes of predicted with true mean chroma, mean of its two components."""
        chroma = np.array([scene.chroma for scene in self.scenes]).reshape(-1, 2, 2)
        chroma = chroma[np.isfinite(chroma).all(axis=(1, 2))]
        if len(chroma) < MIN_CORRELATED or np.ptp(chroma, axis=0).min() == 0:
            return math.nan
        return float(np.mean([np.corrcoef(chroma[:, 0, part], chroma[:, 1, part])[0, 1] for part in range(2)]))


@dataclass(frozen=True)
class Report:
    """A whole evaluation.

    Attributes:
        groups: one entry for each group and split.
        background: what the pictures stand on, three sRGB numbers in [0, 1].
        facts: everything that is needed to make it again (checkpoint, shards, source view, seed, ...).
        notes: what the reader should know.
        json_path: where `write_report` put it.
    """

    groups: tuple[GroupReport, ...]
    background: tuple[float, float, float]
    facts: Facts
    notes: tuple[str, ...]
    json_path: Path = Path()

    @property
    def has_ssim(self) -> bool:
        """Whether SSIM was measured."""
        return SSIM in self.groups[0].scenes[0].scores[MODEL]

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The pictures of sources, predictions and truths."""
        return tuple(group.picture for group in self.groups if group.picture is not None)


def mean(values: Iterable[float]) -> float:
    """Mean of what was measured; NaN, which stands where there is nothing to measure, is left out (NaN if all are).

    Who averages says what was left out: `unmeasured_notes`.
    """
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan


def unmeasured_notes(group: GroupReport) -> list[str]:
    """A sentence for each measure that is missing for some of a group's scenes, targets or pairs, but not for all.

    What is missing for all of them stands as `-` in the table.
    """
    name, notes = f"{group.group} {group.split}", []
    for measure, values in _by_scene(group).items():
        missing = sum(math.isnan(value) for value in values)
        if 0 < missing < len(values):
            measured = f"{len(values) - missing} of {count_of(len(values), 'scene')}"
            notes.append(f"{name}: {measure} is measured in {measured}; in the others there is nothing to measure.")
    left_out: Counter[str] = Counter()
    for scene in group.scenes:
        left_out.update({key: count for key, count in scene.unmeasured.items() if 0 < count < scene.targets})
    for measure, count in left_out.items():
        notes.append(f"{name}: {measure} leaves out {count_of(count, 'target view')} with nothing to measure.")
    return notes + [f"{name}: {note}" for note in _unmeasured_pairs(group.scenes)]


def _by_scene(group: GroupReport) -> dict[str, list[float]]:
    """Measures that not every scene has."""
    scenes = group.scenes
    return {
        "foreground PSNR": [scene.scores[MODEL].get(FOREGROUND, math.nan) for scene in scenes],
        "the mean of the targets": [scene.scores.get(MEAN_OF_TARGETS, {}).get(PSNR, math.nan) for scene in scenes],
        "silhouette IoU": [scene.silhouette_iou for scene in scenes],
        "the share beyond the picture": [scene.unseen.beyond_picture for scene in scenes],
        "the share outside the volume": [scene.unseen.beyond_volume for scene in scenes],
        "the clipped share": [scene.unseen.source_clipped for scene in scenes],
    }


def _unmeasured_pairs(scenes: Sequence[SceneScores]) -> list[str]:
    measured = [scene.equivariance for scene in scenes if scene.equivariance is not None]
    if not measured:
        return []
    missing: dict[int, list[str]] = {}
    for measure, values in join(measured).items():
        count = int(np.isnan(values).sum())
        if 0 < count < len(values):
            missing.setdefault(count, []).append(measure)
    return [
        f"equivariance leaves {count_of(count, 'pair')} out of {', '.join(measures)}: there is no cell to compare, or "
        "no other pose."
        for count, measures in missing.items()
    ]
