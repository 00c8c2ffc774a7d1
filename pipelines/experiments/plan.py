"""What `enr reproduce` will do: one command after the other, each as it could be typed, checked before any is begun."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.pipelines.config import override, read_preset, resolve
from enr.pipelines.experiments.checks import check_assignments, check_posed
from enr.pipelines.experiments.config import Experiment, Scale, Variant, read_experiment
from enr.pipelines.experiments.step import Step, as_arguments, settings_of
from enr.words import count_of

SHAPES_SEED = 0
SECONDS_A_PICTURE, SECONDS_A_PATH = 2.8e-3, 1.0e-7
"""Of one Blender worker on one core of 2.5 GHz; meshes of 1,000 triangles."""
SIZE_SAMPLE_CAMERA = {"radius": 2.0, "near": 1.0, "far": 3.0}


@dataclass(frozen=True)
class ReproduceSettings:
    """What `enr reproduce` is asked for.

    Attributes:
        name: of the experiment.
        scale: which of its sizes.
        meshes: files and folders; built-in shapes if empty.
        out: where everything goes; `reproduce/<name>-<scale>` if None.
        max_meshes: at most so many of them in each set, drawn as `enr datagen --max-meshes` draws them.
        posed: folder of posed pictures that others made.
        background: a picture that stands behind the objects of all rendered sets.
        minutes: of training, in place of the experiment's.
        seeds: so many, in place of the experiment's.
        assignments: `key=value` for all trainings, over the experiment's.
        workers: Blender processes; one for each core if None.
        show_progress: whether to draw progress bars.
    """

    name: str
    scale: Scale = "tiny"
    meshes: tuple[Path, ...] = ()
    out: Path | None = None
    max_meshes: int | None = None
    posed: Path | None = None
    background: Path | None = None
    minutes: float | None = None
    seeds: int | None = None
    assignments: tuple[str, ...] = ()
    workers: int | None = None
    show_progress: bool = True

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path("reproduce") / f"{self.name}-{self.scale}"


@dataclass(frozen=True)
class Trained:
    """A variant and a seed; a row's part."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.variant}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done.

    Attributes:
        settings: what was asked for.
        experiment: at the scale asked for.
        shapes: how many built-in shapes are made; 0 where meshes are given.
        steps: in order.
        notes: what is left out or stands in for something.
    """

    settings: ReproduceSettings
    experiment: Experiment
    shapes: int
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.settings.folder

    @property
    def line(self) -> str:
        """The `enr reproduce` command that does all of it, but for --workers, which change nothing."""
        asked = self.settings
        words = ["enr", "reproduce", asked.name, *map(str, asked.meshes), "--scale", asked.scale]
        for name in ("out", "max_meshes", "minutes", "seeds", "background", "posed"):
            value = getattr(asked, name)
            words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
        for assignment in asked.assignments:
            words += ["--set", assignment]
        return shlex.join(words)

    @property
    def meshes(self) -> tuple[Path, ...]:
        """What is rendered."""
        return self.settings.meshes or (self.folder / "meshes",)

    @property
    def trained(self) -> tuple[Trained, ...]:
        """Every variant with every seed, a seed's variants together."""
        return tuple(Trained(variant, seed) for seed in self.experiment.seeds for variant in self.experiment.variants)


def make_plan(settings: ReproduceSettings) -> Plan:
    """Lay out an experiment; nothing is written.

    Raises:
        EnrError: there is no such experiment, it needs meshes, or a setting does not fit.
    """
    experiment = _asked(read_experiment(settings.name, settings.scale), settings)
    check_assignments(experiment, settings.assignments)
    shapes = _shapes(experiment, settings)
    plan = Plan(settings, experiment, shapes, (), _notes(experiment, settings))
    return replace(plan, steps=(*_data_steps(plan), *_train_steps(plan), *_eval_steps(plan)))


def describe_plan(plan: Plan) -> str:
    """The plan in lines: what it follows, the commands, what is left out, how long it takes."""
    lines = [f"{plan.settings.name} ({plan.settings.scale}): {plan.experiment.summary}"]
    lines += [f"It follows {plan.experiment.follows.strip()}", *(f"Note: {note}" for note in plan.notes), ""]
    if plan.shapes:
        lines.append(shapes_line(plan))
    lines += [step.line for step in plan.steps]
    return "\n".join([*lines, "", _time_words(plan)])


