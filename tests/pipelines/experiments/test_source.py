"""The version of the code is told with its commit where it is its own checkout, and without where it is not."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import enr
from enr.pipelines.experiments.source import source_version


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder that is taken for the package's, inside a checkout with one commit."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (tmp_path / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    monkeypatch.setattr(enr, "__file__", str(tmp_path / "__init__.py"))
    return tmp_path


def git(folder, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


def test_a_package_inside_another_project_s_checkout_has_a_version_alone(package):
    assert source_version() == f"enr {enr.__version__}"


def test_a_checkout_has_a_commit_and_says_whether_it_was_changed(package):
    git(package, "add", "__init__.py")
    git(package, "commit", "-q", "-m", "x")
    assert re.fullmatch(rf"enr {enr.__version__}, commit [0-9a-f]+", source_version())
    (package / "__init__.py").write_text("x = 1")
    assert source_version().endswith(" with changes")
