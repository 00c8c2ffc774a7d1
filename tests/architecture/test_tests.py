"""Test files say what law they hold, and share what they have in common."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
COMMAND_LINE = ROOT / "tests" / "command_line.py"
"""The one place that calls the command line."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_says_in_one_line_what_it_holds(path):
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = said.split("\n\n")[0]
    assert len(first.split()) > 3 and first.endswith((".", ":")) and "\n" not in first


def shareable(path: Path) -> Iterator[tuple[str, str]]:
    """Of a file, every fixture and helper: what it does, without its name and docstring, and its place."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("test_"):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        arguments = ast.unparse(node.args)
        does = "\n".join(map(ast.unparse, body))
        if len(does) > 40:
            yield f"({arguments}): {does}", f"{path.relative_to(ROOT)}::{node.name}"


def test_what_two_files_do_alike_stands_in_one_place():
    found = defaultdict(list)
    for path in FILES:
        for does, place in shareable(path):
            found[does].append(place)
    assert [places for places in found.values() if len(places) > 1] == []


def test_only_one_file_calls_the_command_line():
    found = [
        path
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module == "click.testing"
    ]
    assert found == [COMMAND_LINE]
