"""Score the pictures that another method predicted, by the same numbers and floors as a checkpoint's.

They lie as `FOLDER/<group>/<scene id>/<view, five digits>.png`, one for each target view, in the shards' size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from enr.camera import GROUPS
from enr.errors import EnrError
from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.evaluation.evaluate import (
    JSON_NAME,
    Bench,
    Method,
    Painted,
    evaluate_part,
    load_scene,
    plan_parts,
    score_scene,
)
from enr.pipelines.evaluation.facts import common_facts
from enr.pipelines.evaluation.foreground import find_opaque
from enr.pipelines.evaluation.inputs import EvalSettings, Part, split_views
from enr.pipelines.evaluation.report import Report, SceneScores, write_json
from enr.pipelines.evaluation.unseen import measure_unseen, unseen_notes
from enr.pipelines.machine import pick_device
from enr.pipelines.training.runs import check_folder, new_folder
from enr.words import count_of

FEWEST_TARGETS = 2
UNKNOWN_TRAINING = "what these predictions were trained on is not known here."
UNKNOWN_SOURCES = (
    "what the method was given is not known here: --sources only says which views are no targets, and whose source is "
    "copied."
)
NOT_OF_PREDICTIONS = {
    "checkpoint": "--checkpoint",
    "untrained": "--untrained",
    "equivariance": "--equivariance",
    "known_distance": "--known-distance",
}


@dataclass(frozen=True)
class PredictedFolder:
    """A folder of predicted pictures."""

    path: Path
    view_set: ViewSet

    def file(self, scene: Scene, index: int) -> Path:
        """Where the prediction of a view (an index into the view set) lies."""
        return self.path / scene.group / scene.scene_id / f"{self.view_set.views['view_index'][index]:05d}.png"

    def read(self, scene: Scene, targets: Sequence[int]) -> torch.Tensor:
        """Predictions (n, 3, height, width) in [0, 1], over the shards' background.

        Raises:
            EnrError: one cannot be read, or is of another size.
        """
        size_px = (self.view_set.width_px, self.view_set.height_px)
        rgba = np.stack([_read(self.file(scene, index), size_px) for index in targets])
        return composite(torch.from_numpy(rgba), self.view_set.background)


def evaluate_predictions(settings: EvalSettings) -> Report:
    """Measure the pictures in `settings.predictions`; write a JSON file and pictures as for a checkpoint.

    Raises:
        EnrError: no shards, settings that need a checkpoint, or a prediction that is missing; nothing is written then.
    """
    assert settings.predictions is not None
    _check_settings(settings)
    view_set = ViewSet.open(settings.shards)
    no_model: Any = None  # nothing asks for it: predictions are read, and every scene has several targets
    bench = Bench(no_model, view_set, settings, pick_device(settings.device), opaque=find_opaque(view_set))
    folder = PredictedFolder(settings.predictions, view_set)
    notes = [UNKNOWN_TRAINING, *([UNKNOWN_SOURCES] if settings.sources > 1 else [])]
    parts = plan_parts(bench, GROUPS, notes)
    _check_complete(folder, bench, parts)
    out = settings.out or new_folder(Path(f"eval-{datetime.now():%Y%m%d-%H%M%S}"))
    method = Method(lambda scene: _paint(bench, folder, scene), lambda scene, painted: _score(bench, scene, painted))
    groups = tuple(evaluate_part(part, out, method) for part in parts)
    notes += [f"{group.group}: {note}" for group in groups for note in unseen_notes(group.unseen, None)]
    facts = {**common_facts(settings, view_set, bench.device), "predictions": str(settings.predictions)}
    report = Report(groups, view_set.background, facts, tuple(notes), out / JSON_NAME)
    write_json(report)
    return report


def _check_settings(settings: EvalSettings) -> None:
    given = [option for name, option in NOT_OF_PREDICTIONS.items() if getattr(settings, name)]
    if given:
        raise EnrError(f"--predictions and {given[0]} contradict each other: there is no model; leave one of them out.")
    if not settings.shards:
        raise EnrError("--predictions are compared with true pictures; name the shards: enr eval shards/*.h5")
    if settings.predictions is None or not settings.predictions.is_dir():
        raise EnrError(f"{settings.predictions} is not a folder; give one with <group>/<scene id>/<view>.png in it.")
    if settings.out is not None:
        check_folder(settings.out, "--out")


def _check_complete(folder: PredictedFolder, bench: Bench, parts: Sequence[Part]) -> None:
    """Refuse, before any work, what would be measured in part."""
    missing = []
    for _, _, scenes in parts:
        for scene in scenes:
            _, targets = split_views(bench.settings, bench.view_set, scene)
            if len(targets) < FEWEST_TARGETS:
                raise EnrError(
                    f"Scene {scene.scene_id} has a single target view, so that no other pose's prediction is there to "
                    "compare with; make shards with more views."
                )
            missing += [file for file in (folder.file(scene, index) for index in targets) if not file.is_file()]
    if missing:
        raise EnrError(
            f"{folder.path} lacks {count_of(len(missing), 'prediction')}, the first "
            f"{missing[0].relative_to(folder.path)}; every target view needs one (or choose --groups, --split)."
        )


def _paint(bench: Bench, folder: PredictedFolder, scene: Scene) -> Painted:
    _, targets = split_views(bench.settings, bench.view_set, scene)
    return Painted(load_scene(bench, scene), folder.read(scene, targets.tolist()).to(bench.device))


def _score(bench: Bench, scene: Scene, painted: Painted) -> SceneScores:
    sources, targets = split_views(bench.settings, bench.view_set, scene)
    pictures = painted.pictures
    scores = score_scene(pictures.from_first(1), painted.predictions, bench)  # nobody predicted from fewer sources
    unseen = measure_unseen(bench.view_set, None, sources, targets)
    return replace(scores, sources=len(pictures.sources), unseen=unseen)


def _read(path: Path, size_px: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EnrError(f"{path} cannot be read as a picture ({error}); write it again as an 8-bit PNG.") from error
    if pixels.shape[:2] != size_px[::-1]:
        raise EnrError(
            f"{path} has {pixels.shape[1]}x{pixels.shape[0]} px, the shards' pictures {size_px[0]}x{size_px[1]}; "
            "predict pictures of their size."
        )
    return pixels
