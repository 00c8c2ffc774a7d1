"""The pictures of one run, as far as its weights and its shards are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from enr.errors import EnrError
from enr.model.checkpoint import load_model
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import check_fit
from enr.pipelines.evaluation.equivariance import Measures
from enr.pipelines.evaluation.floors import background_name
from enr.pipelines.evaluation.report import MODEL, PSNR
from enr.pipelines.machine import pick_device
from enr.pipelines.reporting.gather import Reported
from enr.pipelines.reporting.studio import (
    Effort,
    Example,
    Shown,
    Studio,
    Turntable,
    camera_tracks,
    ranks_of,
    training_sheet,
)
from enr.pipelines.training.memory import is_out_of_memory
from enr.shards import SPLITS

UNRANKED_SCENES = 6
"""Where nothing was evaluated, so many scenes are looked at."""


@dataclass(frozen=True)
class CameraPlot:
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
    measured: Measures | None = None
    sheet: Shown | None = None
    cameras: CameraPlot | None = None
    data: tuple[tuple[str, str], ...] = ()
    frame_ms: float = math.nan
    notes: tuple[str, ...] = ()

    @property
    def wanted(self) -> dict[tuple[int, str], str]:
        """The scenes that are shown, for other runs to show, too."""
        return {example.place: example.scene_id for example in self.examples}


Wanted = Mapping[tuple[int, str], str]
"""By the result's number and the rank: the id of the scene that is shown."""


def paint(reported: Reported, effort: Effort, wanted: Wanted | None = None) -> Gallery:
    """The pictures of one run.

    Args:
        reported: the run and its evaluations.
        effort: how much is rendered.
        wanted: scenes to show, so that runs can be compared; its own best, median and worst where it lacks one.
    """
    shards = reported.shards
    gone = [path for path in (*shards, *reported.trained_on) if not path.is_file()]
    if gone or not shards:
        return Gallery(notes=(f"No pictures: {gone[0] if gone else 'the shards'} is no longer there.",))
    gallery = Gallery()
    try:
        view_set = ViewSet.open(shards)
        own = reported.trained_on or shards
        trained_on = view_set if {path.resolve() for path in own} == set(view_set.paths) else ViewSet.open(own)
        gallery = Gallery(sheet=training_sheet(trained_on), cameras=_cameras(trained_on), data=_facts(trained_on))
        if reported.checkpoint is None:
            told = (reported.evaluation or {}).get("checkpoint")
            return replace(gallery, notes=(f"No pictures of the model: {told} is no longer there.",) if told else ())
        model = load_model(reported.checkpoint, pick_device("auto"))
        check_fit(model, view_set)
        return _rendered(gallery, Studio(model, view_set, *reported.given, effort), reported, wanted or {})
    except EnrError as error:
        return replace(gallery, notes=(f"No pictures of the model: {error}",))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return replace(gallery, notes=("No pictures of the model: there is not enough memory for them.",))


def _rendered(gallery: Gallery, studio: Studio, reported: Reported, wanted: Wanted) -> Gallery:
    """With what the model paints of its scenes."""
    examples: list[Example] = []
    turntables: list[Turntable] = []
    parts = _ranked_scenes(studio, reported)
    for part, scored in enumerate(parts):
        ids = [scene.scene_id for _, scene in scored]
        for rank, own_place in ranks_of(len(scored)):
            other = wanted.get((part, rank), "")
            psnr_db, scene = scored[ids.index(other) if other in ids else own_place]
            example = studio.example((part, rank), scene, psnr_db)
            turntable = studio.turntable(rank, scene) if len(turntables) < studio.effort.turntables else None
            examples += [example] if example else []
            turntables += [turntable] if turntable else []
    scenes = [scene for scored in parts for _, scene in scored]
    spread = np.linspace(0, len(scenes) - 1, min(studio.effort.scenes, len(scenes))).round().astype(int)
    measured = studio.measure([scenes[place] for place in spread])
    return replace(
        gallery,
        examples=tuple(examples),
        turntables=tuple(turntables),
        measured=measured,
        frame_ms=studio.frame_ms,
    )


def _ranked_scenes(studio: Studio, reported: Reported) -> list[list[tuple[float, Scene]]]:
    """For each result PSNR and scene, best first; without a result some unseen scenes, measured here."""
    view_set = studio.view_set
    if not reported.results:
        scenes = next((some for split in ("test", "val", "train") if (some := view_set.scenes(split))), ())
        tried = [(studio.measure([scene]), scene) for scene in scenes[:UNRANKED_SCENES]]
        found = [[(float(one[PSNR].mean()), scene) for one, scene in tried if one is not None]]
    else:
        found = []
        for result in reported.results[: studio.effort.results]:
            by_id = {scene.scene_id: scene for scene in view_set.scenes(result["split"], result["group"])}
            entries = [(entry["scores"][MODEL][PSNR], entry["scene_id"]) for entry in result["per_scene"]]
            found.append([(psnr_db, by_id[name]) for psnr_db, name in entries if psnr_db is not None and name in by_id])
    return [sorted(part, key=lambda pair: -pair[0]) for part in found if part]


def _cameras(view_set: ViewSet) -> CameraPlot:
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
    return CameraPlot(tuple(panels), round(0.5 * scale, 1), reach)


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
