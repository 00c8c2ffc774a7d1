"""Measure a checkpoint on scenes that it was not trained on, beside what needs no model and beside wrong poses.

For each scene the model gets one picture, the source, which is encoded once; it predicts every other view. The score
with another view's pose needs no further predictions: told the pose of view j, the model paints what it paints for
view j, so the predictions are compared with the targets in another order, in which none stays in its place.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from enr.camera import Group
from enr.errors import EnrError
from enr.model.checkpoint import load_model, read_metadata
from enr.model.renderer import Renderer
from enr.model.warp import invert_rigid
from enr.pipelines import metrics
from enr.pipelines.data.views import Scene, ViewSet, composite, repeated_meshes
from enr.pipelines.evaluation.distance import measure_distances
from enr.pipelines.evaluation.equivariance import Measures, PosedPictures, measure_equivariance
from enr.pipelines.evaluation.facts import checkpoint_facts, common_facts
from enr.pipelines.evaluation.floors import MEAN_TARGET, derangement, floor_predictions, make_untrained
from enr.pipelines.evaluation.foreground import NOTHING_OPAQUE, Opaque, find_opaque, foreground_alpha, opaque_notes
from enr.pipelines.evaluation.inputs import (
    EvalSettings,
    Origin,
    Part,
    check_fit,
    check_known_distance,
    choose_groups,
    choose_scenes,
    find_origin,
    forgotten_note,
    learned_groups,
    leave_out_blank,
    left_out_note,
    seen_scenes,
    split_views,
)
from enr.pipelines.evaluation.pictures import choose_ranks, draw_samples, take_sample
from enr.pipelines.evaluation.report import (
    FEWER_SOURCES,
    FOREGROUND,
    MODEL,
    PSNR,
    SSIM,
    SWAPPED_POSE,
    UNTRAINED,
    GroupReport,
    Report,
    SceneScores,
    Scores,
    mean,
    write_json,
)
from enr.pipelines.evaluation.unseen import measure_unseen, unseen_notes
from enr.pipelines.machine import pick_device, prepare_cpu
from enr.pipelines.pictures import save_picture
from enr.pipelines.training.runs import check_folder, new_folder
from enr.words import count_of

JSON_NAME = "report.json"


@dataclass(frozen=True)
class ScenePictures:
    """One scene as a model meets it; all pictures are rounded to 8 bits.

    Attributes:
        scene: which.
        source_view: number of the (first) source view.
        target_views: numbers of the target views.
        sources: (s, 3, height, width) in [0, 1], what the model is given.
        targets: (n, 3, height, width) in [0, 1].
        alpha: (n, height, width) uint8 how much of each pixel of the targets is the object.
        target_from_sources: (n, s, 4, 4) float64 motions from each source's camera.
        distances: (s,) depth of the object's centre in each source, in object units, where the model is told; or None.
    """

    scene: Scene
    source_view: int
    target_views: tuple[int, ...]
    sources: torch.Tensor
    targets: torch.Tensor
    alpha: torch.Tensor
    target_from_sources: torch.Tensor
    distances: torch.Tensor | None = None

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
        distances = None if self.distances is None else self.distances[:number]
        motions = self.target_from_sources[:, :number]
        return replace(self, sources=self.sources[:number], target_from_sources=motions, distances=distances)


@dataclass(frozen=True)
class Bench:
    """What every scene of an evaluation shares.

    Attributes:
        model: what is measured.
        view_set: the data.
        settings: how.
        device: where.
        untrained: the same architecture with random weights, where it is to be measured, too.
        opaque: the shards whose alpha says nothing.
    """

    model: Renderer
    view_set: ViewSet
    settings: EvalSettings
    device: torch.device
    untrained: Renderer | None = None
    opaque: Opaque = NOTHING_OPAQUE


@dataclass(frozen=True)
class Painted:
    """A scene's pictures, and what was predicted (n, 3, height, width) of its target views."""

    pictures: ScenePictures
    predictions: torch.Tensor