def shapes_line(plan: Plan) -> str:
    """The command that writes the built-in shapes."""
    code = (
        "from pathlib import Path; from enr.datagen.shapes.library import write_shapes; "
        f"write_shapes(Path({str(plan.meshes[0])!r}), {plan.shapes}, {SHAPES_SEED}, {plan.experiment.shapes.kinds!r})"
    )
    return f"python -c {shlex.quote(code)}"


def _asked(experiment: Experiment, settings: ReproduceSettings) -> Experiment:
    """The experiment with what the user changed."""
    if settings.minutes is not None:
        experiment = replace(experiment, minutes=settings.minutes)
    if settings.seeds is not None:
        experiment = replace(experiment, seeds=tuple(range(settings.seeds)))
    return experiment


def _shapes(experiment: Experiment, settings: ReproduceSettings) -> int:
    if settings.meshes:
        return 0
    if settings.scale == "paper":
        raise EnrError(
            f"{settings.name} at scale paper needs the meshes that it is about; give their folder, such as "
            f"`enr reproduce {settings.name} --scale paper shapenet/chairs`."
        )
    return min(experiment.shapes.count, settings.max_meshes or experiment.shapes.count)


def _notes(experiment: Experiment, settings: ReproduceSettings) -> tuple[str, ...]:
    notes = []
    if not settings.meshes:
        shapes = experiment.shapes
        count = count_of(_shapes(experiment, settings), "built-in shape")
        stand = f" in place of {shapes.stand_for}" if shapes.stand_for else ""
        notes.append(f"no MESHES are given: {count} ({', '.join(shapes.kinds)}){stand}.")
    for name, evaluation in experiment.evaluations.items():
        if _needs_posed(experiment, evaluation.sets) and settings.posed is None:
            notes.append(f"the evaluation {name} ({evaluation.title}) is left out: it needs --posed FOLDER.")
    if settings.posed is not None and not any(entry.convert for entry in experiment.sets.values()):
        raise EnrError(f"{settings.name} has no use for --posed {settings.posed}; leave it out.")
    if settings.posed is not None:
        check_posed(settings.posed)
    return tuple(notes)


def _needs_posed(experiment: Experiment, sets: Sequence[str]) -> bool:
    return any(experiment.sets[name].convert for name in sets)


def _data_steps(plan: Plan) -> list[Step]:
    return [
        step
        for name, entry in plan.experiment.sets.items()
        for step in (_convert_steps(plan, name) if entry.convert else [_datagen_step(plan, name)])
    ]


def _convert_steps(plan: Plan, name: str) -> list[Step]:
    if plan.settings.posed is None:
        return []
    out = _set_folder(plan, name)
    options = as_arguments("convert", plan.experiment.sets[name].convert)
    step = Step("convert", name, (str(plan.settings.posed), *options, "--out", str(out)), out)
    settings_of(step)
    return [step]


def _datagen_step(plan: Plan, name: str) -> Step:
    out = _set_folder(plan, name)
    options = {**plan.experiment.datagen, **plan.experiment.sets[name].datagen}
    if plan.settings.background is not None:
        options["background"] = plan.settings.background
    if plan.settings.max_meshes is not None:
        options["max-meshes"] = min(plan.settings.max_meshes, options.get("max-meshes", plan.settings.max_meshes))
    if plan.settings.workers is not None:
        options["workers"] = plan.settings.workers
    words = [*map(str, plan.meshes), *as_arguments("datagen", options), "--out", str(out)]
    step = Step("datagen", name, tuple(words), out)
    return replace(step, minutes=_rendering_minutes(plan, settings_of(step)))


def _rendering_minutes(plan: Plan, settings: GenerateSettings) -> float:
    meshes = plan.shapes or len(find_meshes(settings.meshes))
    pictures = min(meshes, settings.max_meshes or meshes) * settings.views
    paths = settings.render.width_px * settings.render.height_px * settings.render.samples
    return pictures * (SECONDS_A_PICTURE + SECONDS_A_PATH * paths) / settings.pool.workers / 60


def _train_steps(plan: Plan) -> list[Step]:
    return [_train_step(plan, trained) for trained in plan.trained]


