"""Words of what users read."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping


def count_of(number: int, noun: str) -> str:
    """`1 mesh`, `2,687 meshes`: a number with its noun, in the plural where it needs one."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'sh', 'ch', 'x')) else 's'}"


def minutes_in_words(minutes: float) -> str:
    """Such as `90 minutes`, `2.9 minutes`, `1 minute` or `3 seconds`."""
    amount, unit = (f"{round(minutes, 1):g}", "minute") if minutes >= 1 else (f"{60 * minutes:.2g}", "second")
    return f"{amount} {unit}{'s' * (amount != '1')}"


def splits_in_words(scenes: Mapping[str, int], giving: str) -> str:
    """How many meshes went where, and what to do about a split that has none.

    Args:
        scenes: their count by split.
        giving: what can give a split more, with its verb, such as `--split gives`.
    """
    line = ", ".join(f"{count:,} {split}" for split, count in scenes.items())
    empty = [split for split in ("val", "test") if not scenes[split]]
    advice = f"; {giving} {' and '.join(empty)} a larger share, or more meshes do" if empty else ""
    return f"meshes by split: {line}{advice}"


def wrapped(text: str, columns: int = 80) -> str:
    """Prose in lines of at most so many columns, broken between words alone: an option or a path stays whole."""
    return "\n".join(
        textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()
    )