@dataclass(frozen=True)
class Method:
    """What is evaluated: how it paints a scene, and how good that is."""

    paint: Callable[[Scene], Painted]
    score: Callable[[Scene, Painted], SceneScores]


def evaluate(settings: EvalSettings) -> Report:
    """Measure a checkpoint; write a JSON file and pictures.

    Args:
        settings: what is measured on what.

    Returns:
        The report; its files lie in `settings.out`, or in a new folder of the run.

    Raises:
        EnrError: checkpoint, shards and settings do not fit together; nothing is written then.
    """
    device = pick_device(settings.device)
    if settings.out is not None:
        check_folder(settings.out, "--out")
    prepare_cpu(threads=0)
    origin = find_origin(settings)
    model = load_model(origin.checkpoint, device)
    view_set = ViewSet.open(origin.shards)
    untrained = make_untrained(model, settings.seed) if settings.untrained else None
    bench = Bench(model, view_set, settings, device, untrained, find_opaque(view_set))
    notes = check_fit(model, view_set) + check_known_distance(settings, model)
    metadata = read_metadata(origin.checkpoint)
    parts = plan_parts(bench, learned_groups(metadata), notes)
    notes += forgotten_note(metadata, (group for group, _, _ in parts)) + _seen_note(metadata, view_set, parts)
    notes += left_out_note(settings, origin, view_set, parts)
    out = _choose_out(settings, origin)
    groups = tuple(evaluate_part(part, out, _method(bench)) for part in parts)
    notes += [f"{group.group}: {note}" for group in groups for note in unseen_notes(group.unseen, model.config)]
    return write_json(Report(groups, view_set.background, _facts(bench, origin), tuple(notes), out / JSON_NAME))


def plan_parts(bench: Bench, learned: Sequence[Group], notes: list[str]) -> list[Part]:
    """Every group and split with its scenes; everything that can be wrong with them is found here, before the work."""
    parts: list[Part] = []
    for group in choose_groups(bench.settings, bench.view_set, learned):
        chosen, said = choose_scenes(bench.settings, bench.view_set, group)
        notes += said
        parts += [(group, split, scenes) for split, scenes in chosen.items()]
    parts = leave_out_blank(bench.settings, bench.view_set, parts, notes)
    notes += _opaque_notes(bench, parts)
    return parts


def _seen_note(metadata: dict[str, Any], view_set: ViewSet, parts: Sequence[Part]) -> list[str]:
    """A word where these scenes are not unseen: another --split share held them out, or a mesh has two ids."""
    held_out = [scene for _, split, scenes in parts if split != "train" for scene in scenes]
    seen, twice = seen_scenes(metadata, held_out), repeated_meshes(view_set.scenes("train"), held_out)
    notes = [f"the checkpoint was TRAINED on {len(seen)} of these scenes (first: {seen[0]})."] if seen else []
    if twice:
        trained, other = twice[0]
        notes.append(
            f"the meshes of {count_of(len(twice), 'scene')} are in train, too, under another id (such as {other}, "
            f"which is {trained}): these are NOT unseen."
        )
    return notes


def _opaque_notes(bench: Bench, parts: Sequence[Part]) -> list[str]:
    firsts = [scene.first for _, _, scenes in parts for scene in scenes]
    return opaque_notes(bench.view_set, bench.opaque, bench.view_set.views["shard"][firsts].tolist())


def _choose_out(settings: EvalSettings, origin: Origin) -> Path:
    if settings.out is not None:
        return settings.out
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return new_folder((origin.run.folder if origin.run else Path()) / f"eval-{stamp}")


def evaluate_part(part: Part, out: Path, method: Method) -> GroupReport:
    """Measure the scenes of one group and split; draw the best, the median, the worst and some between in `out`."""
    group, split, scenes = part
    start = time.perf_counter()
    bar = tqdm(scenes, desc=f"{group} {split}", unit="scene", disable=None)
    scores = [method.score(scene, method.paint(scene)) for scene in bar]
    seconds = time.perf_counter() - start
    samples = []
    for rank, index in choose_ranks([scene.scores[MODEL][PSNR] for scene in scores]):
        again = method.paint(scenes[index])  # a few of them; the pictures of thousands would fill the memory
        shown = again.pictures
        pictures = (shown.targets, again.predictions)
        samples.append(take_sample((rank, scenes[index].scene_id), shown.target_views, shown.sources, pictures))
    picture = save_picture(draw_samples(samples), out / f"{group}-{split}.png")
    return GroupReport(group, split, tuple(scores), seconds, picture)


