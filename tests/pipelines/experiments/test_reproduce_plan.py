"""Experiments are data: every one of them fits at every scale, and stands for commands that could be typed."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shlex
from collections import defaultdict
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs enr[train]")
pytest.importorskip("trimesh", reason="needs enr[datagen]")
if importlib.util.find_spec("bpy") is None:
    pytest.skip("needs enr[datagen]", allow_module_level=True)

from tests.command_line import enr
from tests.pipelines.experiments.reproduce_content import CONTENT

from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.pipelines.cli import sections
from enr.pipelines.cli.main import main
from enr.pipelines.config import key_values
from enr.pipelines.config.data_sets import ConvertConfig, DatagenConfig
from enr.pipelines.config.presets import read_value
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.experiments.config import SCALES, at_scale, experiment_names, merged, read_experiment
from enr.pipelines.experiments.experiment_plan import ReproduceSettings, make_plan
from enr.pipelines.experiments.forecast import describe_plan
from enr.pipelines.experiments.step import words as words_of
from enr.pipelines.generation.settings import convert_settings, generate_settings
from enr.pipelines.training.train import TrainSettings

TREES = st.recursive(
    st.none() | st.integers(0, 9),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=9,
).filter(lambda tree: isinstance(tree, dict))
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    (folder / "one.obj").write_text(TETRAHEDRON)
    return folder


@pytest.fixture(scope="module")
def posed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("posed")
    (folder / "chair").mkdir()
    (folder / "chair" / "render_params.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def plans(meshes, posed):
    """Every experiment at every scale."""
    posed_of = {"apple": posed}
    return {
        (name, scale): make_plan(ReproduceSettings(name, scale, (meshes,), posed=posed_of.get(name)))
        for name in experiment_names()
        for scale in SCALES
    }


def test_every_experiment_fits_at_every_scale(plans):
    # Making a plan resolves every training against its preset and parses every command.
    assert len(plans) == 3 * len(experiment_names()) >= 39


def test_every_line_is_the_command_that_is_done(plans):
    for plan in plans.values():
        for step in plan.steps:
            assert shlex.split(step.line) == ["enr", step.command, *step.arguments]


def test_patterns_of_run_folders_are_left_to_the_shell(plans):
    lines = [step.line for plan in plans.values() for step in plan.steps if step.command == "eval"]
    assert all("/*-" in line and "'" not in line.split("--checkpoint ")[1].split()[0] for line in lines)


def test_trainings_of_an_experiment_take_equal_time_unless_time_is_what_is_compared(plans):
    for plan in plans.values():
        times = defaultdict(set)
        for step in plan.steps:
            if step.command == "train":
                variant = plan.experiment.variants[step.name.rpartition("-seed")[0]]
                times[variant.time].add(str(step.minutes))
        assert all(len(minutes) == 1 for minutes in times.values())
        assert set(times) == {1.0} or plan.settings.name == "fine-tuning"


def test_a_training_with_a_time_ends_by_nothing_else(plans):
    for plan in plans.values():
        for step in plan.steps:
            if step.command == "train" and not math.isnan(step.minutes):
                assert "steps=null" in step.arguments


def test_every_variant_is_trained_with_every_seed_and_evaluated(plans):
    for plan in plans.values():
        trained = [step.name for step in plan.steps if step.command == "train"]
        assert len(trained) == len(plan.experiment.variants) * len(plan.experiment.seeds)
        assert {step.name.split()[0] for step in plan.steps if step.command == "eval"} == set(trained)


def test_what_is_trained_on_and_measured_on_is_made_before(plans):
    for plan in plans.values():
        made = set()
        for step in plan.steps:
            if step.command in ("train", "eval"):
                assert {str(path) for path in step.asked.shards} <= made
            made.add(str(step.folder))


def test_few_scenes_have_the_same_number_of_pictures_in_all(plans):
    for scale in SCALES:
        plan = plans["few-scenes", scale]
        asked = [step.asked for step in plan.steps if step.command == "datagen"]
        trained = {entry.max_meshes * (entry.views - entry.poses.held_out_views) for entry in asked}
        assert sorted(entry.max_meshes for entry in asked) == [1, 1, 2, 2, 5, 5, 10, 10]
        assert len(trained) == 1
        assert {entry.poses.hold_out.patches for entry in asked} == {3}
        assert sorted({round(math.radians(entry.poses.hold_out.size_deg), 2) for entry in asked}) == [0.05, 0.26]


def test_the_ladder_has_every_rung_for_every_group_at_equal_time(plans):
    plan = plans["ladder", "small"]
    rungs = {str(step.asked.assignments) + step.asked.preset: step for step in plan.steps if step.command == "train"}
    assert len(rungs) == len(plan.experiment.variants) / 3 * len(plan.experiment.seeds)
    assert len(plan.experiment.seeds) >= 3


def test_published_pictures_are_left_out_without_them(meshes):
    plan = make_plan(ReproduceSettings("apple", "small", (meshes,)))
    assert not any("apple" in step.name.split() for step in plan.steps)
    assert any("--posed" in note for note in plan.notes)


def test_the_time_is_that_of_all_trainings(meshes):
    plan = make_plan(ReproduceSettings("losses", "small", (meshes,), minutes=2, seeds=3))
    assert f"{2 * 3 * len(plan.experiment.variants):.1f} minutes of training" in describe_plan(plan)


def test_what_is_set_for_all_trainings_stands_over_the_experiment(meshes):
    plan = make_plan(ReproduceSettings("few-scenes", "small", (meshes,), assignments=("learning_rate=1e-5",)))
    asked = [step.asked for step in plan.steps if step.command == "train"]
    assert {entry.assignments[-1] for entry in asked} == {("learning_rate", "1e-5")}
    assert "--set learning_rate=1e-5" in plan.line


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_a_limit_of_meshes_never_raises_an_experiment_s_own(meshes, limit):
    plan = make_plan(ReproduceSettings("few-scenes", "small", (meshes,), max_meshes=limit))
    asked = [step.asked.max_meshes for step in plan.steps if step.command == "datagen"]
    assert sorted(asked) == sorted(min(limit, own) for own in (1, 1, 2, 2, 5, 5, 10, 10))
    assert f"--max-meshes {limit}" in plan.line


def test_cameras_of_translations_go_across_or_along_the_line_of_sight(plans):
    steps = {step.name: step for step in plans["rotation-model-translated", "small"].steps}
    across, along = (steps[name].asked.poses.box for name in ("across", "along"))
    assert across[0] == (0, 0) and min(high - low for low, high in across[1:]) > 0.5
    assert along[1:] == ((0, 0), (0, 0)) and along[0][1] - along[0][0] > 0.5


def test_the_documentation_names_every_experiment(pytestconfig):
    text = (pytestconfig.rootpath / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert [name for name in experiment_names() if f"`{name}`" not in text] == []


@given(TREES, TREES)
def test_nothing_is_lost_where_a_scale_says_nothing(below, above):
    laid = merged(below, above)
    assert merged(below, {}) == below
    assert {key: laid[key] for key in below if key not in above} == {k: v for k, v in below.items() if k not in above}


@given(TREES, TREES)
def test_what_a_scale_says_stands(below, above):
    for key, value in merged(below, above).items():
        if key in above and not isinstance(above[key], dict):
            assert value == above[key]


def test_null_takes_a_table_out():
    assert merged({"a": {"b": {}, "c": {"d": 1}}}, {"a": {"b": None}}) == {"a": {"c": {"d": 1}}}


def test_a_variant_may_be_trained_on_each_of_several_sets():
    change = {"sets": {"far": {}}, "variants": {"slow": {"label": "slowly", "each": ["boxes", "far"]}, "tuned": None}}
    content = merged({**CONTENT, "variants": {**CONTENT["variants"], "slow": {}}}, change)
    variants = at_scale(content, "tiny").variants
    assert {name: variant.sets for name, variant in variants.items()} == {
        "slow-boxes": ("boxes",),
        "slow-far": ("far",),
    }
    assert {variant.label for variant in variants.values()} == {"slowly"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"summery": "x"}, "summery"),
        ({"variants": {"slow": {"sets": ["nothing"]}}}, "'nothing'"),
        ({"variants": {"slow": {"sets": ["boxes"], "init": "later"}}}, "'later'"),
        ({"variants": {"slow": {"sets": ["boxes"], "evaluations": ["guess"]}}}, "'guess'"),
        ({"evaluations": {"unseen": {"sets": ["nothing"]}}}, "'nothing'"),
        ({"seeds": ["zero"]}, "seeds"),
        ({"sets": {"two words": {}}}, "'two words'"),
    ],
)
def test_an_entry_that_stands_for_nothing_is_refused(change, words):
    with pytest.raises(EnrError, match=words):
        at_scale(merged(CONTENT, change), "tiny")


def test_options_are_what_would_be_typed():
    options = {"views": 5, "box": [0, 0, -1, 1, -1, 1], "mask": True, "depth": False, "resolution": [96, 64]}
    box = ["--box", "0", "0", "-1", "1", "-1", "1"]
    assert words_of(options) == ["--views", "5", *box, "--mask", "--resolution", "96x64"]
    assert words_of({"split": ["val", "test"]}) == ["--split", "val", "--split", "test"]


def typed(step):
    """The settings that the command line makes of a step's line."""
    command = main.get_command(click.Context(main), step.command)
    with command.make_context(step.command, list(step.arguments)) as context:
        if step.command == "datagen":
            return generate_settings(DatagenConfig(**sections.given()))
        if step.command == "convert":
            return convert_settings(ConvertConfig(**sections.given()))
        return importlib.import_module(f"enr.pipelines.cli.{step.command}").settings_of(context.params)


