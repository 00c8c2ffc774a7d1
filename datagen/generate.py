"""Meshes to shards: plan, render in workers, assemble, write; what failed is named."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from enr.datagen.assemble import block_of_outcome, join_blocks
from enr.datagen.contact_sheet import save_contact_sheet
from enr.datagen.failures import ERROR, Failure, from_config, to_config
from enr.datagen.manifest import MeshTimes, Records, Run
from enr.datagen.mesh_jobs import make_jobs
from enr.datagen.plan import GenerateSettings, PlannedShard, find_existing, plan_shards
from enr.datagen.pool import Outcome, render_all
from enr.datagen.record import record_run
from enr.datagen.staging import unstage
from enr.errors import EnrError
from enr.shards import read_tables, write_shard


@dataclass(frozen=True)
class Summary:
    """What a run of `generate` left.

    Attributes:
        shards: all shards of the data set that are on the disk, in order.
        contact_sheet: a picture of some views; None if nothing was made, or of a part.
        manifest: what each mesh became (see `enr.datagen.manifest`); None if nothing was made.
        card: the same for people; None if nothing was made, or of a part.
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
    manifest: Path | None
    card: Path | None
    scenes: int
    images: int
    images_made: int
    seconds: float
    failures: dict[str, str]
    clipped_share: float
    worker_peak_memory_mb: float
    timings: dict[str, float]


@dataclass
class RunLog:
    """What one call of `render_shards` did.

    Attributes:
        images: pictures rendered.
        seconds: wall time.
        peak_memory_mb: the largest resident memory of a worker.
        timings: seconds inside the workers by kind of work, summed.
        failures: by scene id.
        times: what each scene took, by id.
        started_at: the time of day at its start.
    """

    images: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    times: dict[str, MeshTimes] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.images += 0 if outcome.images is None else len(outcome.images)
        self.peak_memory_mb = max(self.peak_memory_mb, outcome.facts.get("peak_memory_mb", 0.0))
        for kind, seconds in outcome.facts.get("timings", {}).items():
            self.timings[kind] = self.timings.get(kind, 0.0) + seconds
        times = MeshTimes(outcome.facts.get("seconds"), outcome.facts.get("peak_memory_mb"))
        self.times[outcome.job["scene_id"]] = times


def generate(settings: GenerateSettings, progress: bool = False) -> Summary:
    """Render every mesh's views and write the shards, each complete or absent; finished ones are kept.

    Args:
        settings: what to make.
        progress: show a bar with images/s and time left on standard error.

    Raises:
        EnrError: there are no meshes, the folder holds other shards of this group, or no worker starts.
    """
    shards = plan_shards(settings)
    return summarise(settings, shards, render_shards(settings, shards, progress))


def render_shards(settings: GenerateSettings, shards: Sequence[PlannedShard], progress: bool = False) -> RunLog:
    """Make some of the shards that `plan_shards` planned, all or a part; finished ones are kept.

    Args:
        settings: those that the shards were planned with.
        shards: which ones to make.
        progress: show a bar with images/s and time left on standard error.

    Raises:
        EnrError: the folder holds other shards of this group, cannot be written to, or no worker starts.
    """
    existing = find_existing(settings, shards)
    missing = [shard for shard in shards if shard.path not in existing.finished]
    log, started = RunLog(), time.monotonic()
    if missing:
        _render(settings, missing, log, progress)
    for path in set(existing.foreign) - {shard.path for shard in missing}:
        path.unlink(missing_ok=True)  # another part may have been quicker
    log.seconds = time.monotonic() - started
    return log


def _render(settings: GenerateSettings, shards: Sequence[PlannedShard], log: RunLog, progress: bool) -> None:
    """Render shards in order and write each as soon as its last mesh is done."""
    sources = [scene.source for shard in shards for scene in shard.scenes]
    shard_of = {scene.source.scene_id: shard for shard in shards for scene in shard.scenes}
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="enr-convert-") as scratch, _bar(settings, len(sources), progress) as bar:
        for outcome in render_all(make_jobs(settings, sources, Path(scratch)), settings.pool):
            unstage(outcome.job)
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


def _write(settings: GenerateSettings, shard: PlannedShard, outcomes: Sequence[Outcome], log: RunLog) -> None:
    """Write one shard from the outcomes of its scenes (in its order); nothing if every scene failed."""
    failures = {o.job["scene_id"]: Failure(o.kind or ERROR, o.reason) for o in outcomes if o.images is None}
    log.failures.update(failures)
    rendered = [(s, o) for s, o in zip(shard.scenes, outcomes, strict=True) if o.images is not None]
    if not rendered:
        shard.path.unlink(missing_ok=True)  # one made with other settings, which `overwrite` gave up
        return
    blocks = [block_of_outcome(settings, scene, outcome) for scene, outcome in rendered]
    config = {**shard.config, "failures": to_config(failures)}
    content = join_blocks(settings, blocks, config, rendered[0][1].facts["blender_version"])
    try:
        write_shard(shard.path, content, settings.compression)
    except OSError as error:
        raise EnrError(
            f"{shard.path} cannot be written ({error.strerror or error}); make room and run the same command again, "
            "finished shards are kept."
        ) from error


def _records(settings: GenerateSettings, log: RunLog) -> Records:
    """What the run that made `log` adds to the manifest."""
    run = Run(
        command=settings.command,
        started_at=log.started_at,
        seconds=round(log.seconds, 3),
        images_made=log.images,
        workers=settings.pool.workers,
        worker_peak_memory_mb=log.peak_memory_mb,
    )
    return Records(runs=(run,) if log.times else (), times=log.times)


def summarise(settings: GenerateSettings, planned: Sequence[PlannedShard], log: RunLog) -> Summary:
    """Count what lies on the disk of the planned shards, draw the contact sheet, write the manifest and the card."""
    shards = tuple(shard.path for shard in planned if shard.path.exists())
    scenes = images = clipped = 0
    for path in shards:
        meta, views, table = read_tables(path)
        scenes += len(table["scene_id"])
        images += len(views["clipped"])
        clipped += int(views["clipped"].sum())
        log.failures.update(from_config(meta.config))
    sheet = settings.out / f"{settings.poses.group}-contact-sheet.png"
    manifest, card = record_run(settings, planned, _records(settings, log), log.failures)
    return Summary(
        shards=shards,
        contact_sheet=save_contact_sheet(shards, sheet) if shards and not settings.part else None,
        manifest=manifest,
        card=card,
        scenes=scenes,
        images=images,
        images_made=log.images,
        seconds=log.seconds,
        failures={scene_id: failure.reason for scene_id, failure in sorted(log.failures.items())},
        clipped_share=clipped / max(images, 1),
        worker_peak_memory_mb=log.peak_memory_mb,
        timings=log.timings,
    )
