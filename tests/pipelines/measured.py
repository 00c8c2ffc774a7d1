"""A model as an evaluation meets it, without a checkpoint, a command or files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from enr.camera import GROUPS
from enr.model.renderer import Renderer
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import CheckpointPredictor, Origin
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.measure import measure_scene
from enr.pipelines.evaluation.report import SceneScores
from enr.pipelines.evaluation.scene_choice import ScenePlan, split_views
from enr.pipelines.evaluation.scene_pictures import EvaluatedData, ScenePictures, load_scene


@dataclass(frozen=True)
class Bench:
    """A predictor beside the data that it is measured on."""

    predictor: CheckpointPredictor
    data: EvaluatedData

    @classmethod
    def of(cls, model: Any, view_set: ViewSet, **options: Any) -> Bench:
        """With the settings of these options, on the CPU."""
        settings = EvalSettings(**options)
        predictor = CheckpointPredictor(
            settings=settings,
            origin=Origin(Path(), None, ()),
            shards=(),
            home=Path(),
            model=model,
            config=model.config if isinstance(model, Renderer) else None,
            metadata={},
            learned=GROUPS,
        )
        return cls(predictor, EvaluatedData(view_set, settings, torch.device("cpu")))

    @property
    def model(self) -> Any:
        """What is measured."""
        return self.predictor.model

    def beside(self, untrained: Renderer | None) -> Bench:
        """The same with a model before any training."""
        return replace(self, predictor=replace(self.predictor, untrained=untrained))

    def plan(self, scene: Scene) -> ScenePlan:
        """The views that are measured of a scene."""
        return ScenePlan(scene, *split_views(self.data.settings, self.data.view_set, scene))

    def load(self, scene: Scene) -> ScenePictures:
        """A scene's pictures."""
        return load_scene(self.data, self.plan(scene))

    def predict(self, scene: Scene) -> torch.Tensor:
        """The model's pictures of a scene's targets."""
        return self.predictor.predict(self.load(scene))

    def with_wrong_poses(self, scene: Scene, predictions: torch.Tensor) -> torch.Tensor:
        """Those with the poses of other targets."""
        return self.predictor.predict_wrong_pose(self.load(scene), predictions)

    def measure(self, scene: Scene) -> SceneScores:
        """Every number of a scene."""
        return measure_scene(self.predictor, self.data, self.plan(scene))
