"""`enr train`: shards to a trained renderer in a run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.words import count_of

if TYPE_CHECKING:
    from enr.pipelines.config import TrainSettings

LATEST = "latest"
HELP = """
Train a renderer on SHARDS (.h5 files made by `enr datagen`, or folders of them; default: the folder shards).

Writes runs/<time>-<name>/ with checkpoints, measurements (JSON lines, TensorBoard) and pictures. Ctrl-C saves and
ends; go on with --resume. Validation is on scenes that are not trained on.
"""


@click.command("train", help=HELP)
@click.argument("shards", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--preset",
    metavar="NAME",
    help="Start from this preset, such as small-64; docs/training.md names all [default: what fits the pictures].",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change an entry of the preset, such as learning_rate=1e-4, loss.ssim=0 or train.steps=20000; repeatable.",
)
@click.option("--batch-size", metavar="N|auto", help="Scenes a step; auto: as many as fit into memory.")
@click.option(
    "--max-minutes",
    type=float,
    help="End after so many (further) minutes [default: the preset's].",
)
@click.option("--compile", metavar="auto|on|off", help="Compile the steps; auto: where that pays [default: auto].")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=LATEST,
    metavar="[RUN]",
    help="Go on with a run folder (the latest without RUN) where it was stopped.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="Start from the weights of a run (or the latest one), a checkpoint, or a published .pt: fine-tuning.",
)
@click.option("--name", metavar="NAME", help="End the run folder's name with this [default: the preset's name].")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Make the run's folder in this one.",
)
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
@click.option("--no-report", is_flag=True, help="Do not write the page about the run (`enr report`) at the end.")
def command(**options: Any) -> None:
    """`enr train`."""
    settings = settings_of(options)  # before torch is loaded: a mistake is answered at once

    from enr.pipelines.training.processes import LostProcessError, is_first_process
    from enr.pipelines.training.train import train

    try:
        outcome = train(settings, say=click.echo)
    except LostProcessError:
        if is_first_process():
            raise
        sys.exit(2)  # the process that ended, or the first one, has said why
    if is_first_process():
        folder = outcome.run.folder
        if outcome.is_finished:
            steps = count_of(outcome.step, "step")
            click.echo(f"Trained for {steps} ({outcome.images_per_s:.0f} images/s): {folder}")
        else:
            click.echo(f"Stopped and saved at step {outcome.step}; go on with `enr train --resume {folder}`.")
        if outcome.is_finished and not options["no_report"]:
            from enr.pipelines.reporting.write import ReportSettings, report_at_end

            report_at_end(ReportSettings((folder,), quick=True), click.echo)


def settings_of(options: dict[str, Any]) -> TrainSettings:
    """The settings that the command line's options name.

    Raises:
        EnrError: the latest run is to be resumed and there is none, or no shards are given and none lie in `shards/`.
    """
    from enr.pipelines.config import TrainSettings, shards_or_default
    from enr.pipelines.training.runs import named_run

    resume, quiet = options["resume"], options["quiet"]
    run = None if resume is None else named_run(resume, options["runs"])
    shards = shards_or_default(options["shards"], run)
    named = {name: value for name, value in options.items() if name not in ("quiet", "no_report")}
    return TrainSettings(
        **{**named, "shards": shards, "resume": run},
        show_progress=not quiet and sys.stderr.isatty(),
    )
