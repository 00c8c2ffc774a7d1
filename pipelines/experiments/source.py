"""Which state of the source code runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import enr


def source_version() -> str:
    """Such as `enr 0.1.0, commit 783e93a with changes` in a checkout; `enr 0.1.0` of an installed package."""
    folder = Path(enr.__file__).resolve().parent
    # An installed package may lie inside another project's checkout, whose commits say nothing about it.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return f"enr {enr.__version__}"
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"enr {enr.__version__}, commit {commit}" + (" with changes" if changed else "")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
