"""Steps through `torch.compile`: the same ones, off and on in one run, and plain where nothing can be compiled."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil

import pytest
import torch
from tests.command_line import enr
from tests.pipelines.training.fitting import fit, resume

from enr.model import Renderer, load_model
from enr.pipelines.config import TrainConfig
from enr.pipelines.training.compiling import PAYS_MINUTES, PAYS_STEPS, are_alike, pays
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.trainer import Trainer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SLIM = (
    "channels_2d=[8,8,8,8,8]",
    "strides_2d=[2,1,2,-2,1]",
    "num_channels_inv_projection=[16,32]",
    "num_channels_projection=[8]",
    "depth_cells=4",
    "batch_size=2",
    "precision=float32",
)
NOT_SO = "The steps are not compiled (their gradients came out wrong)"
SEVERAL = ("targets=2", "loss.scene=0.1", "loss.cycle=0.1", "ema=0.9")


@pytest.fixture
def traced(monkeypatch):
    """Parts are traced and put together anew, but no program is made of them: seconds, not minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()


def trainer_of(view_set, compile_, *assignments):
    config, _ = resolve_config(view_set, "small-32", [*SLIM, f"compile={compile_}", *assignments])
    torch.manual_seed(0)
    how = config.train
    loader = PairLoader(view_set, "train", how.batch_size, 5, how.views_per_scene, how.sources)
    return Trainer(Renderer(config.model), loader, how, CPU)


def check_steps(view_set, *assignments, must_compile=True):
    """Compiled and plain steps agree: predictions by their losses, gradients of the first step, weights after three."""
    said, trainers = [], [trainer_of(view_set, how, *assignments) for how in ("off", "on")]
    for trainer in trainers:
        random = torch.get_rng_state()
        trainer.compile(said.append)
        assert torch.equal(torch.get_rng_state(), random)
    assert said[0].startswith("Compiling the steps") and said[1].startswith(("The steps are compiled", NOT_SO))
    assert not must_compile or "which took" in said[1]
    for step in range(3):
        results = []
        for trainer in trainers:
            torch.manual_seed(step)
            results.append(trainer.train_step(1e-3))
        plain, compiled = results
        torch.testing.assert_close(compiled.loss, plain.loss, rtol=1e-5, atol=1e-6)
        assert compiled.parts.keys() == plain.parts.keys()
        gradients = [
            {n: p.grad for n, p in trainer.model.named_parameters() if p.grad is not None} for trainer in trainers
        ]
        assert gradients[0].keys() == gradients[1].keys()
        if not step:
            for name, gradient in gradients[0].items():
                torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5)
    weights = [trainer.best_estimate.state_dict() for trainer in trainers]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("assignments", [(), pytest.param(SEVERAL, marks=pytest.mark.slow)], ids=["pairs", "several"])
def test_traced_steps_are_the_plain_ones(traced, view_set, assignments):
    check_steps(view_set, *assignments)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler")
def test_compiled_steps_are_the_plain_ones(view_set, tmp_path, monkeypatch):
    """Torch 2.13.0's programs lose a gradient on some CPUs: then the steps must be the plain ones."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    check_steps(view_set, must_compile=False)
    torch._dynamo.reset()


def test_parts_that_lose_a_gradient_are_not_used(view_set, monkeypatch):
    def loses(part, **_):
        def lossy(*args, **kwargs):
            made = part(*args, **kwargs)
            return made.detach() if isinstance(made, torch.Tensor) else made

        return lossy

    monkeypatch.setattr(torch, "compile", loses)
    trainer, said = trainer_of(view_set, "on"), []
    trainer.compile(said.append)
    assert said[1].startswith(NOT_SO)
    assert trainer._stepping is trainer.model


def test_gradients_are_alike_but_for_rounding():
    torch.manual_seed(0)
    plain = [torch.randn(8, 3), 0.1 * torch.randn(5), torch.zeros(4)]
    assert are_alike(plain, [one.bfloat16().float() for one in plain])
    assert not are_alike(plain, [plain[0], torch.zeros(5), plain[2]])
    assert not are_alike(plain, plain[:2])


def test_without_a_compiler_the_steps_are_plain_and_one_line_says_so(view_set, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    done = {how: fit(view_set.paths, tmp_path / how, "steps=2", compile=how) for how in ("off", "on")}
    (line,) = done["on"].said("not compiled")
    assert line.endswith("the training goes on without (compile=off).") and "\n" not in line
    assert not done["off"].said("The steps are")
    weights = [load_model(trained.result.run.last).state_dict() for trained in done.values()]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_that_began_plainly_goes_on_compiled(traced, view_set, tmp_path):
    """The same training, and a checkpoint with the same names."""
    plain = fit(view_set.paths, tmp_path / "plain", "steps=6", compile="off")
    mixed = fit(view_set.paths, tmp_path / "mixed", "steps=6", compile="off", stop=lambda step: step == 2)
    assert not mixed.said("The steps are")
    assert resume(mixed.folder, compile="on").said("The steps are compiled")
    weights = [load_model(trained.result.run.last).state_dict() for trained in (plain, mixed)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("device", "changes", "expected"),
    [
        (CPU, {"max_minutes": 1e4}, False),
        (CPU, {"compile": "on", "steps": 1}, True),
        (CUDA, {"compile": "off", "max_minutes": 1e4}, False),
        (CUDA, {"max_minutes": PAYS_MINUTES}, True),
        (CUDA, {"max_minutes": PAYS_MINUTES - 1}, False),
        (CUDA, {"steps": PAYS_STEPS}, True),
        (CUDA, {"steps": PAYS_STEPS - 1}, False),
    ],
)
def test_auto_compiles_long_trainings_on_a_gpu_alone(device, changes, expected):
    assert pays(dataclasses.replace(TrainConfig(), **changes), device) is expected


def test_another_word_is_refused(view_set):
    result = enr("train", str(view_set.paths[0]), "--compile", "maybe")
    assert result.exit_code == 2
    assert "--compile is 'maybe'" in result.output.splitlines()[-1]
