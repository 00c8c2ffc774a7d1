"""`enr demo`: the whole chain on built-in chairs, through the same functions as the commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enr.camera import focal_px_from_lens
from enr.checking import Count, Positive, Seed, checked
from enr.datagen.generate import Summary, generate
from enr.datagen.settings import GenerateSettings, PoolSettings, PoseSettings, RenderSettings
from enr.datagen.shapes.catalogue import write_shapes
from enr.datagen.workers.pool import default_workers
from enr.errors import EnrError
from enr.model.checkpoint import load_model, read_metadata
from enr.pipelines.evaluation.evaluate import evaluate
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.report import MODEL, PSNR, GroupReport, Report
from enr.pipelines.evaluation.report_table import format_report
from enr.pipelines.rendering.novel_views import SHIPPED
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.runs import Run, check_folder, find_checkpoint
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.validation import FEWEST_SCENES
from enr.words import count_of, minutes_in_words

Say = Callable[[str], None]
SPLIT_SHARES = (0.7, 0.15, 0.15)
"""So many held out for validation that a checkpoint can be chosen by them: 14 of 96, where seed 0 makes the chairs."""

PRESET = "demo"
MESHES = "demo-meshes"
EVALUATION_MINUTES = 1.0
"""Kept free at the end for the evaluation, and for the model that comes with enr, on a slow machine."""
LEAST_TRAINING_MINUTES = 0.5
LEARNED_DB = 1.5
"""What another view's pose must cost, and the lead over the floors that see no target. Before any training both are
near 1 dB, because the source's colours ride on rays that the pose moves; a minute of one core brings over 2.4 dB."""

FALL_DB = 0.2
"""Validations that end so far below their best fall; less is the noise of a few pictures."""


@checked()
@dataclass(frozen=True)
class DemoSettings:
    """What the demo makes.

    Attributes:
        folder: where everything goes: `demo-meshes/`, `demo-shards/`, `runs/`, `demo-eval/`. Other commands do not
            use these names by default, so that a demo in a working folder replaces nobody's data.
        chairs: how many of them.
        views: pictures of each.
        size_px: width and height of the pictures.
        minutes: the whole demo's, at most.
        train_minutes: the training's, at most.
        assignments: `key=value` overrides of the preset `demo`.
        seed: of the chairs, the poses and the model.
        show_progress: whether to draw progress bars.
    """

    folder: Path = Path("enr-demo")
    chairs: Count = 96
    views: Count = 16
    size_px: Count = 32
    minutes: Positive = 5.0
    train_minutes: Positive = 3.0
    assignments: tuple[str, ...] = ()
    seed: Seed = 0
    show_progress: bool = True


@dataclass(frozen=True)
class DemoResult:
    """What the demo left.

    Attributes:
        report: the evaluation, on chairs that were not trained on.
        contact_sheet: some of the rendered pictures.
        gif: the same chairs again and again as the model learned.
        pictures: sources, predictions and truths.
        seconds: wall time.
        validations_db: PSNR of the training's validations, in their order.
        shipped: the evaluation of the model that comes with enr; None where this copy has none.
    """

    report: Report
    contact_sheet: Path
    gif: Path
    pictures: tuple[Path, ...]
    seconds: float
    validations_db: tuple[float, ...] = ()
    shipped: Report | None = None

    @property
    def reports(self) -> tuple[Path, ...]:
        """The folders of the evaluations, for a page of both."""
        return tuple(report.json_path.parent for report in (self.report, self.shipped) if report)

    @property
    def has_learned(self) -> bool:
        """Whether the model learned to use the pose, for every group, and its validations do not say otherwise."""
        return not self.has_fallen and all(has_learned(group) for group in self.report.groups)

    @property
    def has_fallen(self) -> bool:
        """Whether the validations ended clearly below the best of them."""
        return bool(self.validations_db) and self.validations_db[-1] < max(self.validations_db) - FALL_DB

    @property
    def verdict(self) -> tuple[str, ...]:
        """What there is to say of the model, in sentences; the last one says whether it learned."""
        held_out = _held_out(self.report)
        few = (
            f"With {count_of(held_out, 'object')} held out for validation there are too few to choose a checkpoint by "
            f"(it takes {FEWEST_SCENES}): the last one was measured."
        )
        lines = [few] if held_out < FEWEST_SCENES else []
        lines += [_beside(self.report, self.shipped)] if self.shipped else []
        return (*lines, self._learned_in_words())

    def _learned_in_words(self) -> str:
        if self.has_fallen:
            steps = self.report.facts.get("checkpoint_metadata", {}).get("step", 0)
            return (
                f"The model is NOT said to have learned: over its {count_of(steps, 'step')} its validations fell from "
                f"{max(self.validations_db):.2f} to {self.validations_db[-1]:.2f} dB, whatever the scores above; try "
                "again on a quieter machine."
            )
        if not self.has_learned:
            return "The model did NOT learn to use the pose; run `enr doctor`, or try again on a quieter machine."
        return f"The model learned to use the pose ({self.seconds / 60:.1f} minutes in all)."


def _beside(report: Report, shipped: Report) -> str:
    """Both models on the chairs that neither was trained on."""
    scenes = {scene.scene_id: scene.scores[MODEL][PSNR] for group in report.groups for scene in group.scenes}
    other = {scene.scene_id: scene.scores[MODEL][PSNR] for group in shipped.groups for scene in group.scenes}
    own = [db for scene_id, db in scenes.items() if scene_id in other]
    size = shipped.facts["image_shape"][2]
    return (
        f"On {count_of(len(own), 'chair')} that neither was trained on, this model has {sum(own) / len(own):.2f} dB, "
        f"the one that comes with enr {sum(other.values()) / len(other):.2f} dB at {size} px (`enr view shapes`)."
    )


