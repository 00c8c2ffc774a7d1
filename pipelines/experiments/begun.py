"""Which command began a folder of `enr reproduce`, so that another one is found before its first step."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from enr.errors import EnrError
from enr.files import write_json
from enr.pipelines.experiments.experiment_plan import AnyStep, Plan

RECORD_NAME = "command.json"
WORKERS = "--workers"


@dataclass(frozen=True)
class Record:
    """What a folder was begun with: the command, and each step by name in words that hold anywhere."""

    command: str
    steps: Mapping[str, str]


def keep_record(plan: Plan) -> None:
    """Note what is done in the plan's folder; refuse to go on with what another command began.

    What only one of the commands does (further seeds, posed pictures) is no difference, nor are Blender processes. A
    folder that was begun before there were records gets none: its steps are compared when their turn comes.

    Raises:
        EnrError: another command began it.
    """
    path = plan.folder / RECORD_NAME
    wanted = _lines(plan)
    if path.is_file():
        begun = _read(path)
        if any(begun.steps.get(name, line) != line for name, line in wanted.items()):
            raise EnrError(f"{_refusal(plan, begun.command)}; give another --out, or remove it.")
        write_json(path, {"command": begun.command, "steps": {**begun.steps, **wanted}})
    elif all(entry.name.startswith(".") for entry in plan.folder.iterdir()):
        write_json(path, {"command": plan.line, "steps": wanted})


def _refusal(plan: Plan, command: str) -> str:
    version = " of another version" if command == plan.line else ""
    return f"{plan.folder} was begun with `{command}`{version}"


def _read(path: Path) -> Record:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Record(str(content["command"]), dict(content["steps"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EnrError(f"{path} cannot be read ({error}); give another --out, or remove {path.parent}.") from error


def _lines(plan: Plan) -> dict[str, str]:
    """Every step in words that do not depend on where the folder lies, nor on who does it."""
    lines = {f"{step.command} {step.name}": _line(plan, step) for step in plan.steps}
    if plan.shapes:
        lines["shapes"] = f"{plan.shapes} {' '.join(plan.experiment.shapes.kinds)}"
    return lines


def _line(plan: Plan, step: AnyStep) -> str:
    words = list(step.arguments)
    if WORKERS in words:
        at = words.index(WORKERS)
        del words[at : at + 2]
    absolute = _absolute(plan)
    return shlex.join(absolute.get(word) or _within(plan.folder, word) for word in words)


def _absolute(plan: Plan) -> Mapping[str, str]:
    """What the user named, as it is found from anywhere."""
    named = (*plan.settings.meshes, plan.settings.posed, plan.settings.background)
    return {str(path): str(path.resolve()) for path in named if path is not None}


def _within(folder: Path, word: str) -> str:
    path = Path(word)
    return str("OUT" / path.relative_to(folder)) if path.is_relative_to(folder) else word
