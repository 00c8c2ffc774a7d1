"""Every Python program of the pages in docs/ runs as it stands there, and every YAML sample is read."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest
import yaml
from PIL import Image
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy

from enr.model import Renderer, save_model
from enr.pipelines.cli.main import main
from enr.pipelines.experiments.config import SCALES, at_scale
from enr.shards import write_shard

DOCS = Path(__file__).parents[3] / "docs"
SIZE_PX = 16
SHARD = "rototrans-00000-of-00042.h5"
CHECKPOINT = "runs/20261121-120000-small-64/checkpoints/best"
"""What the pages call a shard and a checkpoint."""


def blocks(language: str) -> list[tuple[str, str]]:
    """Of every page, the blocks in a language, each with the page's name and its place there."""
    return [
        (f"{page.stem}-{number}", block)
        for page in sorted(DOCS.glob("*.md"))
        for number, block in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        )
    ]


class OneQueue:
    """In place of a cluster's queue: a scheduler that has an address, and no jobs."""

    scheduler_address = "tcp://127.0.0.1:8786"

    def __init__(self, **asked: object) -> None:
        assert {"cores", "memory", "walltime"} <= set(asked)

    def __enter__(self) -> OneQueue:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scale(self, jobs: int) -> None:
        assert jobs > 0


def understood(words: list[str], check: bool) -> None:
    """In place of running a command: it exists, and so do its options."""
    program, name, *rest = words
    command = main.get_command(click.Context(main), name)
    assert program == "enr" and check and command is not None
    command.make_context(name, rest)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages speak of: a shard with depth, a trained model and a picture."""
    (tmp_path / "shards").mkdir()
    toy = make_toy(Toy(size_px=SIZE_PX))
    depth = np.full(toy.images.shape[:3], 2.0, dtype=np.float32)
    write_shard(tmp_path / "shards" / SHARD, dataclasses.replace(toy, passes={"depth": depth}))
    save_model(tmp_path / CHECKPOINT, Renderer(tiny_config(SIZE_PX)), {"group": ["rototrans"]})
    picture = np.full((800, 800, 3), 255, np.uint8)
    picture[300:500, 300:500] = (120, 60, 20)
    Image.fromarray(picture).save(tmp_path / "chair.png")
    queue = ModuleType("dask_jobqueue")
    queue.SLURMCluster = OneQueue
    monkeypatch.setitem(sys.modules, "dask_jobqueue", queue)
    monkeypatch.setattr(subprocess, "run", understood)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("program", [pytest.param(block, id=name) for name, block in blocks("python")])
def test_a_program_runs(workplace, program):
    exec(compile(program, "page", "exec"), {"predict": lambda rgba, target_from_source: rgba})


@pytest.mark.parametrize("sample", [pytest.param(block, id=name) for name, block in blocks("yaml")])
def test_a_sample_is_an_experiment_at_every_scale(sample):
    for scale in SCALES:
        assert at_scale(yaml.safe_load(sample), scale).summary


def test_the_pages_have_programs_and_samples():
    assert len(blocks("python")) >= 6 and len(blocks("yaml")) >= 1
