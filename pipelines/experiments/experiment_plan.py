"""What `enr reproduce` will do: one step after the other, each as it could be typed, checked before any is begun."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SkipValidation

from enr.checking import Count, Positive, checked
from enr.datagen.convert.conversion import ConvertSettings
from enr.datagen.convert.scene_folders import PARAMS, find_params
from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.pipelines.config import (
    Assignments,
    Config,
    TrainSettings,
    find_key,
    key_values,
    override,
    read_preset,
    resolve,
)
from enr.pipelines.config.data_sets import DatagenConfig
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.experiments.config import SUFFIXES, Experiment, Scale, naming, read_experiment
from enr.pipelines.experiments.step import Step, assignment, words
from enr.pipelines.generation.settings import convert_settings, generate_settings
from enr.words import count_of

SHAPES_SEED = 0
SECONDS_A_PICTURE, SECONDS_A_PATH = 2.8e-3, 1.0e-7
"""Of one Blender worker on one core of 2.5 GHz; meshes of 1,000 triangles."""
SIZE_SAMPLE_CAMERA = {"radius": 2.0, "near": 1.0, "far": 3.0}
AnyStep = Step[GenerateSettings | ConvertSettings | TrainSettings | EvalSettings]


@checked()
@dataclass(frozen=True)
class ReproduceSettings:
    """What `enr reproduce` is asked for.

    Attributes:
        name: of the experiment, or the path of its file.
        scale: which of its sizes.
        meshes: files and folders; built-in shapes if empty.
        out: where everything goes; `reproduce/<name>-<scale>` if None.
        max_meshes: at most so many of them in each set, drawn as `enr datagen --max-meshes` draws them.
        posed: folder of posed pictures that others made.
        background: a picture that stands behind the objects of all rendered sets.
        minutes: of training, in place of the experiment's.
        seeds: so many, in place of the experiment's.
        assignments: what is set for all trainings, over the experiment's.
        workers: Blender processes; one for each core if None.
        show_progress: whether to draw progress bars.
    """

    name: str
    scale: Scale = "tiny"
    meshes: tuple[Path, ...] = ()
    out: Path | None = None
    max_meshes: Count | None = None
    posed: Path | None = None
    background: Path | None = None
    minutes: Positive | None = None
    seeds: Count | None = None
    assignments: SkipValidation[Assignments] = ()
    workers: Count | None = None
    show_progress: bool = True

    @property
    def title(self) -> str:
        """The experiment's name; that of a file without its ending."""
        return Path(self.name).stem if self.name.endswith(SUFFIXES) else self.name

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path("reproduce") / f"{self.title}-{self.scale}"


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
    steps: tuple[AnyStep, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.settings.folder

    @property
    def line(self) -> str:
        """The `enr reproduce` command that does all of it, but for --workers, which change nothing."""
        asked = self.settings
        names = ("out", "max_meshes", "minutes", "seeds", "background", "posed")
        given = {name: value for name in names if (value := getattr(asked, name)) is not None}
        start = ["enr", "reproduce", asked.name, *map(str, asked.meshes), "--scale", asked.scale]
        return shlex.join([*start, *words(given), *_set(key_values(asked.assignments))])

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
    experiment = read_experiment(settings.name, settings.scale)
    if settings.minutes is not None:
        experiment = replace(experiment, minutes=settings.minutes)
    if settings.seeds is not None:
        experiment = replace(experiment, seeds=tuple(range(settings.seeds)))
    _check_assignments(experiment, settings.assignments)
    plan = Plan(settings, experiment, _shapes(experiment, settings), (), _notes(experiment, settings))
    data = {name: step for name in experiment.sets for step in _data_steps(plan, name)}
    trainings = [_train_step(plan, data, trained) for trained in plan.trained]
    evaluations = [
        _eval_step(plan, trained, name) for trained in plan.trained for name in evaluations_of(plan, trained.variant)
    ]
    return replace(plan, steps=(*data.values(), *trainings, *evaluations))


def shapes_line(plan: Plan) -> str:
    """The command that writes the built-in shapes."""
    code = (
        "from pathlib import Path; from enr.datagen.shapes.catalogue import write_shapes; "
        f"write_shapes(Path({str(plan.meshes[0])!r}), {plan.shapes}, {SHAPES_SEED}, {plan.experiment.shapes.kinds!r})"
    )
    return f"python -c {shlex.quote(code)}"


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
        notes.append(f"no MESHES are given: {count} ({', '.join(shapes.kinds)}).")
    for name, evaluation in experiment.evaluations.items():
        if _needs_posed(experiment, evaluation.sets) and settings.posed is None:
            notes.append(f"the evaluation {name} ({evaluation.title}) is left out: it needs --posed FOLDER.")
    if settings.posed is not None and not any(entry.convert for entry in experiment.sets.values()):
        raise EnrError(f"{settings.name} cannot be combined with --posed {settings.posed}; leave it out.")
    if settings.posed is not None and not settings.posed.is_dir():
        raise EnrError(
            f"--posed {settings.posed} is not a folder; give the one that Apple's posed pictures are unpacked in."
        )
    if settings.posed is not None and next(find_params(settings.posed), None) is None:
        raise EnrError(
            f"--posed {settings.posed} holds no {PARAMS}; give a folder with pictures and a {PARAMS} for each scene."
        )
    return tuple(notes)


def _needs_posed(experiment: Experiment, sets: Sequence[str]) -> bool:
    return any(experiment.sets[name].convert for name in sets)


def _data_steps(plan: Plan, name: str) -> Iterator[AnyStep]:
    """The step that makes a data set; none where it needs posed pictures and there are none."""
    entry = plan.experiment.sets[name]
    if entry.convert is None:
        yield _datagen_step(plan, name, entry.datagen or DatagenConfig())
    elif plan.settings.posed is not None:
        posed, out = plan.settings.posed, _set_folder(plan, name)
        arguments = (str(posed), *words(entry.convert.given), "--out", str(out))
        yield Step(name, convert_settings(entry.convert.but(folder=posed, out=out)), arguments, out)


def _datagen_step(plan: Plan, name: str, config: DatagenConfig) -> AnyStep:
    asked, out = plan.settings, _set_folder(plan, name)
    if asked.background is not None:
        config = config.but(background=str(asked.background))
    if asked.max_meshes is not None:
        config = config.but(max_meshes=min(asked.max_meshes, config.max_meshes or asked.max_meshes))
    if asked.workers is not None:
        config = config.but(workers=asked.workers)
    arguments = (*map(str, plan.meshes), *words(config.given), "--out", str(out))
    with naming(f"{asked.name}, sets.{name}"):
        settings = generate_settings(config.but(meshes=plan.meshes, out=out))
    step = Step(name, settings, arguments, out)
    meshes = plan.shapes or len(find_meshes(settings.meshes))
    pictures = min(meshes, settings.max_meshes or meshes) * settings.views
    paths = settings.render.width_px * settings.render.height_px * settings.render.samples
    minutes = pictures * (SECONDS_A_PICTURE + SECONDS_A_PATH * paths) / settings.pool.workers / 60
    return replace(step, asked=replace(settings, command=step.line), minutes=minutes)


def _train_step(plan: Plan, data: dict[str, AnyStep], trained: Trained) -> AnyStep:
    variant = plan.experiment.variants[trained.variant]
    minutes = None if plan.experiment.minutes is None else variant.time * plan.experiment.minutes
    wanted: dict[str, object] = {**plan.experiment.set, **variant.set, "seed": trained.seed}
    if minutes is not None:
        wanted.setdefault("steps", None)  # the preset's would end a quick machine's training early
    folder = run_root(plan, trained)
    asked = TrainSettings(
        shards=tuple(_set_folder(plan, name) for name in variant.sets),
        preset=variant.preset or plan.experiment.preset,
        assignments=(*wanted.items(), *key_values(plan.settings.assignments)),
        max_minutes=minutes,
        init=run_root(plan, Trained(variant.init, trained.seed)) if variant.init else None,
        runs=folder,
        name=trained.variant,
    )
    arguments = [*map(str, asked.shards), "--preset", str(asked.preset), *_set(asked.assignments)]
    arguments += [] if minutes is None else ["--max-minutes", f"{minutes:g}"]
    if variant.init:
        arguments += ["--init", str(run_pattern(plan, Trained(variant.init, trained.seed)))]
    arguments += ["--runs", str(folder), "--name", trained.variant]
    with naming(f"{plan.settings.name}, variants.{trained.variant}"):
        for name in variant.sets:
            if name in data:
                configuration_of(asked, data[name])
    return Step(trained.name, asked, tuple(arguments), folder, math.nan if minutes is None else minutes)


def _set(assignments: Assignments) -> list[str]:
    return [word for key, value in key_values(assignments) for word in ("--set", assignment(key, value))]


def configuration_of(asked: TrainSettings, data: AnyStep) -> Config | None:
    """A training's configuration for pictures of the size that will be made; None of those that are converted.

    Raises:
        EnrError: it does not fit.
    """
    if not isinstance(data.asked, GenerateSettings):
        return None
    render = data.asked.render
    camera = {"focal_px": render.lens.focal_px, **SIZE_SAMPLE_CAMERA}
    minutes = [] if asked.max_minutes is None else [("max_minutes", asked.max_minutes)]
    preset = override(read_preset(asked.preset or ""), [*key_values(asked.assignments), *minutes])
    config = resolve(preset, camera, (render.height_px, render.width_px))
    views = data.asked.views - data.asked.poses.held_out_views
    if views <= config.train.sources:
        sources = count_of(config.train.sources, "source picture")
        raise EnrError(
            f"sets.{data.name} has {count_of(views, 'view')} of each mesh to train on, and {sources} and a target are "
            "needed; raise its views."
        )
    return config


def _eval_step(plan: Plan, trained: Trained, name: str) -> AnyStep:
    evaluation = plan.experiment.evaluations[name]
    folder = eval_folder(plan, trained, name)
    sets = evaluation.sets or plan.experiment.variants[trained.variant].sets
    shards = tuple(_set_folder(plan, entry) for entry in sets)
    asked = replace(evaluation.settings, shards=shards, checkpoint=run_root(plan, trained), out=folder)
    arguments = [*map(str, shards), "--checkpoint", str(run_pattern(plan, trained)), *words(evaluation.options)]
    return Step(f"{trained.name} {name}", asked, (*arguments, "--out", str(folder)), folder)


def evaluations_of(plan: Plan, variant: str) -> tuple[str, ...]:
    """Names of the evaluations that a variant takes part in."""
    evaluations = plan.experiment.evaluations
    wanted = plan.experiment.variants[variant].evaluations
    names = evaluations if wanted is None else wanted
    has_posed = plan.settings.posed is not None
    return tuple(name for name in names if has_posed or not _needs_posed(plan.experiment, evaluations[name].sets))


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


def _check_assignments(experiment: Experiment, assignments: Assignments) -> None:
    """Refuse to set for all trainings what tells the variants apart, and the seed."""
    for key, value in key_values(assignments):
        place, said = find_key(key), f"--set {assignment(key, value)}"
        if place == find_key("seed"):
            raise EnrError(f"{said} would give every training the same seed; say how many with --seeds.")
        variants = [name for name, variant in experiment.variants.items() if place in map(find_key, variant.set)]
        if variants:
            raise EnrError(
                f"{said} would override what is compared: {', '.join(variants)} "
                f"{'sets' if len(variants) == 1 else 'set'} {key}; leave it out."
            )
