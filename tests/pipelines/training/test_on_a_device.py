"""What a GPU is given, without one: torch's meta device has tensors without numbers, which nobody can wait for."""

from __future__ import annotations

import traceback
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pipelines.training.fitting import fit
from torch.overrides import TorchFunctionMode

import enr
from enr.model import Renderer, checks, load_model
from enr.pipelines import metrics
from enr.pipelines.data.device import ResidentViews, fits_on
from enr.pipelines.training import trainer as training
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.loop import TrainingLoop
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.trainer import Trainer
from enr.pipelines.training.validation import FixedViews, choose_triples

PACKAGE = f"{Path(enr.__file__).parent}/"
CPU, META = torch.device("cpu"), torch.device("meta")
CASES = {
    "published": ("smoke", ()),
    "default": ("small-32", ()),
    "aimed": ("small-32", ("reaim=true",)),
    "several": ("small-32", ("targets=2", "sources=2", "learned_fusion=true", "loss.cycle=0.1", "loss.scene=0.1")),
}


@pytest.fixture
def meta(monkeypatch):
    """A device without numbers: an operation on tensors of two devices fails, and so does reading a number."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **how: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    check = checks.checked_motion

    def as_of_a_gpu(motion, *how, skip_on_gpu):
        """In training its motions are not looked at."""
        return motion if skip_on_gpu else check(motion, *how, skip_on_gpu)

    monkeypatch.setattr(checks, "checked_motion", as_of_a_gpu)
    monkeypatch.setattr(metrics, "_check", lambda *_: None)  # it reads the pictures' range
    monkeypatch.setattr(training, "_optimizer_of", lambda model, _: torch.optim.Adam(model.parameters(), foreach=True))
    return torch.device("meta")


def trainer_on(device, view_set, preset, assignments=()):
    config, _ = resolve_config(view_set, preset, ["batch_size=2", "precision=bfloat16", *assignments])
    how = config.train
    loader = PairLoader(view_set, "train", how.batch_size, how.seed, how.views_per_scene, how.sources)
    return Trainer(Renderer(config.model), loader, how, device)


class BlockingCopies(TorchFunctionMode):
    """Notes which lines of this project copy values from the CPU to another device while the caller waits."""

    MAKES = (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = args[1] if func is torch.Tensor.new_tensor else args[0] if args else None
        is_there = isinstance(given, torch.Tensor) and not given.is_cpu
        moves = func in self.MAKES or (func is torch.Tensor.to and not kwargs.get("non_blocking"))
        if moves and not is_there and not result.is_cpu:
            ours = [line for line in traceback.extract_stack(limit=12)[:-1] if line.filename.startswith(PACKAGE)]
            self.found.add(f"{ours[-1].filename.removeprefix(PACKAGE)}:{ours[-1].lineno}" if ours else "elsewhere")
        return result


@pytest.mark.parametrize("case", CASES)
def test_a_step_leaves_nothing_on_the_cpu_and_waits_for_nothing(meta, view_set, case):
    trainer = trainer_on(meta, view_set, *CASES[case])
    trainer.train_step(1e-3)
    with BlockingCopies() as copies:
        result = trainer.train_step(1e-3)
    assert not copies.found
    assert {value.device for value in (result.loss, result.psnr_db, *result.parts.values())} == {META}
    assert {tensor.device for tensor in trainer.model.state_dict().values()} == {META}


@pytest.mark.parametrize("case", ["published", "default"])
def test_a_validation_leaves_nothing_on_the_cpu(meta, view_set, case):
    trainer = trainer_on(meta, view_set, *CASES[case])
    views = FixedViews(view_set, choose_triples(view_set, "val", 4, 0), meta)
    assert {column.device for column in views.score_rows(trainer.model, slice(0, 3))} == {META}


def test_the_meta_device_notices_a_tensor_on_the_cpu_and_a_number_that_is_read(meta):
    there = torch.ones(3, device=meta)
    with pytest.raises(RuntimeError, match="expected device"):
        there + torch.ones(3)
    with pytest.raises(Exception, match="item"):
        there.sum().item()
    for copy in (
        lambda: torch.ones(3).to(meta),
        lambda: torch.tensor([1.0], device=meta),
        lambda: there.new_tensor([1]),
    ):
        with BlockingCopies() as copies:
            torch.ones(3).to(meta, non_blocking=True)
            assert not copies.found
            copy()
        assert copies.found == {"elsewhere"}


def test_resident_views_are_those_of_the_files_and_train_the_same_weights(view_set, tmp_path, monkeypatch):
    members = PairLoader(view_set, "train", 2, 0).members
    wanted = np.random.default_rng(0).permutation(members)[:7]
    images = ResidentViews(view_set, members, CPU).images(wanted)
    assert np.array_equal(images.numpy(), view_set.images(wanted))
    assert not fits_on(view_set, members, CPU)
    weights = []
    for is_resident in (False, True):
        monkeypatch.setattr(training, "fits_on", lambda *_, answer=is_resident: answer)
        result = fit(view_set.paths, tmp_path / str(is_resident), "steps=4").result
        weights.append(load_model(result.run.last).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_log_that_is_written_late_is_the_same(view_set, tmp_path, monkeypatch):
    """As of a GPU: a line is written when the next is noted, and before whatever else is."""
    settings = ("steps=7", "log_every=1", "validations=2")
    written = TrainingLoop._write_log
    lines = []
    for name in ("at once", "late"):
        result = fit(view_set.paths, tmp_path / name, *settings).result
        kept = [
            {key: value for key, value in line.items() if key not in ("images_per_s", "elapsed_s")}
            for line in read_metrics(result.run.metrics)
        ]
        lines.append(kept)
        monkeypatch.setattr(TrainingLoop, "_write_log", lambda self, **how: written(self, kept=len(how)))
    assert lines[0] == lines[1]
    assert len(lines[1]) == 9
