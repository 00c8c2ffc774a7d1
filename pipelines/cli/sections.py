"""Options in sections, which click does not have, and what of a command line was typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource


class Option(click.Option):
    """An option that says in which section of the help page it stands."""

    def __init__(self, *arguments: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help page has a heading above each theme."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, section after section, in their order."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                rows.setdefault(parameter.section if isinstance(parameter, Option) else "Help", []).append(row)
        for section, entries in rows.items():
            with formatter.section(section):
                formatter.write_dl(entries)


def in_sections(sections: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Callable[[Any], Any]:
    """A decorator that adds options to a command.

    Args:
        sections: by heading, then by option such as `--max-meshes`, what `click.option` takes.
    """

    def decorate(command: Any) -> Any:
        """The command with its options, in their order."""
        options = [
            click.option(name, cls=Option, section=heading, **attributes)
            for heading, entries in sections.items()
            for name, attributes in entries.items()
        ]
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given() -> dict[str, Any]:
    """What was typed of the present command's parameters; defaults are the configuration's own."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["enr", *sys.argv[1:]])
