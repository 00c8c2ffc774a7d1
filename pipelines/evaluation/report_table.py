"""An evaluation as text: its tables, what they say in sentences, and what their numbers mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from enr.pipelines.evaluation.distance import DEFINITION as DISTANCE_DEFINITION
from enr.pipelines.evaluation.distance import format_distance
from enr.pipelines.evaluation.equivariance_report import DEFINITION as EQUIVARIANCE_DEFINITION
from enr.pipelines.evaluation.equivariance_report import format_equivariance
from enr.pipelines.evaluation.floors import BACKGROUND, BLIND_FLOORS, COPIED_INPUT, MEAN_OF_TARGETS, background_name
from enr.pipelines.evaluation.report import (
    FEWER_SOURCES,
    FOREGROUND,
    MIN_CORRELATED,
    MODEL,
    POSE_IGNORED_DB,
    PSNR,
    SSIM,
    UNTRAINED,
    WRONG_POSE,
    GroupReport,
    Report,
    Scores,
)
from enr.pipelines.evaluation.unseen import format_unseen
from enr.pipelines.metrics import SILHOUETTE_LEVEL
from enr.words import count_of, wrapped


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
        "The mean of the targets, an oracle, sees a scene's own target views and is shown to no model: it may stay "
        "out of reach."
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
    sections = [_format_group(group, report) for group in report.groups]
    notes = "\n".join(f"Note: {note}" for note in report.notes)
    return "\n\n".join(part for part in (*sections, wrapped(notes), wrapped(definition(report))) if part)


def _format_group(group: GroupReport, report: Report) -> str:
    background, is_model = report.background, not report.facts.get("predictions")
    scenes, targets = group.scenes, {scene.targets for scene in group.scenes}
    views = f"{f'{min(targets)} to ' * (len(targets) > 1)}{count_of(max(targets), 'target view')}"
    first, last = scenes[0].source_view, scenes[0].source_view + scenes[0].sources - 1
    title = (
        f"{group.group}, {group.split}: {count_of(len(scenes), 'scene')}, {views} each, from "
        f"{f'source view {first}' if first == last else f'source views {first} to {last}'}"
        f"{', told the distance of the object' if report.facts.get('known_distance') else ''}"
    )
    names = candidate_names(background, is_model)
    table = tabulate(
        [_row(group.scores, candidate, names) for candidate in group.scores],
        headers=["", "PSNR dB", "lead", "foreground dB", "lead", *_extra_headers(group)],
        disable_numparse=True,
        colalign=("left", *["right"] * (4 + len(_extra_headers(group)))),
    )
    chroma = f"{_number(group.chroma_correlation)}{' (too few scenes)' * (len(scenes) < MIN_CORRELATED)}"
    extras = f"Silhouette IoU {_number(group.silhouette_iou)}, chroma correlation {chroma}"
    said, distances = [verdict(group, background, is_model), *_worth_of_sources(group)], _distances(group)
    below = "\n".join([*said, extras, format_unseen(group.unseen), *distances])
    text = f"{wrapped(title)}\n\n{table}\n\n{wrapped(below)}"
    return text if group.equivariance is None else f"{text}\n\n{format_equivariance(group.equivariance)}"


def _distances(group: GroupReport) -> list[str]:
    ways = {
        "estimated": "estimated from one picture",
        "triangulated": f"triangulated from {count_of(group.scenes[0].sources, 'picture')}",
    }
    return [format_distance(ways[name], errors) for name, errors in group.distance.items()]


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
    names, subject = candidate_names(background, is_model), "The model" if is_model else "The method"
    best = max(BLIND_FLOORS, key=lambda floor: group.scores[floor][PSNR])
    lead, gap = (round(value, 2) + 0.0 for value in (group.lead_db, group.pose_gap_db))  # no minus before a zero
    behind = f"it is {-lead:.2f} dB worse" if lead < 0 else "they score the same"
    floor = f"the {names[best]}"
    beaten = f"beats {floor} by {lead:.2f} dB" if lead > 0 else f"does NOT beat {floor}: {behind}"
    if gap >= POSE_IGNORED_DB:
        return f"{subject} {beaten}; it uses the pose: with a wrong pose it loses {gap:.2f} dB."
    change = f"even gains {-gap:.2f} dB" if gap < 0 else f"loses only {gap:.2f} dB"
    return f"{subject} {beaten}; it hardly uses the pose: with a wrong pose it {change}."


def candidate_names(background: Sequence[float], is_model: bool) -> dict[str, str]:
    """Of the rows; without a model the pictures of another method are measured."""
    return {
        MODEL: "model" if is_model else "predictions",
        **{name: f"model given {count_of(number, 'source')}" for number, name in FEWER_SOURCES.items()},
        WRONG_POSE: "wrong-pose control",
        BACKGROUND: f"bare background ({background_name(background)})",
        COPIED_INPUT: "copy of the input view",
        UNTRAINED: "untrained model",
        MEAN_OF_TARGETS: "mean of the targets (oracle)",
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
