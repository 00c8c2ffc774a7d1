"""Which Blender the workers are: the `bpy` wheel inside this Python, or an installed Blender's own executable."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

from enr.errors import EnrError

OLDEST = (3, 4)
ANSWER_SECONDS = 120.0
VERSION = re.compile(r"^Blender (\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)


def find_blender(given: str) -> Path:
    """The executable that a path, a folder that Blender was unpacked to, or a command's name stands for.

    Raises:
        EnrError: there is none, it is no Blender, or one that is too old.
    """
    path = Path(given).expanduser()
    candidates = [path, path / "blender", path / "Contents" / "MacOS" / "Blender"]
    found = next((str(candidate) for candidate in candidates if candidate.is_file()), shutil.which(given))
    if found is None:
        raise EnrError(f"--blender got {given!r}, which is no file and no command; give Blender's executable.")
    executable = Path(found).absolute()  # not resolved: some launchers go by the name they are called by
    version = executable_version(executable)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        raise EnrError(f"{executable} is Blender {version}; give Blender {oldest} or a later one.")
    return executable


def blender_version(executable: Path | None = None) -> str:
    """The version of the Blender that the workers will use, such as `5.0.1`, without importing it.

    Args:
        executable: an installed Blender; None for the wheel.

    Raises:
        EnrError: it is not installed, or does not answer.
    """
    if executable is not None:
        return executable_version(executable)
    try:
        return importlib.metadata.version("bpy")
    except importlib.metadata.PackageNotFoundError as error:
        raise EnrError(
            "Blender's Python module is not installed; run `pip install -e '.[datagen]'` in the clone of enr with "
            "Python 3.11, or name an installed Blender with --blender."
        ) from error


@functools.lru_cache(maxsize=8)
def executable_version(executable: Path) -> str:
    """The version that a Blender executable says it is; asked once a process.

    Raises:
        EnrError: it cannot be run, or does not answer as Blender does.
    """
    try:
        said = subprocess.run(
            [executable, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer within {ANSWER_SECONDS:g} s"
        raise EnrError(f"{executable} cannot be run ({reason}); give Blender's executable as --blender.") from error
    found = VERSION.search(said.stdout.decode("utf-8", "replace"))
    if not found:
        words = (said.stdout + said.stderr).decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise EnrError(
            f"{executable} is no Blender (asked for its version, it said {words[0][:80]!r}); give Blender's executable."
        )
    return ".".join(part or "0" for part in found.groups())