def _train_step(plan: Plan, trained: Trained) -> Step:
    variant = plan.experiment.variants[trained.variant]
    minutes = None if plan.experiment.minutes is None else variant.time * plan.experiment.minutes
    arguments = [str(_set_folder(plan, name)) for name in variant.sets]
    arguments += ["--preset", variant.preset or plan.experiment.preset]
    for word in (*_assignments(plan, variant, trained.seed), *plan.settings.assignments):
        arguments += ["--set", word]
    if minutes is not None:
        arguments += ["--max-minutes", f"{minutes:g}"]
    if variant.init:
        arguments += ["--init", str(run_pattern(plan, Trained(variant.init, trained.seed)))]
    folder = run_root(plan, trained)
    arguments += ["--runs", str(folder), "--name", trained.variant]
    step = Step("train", trained.name, tuple(arguments), folder, math.nan if minutes is None else minutes)
    _check_training(plan, variant, step)
    return step


def _assignments(plan: Plan, variant: Variant, seed: int) -> list[str]:
    wanted = {**plan.experiment.set, **variant.set, "seed": seed}
    if plan.experiment.minutes is not None:
        wanted.setdefault("steps", None)  # the preset's would end a quick machine's training early
    return [f"{key}={_value(value)}" for key, value in wanted.items()]


def _value(value: object) -> str:
    """A value as `--set` reads it, without spaces."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _check_training(plan: Plan, variant: Variant, step: Step) -> None:
    """Resolve the configuration for pictures of the size that will be made, as the command will.

    Raises:
        EnrError: it does not fit.
    """
    asked = settings_of(step)
    minutes = [] if asked.max_minutes is None else [f"max_minutes={asked.max_minutes}"]
    for name in variant.sets:
        if plan.experiment.sets[name].convert:
            continue
        render = settings_of(_datagen_step(plan, name)).render
        camera = {"focal_px": render.focal_px, **SIZE_SAMPLE_CAMERA}
        resolve(
            override(read_preset(asked.preset), [*asked.assignments, *minutes]),
            camera,
            (render.height_px, render.width_px),
        )


def _eval_steps(plan: Plan) -> list[Step]:
    return [
        _eval_step(plan, trained, name) for trained in plan.trained for name in evaluations_of(plan, trained.variant)
    ]


def evaluations_of(plan: Plan, variant: str) -> tuple[str, ...]:
    """Names of the evaluations that a variant takes part in."""
    evaluations = plan.experiment.evaluations
    wanted = plan.experiment.variants[variant].evaluations
    names = evaluations if wanted is None else wanted
    has_posed = plan.settings.posed is not None
    return tuple(name for name in names if has_posed or not _needs_posed(plan.experiment, evaluations[name].sets))


def _eval_step(plan: Plan, trained: Trained, name: str) -> Step:
    evaluation = plan.experiment.evaluations[name]
    sets = evaluation.sets or plan.experiment.variants[trained.variant].sets
    folder = eval_folder(plan, trained, name)
    words = [str(_set_folder(plan, entry)) for entry in sets]
    words += ["--checkpoint", str(run_pattern(plan, trained)), *as_arguments("eval", evaluation.options)]
    step = Step("eval", f"{trained.name} {name}", (*words, "--out", str(folder)), folder)
    settings_of(step)
    return step


def run_root(plan: Plan, trained: Trained) -> Path:
    """The folder in which a variant's only run lies."""
    return plan.folder / "runs" / trained.name


def run_pattern(plan: Plan, trained: Trained) -> Path:
    """What a shell makes the run's folder of, whose name begins with its time."""
    return run_root(plan, trained) / f"*-{trained.variant}"


def eval_folder(plan: Plan, trained: Trained, name: str) -> Path:
    """Where an evaluation of a variant lies."""
    return plan.folder / "evals" / trained.name / name


def _set_folder(plan: Plan, name: str) -> Path:
    return plan.folder / "shards" / name


def _time_words(plan: Plan) -> str:
    data = sum(step.minutes for step in plan.steps if step.command == "datagen")
    training = [step.minutes for step in plan.steps if step.command == "train"]
    evaluations = sum(step.command == "eval" for step in plan.steps)
    timed = sum(minutes for minutes in training if not math.isnan(minutes))
    words = [f"{'about ' if data >= 1 else ''}{_duration(data)} of rendering"]
    if timed:
        words.append(f"{_duration(timed)} of training ({count_of(len(training), 'run')})")
    if any(math.isnan(minutes) for minutes in training):
        words.append(
            f"{count_of(sum(map(math.isnan, training)), 'training')} until the preset's last step, however long"
        )
    return f"Time here: {', '.join(words)}, and {count_of(evaluations, 'evaluation')}."


def _duration(minutes: float) -> str:
    if minutes >= 90:
        return f"{minutes / 60:.1f} hours"
    return f"{minutes:.1f} minutes" if minutes >= 1 else "under a minute"
