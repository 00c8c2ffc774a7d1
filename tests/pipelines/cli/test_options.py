"""The command line is a view of the typed configuration: the same names, defaults and choices."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path

import click
import pytest
from tests.command_line import check_refused, enr

pytest.importorskip("pydantic", reason="needs enr[datagen] or enr[train]")

from enr.errors import EnrError
from enr.pipelines.cli.main import COMMANDS, main
from enr.pipelines.config.data_sets import ConvertConfig, DatagenConfig, Section, elevations

WITHOUT_SETTINGS = {"verify": {"sample"}, "view": {"port"}}
"""Numbers that go straight to a function."""
VIEWS: list[tuple[str, type[Section]]] = [("datagen", DatagenConfig), ("convert", ConvertConfig)]


def parameters(name: str) -> dict[str, click.Parameter]:
    command = main.get_command(click.Context(main), name)
    return {parameter.name: parameter for parameter in command.params}


def choices(annotation: object) -> tuple[str, ...]:
    """The words of a `Literal`, wherever in an annotation it stands."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    return next((found for inner in typing.get_args(annotation) if (found := choices(inner))), ())


@pytest.mark.parametrize(("name", "section"), VIEWS)
def test_every_entry_is_an_option_and_every_option_an_entry(name, section):
    assert set(parameters(name)) == set(section.model_fields)


@pytest.mark.parametrize(("name", "section"), VIEWS)
def test_a_default_that_is_shown_is_the_entry_s(name, section):
    fields = section.model_fields
    shown = {key: option.default for key, option in parameters(name).items() if getattr(option, "show_default", False)}
    assert len(shown) > 3
    for key, default in shown.items():
        assert (elevations(default) if key == "rings_deg" else default) == fields[key].default, key


@pytest.mark.parametrize(("name", "section"), VIEWS)
def test_choices_that_are_shown_are_the_entry_s(name, section):
    for key, option in parameters(name).items():
        expected = choices(typing.get_type_hints(section)[key])
        shown = tuple(option.type.choices) if isinstance(option.type, click.Choice) else ()
        assert sorted(shown) == sorted(expected), key


def test_eval_and_train_show_the_defaults_that_hold():
    evaluation = pytest.importorskip("enr.pipelines.evaluation.inputs", reason="needs enr[train]")
    fields = {entry.name: entry.default for entry in dataclasses.fields(evaluation.EvalSettings)}
    for key, option in parameters("eval").items():
        if getattr(option, "show_default", False):
            assert option.default == fields[key], key


@pytest.mark.parametrize("name", COMMANDS)
def test_bounds_stand_on_the_settings_alone(name):
    """Where a command has settings, click checks none of their numbers a second time."""
    ranges = click.types.IntRange | click.types.FloatRange
    bounded = {key for key, option in parameters(name).items() if isinstance(option.type, ranges)}
    assert bounded == WITHOUT_SETTINGS.get(name, set())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eval --sources 0", "--sources is 0; it must be at least 1."),
        ("reproduce rotations --seeds 0", "--seeds is 0; it must be at least 1."),
        ("bench loader --seconds 0", "--seconds is 0.0; it must be above 0."),
        ("demo --seed -1", "--seed is -1; it must be at least 0."),
    ],
)
def test_a_refused_number_is_named_with_its_option(line, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refused(enr(*line.split(), *(["--checkpoint", "runs"] if line.startswith("eval") else [])), words)


def test_options_of_datagen_come_in_sections():
    lines = enr("datagen", "--help").output.splitlines()
    headings = [line.rstrip(":") for line in lines if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert headings[:3] == ["Meshes", "Cameras", "Held-out views"] and len(headings) >= 8
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_there_without_docstrings(name):
    code = f"from enr.pipelines.cli.main import main; main(['{name}', '--help'], standalone_mode=False)"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True)
    described = done.stdout.split("Options:")[0].split("\n\n", 1)[1]
    assert done.returncode == 0 and len(described.split()) > 5


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--views 0", "--views is 0; it must be at least 1."),
        ("--radius inf", "--radius is inf; it must be a finite number."),
        ("--resolution 9000", "--resolution got '9000'"),
        ("--part 3/2", "--part got '3/2'"),
        ("--mesh-memory 0", "--mesh-memory is 0.0; it must be above 0"),
    ],
)
def test_a_bound_stands_on_the_entry_and_the_refusal_names_the_option(line, words):
    check_refused(enr("datagen", "nowhere", *line.split()), words)


@pytest.mark.parametrize("radius", ["2.5", 2.5, "25e-1"])
def test_text_is_read_as_the_entry_s_type(radius):
    assert DatagenConfig(radius=radius).radius == 2.5


def test_python_s_values_say_the_same_as_the_command_line_s():
    typed = DatagenConfig(meshes="a", resolution=(96, 64), background=(1, 0, 0), part=(1, 2), bad="blank", out="b")
    texts = DatagenConfig(
        meshes=["a"], resolution="96x64", background="1,0,0", part="1/2", bad=["blank"], out=Path("b")
    )
    assert dict(typed) == dict(texts)


def test_an_unknown_keyword_is_refused_with_the_nearest():
    with pytest.raises(EnrError, match=r"no option --resolutoin; did you mean resolution\?"):
        DatagenConfig(resolutoin=64)


def test_a_changed_configuration_still_knows_what_was_given():
    assert DatagenConfig(views=3, radius=2.0).but(views=4).given == {"views": 4, "radius": 2.0}
