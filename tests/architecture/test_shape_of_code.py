"""Bars for the code itself: docstrings, short functions, short files."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator

import pytest

LONGEST_FUNCTION = 60
LONGEST_FILE = 400
P90_FUNCTION = 30
MEDIAN_FUNCTION = 12
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines from `def` to the end, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def public_definitions(body: list[ast.stmt]) -> Iterator[Documented]:
    """Functions, classes and methods that others may use."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def test_every_public_definition_has_a_docstring(sources):
    bare = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources
        for node in public_definitions(source.tree.body)
        if not ast.get_docstring(node)
    ]
    assert not bare


def test_every_module_has_a_docstring(sources):
    assert not [str(source.path) for source in sources if not ast.get_docstring(source.tree)]


def test_no_function_is_long(sources):
    long = [
        f"{source.path}:{node.lineno} {node.name} has {length(node)} lines"
        for source in sources
        for node in functions(source.tree)
        if length(node) > LONGEST_FUNCTION
    ]
    assert not long


def test_functions_are_short_on_the_whole(sources):
    lengths = sorted(length(node) for source in sources for node in functions(source.tree))
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert lengths[int(0.9 * len(lengths))] <= P90_FUNCTION


@pytest.mark.parametrize("folder", ["src/enr", "datagen", "model", "pipelines", "tests"])
def test_files_are_short(root, folder):
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (root / folder).rglob("*.py")}
    assert not {str(path): count for path, count in lines.items() if count > LONGEST_FILE}
