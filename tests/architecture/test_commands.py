"""Every command explains itself and is named in the README."""

from __future__ import annotations

import re

import click
import pytest
from tests.command_line import enr

from enr.pipelines.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help(name):
    result = enr(name, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


NO_VERBS = {"A", "An", "The", "Of", "For", "Per", "By", "In", "At", "With", "Whose", "How", "Such", "So", "No", "May"}
UNITS = re.compile(r"px|pixel|deg|degree|mm\b|MB\b|object units|minute|second|share")


def command_of(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def options_of(name: str) -> list[click.Option]:
    return [option for option in command_of(name).params if isinstance(option, click.Option)]


def is_whole(phrase: str) -> bool:
    """Whether it says what is done, from its verb to its full stop."""
    first, *others = phrase.split()
    return first[:1].isupper() and first not in NO_VERBS and bool(others) and phrase.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_explained_in_whole_phrases(name):
    first = (command_of(name).help or "").strip().split("\n\n")[0]
    assert is_whole(first), first
    assert [option.name for option in options_of(name) if not is_whole(option.help or "")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_number_has_a_unit(name):
    """In the option's name or in what it says, where it may be a fraction."""
    numbers = [option for option in options_of(name) if isinstance(option.type, click.types.FloatParamType)]
    assert [option.name for option in numbers if not UNITS.search(f"{option.name} {option.help}")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_the_command(root, name):
    assert f"enr {name}" in (root / "README.md").read_text(encoding="utf-8")


def test_help_lists_every_command():
    output = enr("--help").output
    assert all(f"  {name}" in output for name in COMMANDS)


def test_an_unknown_command_ends_in_status_2():
    assert enr("paint").exit_code == 2
