"""A soak: random meshes of every kind under kills, full disks and small limits end in the undisturbed run's bytes.

`pytest -m slow tests/datagen/run/test_soak.py` takes ENR_SOAK_MINUTES (20); ENR_SOAK_SEED draws other meshes.
"""

from __future__ import annotations

import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import trimesh
from tests.datagen import blender_meshes as bm
from tests.datagen import glb_files
from tests.datagen.conftest import shard_bytes

from enr.datagen.failures import Failure
from enr.datagen.metadata.beside import failures_on_disk
from enr.datagen.shapes.catalogue import write_shapes

MINUTES = float(os.environ.get("ENR_SOAK_MINUTES", "20"))
SEED = int(os.environ.get("ENR_SOAK_SEED", "0"))
MESHES, VIEWS, SIDE_PX, PER_SHARD = 9, 2, 16, 2
DISTURBED = 5
TRIES = 4
RUN = f"""
import sys
from pathlib import Path
from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings, PoolSettings, RenderSettings
from enr.errors import EnrError
meshes, out, timeout_s, memory_mb, retry = sys.argv[1:]
pool = PoolSettings(workers=2, mesh_timeout_s=float(timeout_s), mesh_memory_mb=float(memory_mb))
render = RenderSettings(width_px={SIDE_PX}, height_px={SIDE_PX}, samples=2)
try:
    generate(GenerateSettings(
        (Path(meshes),), views={VIEWS}, render=render, out=Path(out), pool=pool, retry_failed=retry == "retry",
        shard_bytes={PER_SHARD * VIEWS * SIDE_PX**2 * 4},
    ))
except EnrError as error:
    sys.exit(f"Error: {{error}}")
"""
Write = Callable[[Path, str, np.random.Generator], object]


def placed(rng: np.random.Generator) -> trimesh.Trimesh:
    """The lopsided boxes, stretched."""
    mesh = bm.corner_blocks()
    mesh.apply_scale(rng.uniform(0.2, 5, 3))
    return mesh


def obj(folder: Path, name: str, rng: np.random.Generator, offset: float = 0.0, end: str = "\n") -> Path:
    mesh = placed(rng)
    path = bm.write_obj(folder / f"{name}.obj", mesh.vertices + offset, mesh.faces)
    path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    return path


def textured(folder: Path, name: str, rng: np.random.Generator) -> None:
    """With a library and a texture that are named as on another computer."""
    path = obj(folder, name, rng)
    path.write_text(f"mtllib C:\\work\\{name}.MTL\nusemtl m\n" + path.read_text())
    red, green, blue = rng.uniform(0, 1, 3)
    (folder / f"{name}.mtl").write_text(f"newmtl m\nKd {red} {green} {blue}\nmap_Kd /none/{name}.png\nd 0.7\n")


def exported(suffix: str, share: float = 1.0, extra: bytes = b"") -> Write:
    def write(folder: Path, name: str, rng: np.random.Generator) -> None:
        path = folder / f"{name}.{suffix}"
        placed(rng).export(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))] + extra)

    return write


def concave_off(folder: Path, name: str, rng: np.random.Generator) -> None:
    outline = "3 1 0\n1 1 0\n1 3 0\n0 3 0\n0 0 0\n3 0 0\n"
    (folder / f"{name}.off").write_text(f"off 7 2 0\n{outline}1 1 {rng.uniform(1, 3)}\n6 0 1 2 3 4 5\n3 0 3 6\n")


