"""The pictures of one run, as far as its weights and its shards are there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from enr.errors import EnrError
from enr.model.checkpoint import load_model
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import check_fit
from enr.pipelines.evaluation.floors import background_name
from enr.pipelines.evaluation.report import MODEL, PSNR
from enr.pipelines.machine import pick_device
from enr.pipelines.reporting.gather import Reported
from enr.pipelines.reporting.views import (
    Effort,
    Example,
    Measured,
    Shown,
    Studio,
    Turntable,
    camera_tracks,
    ranks_of,
    training_sheet,
)
from enr.shards import SPLITS

UNRANKED_SCENES = 6
"""Where nothing was evaluated, so many scenes are looked at."""


@dataclass(frozen=True)
class Cameras:
    """Where pictures were taken from, in panels of 200 x 200.

    Attributes:
        panels: a name, and for each camera its split, its place and the end of a short line in its direction.
        object_radius: of the object's bounding sphere, drawn in the middle.
        reach: what lies at the panel's edge, in object units.
    """

    panels: tuple[tuple[str, tuple[tuple[str, float, float, float, float], ...]], ...]
    object_radius: float
    reach: float


@dataclass(frozen=True)
class Gallery:
    """The pictures of one run; whatever could not be made is empty, and a note says why."""

    examples: tuple[Example, ...] = ()
    turntables: tuple[Turntable, ...] = ()
    measured: Measured | None = None
    sheet: Shown | None = None
    cameras: Cameras | None = None
    data: tuple[tuple[str, str], ...] = ()
    frame_ms: float = math.nan
    notes: tuple[str, ...] = ()


def paint(reported: Reported, effort: Effort) -> Gallery:
    """The pictures of one run, as far as its weights and its shards are there."""
    shards, checkpoint = reported.shards, reported.checkpoint
    gone = [path for path in shards if not path.is_file()]
    if gone or not shards:
        return Gallery(notes=(f"No pictures: {gone[0] if gone else 'the shards'} is no longer there.",))
    try:
        view_set = ViewSet.open(shards)
        gallery = Gallery(sheet=training_sheet(view_set), cameras=_cameras(view_set), data=_facts(view_set))
        if checkpoint is None:
            return gallery
        model = load_model(checkpoint, pick_device("auto"))
        check_fit(model, view_set)
    except EnrError as error:
        return Gallery(notes=(f"No pictures: {error}",))
    told = reported.evaluation or {}
    first = told.get("source_view", 0)
    views = tuple(range(first, first + told.get("sources", 1)))
    studio = Studio(model, view_set, views, bool(told.get("known_distance")), effort)
    examples, turntables = _show(studio, reported)
    measured = _measure(studio, reported)
    return replace(gallery, examples=examples, turntables=turntables, measured=measured, frame_ms=studio.frame_ms)


def _show(studio: Studio, reported: Reported) -> tuple[tuple[Example, ...], tuple[Turntable, ...]]:
    examples: list[Example] = []
    turntables: list[Turntable] = []
    for scenes, scores in _scenes(studio, reported):
        for rank, place in ranks_of(len(scenes)):
            example = studio.example(rank, scenes[place], scores[place])
            examples += [example] if example else []
            if len(turntables) < studio.effort.turntables and example:
                turntable = studio.turntable(rank, scenes[place])
                turntables += [turntable] if turntable else []
    return tuple(examples), tuple(turntables)


def _scenes(studio: Studio, reported: Reported) -> list[tuple[list[Scene], list[float | None]]]:
    """For each result its scenes, best first, with their PSNR; without a result some unseen ones, ranked here."""
    view_set, parts = studio.view_set, []
    for result in reported.results[: studio.effort.results]:
        by_id = {scene.scene_id: scene for scene in view_set.scenes(result["split"], result["group"])}
        scored = [
            (entry["scores"][MODEL][PSNR], by_id[entry["scene_id"]])
            for entry in result["per_scene"]
            if entry["scene_id"] in by_id and entry["scores"][MODEL][PSNR] is not None
        ]
        scored.sort(key=lambda pair: -pair[0])
        parts.append(([scene for _, scene in scored], [score for score, _ in scored]))
    if not reported.results:
        scenes = next((found for split in ("test", "val", "train") if (found := view_set.scenes(split))), ())
        ranked = []
        for scene in scenes[:UNRANKED_SCENES]:
            measured = studio.measure([scene])
            if measured:
                ranked.append((float(measured.psnr_db.mean()), scene))
        ranked.sort(key=lambda pair: -pair[0])
        parts.append(([scene for _, scene in ranked], [score for score, _ in ranked]))
    return [part for part in parts if part[0]]


def _measure(studio: Studio, reported: Reported) -> Measured | None:
    """PSNR view by view of scenes evenly spread over those that were evaluated."""
    if not studio.effort.scenes:
        return None
    scenes = [scene for scenes, _ in _scenes(studio, reported) for scene in scenes]
    count = min(studio.effort.scenes, len(scenes))
    return studio.measure([scenes[place] for place in np.linspace(0, len(scenes) - 1, count).round().astype(int)])


def _cameras(view_set: ViewSet) -> Cameras:
    """Positions and directions from above and from the side, scaled to a picture of 200 x 200 around the object."""
    tracks = {split: camera_tracks(view_set, split, most) for split, most in (("train", 240), ("test", 60))}
    reach = max(float(np.abs(track[:, 0]).max(initial=0.5)) for track in tracks.values())
    scale = 92 / reach
    panels = []
    for name, across, up in (("from above", 0, 1), ("from the side", 0, 2)):
        marks = []
        for split, track in tracks.items():
            starts = track[:, 0][:, [across, up]] * (scale, -scale) + 100
            ends = starts + track[:, 1][:, [across, up]] * (9, -9)
            marks += [(split, *pair) for pair in np.concatenate([starts, ends], axis=1).round(1).tolist()]
        panels.append((name, tuple(marks)))
    return Cameras(tuple(panels), round(0.5 * scale, 1), reach)


def _facts(view_set: ViewSet) -> tuple[tuple[str, str], ...]:
    """The rows of the table of the data."""
    scenes = {split: len(view_set.scenes(split)) for split in SPLITS}
    radius = view_set.views["radius"][np.isfinite(view_set.views["radius"])]
    distance = f"{radius.min():.3g}" if len(radius) and np.ptp(radius) < 0.01 else ""
    if len(radius) and not distance:
        distance = f"{radius.min():.3g} to {radius.max():.3g}"
    return (
        ("group", ", ".join(view_set.groups)),
        ("scenes", ", ".join(f"{count:,} {split}" for split, count in scenes.items())),
        ("views", f"{len(view_set):,}"),
        ("size", f"{view_set.width_px} x {view_set.height_px} px"),
        ("background", background_name(view_set.background)),
        *([("distance of the cameras from the point looked at", f"{distance} object units")] if distance else []),
    )
