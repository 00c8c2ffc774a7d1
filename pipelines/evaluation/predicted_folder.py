"""The pictures that another method predicted as a predictor: they get the numbers and rows that a checkpoint gets.

They lie as `FOLDER/<group>/<scene id>/<view, five digits>.png`, one for each target view, in the shards' size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from enr.camera import GROUPS, Group
from enr.errors import EnrError
from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.predictor import SceneMeasures
from enr.pipelines.evaluation.report import WRONG_POSE
from enr.pipelines.evaluation.report_content import Facts
from enr.pipelines.evaluation.scene_choice import PartPlan
from enr.pipelines.evaluation.scene_pictures import ScenePictures
from enr.pipelines.training.runs import check_folder
from enr.words import count_of

METHOD_NAME = "method.json"
"""Beside the predictions of `enr baseline`: what made them, and which view it was given."""

FEWEST_TARGETS = 2
PNG_HEAD, PNG_KINDS = b"\x89PNG\r\n\x1a\n", {0: "grey", 2: "RGB", 4: "grey with alpha", 6: "RGBA"}
"""What a PNG file begins with, and those of its colour types that are no palette."""

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
    """A folder of predicted pictures.

    Attributes:
        folder: where they lie.
        shards: the true pictures.
        sources: how many views the settings say were given.
        home: the current folder.
        config: there is no renderer.
        learned: all groups: what was learned is not known.
    """

    folder: Path
    shards: tuple[Path, ...]
    sources: int = 1
    home: Path = Path()
    config: None = None
    learned: tuple[Group, ...] = GROUPS

    @classmethod
    def open(cls, folder: Path, settings: EvalSettings) -> PredictedFolder:
        """A folder to be measured.

        Raises:
            EnrError: it is none, the settings need a checkpoint or name no shards, or the report cannot be written.
        """
        given = [option for name, option in NOT_OF_PREDICTIONS.items() if getattr(settings, name)]
        if given:
            raise EnrError(
                f"--predictions and {given[0]} contradict each other: there is no model; leave one of them out."
            )
        if not settings.shards:
            raise EnrError("--predictions are compared with true pictures; name the shards: enr eval shards/*.h5")
        if not folder.is_dir():
            raise EnrError(f"{folder} is not a folder; give one with <group>/<scene id>/<view>.png in it.")
        out = settings.out or Path("eval")
        check_folder(out, "--out")
        if folder.resolve() in (out.resolve(), *out.resolve().parents):
            raise EnrError(f"--out {out} lies in the predictions {folder}; give another folder for the report.")
        return cls(folder, settings.shards, settings.sources)

    def check_data(self, view_set: ViewSet) -> list[str]:
        """What is not known of the method."""
        return [UNKNOWN_TRAINING, *([UNKNOWN_SOURCES] if self.sources > 1 else [])]

    def check_parts(self, view_set: ViewSet, parts: Sequence[PartPlan]) -> list[str]:
        """Refuse, before any work, what would be measured in part.

        Raises:
            EnrError: predictions are missing, or a scene has a single target.
        """
        missing = []
        for plan in [plan for part in parts for plan in part.scenes]:
            if len(plan.targets) < FEWEST_TARGETS:
                raise EnrError(
                    f"Scene {plan.scene.scene_id} has a single target view, so that no other pose's prediction is "
                    "there to compare with; make shards with more views."
                )
            files = [self._file(plan.scene, view) for view in view_set.views["view_index"][plan.targets].tolist()]
            missing += [file for file in files if not file.is_file()]
        if missing:
            raise EnrError(
                f"{self.folder} lacks {count_of(len(missing), 'prediction')}, the first "
                f"{missing[0].relative_to(self.folder)}; every target view needs one (or choose --groups, --split)."
            )
        return []

    def predict(self, pictures: ScenePictures) -> torch.Tensor:
        """The predictions (n, 3, height, width) in [0, 1], over the shards' background.

        Raises:
            EnrError: one cannot be read, or is of another size.
        """
        height_px, width_px = pictures.targets.shape[-2:]
        files = [self._file(pictures.scene, view) for view in pictures.target_views]
        rgba = np.stack([_read(file, (width_px, height_px)) for file in files])
        return composite(torch.from_numpy(rgba), pictures.background).to(pictures.targets.device)

    def predict_rows(self, pictures: ScenePictures, predictions: torch.Tensor) -> dict[str, torch.Tensor]:
        """The predictions of other poses; nobody predicted from fewer sources."""
        return {WRONG_POSE: predictions[pictures.other]}

    def measure_scenes(self, pictures: ScenePictures) -> SceneMeasures:
        """Nothing: pictures are all there is."""
        return SceneMeasures()

    def facts(self) -> Facts:
        """The folder."""
        return {"predictions": str(self.folder)}

    def _file(self, scene: Scene, view: int) -> Path:
        """Where the prediction of a view of that number lies."""
        return self.folder / scene.group / scene.scene_id / f"{view:05d}.png"


def with_own_source(settings: EvalSettings) -> EvalSettings:
    """The settings with the source view that the predictions' `method.json` names, where there is one.

    Raises:
        EnrError: it is damaged, or the settings name another source or several.
    """
    file = (settings.predictions or Path()) / METHOD_NAME
    if settings.predictions is None or not file.is_file():
        return settings
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    source = content.get("source") if isinstance(content, dict) else -1
    if source is None:
        return settings  # of an earlier version, which did not say
    if type(source) is not int or source < 0:
        raise EnrError(f"{file} is damaged: it names no source view; make the predictions again, or remove the file.")
    asked = None if settings.source is None and settings.protocol is None else settings.source_view
    if settings.sources > 1 or asked not in (None, source):
        option = f"--sources {settings.sources}" if settings.sources > 1 else f"source view {asked}"
        raise EnrError(f"{file} says that the method was given view {source} alone, not {option}; leave that out.")
    return replace(settings, source=source)


def _read(path: Path, size_px: tuple[int, int]) -> np.ndarray:
    try:
        _check_kind(path)
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


def _check_kind(path: Path) -> None:
    """Refuse what Pillow would round, cut off or convert in silence: anything but a PNG of 8 bits a channel."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or not head.startswith(PNG_HEAD):
        raise ValueError("it is not a PNG file")
    bits, kind = head[24:26]
    if bits > 8:
        raise ValueError("it has more than 8 bits a channel")
    if bits < 8 or kind not in PNG_KINDS:
        raise ValueError(f"it is not one of {', '.join(PNG_KINDS.values())} with 8 bits a channel")
