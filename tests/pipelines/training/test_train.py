"""Shards become a run: a step is the paper's, the folder holds everything, the best checkpoint is the best."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.model import load_model, read_metadata
from enr.pipelines.config import preset_names
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training import runs as checkpoints
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.runs import latest_run, open_run
from enr.pipelines.training.train import TrainSettings, train
from enr.pipelines.training.trainer import Trainer
from enr.pipelines.training.validation import FEWEST_SCENES, FixedViews

TINY = ("batch_size=2", "validation_pictures=6", "frame_scenes=2", "frames=2", "validations=1", "threads=1", "seed=1")
CPU = torch.device("cpu")


def settings_for(shards, runs, *assignments, preset="smoke"):
    return TrainSettings(
        shards=(shards,), preset=preset, assignments=(*TINY, *assignments), runs=runs, show_progress=False
    )


def run(settings, **options):
    lines = []
    outcome = train(settings, say=lines.append, **options)
    return outcome, lines


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_trains_two_steps(shards, tmp_path, name):
    wanted = settings_for(shards, tmp_path, "steps=2", "image_shape=[3,16,16]", "device=cpu", preset=name)
    outcome, _ = run(wanted)
    assert (outcome.step, outcome.is_finished) == (2, True)
    before, after = _weights(shards, outcome)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(torch.isfinite(value).all() for value in after.values())


def _weights(shards, outcome):
    """Weights of a new model of the run's seed and of its last checkpoint."""
    from enr.model import Renderer

    model = load_model(outcome.run.last)
    torch.manual_seed(1)
    return Renderer(model.config).state_dict(), model.state_dict()


def test_a_run_folder_holds_everything(shards, tmp_path):
    outcome, lines = run(settings_for(shards, tmp_path, "steps=6", "log_every=2"))
    folder = outcome.run.folder
    assert latest_run(tmp_path) == folder
    assert folder.name.endswith("-smoke")
    assert open_run(folder).config == outcome.run.config
    assert open_run(folder).shards == (shards / "rot.h5", shards / "trans.h5")
    for checkpoint in (outcome.run.last, outcome.run.best):
        assert load_model(checkpoint).config.image_shape == (3, 16, 16)
    assert list((folder / "tensorboard").iterdir())
    assert len(list((folder / "pictures").iterdir())) == 3
    with Image.open(folder / "progress.gif") as gif:
        assert gif.n_frames == 3
    assert lines[0].startswith("Preset smoke")
    assert not list(folder.rglob("*.partial")) + list(folder.rglob(".*"))


