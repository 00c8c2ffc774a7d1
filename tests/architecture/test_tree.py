"""What the repository holds: its own text alone, no data, no path of one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enr.model.shipped import SHIPPED as SHIPPED_MODELS
from enr.model.shipped import WEIGHTS_NAME

FOLDERS = ("src/enr", "datagen", "model", "pipelines", "tests", "docs", ".ci")
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ""}
DATA = {".obj", ".mtl", ".glb", ".gltf", ".ply", ".stl", ".off", ".h5", ".pt", ".npz", ".safetensors", ".blend"}
LARGEST_BYTES = 2_000_000
SHIPPED = "model/shipped"
"""Weights of the models that come with the package; `enr.model.hub` bounds their size."""

MACHINE_PATH = re.compile(r"(?<![\w./}])/(home|Users|root|work|mnt|tmp)/\w")


def files(root: Path) -> list[Path]:
    """Every file of the project, without caches."""
    top = [path for path in root.iterdir() if path.is_file() and path.name != ".git"]  # a worktree's is a file
    below = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    return [path for path in top + below if "__pycache__" not in path.parts]


def test_no_file_names_a_path_of_one_machine(root):
    found = [
        f"{path}:{number}"
        for path in files(root)
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


@pytest.mark.parametrize("line", ["cd " + "/home" + "/me", "'" + "/tmp" + "/x'"])
def test_the_pattern_finds_such_paths(line):
    assert MACHINE_PATH.search(line)


def unexpected(root: Path) -> list[Path]:
    """Every file but the weights of the models that come with the package."""
    shipped = {root / SHIPPED / name / WEIGHTS_NAME for name in SHIPPED_MODELS}
    return [path for path in files(root) if path not in shipped]


def test_no_meshes_shards_or_weights(root):
    assert not [str(path) for path in unexpected(root) if path.suffix.lower() in DATA]


def test_no_large_files(root):
    assert not [str(path) for path in unexpected(root) if path.stat().st_size > LARGEST_BYTES]


def test_models_that_come_with_the_package_are_small(root):
    for path in (root / SHIPPED).rglob(WEIGHTS_NAME):
        assert path.stat().st_size <= 15_000_000
