"""`enr datagen` on a Dask cluster: whole shards, planned here, rendered by the cluster's workers, written by them.

The plan, and with it every pixel, is the one of a single machine. A shard is one task; Dask gives it to another worker
where one dies. Blender runs in processes of its own beside each Dask worker, never in it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enr import __version__
from enr.datagen.generate import RunLog, Summary, render_shards, summarise
from enr.datagen.plan import PlannedShard, plan_shards
from enr.datagen.run.render_meshes import Progress
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.installed_blender import blender_version
from enr.datagen.workers.pool import default_workers
from enr.errors import EnrError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 20
RETRIES = 2
"""Further tries of a shard whose task failed; how many deaths of workers it survives is the scheduler's setting."""


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """What a worker is told.

    Attributes:
        settings: of the whole data set, with absolute paths.
        shard: the one to make.
        workers: render processes on each machine; None for as many as a task's share of the machine's cores.
        enr_version: of the machine that planned it.
    """

    settings: GenerateSettings
    shard: PlannedShard
    workers: int | None
    enr_version: str


def generate_on_cluster(
    settings: GenerateSettings, scheduler: str, workers: int | None = None, progress: bool = False
) -> Summary:
    """Make a data set on a cluster; the shards are those that `enr.datagen.generate.generate` makes.

    Args:
        settings: what to make; the folders of meshes and shards must have the same path on all machines.
        scheduler: the address of a Dask scheduler, or the path of its scheduler file.
        workers: render processes for each task; None for a task's share of its machine's cores.
        progress: say how far it is on standard error.

    Raises:
        EnrError: there is no such scheduler, a worker has other versions or other folders, workers keep dying, or what
            `enr.datagen.generate.generate` says.
    """
    settings = _with_absolute_paths(settings)
    with _connected(scheduler) as client:
        shards = plan_shards(settings, blender_version(settings.pool.blender))
        try:
            settings.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise EnrError(f"{settings.out} cannot be made ({reason}); give another folder as --out.") from error
        images = sum(len(shard.scenes) for shard in shards) * settings.views
        with Progress(images, progress) as bar:
            if not client.nthreads():
                bar.say(f"No worker has joined {scheduler} yet; waiting for one.")
            log = _render(client, [ShardTask(settings, shard, workers, __version__) for shard in shards], bar)
    return summarise(settings, shards, log)


def make_shard(task: ShardTask) -> RunLog:
    """Make one shard on the machine that this runs on; the Dask workers' part.

    Raises:
        EnrError: this machine is not as the one that planned the shard, or what `render_shards` says.
    """
    settings, shard = task.settings, task.shard
    _check_machine(task)
    workers = task.workers
    if workers is None:  # this task's share, where the Dask worker runs as many tasks at once as it has threads
        from distributed import get_worker

        workers = max(1, default_workers() // max(1, get_worker().state.nthreads))
    pool = dataclasses.replace(settings.pool, workers=workers)
    return render_shards(dataclasses.replace(settings, pool=pool), [shard])


def _render(client: Client, tasks: Sequence[ShardTask], bar: Progress) -> RunLog:
    """Have all shards made; what the workers did, summed."""
    from distributed import as_completed

    run, log = uuid.uuid4().hex[:8], RunLog()
    started = time.monotonic()
    shard_of = {}
    for task in tasks:
        key = f"{task.shard.path.stem}-{run}"
        shard_of[client.submit(make_shard, task, key=key, retries=RETRIES, pure=False)] = task.shard
    try:
        for future in as_completed(list(shard_of), loop=client.loop):
            done = result_of(future, shard_of[future])
            add_log(log, done)
            bar.add(len(shard_of[future].scenes) * tasks[0].settings.views)
            for scene_id, failure in done.failures.items():
                bar.say(f"{scene_id}: {failure.reason}")
            future.release()
    finally:
        client.cancel(list(shard_of), asynchronous=False)
    log.seconds = time.monotonic() - started
    return log


def result_of(future: Any, shard: PlannedShard) -> RunLog:
    """What a finished task says.

    Raises:
        EnrError: it failed for good; in one sentence.
    """
    from distributed import KilledWorker

    try:
        log: RunLog = future.result()
    except EnrError:
        raise
    except KilledWorker as error:
        last = getattr(error.last_worker, "address", error.last_worker)
        raise EnrError(
            f"The workers that made {shard.path.name} died one after the other (the last one: {last}); see their logs "
            "and run the same command again, finished shards are kept."
        ) from error
    except Exception as error:
        raise EnrError(
            f"{shard.path.name} was not made ({type(error).__name__}: {' '.join(str(error).split())[:200]}); see the "
            "workers' logs and run the same command again, finished shards are kept."
        ) from error
    return log


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    """A client of the scheduler.

    Raises:
        EnrError: Dask is not installed, or nothing answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EnrError(
            "Dask is not installed; run `pip install -e '.[all,cluster]'` in the clone of enr, here and on all workers."
        ) from error
    is_file = Path(scheduler).is_file()
    try:
        if is_file:
            client = Client(scheduler_file=scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        else:
            client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        raise EnrError(
            f"No Dask scheduler answers at {scheduler} ({type(error).__name__}); give the address that `dask "
            "scheduler` prints, such as tcp://10.0.0.1:8786, or its scheduler file."
        ) from error
    with client, _quiet():
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs of lost connections off the terminal; it is told in one sentence."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _with_absolute_paths(settings: GenerateSettings) -> GenerateSettings:
    """The settings as they hold in any working folder."""
    blender = settings.pool.blender
    pool = dataclasses.replace(settings.pool, blender=blender and blender.absolute())
    return dataclasses.replace(
        settings,
        meshes=tuple(Path(path).absolute() for path in settings.meshes),
        out=settings.out.absolute(),
        pool=pool,
    )


def _check_machine(task: ShardTask) -> None:
    """Refuse to render on a machine that would make something else, or put it elsewhere."""
    here = f"The worker on {os.uname().nodename}"
    blender = blender_version(task.settings.pool.blender)
    for name, own, wanted in (("enr", __version__, task.enr_version), ("Blender", blender, task.shard.blender_version)):
        if own != wanted:
            raise EnrError(f"{here} has {name} {own}, this run needs {wanted}; install the same on all machines.")
    if not task.settings.out.is_dir():
        raise EnrError(f"{here} does not see {task.settings.out}; give an --out that all machines share.")
    source = task.shard.scenes[0].source
    if task.shard.scenes[0].sha256 and not source.path.exists():
        raise EnrError(f"{here} does not see {source.path}; keep the meshes where all machines see them.")


def add_log(log: RunLog, other: RunLog) -> None:
    """Add what another run did."""
    log.images += other.images
    log.peak_memory_mb = max(log.peak_memory_mb, other.peak_memory_mb)
    for kind, seconds in other.timings.items():
        log.timings[kind] = log.timings.get(kind, 0.0) + seconds
    log.failures |= other.failures
    log.times |= other.times
    log.damaged |= other.damaged
