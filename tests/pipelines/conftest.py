"""What the tests of several pipelines share: a renderer that has learned nothing yet, and a shard that fits it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

CONFIG = tiny_config(16, carry_colour=True)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with the renderer of `CONFIG`, untrained."""
    from enr.model import Renderer, save_model

    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    save_model(folder, Renderer(CONFIG), {})
    return folder


@pytest.fixture(scope="session")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy shard whose pictures have the size of `CONFIG`."""
    return write_toy(tmp_path_factory.mktemp("shards") / "toy.h5", Toy())
