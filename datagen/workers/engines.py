"""Whether this machine can render a look at all: asked in a process of its own, which an engine may well kill."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from pathlib import Path

from enr.datagen.appearance.look import Look
from enr.datagen.workers.worker import worker_command
from enr.errors import EnrError

PROBE = Path(__file__).resolve().parents[1] / "blender/probe.py"
PROBE_SECONDS = 300.0
"""Patience: an engine may compile its kernels or shaders the first time."""


def check_look(look: Look, executable: Path | None = None) -> None:
    """Make sure that Blender can render a look here. Cycles on the CPU by plain light always can, and is not asked.

    Args:
        look: what is wanted.
        executable: an installed Blender; None for the wheel.

    Raises:
        EnrError: it cannot, with its words.
    """
    if look.engine != "cycles" and look.device != "cpu":
        raise EnrError(f"--device {look.device} is for the engine cycles alone; leave it out with {look.engine}.")
    if (look.engine, look.device, look.hdri) == ("cycles", "cpu", None):
        return
    wrong = _probe(look, executable)
    if not wrong:
        return
    what = f"--engine {look.engine}" if look.engine != "cycles" else f"--device {look.device}"
    if look.hdri and "surroundings" in wrong:
        what = f"--hdri {look.hdri.path}"
    raise EnrError(f"{what} does not work on this machine ({wrong}); {_way_out(look, wrong)}")


def _way_out(look: Look, wrong: str) -> str:
    if look.hdri and "surroundings" in wrong:
        return "give an equirectangular picture (.hdr, .exr, .png, .jpg)."
    if look.engine != "cycles":
        return "it needs a graphics card with a working display driver (EGL): use --engine cycles, which runs anywhere."
    return "`enr doctor` lists the devices that Cycles sees; --device cpu runs anywhere."


def _probe(look: Look, executable: Path | None) -> str:
    """What is wrong, in words; empty if nothing."""
    with tempfile.TemporaryDirectory(prefix="enr-probe-") as scratch:
        job = Path(scratch, "job.json")
        size = {"width_px": 1, "height_px": 1, "focal_px": 1.0, "samples": 1}
        asked = {**size, **look.job(), "threads": 1, "out": str(Path(scratch, "probe.tga"))}
        job.write_text(json.dumps(asked), encoding="utf-8")
        command = worker_command(PROBE, (str(job),), 1, executable)
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"no picture within {PROBE_SECONDS:g} s"
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    answers = [line for line in lines if line.startswith('{"wrong"')]
    if answers:
        return str(json.loads(answers[-1])["wrong"])
    return _ending(done.returncode, done.stderr.decode("utf-8", "replace"))


def _ending(status: int, words: str) -> str:
    """How a probe ended that gave no answer."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"Blender ended with {name}" + (f": {lines[-1][:160]}" if lines else "")
