"""Whether shards still are what was written, asked before anything is made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from enr.errors import EnrError
from enr.shards import check_hashes

MAKE_AGAIN = "make it again with `enr datagen`"
MOST_THREADS = 8


def check_intact(paths: Sequence[Path], advice: str = MAKE_AGAIN, pictures: bool = True) -> None:
    """Refuse shards that are no longer what was written, by their SHA-256.

    Args:
        paths: the shards; several are read at once.
        advice: what to do about it, the sentence's end.
        pictures: whether pictures are looked at too, which reads the whole files: about 4 s for each GB and core.

    Raises:
        EnrError: one is damaged, or as `enr.shards.open_shard`.
    """
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        for path, damaged in zip(paths, pool.map(lambda path: check_hashes(path, pictures), paths), strict=True):
            if damaged:
                raise EnrError(f"{path} is no longer what was written ({', '.join(damaged)}); {advice}.")
