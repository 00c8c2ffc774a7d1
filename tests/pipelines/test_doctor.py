"""Whatever is missing is named with the command that installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enr.pipelines import doctor
from enr.pipelines.doctor import Diagnosis

LDD = """
\tlinux-vdso.so.1 (0x00007f57ee024000)
\tlibX11.so.6 => not found
\tlibtbb.so.12 => /somewhere/libtbb.so.12 (0x00007f57edfc4000)
\tlibXi.so.6 => not found
\tlibX11.so.6 => not found
"""


def test_missing_libraries_are_read_from_ldd():
    assert doctor.missing_libraries(LDD) == ("libX11.so.6", "libXi.so.6")
    assert doctor.missing_libraries("\tlibm.so.6 => /lib/libm.so.6 (0x1)\n") == ()


def test_missing_libraries_are_named_by_their_debian_package(monkeypatch):
    monkeypatch.setattr(doctor, "blender_library", lambda: Path("bpy.so"))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=LDD))
    first, second = doctor.check_libraries()
    assert (first.status, first.advice) == ("missing", "apt-get install libx11-6")
    assert (second.status, second.advice) == ("missing", "apt-get install libxi6")


def test_the_readme_names_every_debian_package():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    install = next(line for line in readme.splitlines() if "apt-get install" in line)
    assert set(install.split()[2:]) == set(doctor.debian_packages().values())


@pytest.mark.skipif(sys.platform != "linux", reason="links of Linux libraries")
def test_the_table_covers_what_blender_links_to():
    library = doctor.blender_library()
    if library is None:
        pytest.skip("bpy is not installed")
    output = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=True).stdout
    graphical = {
        line.split()[0] for line in output.splitlines() if line.strip().startswith(("libX", "libxkb", "libGL."))
    }
    indirect = {"libXau.so.6", "libXdmcp.so.6"}  # of libX11's own packages
    assert graphical
    assert graphical - indirect <= set(doctor.debian_packages())


def test_a_missing_package_is_named_with_its_extra():
    present, missing = doctor.check_packages({"click": "", "no-such-package": "train"})
    assert present.what.startswith("click ")
    assert str(missing) == "missing  Python package no-such-package: pip install -e '.[train]'"


def test_the_required_packages_come_from_the_project_itself():
    required = doctor.required_packages()
    assert required["bpy"] == "datagen"
    assert required["torch"] == "model"
    assert required["click"] == ""
    assert "pytest" not in required


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('libX.so')", "ImportError: libX.so"),
        ("import os; os.abort()", "it ended with status -6"),
        ("pass", "it ended with status 0"),
    ],
)
def test_a_child_that_fails_is_reported_in_words(code, words):
    assert doctor.ask_child(["-c", code]) == (None, words)


def test_a_child_answers_with_its_last_line():
    assert doctor.ask_child(["-c", "print('noise'); print('{\"a\": 1}')"]) == ({"a": 1}, "")


def test_a_slow_child_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.2)
    assert doctor.ask_child(["-c", "import time; time.sleep(60)"])[1] == "no answer within 0 s"


def test_the_picture_proves_blender():
    pytest.importorskip("trimesh", reason="needs enr[datagen]")
    if doctor.blender_library() is None:
        pytest.skip("bpy is not installed")
    (finding,) = doctor.check_picture()
    assert finding.status == "ok", finding


def test_findings_are_shown_as_they_come(monkeypatch):
    one, two = Diagnosis("ok", "one"), Diagnosis("missing", "two", "do it")
    for name in ("check_machine", "check_packages", "check_libraries", "check_blender", "check_torch"):
        monkeypatch.setattr(doctor, name, lambda: (one,))
    monkeypatch.setattr(doctor, "check_picture", lambda: (two,))
    shown: list[Diagnosis] = []
    assert doctor.examine(shown.append) == tuple(shown) == (one,) * 5 + (two,)


def test_the_command_ends_in_1_if_something_is_missing(tmp_path):
    # An interpreter without site packages of torch and bpy: both are shadowed by modules that refuse to load.
    for name in ("torch", "bpy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "from enr.pipelines.cli.main import main; main(['doctor'])"
    result = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Blender does not start: ImportError: not here" in result.stdout
    assert "torch does not start: ImportError: not here" in result.stdout
    assert "Traceback" not in result.stderr
