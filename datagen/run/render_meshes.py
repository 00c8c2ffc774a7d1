"""Render what is left to do, and say how far it is; a shard is published as soon as its last mesh is done."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from enr.datagen.failures import Failure
from enr.datagen.flags import judge
from enr.datagen.jobs import make_jobs
from enr.datagen.meshes.staging import unstage
from enr.datagen.metadata.manifest import MeshTimes
from enr.datagen.run.publish import Publisher
from enr.datagen.run.work import Work
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.pool import render_all, scratch_folder
from enr.datagen.workers.worker import RenderedMesh
from enr.words import count_of

LINE_SECONDS = 60.0
BAR_SECONDS = 0.2


@dataclass
class RunLog:
    """What one call of `enr.datagen.generate.render_shards` did.

    Attributes:
        images: pictures rendered.
        seconds: wall time.
        peak_memory_mb: the largest resident memory of a worker.
        timings: seconds inside the workers by kind of work, summed.
        failures: by scene id.
        times: what each scene took, by id.
        workers: render processes; 0 if nothing was rendered.
        cards: graphics cards that they were dealt to.
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
    workers: int = 0
    cards: int = 0
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def add(self, rendered: RenderedMesh) -> None:
        """Count one mesh."""
        self.images += 0 if rendered.images is None else len(rendered.images)
        self.peak_memory_mb = max(self.peak_memory_mb, rendered.facts.get("peak_memory_mb", 0.0))
        for kind, seconds in rendered.facts.get("timings", {}).items():
            self.timings[kind] = self.timings.get(kind, 0.0) + seconds
        times = MeshTimes(rendered.facts.get("seconds"), rendered.facts.get("peak_memory_mb"))
        self.times[rendered.job["scene_id"]] = times


class Progress:
    """Counts images on standard error; says nothing if it is not `shown`."""

    def __init__(self, images: int, shown: bool) -> None:
        self._total, self._done = images, 0
        self._started = self._said_at = time.monotonic()
        on_terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        if shown and on_terminal:
            self._bar = tqdm(total=images, unit=" images", smoothing=0.05, mininterval=BAR_SECONDS)
        self._is_log = shown and not on_terminal
        if images:
            self._say_in_log(f"{images:,} images to make; Blender is started")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, images: int) -> None:
        """Count finished images."""
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
        elif self._is_log and time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self.say(self._line())

    def drop(self, images: int, why: str) -> None:
        """Images that will not come, and why."""
        self._total -= images
        if self._bar is not None:
            self._bar.total = self._total
        self.say(why)

    def say(self, words: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(words, file=sys.stderr)
        else:
            self._say_in_log(words)

    def _say_in_log(self, words: str) -> None:
        if self._is_log:
            print(words, file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = self._done / (time.monotonic() - self._started)
        left = timedelta(seconds=round((self._total - self._done) / rate)) if rate else "unknown time"
        return f"{self._done:,} of {self._total:,} images, {rate:.1f} images/s, {left} left"


def render(settings: GenerateSettings, work: Work, log: RunLog, progress: bool = False) -> None:
    """Render the scenes of some shards in order and publish each shard as soon as its last one is done.

    Args:
        settings: those that the shards were planned with.
        work: what is to be done.
        log: what was done is added to it.
        progress: say how far it is on standard error.

    Raises:
        EnrError: no worker starts, a shard cannot be written, or a view is bad and `settings.on_bad` says so.
    """
    item_of = {scene.source.scene_id: item for item in work.shards for scene in item.scenes}
    sources = [scene.source for item in work.shards for scene in item.scenes]
    left = Counter(item.shard.path for item in item_of.values())
    waiting: dict[str, RenderedMesh] = {}
    images = len(sources) * settings.views
    with Progress(images, progress) as bar, scratch_folder(Path(tempfile.gettempdir())) as scratch:
        publisher = Publisher(settings, work.foreign)
        log.workers, log.cards = settings.pool.workers, len(set(settings.pool.pins))
        if log.cards:
            device = settings.render.look.device
            bar.say(f"{count_of(log.workers, 'worker')} on {count_of(log.cards, 'graphics card')} ({device})")
        for path, problem in work.damaged.items():
            bar.say(f"{path.name} is damaged and is made again: {problem}")
        for rendered in render_all(make_jobs(settings, sources, scratch), settings.pool):
            unstage(rendered.job)
            judged = judge(settings.on_bad, rendered)
            scene_id = judged.job["scene_id"]
            log.add(judged)
            if judged.images is not None:
                bar.add(settings.views)
            else:
                bar.drop(settings.views, f"{scene_id}: {judged.reason}")
            item, waiting[scene_id] = item_of[scene_id], judged
            left[item.shard.path] -= 1
            if not left[item.shard.path]:
                ids = [scene.source.scene_id for scene in item.scenes]
                times = {scene_id: log.times[scene_id] for scene_id in ids}
                log.failures |= publisher.publish(item, [waiting.pop(scene_id) for scene_id in ids], times)
