"""Words of what users read."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """`1 mesh`, `2,687 meshes`: a number with its noun, in the plural where it needs one."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'sh', 'ch', 'x')) else 's'}"
