"""One step of a plan: the settings that its function is called with, and the command that would do the same."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from enr.checking import Table, option
from enr.datagen.convert.conversion import ConvertSettings
from enr.datagen.settings import GenerateSettings
from enr.pipelines.config import TrainSettings
from enr.pipelines.evaluation.inputs import EvalSettings

CommandName = Literal["datagen", "convert", "train", "eval"]
Asked = TypeVar("Asked", bound=GenerateSettings | ConvertSettings | TrainSettings | EvalSettings, covariant=True)
COMMANDS: dict[type, CommandName] = {
    GenerateSettings: "datagen",
    ConvertSettings: "convert",
    TrainSettings: "train",
    EvalSettings: "eval",
}
REPEATED = ("bad", "split", "groups")
"""Options that are typed once for each of several words."""
JOINED = {"resolution": "x", "rings_deg": ",", "background": ",", "part": "/"}
"""Options whose parts are one word."""


@dataclass(frozen=True)
class Step(Generic[Asked]):
    """One step.

    Attributes:
        name: what it makes: a set, a trained variant, or a trained variant and its evaluation.
        asked: the settings; where a run's folder is not known yet, since its name begins with its time, the folder
            of its runs stands in its place.
        arguments: the same as it would be typed; a run's folder stands there as a pattern.
        folder: where its result lies.
        minutes: an estimate; NaN where there is none.
    """

    name: str
    asked: Asked
    arguments: tuple[str, ...]
    folder: Path
    minutes: float = math.nan

    @property
    def command(self) -> CommandName:
        """The command that does the same."""
        return COMMANDS[type(self.asked)]

    @property
    def line(self) -> str:
        """The command as it would be typed."""
        return " ".join(["enr", self.command, *map(_quoted, self.arguments)])


def words(options: Table) -> list[str]:
    """Options as they are typed."""
    said: list[str] = []
    for name, value in options.items():
        flag = option(name)
        parts = [str(part) for part in (value if isinstance(value, list | tuple) else [value])]
        if isinstance(value, bool):
            said += [flag] if value else []
        elif name in JOINED:
            said += [flag, JOINED[name].join(parts)]
        elif name in REPEATED and not all(part.replace(".", "", 1).isdigit() for part in parts):
            said += [word for part in parts for word in (flag, part)]
        else:
            said += [flag, *parts]
    return said


def assignment(key: str, value: object) -> str:
    """What `--set` takes; without spaces, and text as it is."""
    return f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"


def _quoted(argument: str) -> str:
    """An argument for a shell, which still replaces the pattern of a run's folder."""
    head, star, tail = argument.rpartition("/*-")
    return shlex.quote(head) + star + shlex.quote(tail) if star else shlex.quote(argument)
