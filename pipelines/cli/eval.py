"""`enr eval`: a checkpoint's PSNR on scenes that it never saw, beside its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.camera import GROUPS

if TYPE_CHECKING:
    from enr.pipelines.evaluation.inputs import EvalSettings

SPLITS = ("train", "val", "test")
HELP = """
Measure a checkpoint on scenes that it was not trained on.

Without SHARDS it takes those of the checkpoint's run; without --checkpoint, the best of the latest run in runs/.
Prints a table for each group and split: the model, the wrong-pose control (the model given another view's), the trivial
baselines (the bare background, a copy of the input view) and the mean of the target views, an oracle. Writes the same
with per-scene numbers as JSON, and a picture of input views, predictions and truths, from the best scene to the worst.
"""


@click.command("eval", help=HELP)
@click.argument("shards", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--psnr", is_flag=True, help="Measure PSNR in dB over all pixels and over the foreground; that is always done."
)
@click.option("--ssim", "with_ssim", is_flag=True, help="Measure SSIM, too.")
@click.option("--untrained", is_flag=True, help="Measure the same model with random weights, too; doubles the time.")
@click.option(
    "--equivariance",
    is_flag=True,
    help="Measure how far moved scenes are from the scenes of the pictures taken there; takes a few times as long.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Measure this run folder, checkpoint folder, published .pt or `latest` [default: the latest run's best].",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Look for the latest run in this folder.",
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="Measure another method's pictures in place of a checkpoint: <group>/<scene id>/<view, 5 digits>.png.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(SPLITS),
    help="Measure the scenes of this split; repeatable [default: test, else val].",
)
@click.option(
    "--groups",
    multiple=True,
    type=click.Choice(GROUPS),
    help="Measure the shards of this group; repeatable [default: all groups].",
)
@click.option("--any-group", is_flag=True, help="Measure groups that the checkpoint never learned, too.")
@click.option("--source", type=int, help="Give the model the view of this number [default: 0].")
@click.option(
    "--sources",
    type=int,
    default=1,
    show_default=True,
    help="Give the model so many views, --source and the following ones; rows for fewer of them on the "
    "same targets are added.",
)
@click.option(
    "--known-distance",
    is_flag=True,
    help="Tell the model the distance of the object in each input view, as methods on one sphere of cameras know it.",
)
@click.option(
    "--protocol",
    type=click.Choice(["apple"]),
    help="Follow a published protocol; apple: input view 64 of 251, all others are targets.",
)
@click.option(
    "--max-scenes",
    type=int,
    help="Measure at most so many scenes of each group and split [default: all].",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Draw the poses of the wrong-pose control, and the scenes of --max-scenes, with this seed.",
)
@click.option("--batch-size", type=int, default=16, show_default=True, help="Render so many pictures at a time.")
@click.option(
    "--device", default="auto", show_default=True, help="Compute on this device: auto, cpu, cuda, cuda:1 and so on."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the report and the pictures to this folder [default: a new one in the run folder].",
)
@click.option("--no-report", is_flag=True, help="Do not write the page about it (`enr report`) at the end.")
def command(**options: Any) -> None:
    """`enr eval`."""
    if not (options["checkpoint"] or options["predictions"]):
        from enr.pipelines.training.runs import latest_run

        latest_run(options["runs"])  # before torch is loaded: where nothing was trained yet, that is answered at once
    from enr.pipelines.evaluation.evaluate import evaluate
    from enr.pipelines.evaluation.report_table import format_report

    report = evaluate(settings_of(options))
    if report.facts["predictions"]:
        click.echo(f"Predictions: {report.facts['predictions']}\n")
    else:
        step = report.facts["checkpoint_metadata"].get("step")
        click.echo(f"Checkpoint: {report.facts['checkpoint']}{'' if step is None else f' (step {step:,})'}\n")
    click.echo(format_report(report))
    click.echo()
    for path in report.pictures:
        click.echo(f"Picture: {path}")
    click.echo(f"JSON: {report.json_path}")
    if not options["no_report"]:
        from enr.pipelines.reporting.write import ReportSettings, report_at_end

        report_at_end(ReportSettings((report.json_path.parent,), quick=True), click.echo)


def settings_of(options: dict[str, Any]) -> EvalSettings:
    """The settings that the command line's options name."""
    from enr.pipelines.evaluation.inputs import EvalSettings

    # --psnr says what is measured anyway; it stands for the reader of the command.
    return EvalSettings(**{name: value for name, value in options.items() if name not in ("psnr", "no_report")})