def without_runs(settings):
    """But for what is found when the step's turn comes, and what changes no result."""
    if isinstance(settings, TrainSettings):
        assignments = tuple((key, read_value(value)) for key, value in key_values(settings.assignments))
        return dataclasses.replace(settings, init=None, assignments=assignments, show_progress=True)
    if isinstance(settings, EvalSettings):
        return dataclasses.replace(settings, checkpoint=None)
    return dataclasses.replace(settings, command="") if isinstance(settings, GenerateSettings) else settings


def test_a_line_says_what_its_step_does(plans, monkeypatch):
    monkeypatch.setattr("enr.shards.find.find_shards", lambda paths: tuple(paths))
    for (_, scale), plan in plans.items():
        for step in plan.steps[: None if scale == "tiny" else 12]:
            assert without_runs(typed(step)) == without_runs(step.asked), step.line


def test_a_dry_run_says_how_many_steps_and_hours_it_stands_for(meshes):
    text = describe_plan(make_plan(ReproduceSettings("ladder", "small", (meshes,))))
    assert "Steps: 219, of which 3 renderings, 108 trainings and 108 evaluations." in text
    assert "9.0 hours of training (108 runs)" in text and "In all 9.0 hours before the evaluations." in text
    text = describe_plan(make_plan(ReproduceSettings("rotations", "paper", (meshes,))))
    assert "2 trainings until the preset's last step, however long (1,400,000 steps in all, 38.9 hours at" in text


