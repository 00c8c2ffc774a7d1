"""`enr report`: runs as one page."""

from __future__ import annotations

from pathlib import Path

import click

HELP = """
Write one self-contained HTML page about each RUN, side by side: pictures, curves, scores, an object that turns.

RUN is a run folder, or what `enr eval` wrote; without it, the latest run. The page needs no network and no other file.
"""


@click.command("report", help=HELP)
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write this file [default: report.html in the run's folder; of several runs enr-report.html].",
)
@click.option("--quick", is_flag=True, help="Render fewer pictures, within seconds, as `enr train` and `enr eval` do.")
def command(runs: tuple[Path, ...], out: Path | None, quick: bool) -> None:
    """`enr report`."""
    from enr.pipelines.reporting.write import ReportSettings, write_report

    click.echo(f"Report: {write_report(ReportSettings(runs, out, quick))}")
