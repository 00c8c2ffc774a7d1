"""Bars for the code itself: docstrings, short functions, short files, and not too many pieces that serve one place."""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.architecture.conftest import SourceFile
from tests.architecture.test_rooms import all_imports

LONGEST_FUNCTION = 60
LONGEST_FILE = 400
P90_FUNCTION = 30
MEDIAN_FUNCTION = 12
USED_ONCE_PERCENT = 49.5
"""Of private functions, those whose name stands once in the whole code besides its definition: a reader pays for each
hop. Projects known to read well have 34 to 50. Lower it when the code has got there, never raise it."""
IMPORTED_BY_ONE_PERCENT = 32.0
"""Of files, those that one other file alone imports."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = ast.Name | ast.Attribute
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


def uses_of_names(sources) -> Counter[str]:
    """How often each name stands in the code, as a name or an attribute; definitions do not count."""
    nodes = (node for source in sources for node in ast.walk(source.tree))
    return Counter(node.id if isinstance(node, ast.Name) else node.attr for node in nodes if isinstance(node, NAMED))


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def test_few_private_functions_serve_one_place(sources):
    uses = uses_of_names(sources)
    private = [(source, node) for source in sources for node in functions(source.tree) if is_private(node.name)]
    once = [f"{source.path}:{node.lineno} {node.name}" for source, node in private if uses[node.name] <= 1]
    percent = 100 * len(once) / len(private)
    assert percent <= USED_ONCE_PERCENT, f"{percent:.1f} % of private functions are used once:\n" + "\n".join(once)


def test_few_files_serve_one_file(sources):
    modules = {source.module for source in sources}
    importers = {source.module: set() for source in sources if source.path.name != "__init__.py"}
    for source in sources:
        for name in all_imports(source.tree, modules) & importers.keys() - {source.module}:
            importers[name].add(source.module)
    alone = [f"{name} <- {next(iter(found))}" for name, found in importers.items() if len(found) == 1]
    percent = 100 * len(alone) / len(importers)
    assert percent <= IMPORTED_BY_ONE_PERCENT, f"{percent:.1f} % of files serve one file:\n" + "\n".join(alone)


def test_uses_are_counted_as_names_and_attributes():
    source = SourceFile(Path("a.py"), "a", ast.parse("def _f(): pass\n_f()\nself._g\nx._g()"))
    assert (uses_of_names([source])["_f"], uses_of_names([source])["_g"]) == (1, 2)
