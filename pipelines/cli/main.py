"""The command line: one click group; a wrong input ends in one sentence and exit status 2."""

from __future__ import annotations

import errno
import importlib
from typing import Any

import click

from enr import __version__
from enr.errors import EnrError

COMMANDS = {
    "datagen": "Render meshes into shards of posed pictures.",
    "convert": "Turn posed pictures that others made into shards.",
    "inspect": "Say what shards hold; contact sheets, camera plots.",
    "verify": "Check shards: hashes, counts, cameras; reproject their meshes.",
    "merge": "Join the parts of a data set that several machines made.",
    "export": "Write shards in the layouts of NeRF, SRN, Apple or WebDataset.",
    "train": "Train a renderer on shards.",
    "eval": "Measure a checkpoint on scenes that it was not trained on.",
    "report": "Write a page about runs: pictures, curves, scores, an object that turns.",
    "pack": "Write a trained model as a folder in the layout of the Hub, with its card.",
    "render": "Render other views of a picture of yours.",
    "view": "Open a page on which an object turns under the mouse.",
    "baseline": "Train another method of the paper's comparison, and write its predictions.",
    "reproduce": "Do an experiment of the paper or of the report, from meshes to its table.",
    "demo": "Do all of it on built-in chairs, in under 6 minutes.",
    "doctor": "Say what is installed, what is missing, and render a picture.",
    "bench": "Measure how fast each part is; prints JSON.",
}
"""What each command does, in the order in which a user meets them."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a user meets them."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help page's list, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"enr.pipelines.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; the nearest one is said where there is none."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from enr.checking import nearest

            ctx.fail(f"There is no command {args[0]!r}; {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print an `EnrError` as one sentence and exit with status 2."""
        try:
            return super().invoke(ctx)
        except EnrError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(2)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.echo(f"Error: What the command prints cannot be written ({error.strerror}); make room.", err=True)
            ctx.exit(2)


HELP = """
Equivariant neural rendering: meshes to posed renders, to a trained model, to its PSNR.

\b
enr datagen --group rototrans --views 50 shapenet/chairs
enr train shards/*.h5
enr eval --psnr
"""


@click.group(
    cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="enr")
def main() -> None:
    """`enr`."""
