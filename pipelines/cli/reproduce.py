"""`enr reproduce`: an experiment of the paper or of the report, from meshes to its table."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError

if TYPE_CHECKING:
    from types import FrameType

    from enr.pipelines.experiments.experiment_plan import ReproduceSettings

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
STOPPED = "Stopped; what is finished is kept, and the same command goes on from there."
HELP = """
Do the experiment NAME (or that of a file of your own, mine.yaml) on MESHES (files, folders, zip archives; built-in
shapes without), and print its table.

Renders, trains and measures with the commands that --dry-run prints, and skips what is there already: the same
command goes on after Ctrl-C.
"""


@click.command("reproduce", help=HELP)
@click.argument("name", required=False)
@click.argument("meshes", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "is_list", is_flag=True, help="Name all experiments and end.")
@click.option(
    "--scale",
    type=click.Choice(["tiny", "small", "paper"]),
    default="tiny",
    show_default=True,
    help="Choose the size: tiny takes minutes on a laptop, small a night of a CPU or an hour of a GPU, "
    "paper has the published sizes.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and how long they take, and end.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write shards, runs and tables to this folder [default: reproduce/NAME-SCALE].",
)
@click.option(
    "--max-meshes",
    type=int,
    help="Take at most so many of the meshes, drawn by a hash of their ids [default: by the scale].",
)
@click.option(
    "--minutes",
    type=float,
    help="Train each variant and seed for so many minutes [default: the experiment's].",
)
@click.option("--seeds", type=int, help="Train each variant with so many seeds [default: by the scale].")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change an entry of all trainings, such as device=cpu, threads=1 or clock=process; repeatable.",
)
@click.option(
    "--background",
    type=click.Path(path_type=Path),
    help="Put this picture behind the objects of all sets, as surroundings.",
)
@click.option(
    "--posed",
    type=click.Path(path_type=Path),
    help="Measure on Apple's posed pictures in this folder, in the experiment apple.",
)
@click.option("--workers", type=int, help="Run so many Blender processes [default: one for each core].")
def command(is_list: bool, dry_run: bool, **options: Any) -> None:
    """`enr reproduce`."""
    if is_list:
        _check_alone()
        click.echo(_listed())
        return
    settings = settings_of(options)
    if dry_run:
        from enr.pipelines.experiments.experiment_plan import make_plan
        from enr.pipelines.experiments.forecast import describe_plan

        click.echo(describe_plan(make_plan(settings)))
        return
    _do(settings)


def settings_of(options: dict[str, Any]) -> ReproduceSettings:
    """The settings that the command line's options name.

    Raises:
        EnrError: no experiment is named.
    """
    from enr.pipelines.experiments.experiment_plan import ReproduceSettings

    if options["name"] is None:
        raise EnrError("No experiment is named; `enr reproduce --list` names all.")
    return ReproduceSettings(**options, show_progress=sys.stderr.isatty())


def _do(settings: ReproduceSettings) -> None:
    from enr.pipelines.experiments.reproduce import reproduce

    stops: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        # Python drops what is raised while it collects garbage: then the wish is heard before the next step.
        stops.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a cluster's notice ends as cleanly as Ctrl-C
        signal.signal(number, stop)
    try:
        result = reproduce(settings, say=click.echo, should_stop=lambda: bool(stops))
    except KeyboardInterrupt:
        click.echo(STOPPED, err=True)
        sys.exit(INTERRUPTED)
    if result.table is not None:
        click.echo(f"\n{result.table.read_text(encoding='utf-8')}\nTable: {result.table}")
    if not result.is_finished:
        click.echo(STOPPED, err=True)
        sys.exit(INTERRUPTED)


def _check_alone() -> None:
    """Refuse what would be ignored: the list is of all experiments, which are the same at every scale."""
    context = click.get_current_context()
    typed = click.core.ParameterSource.COMMANDLINE
    others = [
        entry.opts[0] if isinstance(entry, click.Option) else entry.human_readable_name
        for entry in context.command.params
        if entry.name not in (None, "is_list") and context.get_parameter_source(str(entry.name)) is typed
    ]
    if others:
        raise EnrError(f"--list names all experiments and ends; leave out {', '.join(others)}.")


def _listed() -> str:
    from enr.pipelines.experiments.config import experiment_names, read_experiment

    names = experiment_names()
    width = max(map(len, names))
    return "\n".join(f"{name:{width}}  {read_experiment(name, 'tiny').summary}" for name in names)