def _method(bench: Bench) -> Method:
    return Method(lambda scene: _paint(bench, scene), lambda scene, painted: _score_painted(bench, scene, painted))


def _paint(bench: Bench, scene: Scene) -> Painted:
    pictures = load_scene(bench, scene)
    return Painted(pictures, predict(bench, pictures))


def _score_painted(bench: Bench, scene: Scene, painted: Painted) -> SceneScores:
    scores = score_scene(painted.pictures, painted.predictions, bench)
    pictures, (sources, targets) = painted.pictures, split_views(bench.settings, bench.view_set, scene)
    truth = torch.from_numpy(bench.view_set.distances(np.concatenate([sources, targets])))
    shown, motions = (pictures.sources, pictures.targets), pictures.target_from_sources[0]
    estimated, triangulated = measure_distances(bench.model, shown, motions, truth)
    return replace(
        scores,
        unseen=measure_unseen(bench.view_set, bench.model.config, sources, targets),
        equivariance=_equivariance(bench, pictures),
        estimated=estimated,
        triangulated=triangulated,
    )


def load_scene(bench: Bench, scene: Scene) -> ScenePictures:
    """Read a scene's pictures, composite them over the background and round them to 8 bits."""
    view_set = bench.view_set
    sources, targets = split_views(bench.settings, view_set, scene)
    rgba = torch.from_numpy(view_set.images(np.concatenate([sources, targets]))).to(bench.device)
    pictures = composite(rgba, view_set.background).mul(255).round().div(255)
    motions = view_set.target_from_source(sources, targets[:, None])
    return ScenePictures(
        scene=scene,
        source_view=bench.settings.source_view,
        target_views=tuple(view_set.views["view_index"][targets].tolist()),
        sources=pictures[: len(sources)],
        targets=pictures[len(sources) :],
        alpha=foreground_alpha(view_set, bench.opaque, targets, rgba[len(sources) :, ..., 3]),
        target_from_sources=torch.from_numpy(motions),
        distances=torch.from_numpy(view_set.distances(sources)) if bench.settings.known_distance else None,
    )


@torch.inference_mode()
def predict(bench: Bench, pictures: ScenePictures) -> torch.Tensor:
    """The model's pictures (n, 3, height, width) of a scene's target views."""
    motions, batch_size = pictures.target_from_sources, bench.settings.batch_size
    return bench.model.generate_from_sources(pictures.sources, motions, batch_size, **_told(pictures))


def _told(pictures: ScenePictures) -> dict[str, Any]:
    return {} if pictures.distances is None else {"distance": pictures.distances}


@torch.inference_mode()
def score_scene(pictures: ScenePictures, predictions: torch.Tensor, bench: Bench) -> SceneScores:
    """Every number of one scene: of the model, of the model told other poses, and of the floors.

    Args:
        pictures: the scene.
        predictions: (n, 3, height, width) the model's pictures of its target views.
        bench: settings and background.
    """
    background = bench.view_set.background
    if not torch.isfinite(predictions).all():
        name = pictures.scene.scene_id
        raise EnrError(f"The predictions of scene {name} hold values that are no numbers; mend what made them.")
    candidates = {
        MODEL: predictions,
        **_fewer_predictions(bench, pictures),
        SWAPPED_POSE: predict_swapped(bench, pictures, predictions),
        **_untrained_predictions(bench, pictures),
        **floor_predictions(pictures.source, pictures.targets, background),
    }
    scores = {name: _score(candidate, pictures, bench.settings.with_ssim) for name, candidate in candidates.items()}
    if len(pictures.targets) == 1:  # the mean of one target is the target
        scores[MEAN_TARGET] = dict.fromkeys(scores[MEAN_TARGET], math.nan)
    return _scene_scores(pictures, predictions, scores, bench)


