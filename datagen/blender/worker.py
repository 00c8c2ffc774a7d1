"""The worker: one Blender that obeys jobs for many meshes. Runs as a script in a process of its own.

Standard library, bpy and NumPy only, with `enr.camera` and what else of enr needs no more, so that any Blender's
Python can run it. One JSON line on standard input
is a job (see `enr.datagen.jobs.render_job`); one JSON line on standard output answers it. Whatever Blender and
its libraries print goes to standard error instead, which the parent keeps in a log file.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enr.datagen.messages import Answer, Job

ROOM = Path(__file__).resolve().parents[1]


def _make_enr_importable() -> None:
    """Let `enr.…` resolve to the folder that this file belongs to, in a Python that may not have enr installed.

    Installed, that is the package's folder; in a checkout the core lies in `src/enr`, the rooms beside `src`. Nothing
    else of the Python that installed it can be imported.
    """
    if "enr" not in sys.modules:
        package = types.ModuleType("enr")
        package.__path__ = [str(ROOM.parent), str(ROOM.parent / "src" / "enr")]
        sys.modules["enr"] = package


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent, so that a killed run leaves no worker behind."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    parent_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def _start_blender(threads: int) -> str:
    """Import Blender while this process sees only `threads` cores; its version.

    Blender's task scheduler sizes itself by the cores it sees at its start. Left alone it makes one thread for each
    core, and these spin beside the render thread, which doubled the time of small pictures.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        from enr.datagen.blender import scene

        scene.warm_up(threads)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    return scene.version()


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _memory_mb() -> float:
    """Resident memory now; the peak where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return _peak_memory_mb()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


def answer(job: Job, render: Callable[[Job], Answer]) -> Answer:
    """The answer to a job: what `render` says, or the reason why there is no picture.

    `bad_mesh` tells a mesh that cannot be rendered (no second try helps) from an unexpected error.
    """
    from enr.datagen.blender.importing import MeshError

    started = time.perf_counter()
    try:
        result: Answer = {"ok": True, **render(job)}
    except MeshError as error:
        result = {"ok": False, "bad_mesh": True, "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        result = {"ok": False, "bad_mesh": False, "reason": f"{type(error).__name__}: {error}".strip()}
    return {
        **result,
        "job": job["job"],
        "seconds": time.perf_counter() - started,
        "memory_mb": _memory_mb(),
        "peak_memory_mb": _peak_memory_mb(),
    }


def main() -> None:
    """Serve jobs until standard input ends. The only argument is the number of threads."""
    # The real standard output, which from then on is standard error for everybody else.
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _die_with_parent()
    _make_enr_importable()
    blender_version = _start_blender(int(sys.argv[-1]))
    from enr.datagen.blender import scene

    protocol.write(json.dumps({"ready": True, "blender_version": blender_version}) + "\n")
    for line in sys.stdin:
        protocol.write(json.dumps(answer(json.loads(line), scene.render_mesh)) + "\n")
    protocol.flush()
    os._exit(0)  # Blender may crash in its exit handlers; everything of value is out already.


if __name__ == "__main__":
    main()