def test_metrics_are_json_lines(shards, tmp_path):
    outcome, _ = run(settings_for(shards, tmp_path, "steps=6", "log_every=2", "loss.l2=1"))
    lines = [json.loads(text) for text in outcome.run.metrics.read_text().splitlines()]
    training = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in training] == [2, 4, 6]
    for line in training:
        parts = line["loss_l1"] + line["loss_l2"] + 0.05 * line["loss_ssim"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
        assert line["images_per_s"] > 0
    (validation,) = [line for line in lines if line["kind"] == "validation"]
    assert set(validation["group_db"]) == {"rot", "trans"}
    assert np.mean(list(validation["group_db"].values())) == pytest.approx(validation["psnr_db"], abs=1e-5)


def test_a_checkpoint_says_what_it_was_trained_on(shards, tmp_path):
    outcome, _ = run(settings_for(shards, tmp_path, "steps=2"))
    metadata = read_metadata(outcome.run.best)
    assert metadata["group"] == ["rot", "trans"]
    assert metadata["step"] == 2
    assert metadata["data"]["scenes"] == {group: {"train": 3, "val": 1, "test": 1} for group in ("rot", "trans")}
    assert metadata["data"]["trained_scene_ids"] == sorted(
        f"{name}-00{n}" for name in ("box", "slab") for n in range(3)
    )
    assert [Path(shard["path"]).name for shard in metadata["data"]["shards"]] == ["rot.h5", "trans.h5"]
    config = load_model(outcome.run.best).config
    view_set = ViewSet.open([shards])
    assert config.focal_px == pytest.approx(view_set.views["K"][0, 0, 0])
    assert 0 < config.near < config.radius < config.far


def test_the_best_checkpoint_is_that_of_the_best_validation(tmp_path):
    many = write_toy(tmp_path / "many.h5", Toy(splits=("train",) * 3 + ("val",) * FEWEST_SCENES, seed=1))
    outcome, _ = run(
        settings_for(many, tmp_path / "runs", "steps=40", "validations=8", "learning_rate=0.02", "warmup_steps=0")
    )
    scores = {
        line["step"]: line["psnr_db"] for line in read_metrics(outcome.run.metrics) if line["kind"] == "validation"
    }
    assert len(scores) == 8
    best = max(scores, key=lambda step: scores[step])
    metadata = read_metadata(outcome.run.best)
    assert (metadata["step"], metadata["validation"]["psnr_db"]) == (best, scores[best])
    assert outcome.best_psnr_db == scores[best]


def test_only_train_scenes_are_trained_on_and_only_val_scenes_validated_on(shards, tmp_path, monkeypatch):
    seen = {"train": set(), "probe": set()}
    take, images = PairLoader.__next__, ViewSet.images

    def spy_batch(self):
        batch = take(self)
        seen["train"].update(self.view_set.views["split"][batch.views])
        return batch

    def spy_images(self, indices, out=None):
        if out is None:
            seen["probe"].update(self.views["split"][np.asarray(indices)])
        return images(self, indices, out)

    monkeypatch.setattr(PairLoader, "__next__", spy_batch)
    monkeypatch.setattr(ViewSet, "images", spy_images)
    for name in ("fingerprint", "shard_fingerprints"):  # which look at a sample of all pictures
        monkeypatch.setattr(ViewSet, name, lambda self: "")
    run(settings_for(shards, tmp_path, "steps=8", "validations=2"))
    assert seen == {"train": {"train"}, "probe": {"val"}}


def test_without_validation_scenes_it_says_so_and_the_best_is_the_last(tmp_path):
    shard = write_toy(tmp_path / "a.h5", Toy(splits=("train", "train", "test")))
    outcome, lines = run(settings_for(shard, tmp_path / "runs", "steps=6", "validations=3"))
    assert any("No scene is held out" in line for line in lines)
    assert read_metadata(outcome.run.best)["step"] == 6
    first, second = (load_model(path).state_dict() for path in (outcome.run.best, outcome.run.last))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_images_per_second_leave_validation_and_pictures_out(shards, tmp_path, monkeypatch):
    score, picture, pauses = FixedViews.score, FixedViews.picture, []

    def slow(work):
        def paused(*arguments):
            pauses.append(time.sleep(2))
            return work(*arguments)

        return paused

    monkeypatch.setattr(FixedViews, "score", slow(score))
    monkeypatch.setattr(FixedViews, "picture", slow(picture))
    outcome, _ = run(settings_for(shards, tmp_path, "steps=4", "log_every=1", "validations=2"))
    last = [line for line in read_metrics(outcome.run.metrics) if line["kind"] == "train"][-1]
    assert len(pauses) >= 4
    step_seconds = 2 * 2 * 4 / last["images_per_s"]
    assert step_seconds < last["elapsed_s"] - 2 * (len(pauses) - 2), "the last validation and picture follow the log"


def test_time_limits_are_said_in_round_numbers():
    from enr.words import minutes_in_words

    said = {2.88378: "2.9 minutes", 105: "105 minutes", 1440: "1440 minutes", 0.02: "1.2 seconds", 1 / 3: "20 seconds"}
    assert {minutes: minutes_in_words(minutes) for minutes in said} == said


def test_max_minutes_ends_a_run(shards, tmp_path):
    outcome, _ = run(replace(settings_for(shards, tmp_path, "steps=1000000"), max_minutes=0.05))
    assert outcome.is_finished
    assert 0 < outcome.step < 1_000_000
    assert read_metrics(outcome.run.metrics)[-1]["elapsed_s"] >= 3


def test_processor_time_does_not_run_while_the_process_waits(shards, tmp_path):
    def wait(step):
        time.sleep(1.0)
        return False

    started_s = time.perf_counter()
    outcome, _ = run(settings_for(shards, tmp_path, "steps=3", "clock=process", "device=cpu"), stop=wait)
    wall_s = time.perf_counter() - started_s
    assert read_metrics(outcome.run.metrics)[-1]["elapsed_s"] < wall_s - 2.5


def test_the_moving_average_equals_its_slow_twin(shards):
    from enr.model import Renderer
    from enr.pipelines.training.prepare import resolve_config

    view_set = ViewSet.open([shards])
    config, _ = resolve_config(view_set, "smoke", ["ema=0.7", "precision=float32"])
    torch.manual_seed(0)
    trainer = Trainer(Renderer(config.model), PairLoader(view_set, "train", 2, seed=5), config.train, CPU)
    expected = None
    for step in range(12):
        trainer.train_step(1e-3)
        weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        share = min(0.7, (1 + step) / (10 + step))
        expected = weights if expected is None else {n: share * expected[n] + (1 - share) * weights[n] for n in weights}
    got = trainer.best_estimate.state_dict()
    assert trainer.best_estimate is not trainer.model
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)


