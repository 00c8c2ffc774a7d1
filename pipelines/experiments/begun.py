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
            version = " of another version" if begun.command == plan.line else ""
            raise EnrError(
                f"{plan.folder} was begun with `{begun.command}`{version}; give another --out, or remove it."
            )
        write_json(path, {"command": begun.command, "steps": {**begun.steps, **wanted}})
    elif all(entry.name.startswith(".") for entry in plan.folder.iterdir()):
        write_json(path, {"command": plan.line, "steps": wanted})


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
    named = (*plan.settings.meshes, plan.settings.posed, plan.settings.background)
    absolute = {str(path): str(path.resolve()) for path in named if path is not None}  # found from anywhere
    inside = (word for word in words if word not in absolute and Path(word).is_relative_to(plan.folder))
    absolute |= {word: str("OUT" / Path(word).relative_to(plan.folder)) for word in inside}
    return shlex.join(absolute.get(word, word) for word in words)
