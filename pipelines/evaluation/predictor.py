"""What an evaluation asks of whoever predicts pictures: a checkpoint, or a folder of another method's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from enr.camera import Group
from enr.model.config import RendererConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.distance import DistanceErrors
from enr.pipelines.evaluation.equivariance import Measures
from enr.pipelines.evaluation.report_content import Facts
from enr.pipelines.evaluation.scene_choice import PartPlan
from enr.pipelines.evaluation.scene_pictures import ScenePictures


@dataclass(frozen=True)
class SceneMeasures:
    """What can be asked of those alone that have scenes of their own; None where it was not asked, or cannot be.

    Attributes:
        equivariance: one number for each target.
        estimated: errors of the distance, estimated from each view alone.
        triangulated: errors of the distance, triangulated from the sources.
    """

    equivariance: Measures | None = None
    estimated: DistanceErrors | None = None
    triangulated: DistanceErrors | None = None


class Predictor(Protocol):
    """Predicts the target views of scenes."""

    @property
    def shards(self) -> tuple[Path, ...]:
        """The shards that it is measured on."""

    @property
    def home(self) -> Path:
        """Where a folder for the results is made, if none is named."""

    @property
    def config(self) -> RendererConfig | None:
        """Of its renderer; None where there is none."""

    @property
    def learned(self) -> tuple[Group, ...]:
        """The groups that it may be measured on unasked."""

    def check_data(self, view_set: ViewSet) -> list[str]:
        """What there is to say about it on these shards; an `EnrError` where they do not fit."""

    def check_parts(self, view_set: ViewSet, parts: Sequence[PartPlan]) -> list[str]:
        """What there is to say about it on these scenes; an `EnrError` where it cannot predict them."""

    def predict(self, pictures: ScenePictures) -> Tensor:
        """(n, 3, height, width) in [0, 1]: its pictures of the target views."""

    def predict_rows(self, pictures: ScenePictures, predictions: Tensor) -> dict[str, Tensor]:
        """Its further rows of the table, (n, 3, height, width) each: the wrong poses, and what else it is asked for."""

    def measure_scenes(self, pictures: ScenePictures) -> SceneMeasures:
        """What is measured of its scenes rather than of its pictures."""

    def facts(self) -> Facts:
        """Which it is, as the JSON file holds it."""