def animated_glb(folder: Path, name: str, rng: np.random.Generator) -> None:
    move = (0, "translation", [0.0, 1.0], [[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    colours = [glb_files.colour(*rng.uniform(0, 1, 3))]
    glb_files.write_glb(
        folder / f"{name}.glb",
        [glb_files.box(rng.uniform(0.1, 1, 3))],
        [{"mesh": 0}],
        animation=move,
        materials=colours,
    )


def zipped(folder: Path, name: str, rng: np.random.Generator) -> None:
    textured(folder, name, rng)
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for path in sorted(folder.glob(f"{name}.*")):
            if path.suffix != ".zip":
                archive.write(path, f".\\in {name}\\{path.name}")
                path.unlink()


def stray(folder: Path, name: str, rng: np.random.Generator) -> None:
    path = obj(folder, name, rng)
    path.write_text("v 1000 1000 1000\nv 1000 1000 1000\nv 1000 1000 1000\nf 1 2 3\n" + path.read_text())


def many_groups(folder: Path, name: str, rng: np.random.Generator) -> None:
    lines = [
        f"v {n} 0 0\nv {n + 0.8} 0 0\nv {n} {rng.uniform(0.1, 2)} 0\nusemtl m{n}\nf {3 * n + 1} {3 * n + 2} {3 * n + 3}"
        for n in range(300)
    ]
    (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")


def said(content: bytes, suffix: str = "obj", name: bytes = b"") -> Write:
    def write(folder: Path, plain: str, rng: np.random.Generator) -> None:
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + plain.encode() + name)).with_suffix(f".{suffix}")).write_bytes(
            content
        )

    return write


TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
KINDS: tuple[Write, ...] = (
    obj,
    functools.partial(obj, end="\r"),
    functools.partial(obj, offset=4_649_776.0),
    textured,
    zipped,
    exported("ply"),
    exported("stl", extra=b"made by a scanner"),
    exported("glb"),
    exported("glb", share=0.6),
    exported("ply", share=0.6),
    concave_off,
    animated_glb,
    stray,
    many_groups,
    lambda folder, name, rng: obj(folder, name + "-" + "long" * 45, rng),
    said(b"\xef\xbb\xbf" + TRIANGLE),
    said(TRIANGLE, name=b"-st\xfchl"),
    said(b""),
    said(bytes(2000), "stl"),
    said(b"v nan 0 0\n" + TRIANGLE),
    said(b"PK\3\4 no more", "zip"),
    said(b"not JSON", "gltf"),
)


def draw(folder: Path, rng: np.random.Generator) -> None:
    """A folder of meshes, awkward files and originals."""
    folder.mkdir(parents=True)
    for number, kind in enumerate(rng.choice(len(KINDS), MESHES)):
        KINDS[kind](folder, f"m{number}", rng)
    write_shapes(folder / "shapes", count=2, seed=int(rng.integers(1000)))
    originals = sorted(Path(os.environ.get("ENR_DATA", "nowhere")).glob("meshes/**/*.glb"))
    for number in rng.choice(len(originals), min(2, len(originals)), replace=False):
        shutil.copy(originals[number], folder)


def start(meshes: Path, out: Path, *, limit: str = "none", retry: bool = False) -> subprocess.Popen[bytes]:
    """A run with one limit that is too small for some of its work."""
    limits = ("2" if limit == "time" else "120", "250" if limit == "memory" else "2048")
    line = [sys.executable, "-c", RUN, str(meshes), str(out), *limits, "retry" if retry else "all"]

    def no_room() -> None:
        if limit == "disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    return subprocess.Popen(line, preexec_fn=no_room, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def disturb(run: subprocess.Popen[bytes], rng: np.random.Generator) -> None:
    """Kill the run, or some of its workers, sometime."""
    run_is_hit, end = rng.random() < 0.5, time.monotonic() + float(rng.uniform(0.5, 8))
    while run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    if run.poll() is not None:
        return
    if run_is_hit:
        run.send_signal(signal.SIGKILL if rng.random() < 0.7 else signal.SIGTERM)
        return
    for child in psutil.Process(run.pid).children():
        if rng.random() < 0.7:
            child.send_signal(rng.choice([signal.SIGKILL, signal.SIGSEGV]))


def settle(meshes: Path, out: Path) -> None:
    """Run to the end, and what may pass once more."""
    for retry in (False, *[True] * TRIES):
        run = start(meshes, out, retry=retry)
        _, errors = run.communicate(timeout=900)
        text = errors.decode("utf-8", "replace")
        assert run.returncode == 0 and "Traceback" not in text, text
        if not any(failure.is_transient for failure in failures(out).values()):
            return


def failures(out: Path) -> dict[str, Failure]:
    places = {path.name.split(".")[0]: path for path in out.glob("*-of-*")}
    return {
        scene: failure for name in sorted(places) for scene, failure in failures_on_disk(out / f"{name}.h5").items()
    }


@pytest.mark.slow
def test_whatever_happens_meanwhile_the_shards_are_those_of_an_undisturbed_run(tmp_path):
    rng, end, rounds = np.random.default_rng(SEED), time.monotonic() + 60 * MINUTES, 0
    while time.monotonic() < end or not rounds:
        place = tmp_path / f"round-{rounds}"
        draw(place / "meshes", rng)
        settle(place / "meshes", place / "whole")
        for _ in range(DISTURBED):
            limit = str(rng.choice(["none", "none", "time", "memory", "disk"]))
            run = start(place / "meshes", place / "torn", limit=limit)
            disturb(run, rng)
            _, errors = run.communicate(timeout=900)
            assert b"Traceback" not in errors or run.returncode < 0, errors.decode("utf-8", "replace")
        settle(place / "meshes", place / "torn")
        names = [path.name for path in (place / "meshes").iterdir()]
        assert shard_bytes(place / "torn") == shard_bytes(place / "whole"), (SEED, rounds, names)
        reasons = [
            {scene: failure.reason for scene, failure in failures(place / out).items()} for out in ("torn", "whole")
        ]
        assert reasons[0] == reasons[1] and shard_bytes(place / "whole"), (SEED, rounds, names)
        shutil.rmtree(place)
        rounds += 1
    print(f"{rounds} rounds")
