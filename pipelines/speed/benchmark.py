"""How fast each part is, measured on this machine: data generation, loader, training, rendering.

Every part runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from enr.camera import RADIUS, focal_px_from_lens
from enr.checking import Count, Positive, checked
from enr.errors import EnrError
from enr.pipelines.machine import describe_machine
from enr.pipelines.speed.noise import write_noise_shard

Part = Literal["datagen", "loader", "train", "render"]
PARTS: tuple[Part, ...] = get_args(Part)
BUILT_IN_MESHES = 40


@checked()
@dataclass(frozen=True)
class BenchSettings:
    """What is measured.

    Attributes:
        meshes: files and folders of meshes for `datagen`; the built-in shapes if empty.
        count: at most so many of them, the first by their ids; all if None.
        scaling: whether `datagen` is measured with one worker, too.
        check_pairs: how many times `datagen` is measured with and without its checks.
        shards: shards for `loader` and `train`; noise pictures of the same size if empty.
        views: pictures of each mesh, for `datagen`.
        resolution: width and height of the pictures in pixels.
        samples: paths for each pixel, for `datagen`.
        workers: Blender processes, for `datagen`.
        preset: the model of `train` and `render`.
        batch_size: pairs a batch, for `loader` and `train`.
        seconds: how long `loader`, `train` and `render` are measured.
    """

    meshes: tuple[Path, ...] = ()
    count: Count | None = None
    scaling: bool = False
    check_pairs: int = 0
    shards: tuple[Path, ...] = ()
    views: Annotated[int, Field(ge=2)] = 50
    resolution: Annotated[int, Field(ge=8, le=4096)] = 64
    samples: Count = 16
    workers: Count = 1
    preset: str = "small-64"
    batch_size: Count = 16
    seconds: Positive = 10.0


def run_benchmark(parts: Sequence[Part], settings: BenchSettings) -> dict[str, object]:
    """Measure `parts` one after the other; results by part, ready for JSON, beside a description of the machine.

    Raises:
        EnrError: a part cannot be measured, with the reason.
    """
    return {"machine": describe_machine(), **{part: _in_own_process(part, settings) for part in parts}}


def _in_own_process(part: Part, settings: BenchSettings) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(measure, part, settings).result()
        except BrokenProcessPool as error:
            raise EnrError(
                f"The benchmark of '{part}' died (out of memory?); try fewer or smaller pictures."
            ) from error


def measure(part: Part, settings: BenchSettings) -> dict[str, object]:
    """Measure one part in this process; its results and this process's peak memory.

    Where a part has workers of its own, `peak_memory_mb` is that of the largest worker.
    """
    results = MEASURES[part](settings)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    key = "parent_peak_memory_mb" if "peak_memory_mb" in results else "peak_memory_mb"
    return {**results, key: peak_mb}


def measure_datagen(settings: BenchSettings) -> dict[str, object]:
    """See `enr.pipelines.speed.datagen.benchmark_datagen`."""
    from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings
    from enr.datagen.shapes.catalogue import write_shapes
    from enr.pipelines.speed.datagen import benchmark_datagen

    size = settings.resolution
    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        if not settings.meshes:
            write_shapes(Path(folder), count=BUILT_IN_MESHES, seed=0)
        return benchmark_datagen(
            GenerateSettings(
                meshes=settings.meshes or (Path(folder),),
                views=settings.views,
                render=RenderSettings(size, size, focal_px_from_lens(size), settings.samples),
                pool=PoolSettings(workers=settings.workers),
            ),
            settings.count,
            settings.scaling,
            settings.check_pairs,
        )


def measure_loader(settings: BenchSettings) -> dict[str, object]:
    """Pairs a second that the training loader reads from files in the system's cache."""
    from enr.pipelines.data.views import ViewSet
    from enr.pipelines.training.loader import PairLoader

    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        view_set = ViewSet.open(settings.shards or (write_noise_shard(Path(folder), settings.resolution),))
        loader = PairLoader(view_set, "train", settings.batch_size, seed=0)
        for _ in range(1 + len(view_set) // settings.batch_size):  # once through the files: from then on they are warm
            next(loader)
        batches, seconds = repeat_for(settings.seconds, lambda: next(loader))
    return {
        "pairs_per_second": batches * settings.batch_size / seconds,
        "batch_size": settings.batch_size,
        "resolution_px": [view_set.width_px, view_set.height_px],
        "views": len(view_set),
    }


def measure_train(settings: BenchSettings) -> dict[str, object]:
    """See `enr.pipelines.speed.steps.measure_steps`."""
    from enr.model import Renderer
    from enr.pipelines.data.views import ViewSet
    from enr.pipelines.machine import choose_device, prepare_cpu
    from enr.pipelines.speed.steps import How, measure_steps
    from enr.pipelines.training.loader import PairLoader
    from enr.pipelines.training.prepare import resolve_config
    from enr.pipelines.training.trainer import Trainer

    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        view_set = ViewSet.open(settings.shards or (write_noise_shard(Path(folder), settings.resolution),))
        config, _ = resolve_config(view_set, settings.preset, [f"batch_size={settings.batch_size}"])
        prepare_cpu(config.train.threads)
        device = choose_device(config.train.device)
        loader = PairLoader(view_set, "train", settings.batch_size, config.train.seed)
        trainer = Trainer(Renderer(config.model), loader, config.train, device)
        how = How.on(device, config.train.precision, settings.seconds)
        measured = measure_steps(trainer, config.train.learning_rate, how)
    return {**measured, "batch_size": settings.batch_size, "preset": config.preset}


def measure_render(settings: BenchSettings) -> dict[str, object]:
    """See `enr.pipelines.speed.steps.measure_frames`; one by one and in batches."""
    from enr.model import Renderer
    from enr.pipelines.machine import choose_device, choose_precision, prepare_cpu
    from enr.pipelines.speed.steps import How, measure_frames

    prepare_cpu(0)
    device = choose_device("auto")
    model = Renderer(renderer_config(settings.preset)).to(device).eval()
    how = How.on(device, choose_precision("auto", device), settings.seconds)
    return {**measure_frames(model, (1, settings.batch_size), how), "preset": settings.preset}


def renderer_config(preset: str) -> Any:
    """The preset's renderer for the default lens and distance, at the preset's own picture size.

    Raises:
        EnrError: there is no such preset.
    """
    from enr.pipelines.config import read_preset, resolve

    chosen = read_preset(preset)
    camera = {
        "focal_px": focal_px_from_lens(chosen.size_px[1]),
        "radius": RADIUS,
        "near": RADIUS - 1,
        "far": RADIUS + 1,
        "background": (1.0, 1.0, 1.0),
    }
    return resolve(chosen, camera, chosen.size_px).model


def repeat_for(seconds: float, work: Callable[[], object]) -> tuple[int, float]:
    """Do `work` again and again for about `seconds` (at least once, after one that is not counted).

    Returns:
        how often, and the seconds that it took.
    """
    work()
    started, times = time.perf_counter(), 0
    while not times or time.perf_counter() - started < seconds:
        work()
        times += 1
    return times, time.perf_counter() - started


MEASURES: dict[Part, Callable[[BenchSettings], dict[str, object]]] = {
    "datagen": measure_datagen,
    "loader": measure_loader,
    "train": measure_train,
    "render": measure_render,
}
