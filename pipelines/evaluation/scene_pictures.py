"""The pictures of one scene as whoever predicts meets them, and the wrong poses that its predictions are tried with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.evaluation.floors import derangement
from enr.pipelines.evaluation.foreground import NOTHING_OPAQUE, Opaque, foreground_alpha
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.scene_choice import ScenePlan


@dataclass(frozen=True)
class EvaluatedData:
    """What every scene of an evaluation shares.

    Attributes:
        view_set: the data.
        settings: how it is measured.
        device: where.
        opaque: the shards whose alpha says nothing.
    """

    view_set: ViewSet
    settings: EvalSettings
    device: torch.device
    opaque: Opaque = NOTHING_OPAQUE


@dataclass(frozen=True)
class ScenePictures:
    """One scene; all pictures are rounded to 8 bits.

    Attributes:
        plan: which scene, and its views.
        source_view: number of the (first) source view.
        target_views: numbers of the target views.
        sources: (s, 3, height, width) in [0, 1], what is given.
        targets: (n, 3, height, width) in [0, 1].
        alpha: (n, height, width) uint8 how much of each pixel of the targets is the object.
        background: what the pictures stand on, three sRGB numbers in [0, 1].
        has_silhouette: whether a prediction's silhouette is what departs from the background: not of opaque pictures.
        target_from_sources: (n, s, 4, 4) float64 motions from each source's camera.
        distances: (s + n,) depth of the object's centre in each source and target, in object units.
        other: (n,) for each target the number of the one whose pose is the wrong one; None if there is a single target.
            The seed and the scene's id alone decide it.
    """

    plan: ScenePlan
    source_view: int
    target_views: tuple[int, ...]
    sources: torch.Tensor
    targets: torch.Tensor
    alpha: torch.Tensor
    background: tuple[float, float, float]
    has_silhouette: bool
    target_from_sources: torch.Tensor
    distances: torch.Tensor
    other: torch.Tensor | None

    @property
    def scene(self) -> Scene:
        """Whose pictures they are."""
        return self.plan.scene

    @property
    def source(self) -> torch.Tensor:
        """(3, height, width): the first source picture."""
        return self.sources[0]

    @property
    def target_from_source(self) -> torch.Tensor:
        """(n, 4, 4): the motions from the first source's camera."""
        return self.target_from_sources[:, 0]

    def from_first(self, number: int) -> ScenePictures:
        """The same with the first `number` sources alone: the targets are the same."""
        distances = torch.cat([self.distances[:number], self.distances[len(self.sources) :]])
        motions = self.target_from_sources[:, :number]
        return replace(self, sources=self.sources[:number], target_from_sources=motions, distances=distances)


def load_scene(data: EvaluatedData, plan: ScenePlan) -> ScenePictures:
    """Read a scene's pictures, composite them over the background and round them to 8 bits."""
    view_set, sources, targets = data.view_set, plan.sources, plan.targets
    views = np.concatenate([sources, targets])
    rng = np.random.default_rng([data.settings.seed, zlib.crc32(plan.scene.scene_id.encode())])
    rgba = torch.from_numpy(view_set.images(views)).to(data.device)
    pictures = composite(rgba, view_set.background).mul(255).round().div(255)
    return ScenePictures(
        plan=plan,
        source_view=data.settings.source_view,
        target_views=tuple(view_set.views["view_index"][targets].tolist()),
        sources=pictures[: len(sources)],
        targets=pictures[len(sources) :],
        alpha=foreground_alpha(view_set, data.opaque, targets, rgba[len(sources) :, ..., 3]),
        background=view_set.background,
        has_silhouette=int(view_set.views["shard"][plan.scene.first]) not in data.opaque.shards,
        target_from_sources=torch.from_numpy(view_set.target_from_source(sources, targets[:, None])),
        distances=torch.from_numpy(view_set.distances(views)),
        other=torch.from_numpy(derangement(len(targets), rng)) if len(targets) > 1 else None,
    )
