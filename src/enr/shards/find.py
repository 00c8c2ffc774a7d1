"""Which shards are meant by files and folders, and whether they still are what was written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from enr.errors import EnrError
from enr.shards.checks import check_intact

CHECKED_BYTES = 2**30
"""Shards of more than that together are opened without the SHA-256 of their pictures, which would take minutes."""


def find_shards(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Absolute paths of the shards named by files or folders, sorted, each once.

    Raises:
        EnrError: there is none, or a folder holds none.
    """
    files = [file for path in paths for file in _shards_at(Path(path))]
    if not files:
        raise EnrError("No shard is named; give .h5 files made by `enr datagen`.")
    return tuple(sorted({file.resolve() for file in files}))


def intact_shards(paths: Iterable[Path]) -> tuple[Path, ...]:
    """As `find_shards`, of shards that are what was written, as far as it can be told in seconds.

    Raises:
        EnrError: there is none, or one is unreadable or damaged.
    """
    files = find_shards(paths)
    size = sum(path.stat().st_size for path in files if path.is_file())
    check_intact(files, pictures=size <= CHECKED_BYTES)
    return files


def _shards_at(path: Path) -> list[Path]:
    """The shards of a folder, or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.h5"))
    of_runs = ("config.yaml", "*.safetensors", "*.pt", "checkpoints", "*/config.yaml")
    if not files and any(next(path.glob(pattern), None) is not None for pattern in of_runs):
        raise EnrError(
            f"No shard found in {path}, which is a run, a checkpoint or a folder of them; give it as --checkpoint "
            "(`enr eval`), or as --init or --resume (`enr train`), and .h5 files as SHARDS."
        )
    if not files:
        raise EnrError(f"No shard found in {path}; give .h5 files made by `enr datagen`.")
    return files
