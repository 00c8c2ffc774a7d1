"""Words of what users read."""

from __future__ import annotations

import textwrap


def count_of(number: int, noun: str) -> str:
    """`1 mesh`, `2,687 meshes`: a number with its noun, in the plural where it needs one."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'sh', 'ch', 'x')) else 's'}"


def minutes_in_words(minutes: float) -> str:
    """Such as `90 minutes`, `2.9 minutes`, `1 minute` or `3 seconds`."""
    amount, unit = (f"{round(minutes, 1):g}", "minute") if minutes >= 1 else (f"{60 * minutes:.2g}", "second")
    return f"{amount} {unit}{'s' * (amount != '1')}"


def wrapped(text: str, columns: int = 80) -> str:
    """Prose in lines of at most so many columns, broken between words alone: an option or a path stays whole."""
    return "\n".join(
        textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()
    )
