"""`enr reproduce --dry-run`: what an experiment stands for in words: its commands, its steps, its hours."""

from __future__ import annotations

import math

from enr.errors import EnrError
from enr.pipelines.config import TrainSettings
from enr.pipelines.experiments.experiment_plan import Plan, configuration_of, shapes_line
from enr.words import count_of

STEPS_PER_S = 10.0
"""Of a training on one GPU, a round number for the forecast alone: what `enr bench train` measures differs."""


def describe_plan(plan: Plan) -> str:
    """The plan in lines: what it follows, the commands, what is left out, how long it takes."""
    lines = [f"{plan.settings.title} ({plan.settings.scale}): {plan.experiment.summary}"]
    lines += [f"It follows {plan.experiment.follows.strip()}", *(f"Note: {note}" for note in plan.notes), ""]
    if plan.shapes:
        lines.append(shapes_line(plan))
    lines += [step.line for step in plan.steps]
    return "\n".join([*lines, "", *_time_lines(plan)])


def _time_lines(plan: Plan) -> list[str]:
    """How many steps there are, how long those with a time take, and how many steps of training the others are."""
    data = [step.minutes for step in plan.steps if step.command == "datagen"]
    training = [step.minutes for step in plan.steps if step.command == "train"]
    evaluations = sum(step.command == "eval" for step in plan.steps)
    timed = [minutes for minutes in training if not math.isnan(minutes)]
    rendering = sum(data)
    said = [f"{'about ' if rendering >= 1 else ''}{_duration(rendering)} of rendering"]
    if timed:
        said.append(f"{_duration(sum(timed))} of training ({count_of(len(training), 'run')})")
    untimed = training_steps(plan)
    if untimed:
        said.append(
            f"{count_of(len(untimed), 'training')} until the preset's last step, however long "
            f"({sum(untimed):,} steps in all, {_duration(sum(untimed) / STEPS_PER_S / 60)} at {STEPS_PER_S:g} steps/s)"
        )
    total = rendering + sum(timed) + sum(untimed) / STEPS_PER_S / 60
    return [
        f"Steps: {len(plan.steps)}, of which {count_of(len(data), 'rendering')}, "
        f"{count_of(len(training), 'training')} and {count_of(evaluations, 'evaluation')}.",
        f"Time here: {', '.join(said)}, and {count_of(evaluations, 'evaluation')}.",
        f"In all {_duration(total)} before the evaluations.",
    ]


def training_steps(plan: Plan) -> list[int]:
    """Steps of each training that ends by them."""
    data = {step.name: step for step in plan.steps if step.command == "datagen"}
    found = []
    for step in plan.steps:
        if isinstance(step.asked, TrainSettings) and math.isnan(step.minutes):
            names = [path.name for path in step.asked.shards if path.name in data]
            if not names:
                raise EnrError(f"{step.name} is trained on posed pictures alone, of which the size is not known yet.")
            config = configuration_of(step.asked, data[names[0]])
            found.append(0 if config is None or config.train.steps is None else config.train.steps)
    return found


def _duration(minutes: float) -> str:
    if minutes >= 90:
        return f"{minutes / 60:,.1f} hours"
    return f"{minutes:.1f} minutes" if minutes >= 1 else "under a minute"
