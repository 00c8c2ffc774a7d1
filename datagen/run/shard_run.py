"""Render planned shards, or what failed of them, and publish each as soon as its last mesh is done."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from enr.datagen import failures
from enr.datagen.appearance.engines import check_look
from enr.datagen.failures import BAD_MESH, ERROR, UNREADABLE, Failure
from enr.datagen.flags import judge
from enr.datagen.meshes.staging import unstage
from enr.datagen.metadata.card import card_path
from enr.datagen.metadata.manifest import MeshTimes, manifest_path
from enr.datagen.plan import GenerateSettings, PlannedScene, PlannedShard
from enr.datagen.run.assemble import block_of_outcome, blocks_of_shard, join_blocks
from enr.datagen.run.claims import claim
from enr.datagen.run.existing import (
    Existing,
    check_room,
    failed_path,
    failures_on_disk,
    find_existing,
    sweep_partials,
    write_failed,
)
from enr.datagen.run.mesh_jobs import make_jobs
from enr.datagen.run.noted_times import note_times
from enr.datagen.run.progress import Progress
from enr.datagen.workers.pool import Outcome, render_all
from enr.datagen.workers.scratch import scratch_folder
from enr.errors import EnrError
from enr.shards import read_shard, write_shard


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
        damaged: names of shards that were no longer what was written, and are made again, with what was wrong.
        started_at: the time of day at its start.
    """

    images: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    times: dict[str, MeshTimes] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.images += 0 if outcome.images is None else len(outcome.images)
        self.peak_memory_mb = max(self.peak_memory_mb, outcome.facts.get("peak_memory_mb", 0.0))
        for kind, seconds in outcome.facts.get("timings", {}).items():
            self.timings[kind] = self.timings.get(kind, 0.0) + seconds
        times = MeshTimes(outcome.facts.get("seconds"), outcome.facts.get("peak_memory_mb"))
        self.times[outcome.job["scene_id"]] = times


@dataclass(frozen=True)
class _Work:
    """What is to be done for one shard.

    Attributes:
        shard: the shard.
        scenes: those to render, all of them or the failed ones.
        keeps: whether the other scenes are taken from the shard as it lies on the disk.
    """

    shard: PlannedShard
    scenes: tuple[PlannedScene, ...]
    keeps: bool = False


def render_shards(settings: GenerateSettings, shards: Sequence[PlannedShard], progress: bool = False) -> RunLog:
    """Make some of the shards that `plan_shards` planned, all or a part; finished ones are checked and kept.

    Damaged ones are made again; with `settings.retry_failed` only failed meshes of finished ones are. May be called
    for different shards of one data set by several processes at once, on several machines.

    Args:
        settings: those that the shards were planned with.
        shards: which ones to make.
        progress: say how far it is on standard error.

    Raises:
        EnrError: the folder holds other shards of this group, cannot be written to, has no room or is in use by
            another run that makes the same shards, no worker starts, or a view is bad and `settings.on_bad` says so.
    """
    log, started = RunLog(), time.monotonic()
    if shards:
        with claim(settings.out, shards):
            existing = find_existing(settings, shards)
            log.damaged = {path.name: problem for path, problem in existing.damaged.items()}
            work = _plan_work(settings, shards, existing)
            sweep_partials(shards)
            if work:
                check_look(settings.render.look, settings.pool.blender)
                check_room(settings, [item.shard for item in work if not item.keeps], existing.foreign)
                _render(_Publisher(settings, existing.foreign, log), work, progress)
    log.seconds = time.monotonic() - started
    return log


def _plan_work(settings: GenerateSettings, shards: Sequence[PlannedShard], existing: Existing) -> list[_Work]:
    """What is missing, or what failed, or with `overwrite` everything."""
    if settings.retry_failed:
        failed = {path: _to_retry(settings, entries) for path, entries in existing.finished.items()}
        chosen = [shard for shard in shards if failed.get(shard.path)]
        return [_Work(shard, _named(shard, failed[shard.path]), keeps=True) for shard in chosen]
    return [_Work(shard, shard.scenes) for shard in shards if settings.overwrite or shard.path not in existing.finished]


def _to_retry(settings: GenerateSettings, failed: Mapping[str, Failure]) -> set[str]:
    """Of what failed in a shard, the scene ids that are to be tried again."""
    return {scene_id for scene_id, failure in failed.items() if failure.is_transient or settings.retry_bad}


def _named(shard: PlannedShard, scene_ids: set[str]) -> tuple[PlannedScene, ...]:
    return tuple(scene for scene in shard.scenes if scene.source.scene_id in scene_ids)


