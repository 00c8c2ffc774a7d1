"""`import enr` and `enr --help` are quick, because they load nothing heavy."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "bpy", "h5py", "trimesh", "pydantic", "tensorboard", "PIL", "scipy")
LIMIT_SECONDS = 0.3
RUNS = 5
IMPORT = "import enr"
HELP = "from enr.pipelines.cli.main import main; main(['--help'], standalone_mode=False)"
COMMAND_HELP = "from enr.pipelines.cli.main import main; main(['{}', '--help'], standalone_mode=False)"


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def loaded_heavy_modules(code: str) -> list[str]:
    """Which of the heavy packages `code` loads."""
    report = f"import sys; print('\\nHEAVY', *(name for name in {HEAVY!r} if name in sys.modules))"
    return run(f"{code}\n{report}").splitlines()[-1].split()[1:]


def cpu_seconds(code: str) -> float:
    """Processor time of one fresh interpreter, its own start included; other work on the machine hardly changes it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("code", [IMPORT, HELP, *(COMMAND_HELP.format(name) for name in ("datagen", "train", "eval"))])
def test_nothing_heavy_is_loaded(code):
    assert loaded_heavy_modules(code) == []


@pytest.mark.parametrize("code", [IMPORT, HELP])
def test_it_is_quick(code):
    # What disturbs a run can only add time, so the quickest of several is the one that tells.
    assert min(cpu_seconds(code) for _ in range(RUNS)) < LIMIT_SECONDS


def test_the_check_notices_a_heavy_import():
    assert loaded_heavy_modules("import h5py") == ["h5py"]
