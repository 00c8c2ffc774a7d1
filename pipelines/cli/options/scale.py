"""One machine or many, all of it or a part, or only a word on how long it would take."""

from __future__ import annotations

import re
import shlex
import sys

import click

from enr.errors import EnrError

OPTIONS = (
    click.option(
        "--part",
        metavar="I/N",
        help="Make only part I of N, from 1, as one job of an array; `enr merge` joins the parts.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Render on a Dask cluster: its scheduler's address, or the path of its scheduler file.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Time a few meshes and say how many images, hours and gigabytes it will be."
    ),
)


def part_of(text: str | None) -> tuple[int, int] | None:
    """(i, n) of a text such as `3/10`; None for None.

    Raises:
        EnrError: it is no such text, or i is not between 1 and n.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise EnrError(f"--part got {text!r}; give I/N with I from 1 to N, such as 3/10.")
    return number, count


def command_line() -> str:
    """The command as it was typed, for the manifest."""
    return shlex.join(["enr", *sys.argv[1:]])
