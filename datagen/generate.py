"""Meshes to shards: plan, render in workers, assemble, write; what failed is named."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from enr.camera import intrinsics
from enr.datagen.contact_sheet import save_contact_sheet
from enr.datagen.jobs import render_job
from enr.datagen.meshes import MeshSource, load_triangles
from enr.datagen.plan import GenerateSettings, PlannedScene, PlannedShard, failures_of, find_existing, plan_shards
from enr.datagen.pool import Outcome, render_all
from enr.datagen.poses import Poses, sample_poses
from enr.errors import EnrError
from enr.shards import FLAGS, Shard, ShardMeta, read_tables, write_shard


@dataclass(frozen=True)
class Summary:
    """What a run of `generate` left.

    Attributes:
        shards: all shards of the data set that are on the disk, in order.
        contact_sheet: a picture of some views; None if nothing was made.
        scenes: scenes in the shards.
        images: pictures in the shards.
        images_made: pictures rendered by this run (the rest was there already).
        seconds: time that this run spent on rendering.
        failures: reason by scene id.
        clipped_share: share of views in which the object reaches over the picture's border.
        worker_peak_memory_mb: the largest resident memory of a worker in this run.
        timings: seconds inside the workers by kind of work, summed (see `enr.datagen.blender_scene`).
    """

    shards: tuple[Path, ...]
    contact_sheet: Path | None
    scenes: int
    images: int
    images_made: int
    seconds: float
    failures: dict[str, str]
    clipped_share: float
    worker_peak_memory_mb: float
    timings: dict[str, float]


@dataclass
class _Log:
    """Adds up what the workers report."""

    images: int = 0
    peak_memory_mb: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.images += 0 if outcome.images is None else len(outcome.images)
        self.peak_memory_mb = max(self.peak_memory_mb, outcome.facts.get("peak_memory_mb", 0.0))
        for kind, seconds in outcome.facts.get("timings", {}).items():
            self.timings[kind] = self.timings.get(kind, 0.0) + seconds


def generate(settings: GenerateSettings, progress: bool = False) -> Summary:
    """Render every mesh's views and write the shards, each complete or absent; finished ones are kept.

    Args:
        settings: what to make.
        progress: show a bar with images/s and time left on standard error.

    Raises:
        EnrError: there are no meshes, the folder holds other shards of this group, or no worker starts.
    """
    shards = plan_shards(settings)
    existing = find_existing(settings, shards)
    missing = [shard for shard in shards if shard.path not in existing.finished]
    log, started = _Log(), time.monotonic()
    if missing:
        _render_shards(settings, missing, log, progress)
    for path in set(existing.foreign) - {shard.path for shard in missing}:
        path.unlink()
    return _summarise(settings, shards, log, time.monotonic() - started)


def scene_poses(settings: GenerateSettings, scene_id: str) -> Poses:
    """The poses of a scene's views, from (seed, scene, view) alone."""
    return sample_poses(settings.poses, settings.render.seed, scene_id, settings.views)


def make_jobs(settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path) -> Iterator[dict[str, Any]]:
    """Render jobs of some meshes, ready for `enr.datagen.pool.render_all`."""
    for source in sources:
        yield _job(settings, source, scratch)


def _job(settings: GenerateSettings, source: MeshSource, scratch: Path) -> dict[str, Any]:
    poses = scene_poses(settings, source.scene_id)
    if source.path.suffix.lower() != ".off":
        return render_job(settings.render, source, poses)
    try:
        converted = _convert(source.path, scratch)
    except EnrError as error:
        return {**render_job(settings.render, source, poses), "refused": str(error)}
    return render_job(settings.render, source, poses, converted)


def _convert(path: Path, scratch: Path) -> Path:
    """A PLY copy of a mesh that Blender has no importer for."""
    import trimesh

    vertices, faces = load_triangles(path)
    with tempfile.NamedTemporaryFile(suffix=".ply", dir=scratch, delete=False) as copy:
        trimesh.Trimesh(vertices, faces, process=False).export(copy, file_type="ply")
    return Path(copy.name)


def _render_shards(
    settings: GenerateSettings,
    shards: Sequence[PlannedShard],
    log: _Log,
    progress: bool,
) -> None:
    """Render shards in order and write each as soon as its last mesh is done."""
    sources = [scene.source for shard in shards for scene in shard.scenes]
    shard_of = {scene.source.scene_id: shard for shard in shards for scene in shard.scenes}
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="enr-convert-") as scratch, _bar(settings, len(sources), progress) as bar:
        for outcome in render_all(make_jobs(settings, sources, Path(scratch)), settings.pool):
            log.add(outcome)
            scene_id = outcome.job["scene_id"]
            outcomes[scene_id] = outcome
            _show(bar, settings.views, outcome)
            shard = shard_of[scene_id]
            if all(scene.source.scene_id in outcomes for scene in shard.scenes):
                done = [outcomes.pop(scene.source.scene_id) for scene in shard.scenes]
                _write(settings, shard, done, log)


def _bar(settings: GenerateSettings, scenes: int, progress: bool) -> tqdm[Any]:
    """A bar of images; redrawn often on a terminal, rarely in a log file."""
    interval_s = 0.2 if sys.stderr.isatty() else 30.0
    total = scenes * settings.views
    return tqdm(total=total, unit=" images", smoothing=0.05, mininterval=interval_s, disable=not progress)