def _render(publisher: _Publisher, work: Sequence[_Work], shown: bool) -> None:
    """Render the scenes in order and publish each shard as soon as its last one is done."""
    settings, log = publisher.settings, publisher.log
    work_of = {scene.source.scene_id: item for item in work for scene in item.scenes}
    sources = [scene.source for item in work for scene in item.scenes]
    left = Counter(item.shard.path for item in work_of.values())
    outcomes: dict[str, Outcome] = {}
    with scratch_folder(Path(tempfile.gettempdir())) as scratch, Progress(len(sources) * settings.views, shown) as bar:
        for name, problem in log.damaged.items():
            bar.say(f"{name} is damaged and is made again: {problem}")
        for rendered in render_all(make_jobs(settings, sources, scratch), settings.pool):
            unstage(rendered.job)
            outcome = judge(settings.on_bad, rendered)
            log.add(outcome)
            _show(bar, settings.views, outcome)
            scene_id = outcome.job["scene_id"]
            outcomes[scene_id] = outcome
            item = work_of[scene_id]
            left[item.shard.path] -= 1
            if not left[item.shard.path]:
                publisher.publish(item, [outcomes.pop(scene.source.scene_id) for scene in item.scenes])


def _show(bar: Progress, views: int, outcome: Outcome) -> None:
    if outcome.images is not None:
        bar.add(views)
    else:
        bar.drop(views, f"{outcome.job['scene_id']}: {outcome.reason}")


class _Publisher:
    """Writes shards; what they replace goes just before the first of them, so that two data sets never lie mixed."""

    def __init__(self, settings: GenerateSettings, foreign: Sequence[Path], log: RunLog) -> None:
        self.settings = settings
        self.log = log
        self._foreign = list(foreign)

    def publish(self, item: _Work, outcomes: Sequence[Outcome]) -> None:
        """Write a shard from the outcomes of its scenes, and from those that it keeps.

        Raises:
            EnrError: it cannot be written, or what it keeps cannot be read.
        """
        rendered = zip(item.scenes, outcomes, strict=True)
        failed = {scene.source.scene_id: _failure(scene, o) for scene, o in rendered if o.images is None}
        self.log.failures.update(failed)
        ids = [scene.source.scene_id for scene in item.scenes]
        try:
            self._clear()
            note_times(item.shard.path, {scene_id: self.log.times[scene_id] for scene_id in ids})
            self._write(item, outcomes, failed)
        except OSError as error:
            raise EnrError(
                f"{item.shard.path} cannot be written ({error.strerror or error}); make room and run the same command "
                "again, finished shards are kept."
            ) from error

    def _clear(self) -> None:
        """Remove the shards of other settings, and what describes them."""
        if self._foreign:
            group, out = self.settings.poses.group, self.settings.out
            self._foreign += [manifest_path(out, group, self.settings.part), card_path(out, group)]
        while self._foreign:
            self._foreign.pop().unlink(missing_ok=True)  # another part may have been quicker

    def _write(self, item: _Work, outcomes: Sequence[Outcome], failed: Mapping[str, Failure]) -> None:
        shard, stored = item.shard, None
        blocks = {
            scene.source.scene_id: block_of_outcome(self.settings, scene, outcome)
            for scene, outcome in zip(item.scenes, outcomes, strict=True)
            if outcome.images is not None
        }
        if item.keeps:
            failed = {**_not_of(item.scenes, failures_on_disk(shard)), **failed}
        config = {**shard.config, "failures": failures.to_config(failed)}
        if item.keeps and shard.path.exists():
            stored = read_shard(shard.path)
            config["meshes"] = _as_rendered(shard.config["meshes"], stored.meta.config["meshes"], blocks)
            blocks |= blocks_of_shard(stored)
        if not blocks:
            write_failed(shard, config)
            shard.path.unlink(missing_ok=True)
            return
        in_order = [blocks[scene.source.scene_id] for scene in shard.scenes if scene.source.scene_id in blocks]
        versions = {outcome.facts["blender_version"] for outcome in outcomes if outcome.images is not None}
        version = stored.meta.blender_version if stored else versions.pop()
        write_shard(shard.path, join_blocks(self.settings, in_order, config, version), self.settings.compression)
        failed_path(shard.path).unlink(missing_ok=True)


def _not_of(scenes: Sequence[PlannedScene], failed: Mapping[str, Failure]) -> dict[str, Failure]:
    """Failures of other scenes than these."""
    tried = {scene.source.scene_id for scene in scenes}
    return {scene_id: failure for scene_id, failure in failed.items() if scene_id not in tried}


def _as_rendered(
    planned: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]], new: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The meshes of a shard of kept and new scenes: of a kept one, the hash of the file that it was made of."""
    return [now if now["scene_id"] in new else then for now, then in zip(planned, stored, strict=True)]


def _failure(scene: PlannedScene, outcome: Outcome) -> Failure:
    """Why a scene failed; a mesh whose file cannot be read at the moment is not called a bad one."""
    kind = outcome.kind or ERROR
    if kind == BAD_MESH:
        try:
            scene.source.path.open("rb").close()
        except OSError:
            kind = UNREADABLE
    return Failure(kind, outcome.reason)
