"""What is measured: a part's scenes, one scene's predictions, one kind of prediction; every number of the table."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch
from PIL import Image
from tqdm import tqdm

from enr.errors import EnrError
from enr.pipelines import metrics
from enr.pipelines.evaluation.equivariance import ANGLE_DEG, DISTANCE, Measures, motion_sizes
from enr.pipelines.evaluation.floors import MEAN_OF_TARGETS, floor_predictions
from enr.pipelines.evaluation.predictor import Predictor
from enr.pipelines.evaluation.report import FOREGROUND, MODEL, PSNR, SSIM, GroupReport, SceneScores, mean
from enr.pipelines.evaluation.sample_sheet import choose_ranks, draw_samples, take_sample
from enr.pipelines.evaluation.scene_choice import PartPlan, ScenePlan
from enr.pipelines.evaluation.scene_pictures import EvaluatedData, ScenePictures, load_scene
from enr.pipelines.evaluation.unseen import measure_unseen

SOLID = 128
"""A pixel of at least this alpha, of 255, belongs to the true silhouette."""


def measure_part(predictor: Predictor, data: EvaluatedData, part: PartPlan) -> tuple[GroupReport, Image.Image]:
    """Measure the scenes of one group and split; draw the best, the median, the worst and some between."""
    start = time.perf_counter()
    bar = tqdm(part.scenes, desc=f"{part.group} {part.split}", unit="scene", disable=None)
    scores = [measure_scene(predictor, data, plan) for plan in bar]
    seconds = time.perf_counter() - start
    samples = []
    for rank, index in choose_ranks([scene.scores[MODEL][PSNR] for scene in scores]):
        shown = load_scene(data, part.scenes[index])  # a few of them anew; those of thousands would fill the memory
        pictures = (shown.targets, predictor.predict(shown))
        samples.append(take_sample((rank, shown.scene.scene_id), shown.target_views, shown.sources, pictures))
    return GroupReport(part.group, part.split, tuple(scores), seconds), draw_samples(samples)


@torch.inference_mode()
def measure_scene(predictor: Predictor, data: EvaluatedData, plan: ScenePlan) -> SceneScores:
    """Every number of one scene: of the predictions, of those for wrong poses, and of the floors.

    Raises:
        EnrError: a prediction or a measure is no number.
    """
    pictures = load_scene(data, plan)
    predictions = predictor.predict(pictures)
    if not torch.isfinite(predictions).all():
        name = plan.scene.scene_id
        raise EnrError(f"The predictions of scene {name} hold values that are no numbers; mend what made them.")
    rows = {MODEL: predictions, **predictor.predict_rows(pictures, predictions)}
    own, shapes = predictor.measure_scenes(pictures), _measure_shapes(pictures, predictions)
    scores = {name: _score(row, pictures, data.settings.with_ssim) for name, row in rows.items()}
    for name, floor in floor_predictions(pictures.source, pictures.targets, pictures.background).items():
        scores[name] = _score(floor, pictures, data.settings.with_ssim)
    if len(plan.targets) == 1:  # the mean of one target is the target
        scores[MEAN_OF_TARGETS] = dict.fromkeys(scores[MEAN_OF_TARGETS], math.nan)
    return replace(
        shapes,
        scores=scores,
        by_motion=_by_motion(pictures, predictions),
        unseen=measure_unseen(data.view_set, predictor.config, plan.sources, plan.targets),
        equivariance=own.equivariance,
        estimated=own.estimated,
        triangulated=own.triangulated,
    )


def _score(candidate: torch.Tensor, pictures: ScenePictures, with_ssim: bool) -> dict[str, float]:
    values = {PSNR: metrics.psnr(candidate, pictures.targets)}
    if with_ssim:
        values[SSIM] = metrics.ssim(candidate, pictures.targets)
    for name, numbers in values.items():
        if not torch.isfinite(numbers).all():
            raise EnrError(f"{name} of scene {pictures.scene.scene_id} is no number; mend what made the pictures.")
    foreground = metrics.psnr(candidate, pictures.targets, pictures.alpha > 0)
    values = {PSNR: values.pop(PSNR), FOREGROUND: foreground, **values}
    return {name: mean(numbers.tolist()) for name, numbers in values.items()}


def _by_motion(pictures: ScenePictures, predictions: torch.Tensor) -> Measures:
    """PSNR (n,) of each target, and the size of the motion to it: that of a point as far ahead as the object is."""
    turn_deg, shift = motion_sizes(pictures.target_from_source, float(pictures.distances[0]))
    psnr_db = metrics.psnr(predictions, pictures.targets).double().cpu().numpy()
    return {PSNR: psnr_db, ANGLE_DEG: turn_deg, DISTANCE: shift}


def _measure_shapes(pictures: ScenePictures, predictions: torch.Tensor) -> SceneScores:
    """A scene's silhouettes and colours, before its scores are known."""
    solid = pictures.alpha >= SOLID
    behind = torch.tensor(pictures.background, dtype=predictions.dtype, device=predictions.device)
    overlap = metrics.silhouette_iou(predictions, solid, behind)
    chroma = [metrics.mean_chroma(images, solid).nanmean(dim=0).tolist() for images in (predictions, pictures.targets)]
    missing = {
        "foreground PSNR": ~(pictures.alpha > 0).any(dim=(1, 2)),
        "silhouette IoU": overlap.isnan() & pictures.has_silhouette,
        "chroma": ~solid.any(dim=(1, 2)),
    }
    return SceneScores(
        scene_id=pictures.scene.scene_id,
        source_view=pictures.source_view,
        sources=len(pictures.sources),
        targets=len(pictures.targets),
        scores={},
        silhouette_iou=mean(overlap.tolist()) if pictures.has_silhouette else math.nan,
        chroma=((chroma[0][0], chroma[0][1]), (chroma[1][0], chroma[1][1])),
        unmeasured={name: int(targets.sum()) for name, targets in missing.items() if targets.any()},
    )