def _show(bar: tqdm[Any], views: int, outcome: Outcome) -> None:
    """Advance the bar, or name the failure and forget its pictures."""
    if outcome.images is not None:
        bar.update(views)
        return
    bar.total = (bar.total or 0) - views
    if not bar.disable:
        bar.write(f"{outcome.job['scene_id']}: {outcome.reason}", file=sys.stderr)


def _write(settings: GenerateSettings, shard: PlannedShard, outcomes: Sequence[Outcome], log: _Log) -> None:
    """Write one shard from the outcomes of its scenes (in its order); nothing if every scene failed."""
    failures = {outcome.job["scene_id"]: outcome.reason for outcome in outcomes if outcome.images is None}
    log.failures.update(failures)
    rendered = [(s, o) for s, o in zip(shard.scenes, outcomes, strict=True) if o.images is not None]
    if not rendered:
        shard.path.unlink(missing_ok=True)  # one made with other settings, which `overwrite` gave up
        return
    content = _assemble(settings, rendered, {**shard.config, "failures": failures})
    try:
        write_shard(shard.path, content, settings.compression)
    except OSError as error:
        raise EnrError(
            f"{shard.path} cannot be written ({error.strerror or error}); make room and run the same command again, "
            "finished shards are kept."
        ) from error


def _assemble(
    settings: GenerateSettings, rendered: Sequence[tuple[PlannedScene, Outcome]], config: dict[str, Any]
) -> Shard:
    """The shard's tables from finished scenes."""
    tables = [_view_table(settings, scene, outcome) for scene, outcome in rendered]
    meta = ShardMeta(
        group=settings.poses.group,
        seed=settings.render.seed,
        background=settings.background,
        blender_version=rendered[0][1].facts["blender_version"],
        config=config,
    )
    return Shard(
        meta=meta,
        images=np.concatenate([outcome.images for _, outcome in rendered if outcome.images is not None]),
        views={name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
        scenes=_scene_table(rendered),
    )


def _view_table(settings: GenerateSettings, scene: PlannedScene, outcome: Outcome) -> dict[str, Any]:
    """The per-view columns of one scene (see `enr.shards.VIEW_SHAPES`)."""
    scene_id, views, render = scene.source.scene_id, settings.views, settings.render
    poses = scene_poses(settings, scene_id)
    K = intrinsics(render.focal_px, render.width_px, render.height_px)
    return {
        "world_from_camera": poses.world_from_camera,
        "K": np.repeat(K[None], views, axis=0),
        "scene_id": np.array([scene_id] * views),
        "view_index": np.arange(views, dtype=np.int32),
        "azimuth_deg": poses.azimuth_deg,
        "elevation_deg": poses.elevation_deg,
        "radius": poses.radius,
        "target_point": poses.target_point,
        "clipped": np.array(outcome.facts["clipped"], dtype=bool),
        "roll_deg": np.zeros(views),
        "split": np.array([scene.split] * views),
        "clipped_share": np.full(views, np.nan, dtype=np.float32),
        "flags": np.array(outcome.facts["clipped"], dtype=np.uint16) << FLAGS.index("clipped"),
    }


def _scene_table(rendered: Sequence[tuple[PlannedScene, Outcome]]) -> dict[str, Any]:
    """The per-scene columns (see `enr.shards.SCENE_SHAPES`)."""
    return {
        "scene_id": np.array([scene.source.scene_id for scene, _ in rendered]),
        "split": np.array([scene.split for scene, _ in rendered]),
        "mesh_path": np.array([str(scene.source.path) for scene, _ in rendered]),
        "mesh_sha256": np.array([scene.sha256 for scene, _ in rendered]),
        "normalise_scale": np.array([outcome.facts["normalise_scale"] for _, outcome in rendered]),
        "normalise_offset": np.array([outcome.facts["normalise_offset"] for _, outcome in rendered]),
        "materials": np.array([outcome.facts["materials"] for _, outcome in rendered]),
        "facts": np.array([json.dumps(outcome.facts.get("mesh", {}), sort_keys=True) for _, outcome in rendered]),
    }


def _summarise(settings: GenerateSettings, planned: Sequence[PlannedShard], log: _Log, seconds: float) -> Summary:
    """Count what lies on the disk now, and draw the contact sheet."""
    shards = tuple(shard.path for shard in planned if shard.path.exists())
    scenes = images = clipped = 0
    for path in shards:
        meta, views, table = read_tables(path)
        scenes += len(table["scene_id"])
        images += len(views["clipped"])
        clipped += int(views["clipped"].sum())
        log.failures.update(failures_of(meta.config))
    sheet = settings.out / f"{settings.poses.group}-contact-sheet.png"
    return Summary(
        shards=shards,
        contact_sheet=save_contact_sheet(shards, sheet) if shards else None,
        scenes=scenes,
        images=images,
        images_made=log.images,
        seconds=seconds,
        failures=dict(sorted(log.failures.items())),
        clipped_share=clipped / max(images, 1),
        worker_peak_memory_mb=log.peak_memory_mb,
        timings=log.timings,
    )
