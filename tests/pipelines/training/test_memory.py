"""A training for which there is too little memory ends in a sentence, if possible before it begins."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training import memory
from enr.pipelines.training.memory import batch_bytes, check_batch, largest_batch
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.trainer import Trainer

CPU = torch.device("cpu")
OOM = torch.OutOfMemoryError


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OOM("CUDA")]
)
def test_memory_that_runs_out_ends_in_a_sentence(toy, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Trainer, "train_step", fail)
    with pytest.raises(EnrError, match=r"not enough memory.*--set batch_size"):
        train(TrainSettings((toy,), "smoke", ("threads=1",), runs=tmp_path, show_progress=False), say=lambda line: None)


def test_a_batch_is_refused_when_its_pictures_alone_are_too_large(toy):
    view_set = ViewSet.open([toy])
    check_batch(TrainConfig(batch_size=100, targets=3), view_set, CPU)
    for config in (TrainConfig(batch_size=10**9), TrainConfig(batch_size=10**5, targets=10**4)):
        with pytest.raises(EnrError, match=f"batch_size={config.batch_size}, targets={config.targets}"):
            check_batch(config, view_set, CPU)
    # A pair of 2x2 px: two views in three buffers as RGBA; two pictures, two targets and two predictions in float32.
    assert batch_bytes(TrainConfig(batch_size=1), 4, CPU) == 3 * 2 * 4 * 4 + 6 * 4 * 3 * 4


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 500), st.integers(1, 80), st.booleans())
def test_the_largest_batch_that_fits_is_found_and_no_larger_one_is_tried(start, each, limit, most, fails):
    """A step takes a line; above the limit the allocator fails, or only says how much it was."""
    asked = []

    def step_bytes(scenes):
        asked.append(scenes)
        needed = start + each * scenes
        if fails and needed > limit:
            raise OOM("CUDA out of memory")
        return needed

    found = largest_batch(step_bytes, limit, most)
    assert found == max([scenes for scenes in range(1, most + 1) if start + each * scenes <= limit], default=0)
    assert sum(start + each * scenes > limit for scenes in asked) <= 2, "the line is known after two"


def test_another_error_is_not_taken_for_too_little_memory():
    def fail(scenes):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        largest_batch(fail, 10, 10)


def test_the_batch_fits_into_what_is_free(tmp_path, monkeypatch):
    """Of a real model; more free memory gives more scenes, and the line says how much it was."""
    large = write_toy(tmp_path / "large.h5", Toy(views=20, size_px=64))
    found = {}
    for free in (60, 200):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free * 2**20)
        lines = []
        wanted = ("threads=1", "steps=1", "validation_pictures=2", "frame_scenes=1")
        settings = TrainSettings((large,), "smoke", wanted, batch_size="auto", runs=tmp_path, show_progress=False)
        found[free] = train(settings, say=lines.append).run.config["train"]["batch_size"]
        assert any(line.startswith(f"batch_size={found[free]}: ") for line in lines), lines
    print(found)
    assert 1 <= found[60] < found[200] <= 60, found


def test_no_batch_at_all_is_refused(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1)
    settings = TrainSettings((toy,), "smoke", batch_size="auto", runs=tmp_path / "runs", show_progress=False)
    with pytest.raises(EnrError, match="Not even a batch of one scene"):
        train(settings, say=str)
    assert not (tmp_path / "runs").exists()
