"""What is installed, what is missing, which devices there are, and one picture to prove it.

Blender and torch are asked in processes of their own, so that a broken library cannot take the report down.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from enr import __version__
from enr.errors import EnrError
from enr.words import count_of

PROBE_SECONDS = 120.0
REPEATING_EXTRAS = ("all", "dev", "cluster", "video")
PICTURE_PX = 64
BLENDER_PROBE = "enr.datagen.blender.devices"
TORCH_PROBE = """
import json
from enr.pipelines.threads import choose_threads, torch
cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
mps = ["Apple GPU (mps)"] if torch.backends.mps.is_available() else []
most, threads = torch.get_num_threads(), choose_threads()
which = f"{threads} of {most} threads, the quickest beside what runs now" if threads < most else f"{most} threads"
cpu = ["CPU (1 thread)" if most == 1 else f"CPU ({which})"]
print(json.dumps({"version": torch.__version__, "devices": cuda + mps + cpu}))
"""


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report.

    Attributes:
        status: `ok`, or `missing` where something that the main job needs is not there.
        what: what was looked at and what was seen.
        advice: what to do about it, if anything.
    """

    status: Literal["ok", "missing"]
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.status:<8} {self.what}" + (f": {self.advice}" if self.advice else "")


def examine(show: Callable[[Diagnosis], None] | None = None) -> tuple[Diagnosis, ...]:
    """Look at everything that the main job needs.

    Args:
        show: called with each finding as soon as it is there.
    """
    findings: list[Diagnosis] = []
    for check in (check_machine, check_packages, check_libraries, check_blender, check_torch, check_picture):
        for finding in check():
            findings.append(finding)
            if show:
                show(finding)
    return tuple(findings)


def check_machine() -> tuple[Diagnosis, ...]:
    """The system, the Python, cores and memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"enr {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    hardware = count_of(cores or 1, "CPU core")
    if importlib.util.find_spec("psutil"):
        import psutil

        with suppress(OSError):  # a container without /proc
            memory = psutil.virtual_memory()
            hardware += f", {memory.total / 2**30:.1f} GiB memory, {memory.available / 2**30:.1f} GiB of it free"
    return (Diagnosis("ok", system), Diagnosis("ok", hardware))


def required_packages() -> dict[str, str]:
    """Extra (empty where always needed) by the name of every package that a full installation has.

    Blender's wheel is left out where it does not come for this Python; so are extras that repeat others.
    """
    found: dict[str, str] = {}
    for requirement in importlib.metadata.requires("enr") or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        python = re.search(r"python_version == ['\"]([\d.]+)['\"]", requirement)
        is_for_another_python = python and python[1] != ".".join(map(str, sys.version_info[:2]))
        if name and name[0] != "enr" and not is_for_another_python and not (extra and extra[1] in REPEATING_EXTRAS):
            found.setdefault(name[0], extra[1] if extra else "")
    return found


def check_packages(required: dict[str, str] | None = None) -> tuple[Diagnosis, ...]:
    """The versions of the Python packages.

    Args:
        required: as `required_packages` gives them, by default.
    """
    present, findings = [], []
    for name, extra in (required_packages() if required is None else required).items():
        try:
            present.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            wanted = f"-e '.[{extra}]'" if extra else "-e ."
            findings.append(Diagnosis("missing", f"Python package {name}", f"pip install {wanted}"))
    return (Diagnosis("ok", ", ".join(present)), *findings)


def debian_packages() -> dict[str, str]:
    """Debian package by the name of each system library that the Blender wheel links to."""
    lines = files("enr.pipelines").joinpath("debian-packages.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def blender_library() -> Path | None:
    """Blender's library inside its wheel, found without loading it."""
    spec = importlib.util.find_spec("bpy")
    return Path(spec.origin) if spec and spec.origin else None


def check_libraries() -> tuple[Diagnosis, ...]:
    """The system libraries that Blender needs (on systems with `ldd`)."""
    library = blender_library()
    if library is None or not shutil.which("ldd"):
        return ()
    said = subprocess.run(["ldd", str(library)], capture_output=True, text=True).stdout
    missing = missing_libraries(said)
    if not missing:
        return (Diagnosis("ok", "all system libraries of Blender"),)
    packages = debian_packages()
    return tuple(
        Diagnosis("missing", f"system library {name}", f"apt-get install {packages.get(name, '(package unknown)')}")
        for name in missing
    )


def missing_libraries(ldd_output: str) -> tuple[str, ...]:
    """Names of the libraries that `ldd` did not find, each once, sorted."""
    return tuple(sorted(set(re.findall(r"^\s*(\S+) => not found", ldd_output, flags=re.MULTILINE))))


def check_blender() -> tuple[Diagnosis, ...]:
    """Blender's version and the devices that Cycles sees."""
    answer, words = ask_child(["-m", BLENDER_PROBE])
    if answer is None:
        return (Diagnosis("missing", "Blender does not start", words),)
    devices = ", ".join(f"{device['kind']} ({device['name']})" for device in answer["devices"])
    return (Diagnosis("ok", f"Blender {answer['version']} (Cycles) sees {devices or 'the CPU alone'}"),)


def check_torch() -> tuple[Diagnosis, ...]:
    """Torch's version and the devices that it sees."""
    answer, words = ask_child(["-c", TORCH_PROBE])
    if answer is None:
        return (Diagnosis("missing", "torch does not start", words),)
    return (Diagnosis("ok", f"torch {answer['version']} sees {', '.join(answer['devices'])}"),)


def ask_child(arguments: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """The JSON object on the last line that a Python process prints, or None and its last words."""
    try:
        child = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PROBE_SECONDS:.0f} s"
    try:
        answer: dict[str, Any] = json.loads(child.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None, (child.stderr.strip().splitlines() or [f"it ended with status {child.returncode}"])[-1]
    return answer, ""


def check_picture() -> tuple[Diagnosis, ...]:
    """Render one picture of a built-in shape, through the same code as `enr datagen`."""
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="enr-doctor-") as folder:
            covered = _covered_share(Path(folder))
    except (EnrError, ImportError) as error:
        return (Diagnosis("missing", "no picture could be rendered", str(error)),)
    seconds = time.perf_counter() - started
    picture = f"one {PICTURE_PX} px picture of a built-in shape in {seconds:.1f} s"
    if not 0 < covered < 1:
        return (Diagnosis("missing", picture, f"the shape covers {covered:.0%} of it, expected a part"),)
    return (Diagnosis("ok", f"{picture}; the shape covers {covered:.0%} of it"),)


def _covered_share(folder: Path) -> float:
    """The share of a rendered picture that its object covers.

    Raises:
        EnrError: nothing was rendered, with the reason.
    """
    from enr.datagen.generate import generate
    from enr.datagen.settings import GenerateSettings, PoseSettings
    from enr.datagen.shapes.catalogue import write_shapes
    from enr.shards import read_shard

    write_shapes(folder / "meshes", count=1, seed=0)
    poses = PoseSettings("rot", azimuth_deg=(30, 30), elevation_deg=(30, 30))
    summary = generate(GenerateSettings((folder / "meshes",), views=1, poses=poses, out=folder / "shards"))
    if not summary.shards:
        raise EnrError("; ".join(summary.failures.values()))
    alpha = read_shard(summary.shards[0]).images[..., 3]
    return float((alpha > 0).mean())
