"""How fast data is generated, where the time goes, and how that compares with plainer ways to render the same."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enr.datagen.generate import Summary, generate
from enr.datagen.meshes.discovery import MeshSource, find_meshes
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.pipelines.speed.loops import Loop, children_cpu_seconds, run_bare_loop, run_plain_way
from enr.pipelines.speed.picture_difference import compare_pictures
from enr.pipelines.speed.split import Probe, probe_render

BLENDER_CALL = "render"
"""The kind of work in the workers' timings that is Blender's own render call; everything else is overhead."""
PLAIN_MESHES = 10
"""The plain way gets so many meshes at most: it starts anew for each of them, so its rate does not depend on how many
follow."""


@dataclass(frozen=True)
class Measured:
    """One run of `enr datagen`'s own code.

    Attributes:
        summary: what it left.
        workers: Blender processes.
        seconds: from the start of the first of them to the last written file.
        cpu_seconds: processor time of the workers.
    """

    summary: Summary
    workers: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.summary.images / self.seconds

    @property
    def serving_rate(self) -> float:
        """Pictures a second while all workers serve: without their start and the wait for the last one."""
        return self.summary.images * self.workers / sum(self.summary.timings.values())


def benchmark_datagen(
    settings: GenerateSettings, count: int | None = None, scaling: bool = False, check_pairs: int = 0
) -> dict[str, object]:
    """Render the same views by `enr datagen`'s own code, by a bare loop and in the plain way, one after the other.

    Args:
        settings: what to render; its `out` is not used.
        count: the first so many meshes in the order of their ids; all if None.
        scaling: measure one worker beside all of them, too.
        check_pairs: how many times to measure the run with and without its checks, in turn.

    Returns:
        rates, shares, differences and memory, ready for JSON; see docs/speed.md.

    Raises:
        EnrError: no mesh was found, or none could be rendered.
    """
    sources = find_meshes(settings.meshes)[:count]
    few = sources[:PLAIN_MESHES]
    with tempfile.TemporaryDirectory(prefix="enr-bench-") as folder:
        scratch = Path(folder)
        bare = run_bare_loop(settings, sources, scratch)
        measured = _measure(settings, sources, scratch / "shards")
        checks = _cost_of_checks(settings, sources, scratch, check_pairs)
        alone = _measure(_with_workers(settings, 1), sources, scratch / "alone") if scaling else None
        plain = run_plain_way(settings, few, scratch)
        probe = probe_render(settings, few, scratch)
        pictures = compare_pictures(measured.summary.shards, scratch, probe.images)
    plain_facts: dict[str, Any] = {"meshes": len(few), **_loop_facts(plain, measured)}
    # The plain way starts anew for each mesh, `enr datagen` once: in a long run only the latter's start vanishes.
    plain_facts["speed_up_while_serving"] = measured.serving_rate / plain_facts["images_per_second"]
    results = {
        **_facts(settings, sources, measured),
        "ms_per_image": _split(settings, measured, probe),
        "bare_loop": _loop_facts(bare, measured),
        "plain_way": {**plain_facts, "pictures": pictures},
    }
    results |= {"checks": checks} if checks else {}
    return {**results, "one_worker": _scaling(alone, measured)} if alone else results


def _with_workers(settings: GenerateSettings, workers: int) -> GenerateSettings:
    return dataclasses.replace(settings, pool=dataclasses.replace(settings.pool, workers=workers))


def _cost_of_checks(
    settings: GenerateSettings, sources: Sequence[MeshSource], scratch: Path, pairs: int
) -> dict[str, object]:
    """What the checks cost, as shares of the processor time without them; the order changes from pair to pair."""
    costs: list[float] = []
    for pair in range(pairs):
        cpu_seconds: dict[bool, float] = {}
        for checks in (True, False) if pair % 2 else (False, True):
            told = dataclasses.replace(settings, pool=dataclasses.replace(settings.pool, checks=checks))
            cpu_seconds[checks] = _measure(told, sources, scratch / f"checks-{pair}-{checks}").cpu_seconds
        costs.append(cpu_seconds[True] / cpu_seconds[False] - 1)
    return {"pairs": pairs, "cpu_cost_share": statistics.median(costs), "cpu_cost_shares": costs} if costs else {}


def _measure(settings: GenerateSettings, sources: Sequence[MeshSource], out: Path) -> Measured:
    paths = tuple(dict.fromkeys(source.path for source in sources))
    started, cpu_before = time.perf_counter(), children_cpu_seconds()
    summary = generate(dataclasses.replace(settings, meshes=paths, out=out))
    seconds = time.perf_counter() - started
    if not summary.images:
        raise EnrError(f"None of the meshes could be rendered ({next(iter(summary.failures.values()))}).")
    return Measured(summary, settings.pool.workers, seconds, children_cpu_seconds() - cpu_before)


def _facts(settings: GenerateSettings, sources: Sequence[MeshSource], measured: Measured) -> dict[str, object]:
    summary, render = measured.summary, settings.render
    blender_seconds, serving = summary.timings[BLENDER_CALL], sum(summary.timings.values())
    return {
        "images": summary.images,
        "meshes": summary.scenes,
        "first_mesh": sources[0].scene_id,
        "last_mesh": sources[-1].scene_id,
        "failed_meshes": len(summary.failures),
        "resolution_px": [render.width_px, render.height_px],
        "samples": render.samples,
        "workers": measured.workers,
        "seconds": measured.seconds,
        "images_per_second": measured.rate,
        "images_per_second_while_serving": measured.serving_rate,
        "cpu_ms_per_image": 1000 * measured.cpu_seconds / summary.images,
        "overhead_share": 1 - blender_seconds / (measured.workers * measured.seconds),
        "overhead_share_while_serving": 1 - blender_seconds / serving,
        "peak_memory_mb": summary.worker_peak_memory_mb,
    }


def _split(settings: GenerateSettings, measured: Measured, probe: Probe) -> dict[str, object]:
    """A worker's milliseconds for a picture by kind of work; Blender's render call shared out as the probe found."""
    summary = measured.summary
    idle = measured.workers * measured.seconds - sum(summary.timings.values())
    parts = {**summary.timings, "start_and_wait": max(0.0, idle)}
    found = probe.split(settings.views, settings.render.samples)
    call_ms = 1000 * summary.timings[BLENDER_CALL] / summary.images
    scale = call_ms / max(sum(found.values()), 1e-9)
    return {
        **{kind: 1000 * seconds / summary.images for kind, seconds in parts.items()},
        "render_split": {part: scale * value for part, value in found.items()},
    }


def _loop_facts(loop: Loop, measured: Measured) -> dict[str, object]:
    """Rates of a comparison. `speed_up` sets rates with all starts and ends side by side."""
    rate = loop.images / loop.seconds
    return {
        "images": loop.images,
        "images_per_second": rate,
        "speed_up": measured.rate / rate,
        "cpu_ms_per_image": 1000 * loop.cpu_seconds / loop.images,
        "speed_up_in_cpu_time": loop.cpu_seconds / loop.images / (measured.cpu_seconds / measured.summary.images),
        "ms_per_image": {kind: 1000 * value / loop.images for kind, value in loop.timings.items()},
        "peak_memory_mb": loop.peak_memory_mb,
    }


def _scaling(one: Measured, measured: Measured) -> dict[str, float]:
    return {
        "images_per_second": one.rate,
        "images_per_second_while_serving": one.serving_rate,
        "speed_up_of_all_workers": measured.rate / one.rate,
        "speed_up_of_all_workers_while_serving": measured.serving_rate / one.serving_rate,
    }
