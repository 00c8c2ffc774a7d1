"""A training for which there is too little memory ends in a sentence, if possible before it begins."""

from __future__ import annotations

import pytest
import torch

from enr.errors import EnrError
from enr.pipelines.config import TrainConfig
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.prepare import batch_bytes, check_batch
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
    # A pair of 2x2 px: two views read twice as RGBA; two pictures, two targets and two predictions in float32.
    assert batch_bytes(TrainConfig(batch_size=1), 4, CPU) == 2 * 2 * 4 * 4 + 6 * 4 * 3 * 4
