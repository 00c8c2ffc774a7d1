"""A training that was stopped goes on as if it had never been, or is refused in a sentence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.model import load_model
from enr.pipelines.pictures import image_grid
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.runs import load_state
from enr.pipelines.training.train import TrainSettings, train
from enr.shards import read_shard, write_shard

ASSIGNMENTS = (
    "steps=14",
    "batch_size=3",
    "validations=7",
    "validation_pictures=6",
    "frames=5",
    "frame_scenes=2",
    "warmup_steps=3",
    "log_every=1",
    "threads=1",
    "device=cpu",
)


def settings_for(shards, runs):
    return TrainSettings((shards,), preset="smoke", assignments=ASSIGNMENTS, runs=runs, show_progress=False)


def quiet_train(settings, stop=None):
    torch.manual_seed(12345)  # whatever happened before in this process must not matter
    return train(settings, say=lambda words: None, stop=stop)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """A run that was never interrupted."""
    return quiet_train(settings_for(shards, tmp_path_factory.mktemp("whole")))


def assert_same(left, right):
    """The same nested values; tensors to the last bit."""
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def test_few_steps_are_said_of_the_whole_training_and_of_its_last_part(shards, tmp_path):
    said: list[str] = []
    started = quiet_train(replace(settings_for(shards, tmp_path), max_minutes=0.001))
    ended = train(TrainSettings(resume=started.run.folder, max_minutes=0.001, show_progress=False), say=said.append)
    (line,) = [line for line in said if "nearly untrained" in line]
    assert f"only {ended.step} steps" in line
    assert f"in all, {ended.step - started.step} of these steps since it was resumed" in line


def test_a_moving_average_with_several_targets_is_resumed_to_the_bit(shards, tmp_path):
    settings = settings_for(shards, tmp_path)
    settings = replace(settings, assignments=(*ASSIGNMENTS, "ema=0.9", "targets=2", "batch_size=2"))
    whole = quiet_train(replace(settings, runs=tmp_path / "whole"))
    stopped = quiet_train(settings, stop=lambda done: done >= 5)
    ended = quiet_train(TrainSettings(resume=stopped.run.folder, show_progress=False))
    states = [load_state(outcome.run.last) for outcome in (whole, ended)]
    for state in states:
        del state["elapsed_s"]
    assert_same(*states)
    kept, other = (load_model(outcome.run.last).state_dict() for outcome in (whole, ended))
    assert_same(dict(kept), dict(other))
    assert any(not torch.equal(kept[name], weights) for name, weights in states[0]["raw_weights"].items())


@pytest.mark.parametrize("interruptions", [[1], [7], [13], [2, 3, 9]])
def test_an_interrupted_run_ends_in_the_same_bits(shards, whole, tmp_path, interruptions):
    settings = settings_for(shards, tmp_path)
    for step in interruptions:
        outcome = quiet_train(settings, stop=lambda done, step=step: done >= step)
        assert (outcome.step, outcome.is_finished) == (step, False)
        settings = TrainSettings(resume=outcome.run.folder, show_progress=False)
    outcome = quiet_train(settings)
    assert outcome.is_finished
    for name in ("last", "best"):
        ours, theirs = (load_model(getattr(one.run, name)).state_dict() for one in (outcome, whole))
        assert_same(dict(ours), dict(theirs))
    state, expected = load_state(outcome.run.last), load_state(whole.run.last)
    del state["elapsed_s"], expected["elapsed_s"]
    assert_same(state, expected)


def painted(run):
    """The pictures by name, below their captions, which say how long it took."""
    caption_px = image_grid([], column_labels=["step 1, 0.0 min"]).height
    return {path.name: np.asarray(Image.open(path))[caption_px:].tobytes() for path in run.pictures.iterdir()}


def test_a_resumed_run_has_the_same_measurements_and_pictures(shards, whole, tmp_path):
    first = quiet_train(settings_for(shards, tmp_path), stop=lambda step: step >= 5)
    outcome = quiet_train(TrainSettings(resume=first.run.folder, show_progress=False))
    clock = ("images_per_s", "elapsed_s")
    ours, theirs = (
        [{key: value for key, value in line.items() if key not in clock} for line in read_metrics(one.run.metrics)]
        for one in (outcome, whole)
    )
    assert ours == theirs
    assert painted(outcome.run) == painted(whole.run)


def test_what_came_after_the_checkpoint_is_forgotten(shards, whole, tmp_path):
    first = quiet_train(settings_for(shards, tmp_path), stop=lambda step: step >= 5)
    with first.run.metrics.open("a") as file:
        file.write('{"kind": "train", "step": 9}\n{"kind": "trai')
    shutil.copy(first.run.pictures / "step-00000000.png", first.run.pictures / "step-00000008.png")
    outcome = quiet_train(TrainSettings(resume=first.run.folder, show_progress=False))
    steps = [line["step"] for line in read_metrics(outcome.run.metrics) if line["kind"] == "train"]
    assert steps == list(range(1, 15))
    names = [sorted(path.name for path in one.run.pictures.iterdir()) for one in (outcome, whole)]
    assert names[0] == names[1]


def test_a_finished_run_goes_on_when_given_more_steps(whole, tmp_path):
    run = Path(shutil.copytree(whole.run.folder, tmp_path / "run"))
    for further in (None, 5.0):
        with pytest.raises(EnrError, match=r"finished: its 14 steps are done; .*--set steps=28") as caught:
            quiet_train(TrainSettings(resume=run, max_minutes=further, show_progress=False))
        assert "max-minutes" not in str(caught.value)
    outcome = quiet_train(TrainSettings(resume=run, assignments=("steps=16",), show_progress=False))
    assert outcome.step == 16


def test_max_minutes_are_further_minutes(shards, tmp_path):
    first = quiet_train(replace(settings_for(shards, tmp_path), max_minutes=100), stop=lambda step: step >= 2)
    elapsed_s = load_state(first.run.last)["elapsed_s"]
    outcome = quiet_train(TrainSettings(resume=first.run.folder, max_minutes=50, show_progress=False))
    assert outcome.run.config["train"]["max_minutes"] == pytest.approx(50 + elapsed_s / 60)


def test_a_run_that_its_minutes_ended_is_told_to_give_further_ones_and_says_them(shards, tmp_path):
    ended = quiet_train(
        replace(settings_for(shards, tmp_path), max_minutes=0.001, assignments=(*ASSIGNMENTS, "steps=null"))
    )
    with pytest.raises(EnrError, match=r"its 0.06 seconds are over; .*--max-minutes"):
        quiet_train(TrainSettings(resume=ended.run.folder, show_progress=False))
    lines = []
    wanted = TrainSettings(resume=ended.run.folder, max_minutes=7.0, show_progress=False)
    train(wanted, say=lines.append, stop=lambda step: True)
    assert lines[0].endswith("; it ends at 7 minutes from now.")


def test_shards_in_another_order_under_other_names_are_the_same(shards, whole, tmp_path):
    """Pairs are drawn by number, so the order is that of the run, whatever the names sort like now."""
    here = Path(shutil.copytree(shards, tmp_path / "here"))
    first = quiet_train(settings_for(here, tmp_path / "runs"), stop=lambda step: step >= 5)
    (here / "rot.h5").rename(here / "z.h5")
    outcome = quiet_train(
        TrainSettings((here / "trans.h5", here / "z.h5"), resume=first.run.folder, show_progress=False)
    )
    assert outcome.run.shards == (here / "z.h5", here / "trans.h5")
    for name in ("last", "best"):
        ours, theirs = (load_model(getattr(one.run, name)).state_dict() for one in (outcome, whole))
        assert_same(dict(ours), dict(theirs))


def test_shards_may_have_moved_but_not_changed(shards, tmp_path):
    first = quiet_train(settings_for(shards, tmp_path / "runs"), stop=lambda step: step >= 2)
    moved = Path(shutil.copytree(shards, tmp_path / "moved"))
    outcome = quiet_train(
        TrainSettings((moved,), resume=first.run.folder, show_progress=False), stop=lambda step: step >= 4
    )
    assert outcome.run.shards == (moved / "rot.h5", moved / "trans.h5")
    write_toy(moved / "rot.h5", Toy(group="rot", seed=9))
    with pytest.raises(EnrError, match="not those"):
        quiet_train(TrainSettings((moved,), resume=first.run.folder, show_progress=False))


@pytest.mark.parametrize("change", [{"size_px": 24}, {"background": (0.0, 0.0, 0.0)}, "materials"])
def test_other_pictures_of_the_same_scenes_are_refused_and_the_run_stays(shards, whole, tmp_path, change):
    run = Path(shutil.copytree(whole.run.folder, tmp_path / "run"))
    other = Path(shutil.copytree(shards, tmp_path / "other"))
    toys = {"rot.h5": Toy(group="rot", seed=1), "trans.h5": Toy(group="trans", seed=2, prefix="slab")}
    for name, toy in toys.items():
        write_toy(other / name, toy if change == "materials" else replace(toy, **change))
    if change == "materials":
        shard = read_shard(other / "rot.h5")
        inverted = np.concatenate([255 - shard.images[..., :3], shard.images[..., 3:]], axis=-1)
        write_shard(other / "rot.h5", replace(shard, images=inverted))
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(EnrError, match="not those"):
        quiet_train(TrainSettings((other,), resume=run, assignments=("steps=16",), show_progress=False))
    assert (run / "config.yaml").read_bytes() == before


def lose(name):
    def damage(path):
        state = torch.load(path, weights_only=True)
        torch.save({key: value for key, value in state.items() if key != name}, path)

    return damage


DAMAGES = ("not a run", "no checkpoint", "truncated state", "truncated weights")
STATE_DAMAGES = {
    "junk": lambda path: path.write_bytes(b"junk"),
    "pickled junk": lambda path: path.write_bytes(b"\x80\x02\x8a\x0al\xfc"),
    "a number": lambda path: torch.save(5, path),
    "no step": lose("step"),
    "no elapsed_s": lose("elapsed_s"),
    "another optimizer": lambda path: torch.save({**torch.load(path, weights_only=True), "optimizer": {}}, path),
}


@pytest.mark.parametrize("damage", [*DAMAGES, *STATE_DAMAGES])
def test_what_cannot_be_resumed_is_refused(whole, tmp_path, damage):
    run = Path(shutil.copytree(whole.run.folder, tmp_path / "run"))
    last = run / "checkpoints" / "last"
    if damage == "not a run":
        (run / "config.yaml").unlink()
    elif damage == "no checkpoint":
        shutil.rmtree(last)
    elif damage in STATE_DAMAGES:
        STATE_DAMAGES[damage](last / "trainer.pt")
    else:
        path = last / ("trainer.pt" if damage == "truncated state" else "model.safetensors")
        path.write_bytes(path.read_bytes()[:1000])
    before = sorted(run.rglob("*"))
    with pytest.raises(EnrError) as caught:
        quiet_train(TrainSettings(resume=run, assignments=("steps=99",), show_progress=False))
    assert "\n" not in str(caught.value)
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    "content",
    [
        "{shards: [5], model: {}, train: {}}",
        "",
        "7",
        "a: [",
        "{shards: [], model: 3, train: {}}",
        "{shards: [], model: {near: x}, train: {}}",
    ],
)
def test_a_damaged_configuration_is_refused(whole, tmp_path, content):
    run = Path(shutil.copytree(whole.run.folder, tmp_path / "run"))
    (run / "config.yaml").write_text(content)
    with pytest.raises(EnrError):
        quiet_train(TrainSettings(resume=run, assignments=("steps=99",), show_progress=False))


def test_fewer_steps_than_are_done_and_another_name_are_refused(whole):
    with pytest.raises(EnrError, match=r"is at step 14, and is to end at step 10; give more than 14, such as .*=28"):
        quiet_train(TrainSettings(resume=whole.run.folder, assignments=("steps=10",), show_progress=False))
    with pytest.raises(EnrError, match="--name other does not go with --resume"):
        quiet_train(TrainSettings(resume=whole.run.folder, name="other", show_progress=False))


@pytest.mark.parametrize("assignment", ["learning_rate=1", "model.warp=rigid", "batch_size=9", "seed=3", "near=1"])
def test_a_resumed_run_keeps_what_it_learns(whole, assignment):
    with pytest.raises(EnrError, match=r"does not go with --resume"):
        quiet_train(TrainSettings(resume=whole.run.folder, assignments=(assignment,), show_progress=False))
