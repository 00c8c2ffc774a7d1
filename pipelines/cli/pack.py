"""`enr pack`: a trained run as a folder in the layout of the Hub."""

from __future__ import annotations

from pathlib import Path

import click

HELP = """
Write RUN (a run or a checkpoint) to the folder OUT in the layout of the Hub: config.json, model.safetensors in half
precision, and README.md, its card, with data, command, hardware, time and scores.

The scores are those of an `enr eval` of that checkpoint. OUT is a checkpoint for all other commands.
"""


@click.command("pack", help=HELP)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Take the scores from this report.json of `enr eval` [default: the newest in the run or its experiment].",
)
@click.option("--overwrite", is_flag=True, help="Replace a model that is in OUT.")
def command(run: Path, out: Path, report: Path | None, overwrite: bool) -> None:
    """`enr pack`."""
    from enr.pipelines.packing import PackSettings, pack

    size = pack(PackSettings(run, out, report, overwrite))
    click.echo(f"{out}: {size / 1e6:.1f} MB of weights and the card {out / 'README.md'}")
