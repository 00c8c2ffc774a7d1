"""Every command explains itself and is named in the README."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from enr.pipelines.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    command = main.get_command(click.Context(main), name)
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert command.help
    assert not silent


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_the_command(root, name):
    assert f"enr {name}" in (root / "README.md").read_text(encoding="utf-8")


def test_help_lists_every_command():
    output = CliRunner().invoke(main, ["--help"]).output
    assert all(f"  {name}" in output for name in COMMANDS)


def test_an_unknown_command_ends_in_status_2():
    assert CliRunner().invoke(main, ["paint"]).exit_code == 2
