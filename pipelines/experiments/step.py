"""One command of a plan: its arguments as they would be typed, and the settings that the command makes of them."""

from __future__ import annotations

import difflib
import importlib
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from enr.errors import EnrError

CommandName = Literal["datagen", "convert", "train", "eval"]


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        command: its name.
        name: what it makes: a set, a trained variant, or a trained variant and its evaluation.
        arguments: as they would be typed; a run's folder, whose name begins with its time, stands there as a pattern.
        folder: where its result lies.
        minutes: an estimate; NaN where there is none.
    """

    command: CommandName
    name: str
    arguments: tuple[str, ...]
    folder: Path
    minutes: float = math.nan

    @property
    def line(self) -> str:
        """The command as it would be typed."""
        words = (_quoted(argument) for argument in self.arguments)
        return " ".join(["enr", self.command, *words])


def settings_of(step: Step) -> Any:
    """The settings that a step's arguments stand for: those that the command itself would make of them.

    Raises:
        EnrError: they do not fit.
    """
    module = importlib.import_module(f"enr.pipelines.cli.{step.command}")
    try:
        with module.command.make_context(step.command, list(step.arguments)) as context:
            return module.settings_of(context.params)
    except click.UsageError as error:
        raise EnrError(f"{step.line} is not a command: {error.format_message()}") from error


def as_arguments(command: CommandName, options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed.

    Raises:
        EnrError: the command has no option of that name.
    """
    known = {name.lstrip("-"): option for option in _options_of(command) for name in option.opts}
    arguments: list[str] = []
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"see enr {command} --help."
            raise EnrError(f"enr {command} has no option --{name}; {hint}")
        arguments += _argument(known[name], f"--{name}", value)
    return arguments


def _argument(option: click.Option, flag: str, value: Any) -> list[str]:
    if option.is_flag:
        return [flag] if value else []
    values = [str(part) for part in (value if isinstance(value, list | tuple) else [value])]
    if option.multiple:
        return [word for part in values for word in (flag, part)]
    return [flag, *values]


def _options_of(command: CommandName) -> list[click.Option]:
    module = importlib.import_module(f"enr.pipelines.cli.{command}")
    return [option for option in module.command.params if isinstance(option, click.Option)]


def _quoted(argument: str) -> str:
    """An argument for a shell, which still replaces the pattern of a run's folder."""
    head, star, tail = argument.rpartition("/*-")
    return shlex.quote(head) + star + shlex.quote(tail) if star else shlex.quote(argument)
