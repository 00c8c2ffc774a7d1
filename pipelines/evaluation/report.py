"""The result of an evaluation: means, table, JSON.

The JSON file has the facts (`checkpoint`, `shards`, `source_view`, `sources`, `protocol`, `seed`, ...), the
`definition` of its numbers, `notes`, and `results`, one entry for each group and split: `scores` by candidate (`model`,
`one_source` and so on where the model is given more, `swapped_pose`, `untrained` if asked for, `background`,
`copy_source`, `mean_target`) and metric (`psnr_db`, `psnr_foreground_db`,
`ssim`), `lead_db` over the better of the floors that see no target, `pose_gap_db`, `silhouette_iou`,
`chroma_correlation`, `unseen`, `distance` where the depth range travels, `equivariance` if asked for, and `per_scene`,
the same for every scene. A number that does not exist is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from enr import files
from enr.camera import Group
from enr.pipelines.evaluation.distance import DEFINITION as DISTANCE_DEFINITION
from enr.pipelines.evaluation.distance import DistanceErrors, format_distance, join_errors
from enr.pipelines.evaluation.equivariance import Measures
from enr.pipelines.evaluation.equivariance_report import DEFINITION as EQUIVARIANCE_DEFINITION
from enr.pipelines.evaluation.equivariance_report import format_equivariance, join, summarise
from enr.pipelines.evaluation.floors import BACKGROUND, BLIND_FLOORS, COPY_SOURCE, FLOORS, MEAN_TARGET, background_name
from enr.pipelines.evaluation.unseen import NOTHING_MEASURED, Unseen, format_unseen, mean_unseen
from enr.pipelines.metrics import SILHOUETTE_LEVEL
from enr.shards import Split
from enr.words import count_of, wrapped

MODEL = "model"
SWAPPED_POSE = "swapped_pose"
UNTRAINED = "untrained"
FEWER_SOURCES = {1: "one_source", 2: "two_sources", 4: "four_sources"}
"""The model given so many of the sources, measured where it is given more."""
CANDIDATES = (MODEL, *FEWER_SOURCES.values(), SWAPPED_POSE, UNTRAINED, *FLOORS)
"""Whatever predicts a target picture: the model, the model given fewer sources, the model told another view's pose, the
same architecture with random weights (measured only where it is asked for), and the floors."""

PSNR = "psnr_db"
FOREGROUND = "psnr_foreground_db"
SSIM = "ssim"
FORMAT = "enr-eval"
FORMAT_VERSION = 1
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
        return scores[MODEL][PSNR] - scores[SWAPPED_POSE][PSNR]

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
    def equivariance(self) -> dict[str, Any] | None:
        """Its means over all pairs of views, where it was measured (`summarise` in `equivariance_report`)."""
        measured = [scene.equivariance for scene in self.scenes if scene.equivariance is not None]
        return summarise(join(measured)) if measured else None

    @property
    def distance(self) -> dict[str, dict[str, Any]]:
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
        json_path: where `write_json` put it.
    """

    groups: tuple[GroupReport, ...]
    background: tuple[float, float, float]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    json_path: Path

    @property
    def has_ssim(self) -> bool:
        """Whether SSIM was measured."""
        return SSIM in self.groups[0].scenes[0].scores[MODEL]

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The pictures of sources, predictions and truths."""
        return tuple(group.picture for group in self.groups if group.picture is not None)


def mean(values: Iterable[float]) -> float:
    """Mean of the numbers that are not NaN; NaN if there is none."""
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan


def definition(report: Report) -> str:
    """What the numbers mean, in the words that are printed with every table."""
    lines = [
        "PSNR: -10 log10 of the mean squared error in dB, data range 1, per picture; mean over the target views of a "
        "scene, then mean over scenes.",
        f"Targets are 8-bit pictures over {background_name(report.background)}. Foreground: the pixels whose true "
        "alpha is above 0 (of opaque pictures: that their stored mask names).",
        f"Lead: of the {'model' if not report.facts.get('predictions') else 'predictions'} over the row. Wrong-pose "
        "control: the pose given is that of another target view, drawn by the seed; compared with the true target.",
        f"Silhouette IoU: pixels that depart from the background by more than {SILHOUETTE_LEVEL}, against a true alpha "
        "of a half. Chroma correlation: predicted and true mean colour without brightness, over scenes.",
    ]
    if any(FEWER_SOURCES[1] in group.scores for group in report.groups):
        lines.append(
            "Several sources: their scenes are fused in the target's frame; fewer sources are the first ones, with the "
            "same targets. The copied source and equivariance are of the first one."
        )
    lines.append(
        "The mean-of-targets oracle sees a scene's own target views and is shown to no model: it may stay out of reach."
    )
    if any(UNTRAINED in group.scores for group in report.groups):
        lines.append("Untrained model: the same architecture with random weights, drawn by the seed.")
    if any(group.distance for group in report.groups):
        lines.append(DISTANCE_DEFINITION)
    if any(group.equivariance for group in report.groups):
        lines.append(EQUIVARIANCE_DEFINITION)
    if report.has_ssim:
        lines.append("SSIM: 11x11 Gaussian, sigma 1.5, data range 1; averaged as PSNR is.")
    return "\n".join(lines)


def format_report(report: Report) -> str:
    """The tables and their definition, as text."""
    is_model = not report.facts.get("predictions")
    sections = [_format_group(group, report.background, is_model) for group in report.groups]
    notes = "\n".join(f"Note: {note}" for note in report.notes)
    return "\n\n".join(part for part in (*sections, wrapped(notes), wrapped(definition(report))) if part)


def _format_group(group: GroupReport, background: Sequence[float], is_model: bool) -> str:
    scenes, targets = group.scenes, {scene.targets for scene in group.scenes}
    views = f"{min(targets)}" if len(targets) == 1 else f"{min(targets)} to {max(targets)}"
    title = (
        f"{group.group}, {group.split}: {count_of(len(scenes), 'scene')}, {views} target views each, "
        f"from {_source_views(scenes[0])}"
    )
    names = _names(background, is_model)
    table = tabulate(
        [_row(group.scores, candidate, names) for candidate in group.scores],
        headers=["", "PSNR dB", "lead", "foreground dB", "lead", *_extra_headers(group)],
        disable_numparse=True,
        colalign=("left", *["right"] * (4 + len(_extra_headers(group)))),
    )
    chroma = f"{_number(group.chroma_correlation)}{' (too few scenes)' * (len(scenes) < MIN_CORRELATED)}"
    extras = f"Silhouette IoU {_number(group.silhouette_iou)}, chroma correlation {chroma}"
    said = [verdict(group, background, is_model), *_worth_of_sources(group)]
    below = "\n".join([*said, extras, format_unseen(group.unseen), *_distances(group)])
    text = f"{wrapped(title)}\n\n{table}\n\n{wrapped(below)}"
    return text if group.equivariance is None else f"{text}\n\n{format_equivariance(group.equivariance)}"


def _distances(group: GroupReport) -> list[str]:
    ways = {
        "estimated": "estimated from one picture",
        "triangulated": f"triangulated from {count_of(group.scenes[0].sources, 'picture')}",
    }
    return [format_distance(ways[name], errors) for name, errors in group.distance.items()]


def _source_views(scene: SceneScores) -> str:
    first, last = scene.source_view, scene.source_view + scene.sources - 1
    return f"source view {first}" if first == last else f"source views {first} to {last}"


def _worth_of_sources(group: GroupReport) -> list[str]:
    """What the further source pictures gain over the first one, in a sentence; nothing where there is one."""
    alone = group.scores.get(FEWER_SOURCES[1])
    if alone is None:
        return []
    gain = round(group.scores[MODEL][PSNR] - alone[PSNR], 2) + 0.0
    worth = f"gains {gain:.2f} dB over" if gain >= 0 else f"loses {-gain:.2f} dB to"
    return [f"Given {group.scenes[0].sources} sources it {worth} the first one alone."]


def verdict(group: GroupReport, background: Sequence[float], is_model: bool = True) -> str:
    """What the table says, in a sentence or two."""
    names, subject = _names(background, is_model), "The model" if is_model else "The method"
    best = max(BLIND_FLOORS, key=lambda floor: group.scores[floor][PSNR])
    lead, gap = (round(value, 2) + 0.0 for value in (group.lead_db, group.pose_gap_db))  # no minus before a zero
    beaten = f"beats {names[best]} by {lead:.2f} dB" if lead > 0 else f"does NOT beat {names[best]}: {_behind(lead)}"
    if gap >= POSE_IGNORED_DB:
        return f"{subject} {beaten}; it uses the pose: with a wrong pose it loses {gap:.2f} dB."
    change = f"even gains {-gap:.2f} dB" if gap < 0 else f"loses only {gap:.2f} dB"
    return f"{subject} {beaten}; it hardly uses the pose: with a wrong pose it {change}."


def _behind(lead_db: float) -> str:
    return f"it is {-lead_db:.2f} dB worse" if lead_db < 0 else "they score the same"


def _names(background: Sequence[float], is_model: bool) -> dict[str, str]:
    """Of the rows; without a model the pictures of another method are measured."""
    return {
        MODEL: "model" if is_model else "predictions",
        **{name: f"model given {count_of(number, 'source')}" for number, name in FEWER_SOURCES.items()},
        SWAPPED_POSE: "wrong-pose control",
        BACKGROUND: f"all {background_name(background)}",
        COPY_SOURCE: "copy of the input view",
        UNTRAINED: "untrained model",
        MEAN_TARGET: "mean-of-targets oracle",
    }


def _extra_headers(group: GroupReport) -> list[str]:
    return ["SSIM"] if SSIM in group.scenes[0].scores[MODEL] else []


def _row(scores: Scores, candidate: str, names: Mapping[str, str]) -> list[str]:
    row = [names[candidate]]
    for metric in (PSNR, FOREGROUND):
        value = scores[candidate][metric]
        lead = "" if candidate == MODEL else _number(scores[MODEL][metric] - value, signed=True)
        row += [_number(value), lead]
    return [*row, _number(scores[candidate][SSIM], digits=3)] if SSIM in scores[candidate] else row


def _number(value: float, signed: bool = False, digits: int = 2) -> str:
    if math.isnan(value):
        return "-"
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def write_json(report: Report) -> Report:
    """Write the report to its `json_path`, complete or not at all, and return it. NaN becomes null."""
    files.write_json(report.json_path, as_dict(report))
    return report


def as_dict(report: Report) -> dict[str, Any]:
    """The report as JSON holds it (with NaN still in it)."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **report.facts,
        "background": list(report.background),
        "definition": definition(report),
        "notes": list(report.notes),
        "results": [_group_dict(group) for group in report.groups],
    }


def _group_dict(group: GroupReport) -> dict[str, Any]:
    return {
        "group": group.group,
        "split": group.split,
        "scenes": len(group.scenes),
        "scores": group.scores,
        "lead_db": group.lead_db,
        "pose_gap_db": group.pose_gap_db,
        "silhouette_iou": group.silhouette_iou,
        "chroma_correlation": group.chroma_correlation,
        "unseen": asdict(group.unseen),
        "distance": group.distance or None,
        "equivariance": group.equivariance,
        "seconds": round(group.seconds, 2),
        "picture": group.picture.name if group.picture else None,
        "per_scene": [_scene_dict(scene) for scene in group.scenes],
    }


def _scene_dict(scene: SceneScores) -> dict[str, Any]:
    return {
        "scene_id": scene.scene_id,
        "source_view": scene.source_view,
        "sources": scene.sources,
        "targets": scene.targets,
        "scores": scene.scores,
        "silhouette_iou": scene.silhouette_iou,
        "chroma_predicted": list(scene.chroma[0]),
        "chroma_true": list(scene.chroma[1]),
        "unseen": asdict(scene.unseen),
        "equivariance": scene.equivariance and summarise(scene.equivariance)["all"],
    }