def test_a_step_follows_the_paper(shards):
    """A step on a batch equals a step written out: every view is rendered from its partner."""
    from enr.model import Renderer
    from enr.pipelines.config import override, read_preset
    from enr.pipelines.training.prepare import resolve_config

    view_set = ViewSet.open([shards])
    config, _ = resolve_config(
        view_set, "smoke", ["loss.l1=0", "loss.ssim=0", "loss.l2=1", "clip_norm=0", "precision=float32"]
    )
    assert override(read_preset("smoke"), []).name == "smoke"
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(Renderer(config.model))
    trainer = Trainer(models[0], PairLoader(view_set, "train", 3, seed=5), config.train, CPU)
    result = trainer.train_step(1e-3)
    first, second = PairLoader(view_set, "train", 3, seed=5).groups(0)
    losses = []
    for source, target in [*zip(first, second, strict=True), *zip(second, first, strict=True)]:
        pictures = composite(torch.from_numpy(view_set.images([source, target])), view_set.background)
        motion = torch.from_numpy(view_set.target_from_source([source], [target]))
        losses.append((models[1].train()(pictures[:1], motion) - pictures[1:]).square().mean())
    loss = torch.stack(losses).mean()
    assert float(result.loss) == pytest.approx(loss.item(), rel=1e-5)
    optimizer = torch.optim.Adam(models[1].parameters(), lr=1e-3)
    loss.backward()
    optimizer.step()
    ours, theirs = models[0].state_dict(), models[1].state_dict()
    # Adam's first step has the size of the learning rate whatever the gradient's, so rounding can only matter below it.
    close = [torch.isclose(ours[key], theirs[key], atol=1e-5).float().mean() for key in ours]
    assert min(close) > 0.97


def test_a_diverging_training_ends_in_a_sentence(shards, tmp_path):
    wanted = settings_for(
        shards, tmp_path, "steps=200", "learning_rate=1e30", "warmup_steps=0", "clip_norm=0", "log_every=1"
    )
    with pytest.raises(EnrError, match="diverged at step") as caught:
        run(wanted)
    assert "resume" not in str(caught.value)


def test_weights_that_are_no_numbers_are_not_saved(shards, tmp_path):
    """Neither when it is stopped before anyone looked at the loss, nor at a checkpoint in between."""
    wild = ("learning_rate=1e30", "warmup_steps=0", "clip_norm=0", "log_every=1000", "steps=200")
    wanted = settings_for(shards, tmp_path, *wild, "validations=1", "frames=1")
    with pytest.raises(EnrError, match="diverged at step"):
        run(wanted, stop=lambda step: step >= 5)
    assert not list(tmp_path.rglob("checkpoints/*"))


def test_a_checkpoint_is_replaced_whole(shards, tmp_path, monkeypatch):
    """Whichever rename fails, the folder still holds the old or the new checkpoint."""
    outcome, _ = run(settings_for(shards, tmp_path, "steps=2"))
    model, folder = load_model(outcome.run.last), outcome.run.last
    replace_path = Path.replace
    for broken in range(2):
        calls = []

        def failing(self, target, broken=broken, calls=calls):
            if self.is_dir():
                calls.append(self)
                if len(calls) == broken + 1:
                    raise OSError("the machine stops here")
            return replace_path(self, target)

        monkeypatch.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match="stops here"):
            checkpoints.save_checkpoint(folder, model, {"number": broken}, {"number": broken})
        monkeypatch.setattr(Path, "replace", replace_path)
        assert checkpoints.load_state(folder)["step"] == 2
        assert load_model(folder)
    state = checkpoints.load_state(folder)
    checkpoints.save_checkpoint(folder, model, {}, {**state, "step": 7})
    assert checkpoints.load_state(folder)["step"] == 7
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