def invoke(*words: str):
    return enr("reproduce", *words)


def test_the_list_names_every_experiment_in_a_line():
    lines = invoke("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(experiment_names())
    assert all(read_experiment(line.split()[0], "tiny").summary in line and len(line) < 140 for line in lines)


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("rotations", "--dry-run")
    assert result.exit_code == 0
    assert all(f"enr {command} " in result.output for command in ("datagen", "train", "eval"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "said"), [(1, "1 built-in shape ("), (6, "6 built-in shapes ("), (99, "16 built-in")]
)
def test_no_more_shapes_are_made_than_are_wanted(limit, said):
    plan = make_plan(ReproduceSettings("sources", max_meshes=limit))
    assert plan.shapes == min(limit, 16)
    assert said in describe_plan(plan)


def test_a_dry_run_says_times_as_people_do():
    text = describe_plan(make_plan(ReproduceSettings("apple", max_meshes=2)))
    assert "Time here: under a minute of rendering, under a minute of training (1 run), and 1 evaluation." in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rotation"], "did you mean rotations?"),
        ([], "enr reproduce --list"),
        (["ladder", "--scale", "paper"], "needs the meshes"),
        (["ladder", "--posed", "x"], "cannot be combined with --posed"),
        (["ladder", "nowhere"], "nowhere does not exist"),
        (["mugs", "--background", "nowhere.png"], "nowhere.png"),
        (["--list", "--scale", "paper"], "leave out --scale"),
        (["--list", "ladder", "--seeds", "2"], "leave out NAME, --seeds"),
        (["ladder", "--set", "train.seed=3", "--dry-run"], "--seeds"),
        (["apple", "--posed", "nowhere", "--dry-run"], "--posed nowhere is not a folder"),
        (["apple", "--posed", ".", "--dry-run"], "--posed . holds no render_params.json"),
        (["sources", "--set", "sources=3"], "one, four set sources; leave it out"),
        (["sources", "--set", "train.sources=3", "--dry-run"], "one, four set train.sources"),
    ],
)
def test_bad_input_ends_in_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 2
    assert said in result.output and result.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_does_not_fit_its_preset_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    from enr.pipelines.experiments import experiment_plan as reproduce_plan

    wrong = at_scale(merged(CONTENT, {"variants": {"slow": {"sets": ["boxes"], "set": {"learning_rate": -1}}}}), "tiny")
    monkeypatch.setattr(reproduce_plan, "read_experiment", lambda *_: wrong)
    with pytest.raises(EnrError, match="learning_rate"):
        make_plan(dataclasses.replace(ReproduceSettings("boxes"), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
