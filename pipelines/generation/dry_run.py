"""`enr datagen --dry-run`: how much it will be and how long it will take, from meshes rendered for the purpose."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enr.datagen.generate import RunLog, render_shards
from enr.datagen.meshes.discovery import hash_meshes
from enr.datagen.plan import PlannedScene, PlannedShard, plan_scenes, plan_shard
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.installed_blender import blender_version
from enr.errors import EnrError
from enr.words import count_of

MESHES_A_WORKER = 3
FEWEST_MESHES = 6


@dataclass(frozen=True)
class Estimate:
    """What a data set will be, as far as a sample tells.

    Attributes:
        meshes: of the data set, or of the part.
        images: pictures, if no mesh fails.
        seconds: wall time on this machine.
        spread: two standard errors of `seconds`, as a share of it; NaN from a single mesh.
        gigabytes: of the shards, in 10^9 bytes.
        workers: render processes that the time holds for.
        sampled: meshes that were rendered for this.
        failures: those of them that failed, with the reason.
    """

    meshes: int
    images: int
    seconds: float
    spread: float
    gigabytes: float
    workers: int
    sampled: int
    failures: dict[str, str]

    @property
    def images_per_second(self) -> float:
        """The rate that `seconds` rests on."""
        return self.images / self.seconds


def estimate(settings: GenerateSettings) -> Estimate:
    """Render a few meshes, spread evenly over the ids, with all their views; the output folder is not touched.

    Raises:
        EnrError: there are no meshes, none of the few can be rendered, or no worker starts.
    """
    scenes = plan_scenes(settings)
    if not scenes:
        raise EnrError("This part has no meshes, because there are more parts than shards; give fewer parts.")
    sample = _spread(scenes, max(FEWEST_MESHES, MESHES_A_WORKER * settings.pool.workers))
    with tempfile.TemporaryDirectory(prefix="enr-dry-run-") as folder:
        there = dataclasses.replace(settings, out=Path(folder), part=None, overwrite=False, retry_failed=False)
        path = Path(folder) / f"{settings.poses.group}-00000-of-00001.h5"
        hashes = hash_meshes([scene.source for scene in sample])
        hashed = [scene.hashed(sha256) for scene, sha256 in zip(sample, hashes, strict=True)]
        shard = plan_shard(there, path, hashed, blender_version(settings.pool.blender))
        log = render_shards(there, [shard])
        size = shard.path.stat().st_size if shard.path.exists() else 0
    return _estimate(settings, len(scenes), shard, log, size)


def describe(found: Estimate) -> str:
    """An estimate in a few lines."""
    spread = "" if math.isnan(found.spread) else f", give or take {found.spread:.0%}"
    lines = [
        f"{count_of(found.images, 'image')} of {count_of(found.meshes, 'mesh')}, about {_size(found.gigabytes)}",
        f"about {_duration(found.seconds)} on this machine with {count_of(found.workers, 'worker')} "
        f"({found.images_per_second:.1f} images/s{spread})",
        f"measured on {count_of(found.sampled, 'mesh')}; nothing was written",
    ]
    lines += [f"  {scene_id} failed: {reason}" for scene_id, reason in found.failures.items()]
    return "\n".join(lines)


def _estimate(settings: GenerateSettings, meshes: int, shard: PlannedShard, log: RunLog, size: int) -> Estimate:
    failures = {scene_id: failure.reason for scene_id, failure in log.failures.items()}
    seconds = [times.seconds for times in log.times.values() if times.seconds is not None]
    rendered = len(shard.scenes) - len(failures)
    if not rendered or not seconds:
        reason = next(iter(failures.values()), "no times came back")
        raise EnrError(f"None of the {len(shard.scenes)} meshes that were tried could be rendered ({reason}).")
    workers = log.workers or settings.pool.workers
    mean = statistics.fmean(seconds)
    spread = 2 * statistics.stdev(seconds) / math.sqrt(len(seconds)) / mean if len(seconds) > 1 else math.nan
    return Estimate(
        meshes=meshes,
        images=meshes * settings.views,
        seconds=mean * meshes / workers,
        spread=spread,
        gigabytes=size / rendered * meshes / 1e9,
        workers=workers,
        sampled=len(shard.scenes),
        failures=failures,
    )


def _spread(scenes: Sequence[PlannedScene], count: int) -> tuple[PlannedScene, ...]:
    """At most `count` scenes at even distances."""
    step = max(1.0, len(scenes) / count)
    return tuple(scenes[int(index * step)] for index in range(min(count, len(scenes))))


def _size(gigabytes: float) -> str:
    return f"{gigabytes:,.1f} GB" if gigabytes >= 1 else f"{1000 * gigabytes:,.1f} MB"


def _duration(seconds: float) -> str:
    """Hours where they are many, else minutes or seconds."""
    if seconds >= 5400:
        return f"{seconds / 3600:,.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
