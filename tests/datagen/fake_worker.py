"""Stands in for a render worker: the same protocol, no Blender. A job's mesh name says how it behaves."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

DIES, HANGS, REFUSES, FAILS, DIES_ONCE, WAITS = "dies", "hangs", "refuses", "fails", "dies-once", "waits"
SWELLS, LIES, BABBLES = "swells", "lies", "babbles"


def picture(job: dict) -> np.ndarray:
    """Pixels that depend on the mesh and on each view's seed alone, as the real worker's do."""
    shape = (job["height_px"], job["width_px"], 4)
    mesh = int.from_bytes(Path(job["mesh"]).read_bytes()[:4].ljust(4), "big")
    return np.stack([np.random.default_rng([mesh, v["seed"]]).integers(1, 255, shape, np.uint8) for v in job["views"]])


def swell() -> None:
    """Take 600 MB and keep them."""
    taken = np.ones(600 * 2**20, np.uint8)
    time.sleep(600)
    taken.sum()


def obey(job: dict) -> dict:
    name = Path(job["mesh"]).stem
    if "ENR_FAKE_LOG" in os.environ:  # a line for each job that is begun
        with Path(os.environ["ENR_FAKE_LOG"]).open("a") as log:
            log.write(f"{os.getpid()} {name}\n")
        time.sleep(0.02)
    if "ENR_FAKE_HEALED" in os.environ:  # whatever it was, it is gone
        name = "fine"
    if name == DIES or (name == DIES_ONCE and not Path(job["mesh"]).with_suffix(".tried").exists()):
        Path(job["mesh"]).with_suffix(".tried").touch()
        print("Blender's last words", file=sys.stderr, flush=True)
        os.abort()
    if name == HANGS:
        time.sleep(600)
    if name == WAITS:
        Path(job["mesh"]).with_suffix(".started").write_text(str(os.getppid()))
        while Path(job["mesh"]).with_suffix(".wait").exists():
            time.sleep(0.05)
    if name == SWELLS:
        swell()
    if name == BABBLES:
        print("Fra:1 Mem:12.3M", flush=True)
    if name in (REFUSES, FAILS):
        return {"ok": False, "bad_mesh": name == REFUSES, "reason": f"it {name}"}
    np.save(job["out"], picture(job)[: -1 if name == LIES else None])
    facts = {"normalise_scale": 1.0, "normalise_offset": [0, 0, 0], "materials": "palette"}
    facts["cards"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    clipped = [bool(view["seed"] % 2) for view in job["views"]]
    return {"ok": True, **facts, "clipped": clipped, "blender_version": "5.0.1", "timings": {"render": 0.5}}


print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    print(json.dumps({**obey(job), "pid": os.getpid(), "peak_memory_mb": 100.0, "seconds": 0.5}), flush=True)
