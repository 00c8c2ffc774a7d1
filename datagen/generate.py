"""Meshes to shards: plan, render in workers, assemble, write; what failed is named."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enr.datagen.flags import count_flags
from enr.datagen.metadata.beside import failures_on_disk
from enr.datagen.metadata.contact_sheet import save_contact_sheet
from enr.datagen.metadata.manifest import Records, RunRecord
from enr.datagen.metadata.record import record_run
from enr.datagen.plan import PlannedShard, plan_shards
from enr.datagen.run.claims import claim
from enr.datagen.run.render_meshes import RunLog, render
from enr.datagen.run.work import find_work
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.cards import with_cards
from enr.datagen.workers.engines import check_look
from enr.datagen.workers.installed_blender import blender_version
from enr.shards import SPLITS, read_tables

__all__ = ["RunLog", "Summary", "generate", "render_shards", "summarise"]


@dataclass(frozen=True)
class Summary:
    """What a run of `generate` left.

    Attributes:
        shards: all shards of the data set that are on the disk, in order.
        contact_sheet: a picture of some views; None if nothing was made, or of a part.
        manifest: what each mesh became (see `enr.datagen.metadata.manifest`); None if nothing was made.
        card: the same for people; None if nothing was made, or of a part.
        scenes: scenes in the shards.
        images: pictures in the shards.
        images_made: pictures rendered by this run (the rest was there already).
        seconds: time that this run spent on rendering.
        failures: reason by scene id.
        failed_now: those of them that failed in this run; progress has told why.
        retryable: scene ids whose failure may not happen again (see `enr.datagen.failures`).
        damaged: names of shards that were no longer what was written and were made again, with what was wrong.
        flags: views in the shards by the flags that they carry (see `enr.datagen.flags`).
        clipped_share: share of views in which the object reaches over the picture's border.
        cards: graphics cards that this run rendered on, one worker or more on each; 0 on the CPU.
        without_textures: scenes in the shards of which a texture was not found, or is no picture that Blender reads.
        scenes_by_split: scenes in the shards for train, val and test.
        repeated: ids of two scenes, trained on and held out, that are the same mesh; each held-out one once.
        worker_peak_memory_mb: the largest resident memory of a worker in this run.
        timings: seconds inside the workers by kind of work, summed (see `enr.datagen.blender.scene`).
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
    failed_now: tuple[str, ...]
    retryable: tuple[str, ...]
    damaged: dict[str, str]
    flags: dict[str, int]
    clipped_share: float
    cards: int
    without_textures: int
    scenes_by_split: dict[str, int]
    repeated: tuple[tuple[str, str], ...]
    worker_peak_memory_mb: float
    timings: dict[str, float]


def generate(settings: GenerateSettings, progress: bool = False) -> Summary:
    """Render every mesh's views and write the shards, each complete or absent; finished ones are checked and kept.

    Args:
        settings: what to make.
        progress: show a bar with images/s and time left on standard error.

    Raises:
        EnrError: there is no Blender, there are no meshes, or what `render_shards` says.
    """
    shards = plan_shards(settings, blender_version(settings.pool.blender))
    return summarise(settings, shards, render_shards(settings, shards, progress))


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
            work = find_work(settings, shards)
            log.damaged = {path.name: problem for path, problem in work.damaged.items()}
            if work.shards:
                check_look(settings.render.look, settings.pool.blender)
                pool = with_cards(settings.pool, settings.render.look.device)
                render(dataclasses.replace(settings, pool=pool), work, log, progress)
    log.seconds = time.monotonic() - started
    return log


def summarise(settings: GenerateSettings, planned: Sequence[PlannedShard], log: RunLog) -> Summary:
    """Count what lies on the disk of the planned shards, draw the contact sheet, write the manifest and the card."""
    shards = tuple(shard.path for shard in planned if shard.path.exists())
    scenes = images = clipped = bare = 0
    flags, splits = Counter[str](), Counter[str]()
    trained: dict[str, str] = {}
    held_out: dict[str, str] = {}
    for path in shards:
        _, views, table = read_tables(path)
        scenes += len(table["scene_id"])
        images += len(views["clipped"])
        clipped += int(views["clipped"].sum())
        flags.update(count_flags(views["flags"]))
        splits.update(table["split"].tolist())
        bare += sum(bool(json.loads(facts).get("textures_missing")) for facts in table["facts"].tolist())
        for scene_id, split, sha256 in zip(
            *(table[key].tolist() for key in ("scene_id", "split", "mesh_sha256")), strict=True
        ):
            if split == "train":
                trained.setdefault(sha256, scene_id)
            else:
                held_out[scene_id] = sha256
    failed_now = tuple(sorted(log.failures))
    for shard in planned:
        log.failures.update(failures_on_disk(shard.path))
    run = RunRecord(
        command=settings.command,
        started_at=log.started_at,
        seconds=round(log.seconds, 3),
        images_made=log.images,
        workers=log.workers or settings.pool.workers,
        worker_peak_memory_mb=log.peak_memory_mb,
    )
    sheet = settings.out / f"{settings.poses.group}-contact-sheet.png"
    manifest, card = record_run(settings, planned, Records((run,) if log.times else (), log.times), log.failures)
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
        failed_now=failed_now,
        retryable=tuple(sorted(scene_id for scene_id, failure in log.failures.items() if failure.is_transient)),
        damaged=log.damaged,
        flags=dict(flags),
        clipped_share=clipped / max(images, 1),
        cards=log.cards,
        without_textures=bare,
        scenes_by_split={split: splits[split] for split in SPLITS},
        repeated=tuple(
            (trained[sha256], scene_id) for scene_id, sha256 in held_out.items() if sha256 in trained and sha256
        ),
        worker_peak_memory_mb=log.peak_memory_mb,
        timings=log.timings,
    )
