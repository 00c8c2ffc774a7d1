"""The project's own source files, parsed once."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import ROOT

PACKAGE_OF_FOLDER = {
    "src/enr": "enr",
    "datagen": "enr.datagen",
    "model": "enr.model",
    "pipelines": "enr.pipelines",
}


@dataclass(frozen=True)
class SourceFile:
    """One Python file: its path, its dotted name and its syntax tree."""

    path: Path
    module: str
    tree: ast.Module


def module_name(file: Path, folder: Path, package: str) -> str:
    """The dotted name under which `file` (inside `folder`, which is `package`) is imported."""
    parts = file.relative_to(folder).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def parse_sources() -> tuple[SourceFile, ...]:
    """Every Python file of the package, each room read from its real folder (`rglob` does not follow the links)."""
    sources = []
    for folder_name, package in PACKAGE_OF_FOLDER.items():
        folder = ROOT / folder_name
        for file in sorted(folder.rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
            sources.append(SourceFile(file, module_name(file, folder, package), tree))
    return tuple(sources)


@pytest.fixture(scope="session")
def sources() -> tuple[SourceFile, ...]:
    """Every Python file of the package."""
    return parse_sources()
