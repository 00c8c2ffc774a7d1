"""Fine-tuning: a training that starts from the weights of a checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.command_line import enr
from tests.pipelines.toy_shards import Toy, write_toy
from tests.pipelines.training.fitting import QUICK

from enr.errors import EnrError
from enr.model import load_model, read_metadata, save_model
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.initial import RECORD, Initial
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.runs import find_checkpoint, open_run
from enr.pipelines.training.train import TrainSettings, train


@pytest.fixture(scope="module")
def rot(tmp_path_factory):
    """Shards of rotations."""
    return write_toy(tmp_path_factory.mktemp("rot") / "rot.h5", Toy(group="rot", seed=1))


@pytest.fixture(scope="module")
def rototrans(tmp_path_factory):
    """Shards of roto-translations of other objects."""
    toy = Toy(group="rototrans", seed=2, prefix="slab")
    return write_toy(tmp_path_factory.mktemp("rototrans") / "rototrans.h5", toy)


def fit(shards, runs, *assignments, preset=None, **options):
    lines = []
    settings = TrainSettings((shards,), preset, (*QUICK, *assignments), runs=runs, show_progress=False)
    outcome = train(replace(settings, **options), say=lines.append)
    return outcome, lines


@pytest.fixture(scope="module")
def rotations(rot, tmp_path_factory):
    """A run that learned rotations, with a loss and a seed that no preset has."""
    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("rotations")
    return fit(rot, runs, "steps=5", "seed=7", "loss.l2=0.5", preset="smoke")[0].run


def weights(path):
    return load_model(path).state_dict()


def test_the_latest_run_is_a_start(rot, rotations):
    outcome, _ = fit(rot, rotations.folder.parent, "steps=1", init=Path("latest"))
    assert outcome.run.config[RECORD]["checkpoint"] == str(rotations.best)
    shutil.rmtree(outcome.run.folder)


def test_a_start_without_a_step_predicts_what_the_checkpoint_predicts(rot, rotations, tmp_path):
    """On shards of the same camera; a step whose learning rate is next to nothing stands for none."""
    outcome, lines = fit(rot, tmp_path, "steps=1", "learning_rate=1e-12", init=rotations.folder)
    old, new = load_model(rotations.best), load_model(outcome.run.last)
    assert new.config == old.config
    view_set = ViewSet.open([rot])
    images = torch.rand(2, 3, 16, 16)
    motion = torch.from_numpy(view_set.target_from_source([0, 4], [1, 6]))
    with torch.no_grad():
        torch.testing.assert_close(new(images, motion), old(images, motion), atol=1e-5, rtol=0)
    assert not any(line.startswith("The camera") for line in lines)


@pytest.mark.parametrize("name", ["", "checkpoints/best", "checkpoints/last", "checkpoints/last/model.safetensors"])
def test_every_way_to_name_a_checkpoint_gives_its_weights(rotations, name):
    expected = weights(rotations.folder / (name or "checkpoints/best"))
    found = load_model(find_checkpoint(rotations.folder / name)[0]).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_architecture_and_the_settings_are_the_checkpoints_and_the_camera_is_the_shards(
    rotations, rototrans, tmp_path
):
    outcome, lines = fit(rototrans, tmp_path, "steps=2", init=rotations.best)
    old, new = load_model(rotations.best).config, load_model(outcome.run.last).config
    view_set = ViewSet.open([rototrans])
    assert new == replace(resolve_config(view_set, "smoke", [])[0].model)
    assert new.far - new.near > 1.2 * (old.far - old.near)
    train_settings = outcome.run.config["train"]
    assert (train_settings["seed"], train_settings["loss"]["l2"], train_settings["steps"]) == (7, 0.5, 2)
    assert outcome.run.config["preset"] == "smoke"
    (line,) = [line for line in lines if line.startswith("The camera")]
    times = (new.far - new.near) / (old.far - old.near)
    assert f"near {new.near:.4g} (was {old.near:.4g})" in line and f"{times:.3g} times as deep" in line


def test_a_model_of_rotations_goes_on_with_re_aimed_cameras_and_back(rot, rototrans, tmp_path):
    """Of its weights the estimate of the distance alone depends on the aim, and starts anew.

    What the network is told of a picture's border begins at nothing.
    """
    where = ("depth_range=travelling", "detail_stride=1")
    plain, _ = fit(rot, tmp_path, "steps=3", *where, preset="smoke")
    aimed, lines = fit(rototrans, tmp_path, "steps=1", "learning_rate=1e-12", init=plain.run.folder)
    assert not load_model(plain.run.last).config.reaim and load_model(aimed.run.last).config.reaim
    assert any("reaim true (was false)" in line for line in lines) and any("starts anew" in line for line in lines)
    before, after = weights(plain.run.last), weights(aimed.run.last)
    assert set(after) - set(before) == {"sight.beyond"} and not after["sight.beyond"].abs().max() > 1e-6
    same = {key for key, value in before.items() if torch.allclose(after[key], value, atol=1e-6)}
    anew = {key.rsplit(".", 1)[0] for key in set(before) - same - {"sight.widening"}}
    assert anew <= {"sight.look.0", "sight.judge.0", "sight.judge.2", "sight.judge.4"} and anew
    back, lines = fit(rot, tmp_path, "steps=1", init=aimed.run.folder)
    assert set(weights(back.run.last)) == set(before) and any("reaim false (was true)" in line for line in lines)


def test_the_estimate_starts_anew_where_it_looks_through_another_network(rot, rototrans, tmp_path):
    """With re-aimed cameras it has one of its own, also of a checkpoint that knew none."""
    where = ("depth_range=travelling",)
    plain, _ = fit(rot, tmp_path, "steps=1", *where, preset="smoke")
    asked = ("steps=1", "sight_channels=[8, 16]")
    aimed, lines = fit(rototrans, tmp_path, *asked, init=plain.run.folder)
    assert load_model(aimed.run.last).config.glance_channels == (8, 16)
    assert any("estimate of the distance starts anew" in line for line in lines)
    again, lines = fit(rototrans, tmp_path, "steps=1", init=aimed.run.folder)
    assert set(weights(again.run.last)) == set(weights(aimed.run.last)) > set(weights(plain.run.last))
    assert not [line for line in lines if "starts anew" in line]


def test_the_checkpoints_depth_can_be_kept(rotations, rototrans):
    checkpoint, _ = find_checkpoint(rotations.folder)
    initial = Initial(checkpoint, load_model(checkpoint), read_metadata(checkpoint))
    view_set = ViewSet.open([rototrans])
    old = initial.config
    config, _ = resolve_config(view_set, None, [f"near={old.near}", f"far={old.far}"], initial)
    assert (config.model.near, config.model.far) == (old.near, old.far)


def test_where_the_weights_came_from_is_written_down(rotations, rototrans, tmp_path):
    outcome, _ = fit(rototrans, tmp_path, "steps=2", init=rotations.folder)
    record = open_run(outcome.run.folder).config[RECORD]
    assert Path(record["checkpoint"]) == rotations.best.resolve()
    assert (record["groups"], record["step"], record["scenes"]) == (["rot"], 5, 3)
    metadata = read_metadata(outcome.run.best)
    assert metadata[RECORD] == record
    assert metadata["group"] == ["rototrans"]
    assert metadata["data"]["trained_scene_ids"] == sorted(
        f"{name}-00{n}" for name in ("box", "slab") for n in range(3)
    )
    again, _ = fit(rototrans, tmp_path, "steps=2", init=outcome.run.folder)
    assert read_metadata(again.run.last)[RECORD]["groups"] == ["rot", "rototrans"]


def test_a_resumed_fine_tuning_remembers_its_start_and_repeats_the_uninterrupted_one(rotations, rototrans, tmp_path):
    assignments = ("steps=6", "checkpoint_minutes=100", "device=cpu")
    whole, _ = fit(rototrans, tmp_path / "whole", *assignments, init=rotations.folder)
    settings = TrainSettings((rototrans,), None, (*QUICK, *assignments), runs=tmp_path / "parts", show_progress=False)
    part = train(replace(settings, init=rotations.folder), say=lambda words: None, stop=lambda step: step >= 3)
    assert not part.is_finished
    rest = train(TrainSettings(resume=part.run.folder, show_progress=False), say=lambda words: None)
    one, two = weights(whole.run.last), weights(rest.run.last)
    assert all(torch.equal(one[key], two[key]) for key in one)
    first, second = (read_metadata(run.last) for run in (whole.run, rest.run))
    assert first[RECORD] == second[RECORD]
    assert first["data"]["trained_scene_ids"] == second["data"]["trained_scene_ids"]


def test_scenes_that_the_checkpoint_was_trained_on_and_that_are_held_out_now_are_named(rotations, rot, tmp_path):
    shards = write_toy(tmp_path / "other.h5", Toy(splits=("val", "train", "train", "test"), group="rot", seed=1))
    _, lines = fit(shards, tmp_path / "runs", "steps=1", init=rotations.folder)
    (line,) = [line for line in lines if "TRAINED" in line]
    assert "1 of the 2 scenes" in line and "box-000" in line
    _, lines = fit(rot, tmp_path / "runs", "steps=1", init=rotations.folder)
    assert not any("TRAINED" in line for line in lines)


def test_what_contradicts_the_checkpoint_is_refused_in_a_sentence_that_names_it(rotations, rototrans, tmp_path):
    def refused(words, shards=rototrans, **options):
        assignments = options.pop("assignments", ())
        with pytest.raises(EnrError, match=words) as caught:
            fit(shards, tmp_path / "runs", *assignments, init=options.pop("init", rotations.folder), **options)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "runs").exists()

    refused("channels_2d", preset="demo")
    refused(
        "warp = frustum, but conditioned", assignments=["warp=conditioned", "projection=fold", "carry_colour=false"]
    )
    for warp in ("conditioned", "rigid"):
        refused(f"warp = frustum, but {warp} is asked for", assignments=[f"warp={warp}"])
    refused("depth_cells = 8, but 16", assignments=["depth_cells=16"])
    large = write_toy(tmp_path / "large.h5", Toy(size_px=24))
    refused("16x16 px, the shards hold 24x24", shards=large)
    refused("does not exist", init=tmp_path / "nowhere")
    refused("lacks model.safetensors", init=tmp_path)
    refused("does not go with --resume", resume=rotations.folder)


def test_a_preset_of_the_same_architecture_gives_its_settings(rotations, rototrans, tmp_path):
    outcome, _ = fit(rototrans, tmp_path, "steps=1", preset="smoke", init=rotations.folder)
    assert (outcome.run.config["train"]["seed"], outcome.run.config["train"]["loss"]["l2"]) == (0, 0.0)


def test_a_checkpoint_that_says_nothing_about_its_training_is_told_apart(rotations, rototrans, tmp_path):
    """As one that another program made: the settings are those of a preset, the honesty of its scores is unknown."""
    save_model(tmp_path / "bare", load_model(rotations.best), {})
    outcome, lines = fit(rototrans, tmp_path / "runs", "steps=1", "device=cpu", init=tmp_path / "bare")
    assert outcome.run.config["preset"] == "small-64"
    assert any("says no settings" in line for line in lines)
    assert any("may have seen scenes that are held out" in line for line in lines)
    assert load_model(outcome.run.last).config.channels_2d == load_model(rotations.best).config.channels_2d


def test_eval_measures_groups_learned_before_the_fine_tuning_with_a_word(rotations, rot, rototrans, tmp_path):
    outcome, _ = fit(rototrans, tmp_path, "steps=1", init=rotations.folder)
    run, trans = str(outcome.run.folder), write_toy(tmp_path / "trans.h5", Toy(group="trans", prefix="rod"))
    arguments = ["eval", "--checkpoint", run, "--out", str(tmp_path / "out")]
    result = enr(*arguments, str(rot))
    assert result.exit_code == 0, result.output
    assert "rot: learned before the fine-tuning" in " ".join(result.output.split())
    facts = json.loads((tmp_path / "out" / "report.json").read_text())["checkpoint_metadata"]
    assert facts[RECORD]["groups"] == ["rot"]
    assert enr(*arguments, str(trans)).exit_code == 2


def test_the_command_line_takes_a_start(rotations, rototrans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(rotations.folder, tmp_path / "start")
    sets = [part for value in (*QUICK, "steps=1") for part in ("--set", value)]
    result = enr("train", str(rototrans), "--init", "start", *sets, "--quiet")
    assert result.exit_code == 0, result.output
    assert "The weights start from start/checkpoints/best (rot, step 5)" in result.output
    result = enr("train", str(rototrans), "--init", "nowhere")
    assert result.exit_code == 2 and "nowhere does not exist" in result.output
