"""What becomes of a mesh with a bad view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError

if TYPE_CHECKING:
    from enr.datagen.settings import OnBad

BAD_FLAGS = ("blank", "camera_inside", "flat_colour", "duplicate", "purple")

OPTIONS = (
    click.option(
        "--on-bad",
        type=click.Choice(["keep", "skip", "fail"]),
        default="keep",
        show_default=True,
        help="Flag bad views and keep them, make their mesh a named failure, or end the run with status 2.",
    ),
    click.option(
        "--bad",
        type=click.Choice(BAD_FLAGS),
        multiple=True,
        help="A flag that counts as bad; may be given several times [default: all of these].",
    ),
)


def on_bad(options: dict[str, Any]) -> OnBad:
    """The policy, and the flags that it is about.

    Raises:
        EnrError: flags are named, and nothing is to be done about them.
    """
    from enr.datagen.settings import OnBad

    if options["bad"] and options["on_bad"] == "keep":
        raise EnrError(
            "--bad says which flags are bad, --on-bad keep does nothing about it; give --on-bad skip or fail."
        )
    return OnBad(options["on_bad"], tuple(options["bad"]) or BAD_FLAGS)