def _held_out(report: Report) -> int:
    """How many objects the evaluated training held out for validation."""
    scenes = report.facts.get("checkpoint_metadata", {}).get("data", {}).get("scenes", {})
    return max((counts.get("val", 0) for counts in scenes.values()), default=0)


def has_learned(group: GroupReport) -> bool:
    """Whether another view's pose makes the pictures clearly worse, and they beat the floors that see no target."""
    return group.pose_gap_db >= LEARNED_DB and group.lead_db >= LEARNED_DB


def run_demo(settings: DemoSettings, say: Say = print) -> DemoResult:
    """Chairs, pictures, a trained model and its evaluation, within `settings.minutes`.

    Args:
        settings: what to make.
        say: takes the lines for the user.

    Raises:
        EnrError: the folder cannot be made, or no chair could be rendered; with the reason.
    """
    check_folder(settings.folder, "--out")
    started = time.monotonic()
    chairs, views = count_of(settings.chairs, "chair"), count_of(settings.views, "view")
    say(f"1/3 {chairs}, {views} each, {settings.size_px} px")
    summary = make_data(settings)
    say(f"    {summary.images} pictures in {summary.seconds:.0f} s; contact sheet: {summary.contact_sheet}")
    minutes = training_minutes(settings, (time.monotonic() - started) / 60)
    say(f"2/3 training for {minutes_in_words(minutes)}")
    run = make_model(settings, summary, minutes, say)
    say("3/3 evaluation on chairs that were not trained on")
    report = evaluate(EvalSettings(checkpoint=run.folder, out=settings.folder / "demo-eval", seed=settings.seed))
    say(f"\n{format_report(report)}\n")
    shipped = evaluate_shipped(settings, report)
    assert summary.contact_sheet is not None
    return DemoResult(
        report=report,
        contact_sheet=summary.contact_sheet,
        gif=run.folder / "progress.gif",
        pictures=report.pictures,
        seconds=time.monotonic() - started,
        validations_db=tuple(line["psnr_db"] for line in read_metrics(run.metrics) if line["kind"] == "validation"),
        shipped=shipped,
    )


def evaluate_shipped(settings: DemoSettings, report: Report) -> Report | None:
    """The model that comes with enr on those of the demo's unseen chairs that it was not trained on either.

    The same cameras render them at its own size. None where this copy came without it, or it knows all of them.
    """
    try:
        checkpoint, _ = find_checkpoint(SHIPPED)
    except EnrError:
        return None
    known = set(read_metadata(checkpoint)["data"]["trained_scene_ids"])
    unseen = sorted({scene.scene_id for group in report.groups for scene in group.scenes} - known)
    if not unseen:
        return None
    size = load_model(checkpoint).config.image_shape[2]
    meshes = tuple(settings.folder / MESHES / scene_id for scene_id in unseen)
    folder = settings.folder / "demo-shards-shapes"
    summary = generate(_generation(settings, meshes, size, folder, (0.0, 0.0, 1.0)), progress=settings.show_progress)
    out = settings.folder / "demo-eval-shapes"
    return evaluate(EvalSettings(checkpoint=checkpoint, shards=summary.shards, out=out, seed=settings.seed))


def make_data(settings: DemoSettings) -> Summary:
    """The chairs as meshes, and their roto-translations as shards; what is there already is kept.

    Raises:
        EnrError: no chair could be rendered, with the reason of the first.
    """
    meshes = settings.folder / MESHES
    write_shapes(meshes, count=settings.chairs, seed=settings.seed)
    wanted = _generation(settings, (meshes,), settings.size_px, settings.folder / "demo-shards", SPLIT_SHARES)
    summary = generate(wanted, progress=settings.show_progress)
    if not summary.scenes:
        raise EnrError(f"No chair could be rendered ({next(iter(summary.failures.values()))}); run `enr doctor`.")
    return summary


def _generation(
    settings: DemoSettings, meshes: tuple[Path, ...], size_px: int, out: Path, split_shares: tuple[float, float, float]
) -> GenerateSettings:
    return GenerateSettings(
        meshes=meshes,
        views=settings.views,
        poses=PoseSettings("rototrans"),
        render=RenderSettings(size_px, size_px, focal_px_from_lens(size_px), seed=settings.seed),
        split_shares=split_shares,
        out=out,
        overwrite=True,
        pool=PoolSettings(workers=default_workers()),
    )


def training_minutes(settings: DemoSettings, spent_minutes: float) -> float:
    """How long to train, so that the whole demo keeps to its time."""
    left = settings.minutes - spent_minutes - EVALUATION_MINUTES
    return max(LEAST_TRAINING_MINUTES, min(settings.train_minutes, left))


def make_model(settings: DemoSettings, summary: Summary, minutes: float, say: Say) -> Run:
    """A small renderer, trained for so many minutes."""
    outcome = train(
        TrainSettings(
            shards=summary.shards,
            preset=PRESET,
            assignments=(f"seed={settings.seed}", *settings.assignments),
            max_minutes=minutes,
            runs=settings.folder / "runs",
            show_progress=settings.show_progress,
        ),
        say=lambda line: say(f"    {line}"),
    )
    say(f"    {outcome.step} steps, {outcome.images_per_s:.0f} images/s")
    if not outcome.is_finished:  # Ctrl-C or a signal: the user wants an end, no evaluation
        raise EnrError(
            f"The demo was stopped during its training, which is saved in {outcome.run.folder}; run it again."
        )
    return outcome.run