def _fewer_predictions(bench: Bench, pictures: ScenePictures) -> dict[str, torch.Tensor]:
    """What the model predicts for the same targets from fewer sources."""
    given = len(pictures.sources)
    fewer = {name: pictures.from_first(number) for number, name in FEWER_SOURCES.items() if number < given}
    return {name: predict(bench, fewer_pictures) for name, fewer_pictures in fewer.items()}


def _untrained_predictions(bench: Bench, pictures: ScenePictures) -> dict[str, torch.Tensor]:
    if bench.untrained is None:
        return {}
    return {UNTRAINED: predict(replace(bench, model=bench.untrained), pictures)}


def predict_swapped(bench: Bench, pictures: ScenePictures, predictions: torch.Tensor) -> torch.Tensor:
    """What the model predicts for each target (n, 3, height, width) when it is told another target's pose.

    Which one depends on the seed and the scene's id alone. A scene with a single target has no other: there the model
    is told the (first) source's own pose.
    """
    other = other_targets(bench, pictures)
    if other is None:
        to_first = invert_rigid(pictures.target_from_source)[:, None] @ pictures.target_from_sources
        return bench.model.generate_from_sources(pictures.sources, to_first, **_told(pictures))
    return predictions[other]


def other_targets(bench: Bench, pictures: ScenePictures) -> torch.Tensor | None:
    """For each target of a scene the number (n,) of the one whose pose is the wrong one; None if it has one target."""
    count = len(pictures.target_from_source)
    if count == 1:
        return None
    rng = np.random.default_rng([bench.settings.seed, zlib.crc32(pictures.scene.scene_id.encode())])
    return torch.from_numpy(derangement(count, rng))


def _equivariance(bench: Bench, pictures: ScenePictures) -> Measures | None:
    if not bench.settings.equivariance:
        return None
    motions, other = pictures.target_from_source, other_targets(bench, pictures)
    views = PosedPictures(pictures.source, pictures.targets, motions, other)
    return measure_equivariance(bench.model, views, bench.settings.batch_size)


def _score(candidate: torch.Tensor, pictures: ScenePictures, with_ssim: bool) -> dict[str, float]:
    foreground = pictures.alpha > 0
    values = {
        PSNR: metrics.psnr(candidate, pictures.targets),
        FOREGROUND: metrics.psnr(candidate, pictures.targets, foreground),
    }
    if with_ssim:
        values[SSIM] = metrics.ssim(candidate, pictures.targets)
    return {name: mean(numbers.tolist()) for name, numbers in values.items()}


def _scene_scores(pictures: ScenePictures, predictions: torch.Tensor, scores: Scores, bench: Bench) -> SceneScores:
    solid = pictures.alpha >= 128
    background = bench.view_set.background
    behind = torch.tensor(background, dtype=predictions.dtype, device=predictions.device)
    is_opaque = int(bench.view_set.views["shard"][pictures.scene.first]) in bench.opaque.shards
    chroma = [metrics.mean_chroma(images, solid).nanmean(dim=0).tolist() for images in (predictions, pictures.targets)]
    return SceneScores(
        scene_id=pictures.scene.scene_id,
        source_view=pictures.source_view,
        sources=len(pictures.sources),
        targets=len(pictures.targets),
        scores=scores,
        silhouette_iou=math.nan if is_opaque else mean(metrics.silhouette_iou(predictions, solid, behind).tolist()),
        chroma=((chroma[0][0], chroma[0][1]), (chroma[1][0], chroma[1][1])),
    )


def _facts(bench: Bench, origin: Origin) -> dict[str, Any]:
    return {
        **common_facts(bench.settings, bench.view_set, bench.device),
        "checkpoint": str(origin.checkpoint),
        "checkpoint_metadata": checkpoint_facts(read_metadata(origin.checkpoint)),
        "untrained": bench.settings.untrained,
        "equivariance": bench.settings.equivariance,
        "known_distance": bench.settings.known_distance,
    }
