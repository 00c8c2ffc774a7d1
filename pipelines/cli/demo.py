"""`enr demo`: the main job on the built-in shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from enr.words import wrapped

HELP = """
Make chairs, render them, train a small model on them and evaluate it, in under 6 minutes on 2 CPU cores.

Needs no data and no download. Exit status 1 if the model did not learn to use the pose, or if
its validations fell.
"""


@click.command("demo", help=HELP)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("enr-demo"),
    show_default=True,
    help="Write everything to this folder.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Make the chairs, the poses and the model with this seed."
)
def command(out: Path, seed: int) -> None:
    """`enr demo`."""
    from enr.pipelines.demo import DemoSettings, run_demo
    from enr.pipelines.reporting.write import ReportSettings, report_at_end

    result = run_demo(DemoSettings(folder=out, seed=seed, show_progress=sys.stderr.isatty()), say=click.echo)
    click.echo(f"Contact sheet: {result.contact_sheet}")
    for picture in result.pictures:
        click.echo(f"Sources, predictions, truths: {picture}")
    click.echo(f"GIF of the learning: {result.gif}")
    click.echo(f"JSON: {result.report.json_path}")
    report_at_end(ReportSettings(result.reports, out / "report.html"), click.echo)
    click.echo("\n".join(wrapped(line) for line in result.verdict))
    if not result.has_learned:
        sys.exit(1)
