"""What the tests of trainings share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.pipelines.toy_shards import Toy, write_toy

from enr.pipelines.data.views import ViewSet


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, whatever the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """A folder of two shards: rotations and translations of other objects."""
    folder = tmp_path_factory.mktemp("shards")
    write_toy(folder / "rot.h5", Toy(group="rot", seed=1))
    write_toy(folder / "trans.h5", Toy(group="trans", seed=2, prefix="slab"))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with `shards/` and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_toy(Path("shards/rot-00000-of-00001.h5"), Toy(group="rot"))
    return tmp_path


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A shard of the usual toy."""
    return write_toy(tmp_path_factory.mktemp("shards") / "toy.h5", Toy())


@pytest.fixture(scope="session")
def view_set(tmp_path_factory):
    """The views of a shard of the usual toy at 32 px, the size of small-32."""
    return ViewSet.open([write_toy(tmp_path_factory.mktemp("shards") / "toy.h5", Toy(size_px=32))])
