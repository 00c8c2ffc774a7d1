"""`enr baseline`: another method of the paper's comparison, at equal time, to predictions that `enr eval` scores."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130
METHODS = ("gqn", "srn")
HELP = """
Train another method on SHARDS for a given time, and write what it predicts of scenes that it never saw.

gqn is a deterministic generative query network (Eslami et al. 2018), srn a scene representation network (Sitzmann et
al. 2019), both small. Both need absolute poses, at inference, too; srn optimises a code for each unseen scene. The
third of the paper's comparison, a network that is told the motion, is trained with --set warp=conditioned.

\b
enr baseline gqn shards/rot-*.h5 --out gqn-rot
enr eval shards/rot-*.h5 --predictions gqn-rot --ssim
"""


@click.command("baseline", help=HELP)
@click.argument("method", type=click.Choice(METHODS))
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the predictions to this new folder.",
)
@click.option(
    "--max-minutes",
    type=float,
    help="Train for so many minutes [default: 5].",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change how it is trained, such as seed=1, threads=1 or learning_rate=1e-4; repeatable.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Predict the scenes of this split.",
)
@click.option("--source", type=int, default=0, show_default=True, help="Give it this view of each scene.")
def command(**options: Any) -> None:
    """`enr baseline`."""
    from enr.pipelines.baselines import CompareSettings, compare

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's notice ends as cleanly as Ctrl-C
    try:
        folder = compare(CompareSettings(**options), say=click.echo)
    except KeyboardInterrupt:
        click.echo(f"Stopped; nothing was written to {options['out']}.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"Predictions: {folder}")
