"""`enr doctor`: what is installed and what is missing."""

from __future__ import annotations

import sys

import click

from enr.words import count_of

HELP = """
Say what is installed, which devices Blender and torch see, what is missing, and render one picture to prove it.

Exit status 1 if something that the main job needs is missing.
"""


@click.command("doctor", help=HELP)
def command() -> None:
    """`enr doctor`."""
    from enr.pipelines.doctor import examine

    findings = examine(show=click.echo)
    missing = sum(finding.status == "missing" for finding in findings)
    click.echo(f"{count_of(missing, 'thing')} missing" if missing else "All is there.")
    sys.exit(1 if missing else 0)
