"""Pictures that nobody here made judge the conventions: floors that were measured elsewhere, and visual hulls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.datagen.visual_hull import hull_iou

from enr.camera import orbit_camera
from enr.datagen.convert.conversion import ConvertSettings, convert
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.evaluation.floors import FLOORS, floor_predictions
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.scene_choice import ScenePlan, split_views
from enr.pipelines.evaluation.scene_pictures import EvaluatedData, load_scene
from enr.pipelines.metrics import psnr

torch.set_num_threads(1)


@dataclass(frozen=True)
class Posed:
    """A published set and what is known of it.

    Attributes:
        layout: whose.
        group: what its cameras do.
        scenes: how many.
        source: the source view of the floors.
        floors_db: all white, copy of the source, mean of the targets.
        least_iou: what its hulls must cover of the views that did not carve them.
    """

    layout: Any
    group: str
    scenes: int
    source: int
    floors_db: tuple[float, float, float]
    least_iou: float


POSED = {
    "apple": Posed("apple", "rot", 15, 64, (10.99, 12.85, 16.16), 0.90),
    "uva-rotation": Posed("uva", "rot", 15, 0, (12.59, 14.97, 17.78), 0.87),
    "uva-translation": Posed("uva", "trans", 15, 0, (13.83, 12.17, 14.81), 0.82),
    "uva-rototranslation": Posed("uva", "rototrans", 2, 0, (11.70, 10.22, 13.42), 0.85),
}
QUICK = "uva-rototranslation"
"""The set that is small enough for every run of the tests."""
MOST_FROM_WRONG_SIGNS = 0.70
WRONG_SCENES = 3
"""So many scenes of a set are carved with wrong cameras too."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in POSED]
)
def converted(request, tmp_path_factory) -> tuple[Posed, ViewSet]:
    """A published set, converted."""
    folder = Path(os.environ.get("ENR_DATA", "")) / "posed" / request.param
    if "ENR_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("set ENR_DATA to a folder that holds the posed sets")
    posed = POSED[request.param]
    settings = ConvertSettings(folder, posed.layout, tmp_path_factory.mktemp("shards"), split="test")
    return posed, ViewSet.open(convert(settings).shards)


def scene_floors(view_set: ViewSet, scene: Scene, source: int) -> list[float]:
    """The floors in dB of one scene, read and measured as `enr eval` does."""
    settings = EvalSettings(protocol="apple") if source else EvalSettings()
    data = EvaluatedData(view_set, settings, torch.device("cpu"))  # the floors need no model
    pictures = load_scene(data, ScenePlan(scene, *split_views(settings, view_set, scene)))
    floors = floor_predictions(pictures.source, pictures.targets, view_set.background)
    return [float(psnr(floors[name], pictures.targets).mean()) for name in FLOORS]


def scene_iou(view_set: ViewSet, scene: Scene, angles: tuple[int, int] = (1, 1), place: tuple[int, ...] = (1, 1, 1)):
    """What a scene's hull covers, with the given signs of azimuth and elevation and of the point looked at."""
    rows = scene.view_indices
    views = {name: view_set.views[name][rows] for name in view_set.views}
    cameras = orbit_camera(
        angles[0] * views["azimuth_deg"],
        angles[1] * views["elevation_deg"],
        views["radius"],
        views["target_point"] * place,
    )
    if angles == (1, 1) and place == (1, 1, 1):
        assert cameras == pytest.approx(views["world_from_camera"])
    return hull_iou(view_set.images(rows)[..., 3] >= 128, cameras, views["K"])


def test_the_set_is_whole(converted):
    posed, view_set = converted
    assert view_set.groups == (posed.group,)
    assert len(view_set.scenes("test")) == posed.scenes


def test_the_floors_come_out_as_measured_elsewhere(converted):
    posed, view_set = converted
    figures = [scene_floors(view_set, scene, posed.source) for scene in view_set.all_scenes]
    assert np.mean(figures, axis=0) == pytest.approx(posed.floors_db, abs=0.006)


def test_the_hull_covers_the_views_that_did_not_carve_it(converted):
    posed, view_set = converted
    ious = [scene_iou(view_set, scene) for scene in view_set.all_scenes]
    print(f"\n{posed.layout} {posed.group}: mean IoU {np.mean(ious):.4f}, least {np.min(ious):.4f}")
    assert np.mean(ious) >= posed.least_iou


def test_wrong_signs_carve_the_object_away(converted):
    posed, view_set = converted
    wrong: list[dict[str, Any]] = []
    if posed.group != "trans":
        wrong += [{"angles": signs} for signs in ((-1, 1), (1, -1), (-1, -1))]
    if posed.group != "rot":
        wrong += [{"place": signs} for signs in ((-1, 1, 1), (1, -1, 1), (1, 1, -1))]
    for signs in wrong:
        ious = [scene_iou(view_set, scene, **signs) for scene in view_set.all_scenes[:WRONG_SCENES]]
        print(f"\n{posed.layout} {posed.group} {signs}: mean IoU {np.mean(ious):.4f}")
        assert np.mean(ious) <= MOST_FROM_WRONG_SIGNS
