"""What is measured while a model trains: fixed views of held-out scenes, and whether the model learns at all."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.pipelines.toy_shards import Toy, make_toy, write_toy
from tests.pipelines.training.fitting import fit

from enr.errors import EnrError
from enr.model import read_metadata
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.training import validation
from enr.pipelines.training.journal import read_metrics
from enr.pipelines.training.validation import FEWEST_SCENES, FixedViews, choose_triples, find_faults
from enr.shards import write_shard

CPU = torch.device("cpu")


class FakeRenderer:
    """Paints what a function of the source picture and the motion says."""

    def __init__(self, paint):
        self._paint = paint

    def predict_moved(self, images, motions):
        return [self._paint(images, motion) for motion in motions]

    def eval(self):
        return self

    def train(self):
        return self


@pytest.fixture(scope="module")
def probe(shards):
    view_set = ViewSet.open([shards])
    return FixedViews(view_set, choose_triples(view_set, "val", 24, seed=0), CPU)


def test_a_model_that_collapsed_to_white_is_told_so(probe):
    scores = probe.score(FakeRenderer(lambda images, motion: torch.ones_like(images)))
    assert scores.psnr_db == pytest.approx(scores.background_db)
    assert scores.painted_share == pytest.approx(0)
    assert "background" in find_faults(scores)[0]


def test_a_model_with_a_constant_output_is_told_so(probe):
    """A sigmoid that is stuck at another colour than the background's is not blank, and ignores more than the pose."""
    scores = probe.score(FakeRenderer(lambda images, motion: 0.3 * torch.ones_like(images)))
    assert scores.painted_share > 0.5
    assert scores.varied_share == pytest.approx(0, abs=1e-5)
    (fault,) = find_faults(scores)
    assert "output is constant" in fault


def test_a_model_that_ignores_the_pose_is_told_so(probe):
    scores = probe.score(FakeRenderer(lambda images, motion: images))
    assert scores.psnr_db == scores.swapped_db
    (fault,) = find_faults(scores)
    assert "ignores the pose" in fault


def test_a_model_that_knows_the_truth_is_not_blamed(shards):
    view_set = ViewSet.open([shards])
    triples = choose_triples(view_set, "val", 24, seed=0)
    truths = _truth_by_motion(view_set)

    def paint(images, motion):
        return torch.stack([truths[_key(image), _key(row)] for image, row in zip(images, motion, strict=True)])

    scores = FixedViews(view_set, triples, CPU).score(FakeRenderer(paint))
    assert scores.psnr_db == 100
    assert scores.swapped_db < 30
    assert scores.painted_share == pytest.approx(1)
    assert scores.varied_share == pytest.approx(1)
    assert find_faults(scores) == ()


def _key(values):
    return values.numpy().tobytes()


def _truth_by_motion(view_set):
    """The right picture for every source picture and motion to a view of its scene."""
    truths = {}
    for scene in view_set.scenes("val"):
        pictures = composite(torch.from_numpy(view_set.images(scene.view_indices)), view_set.background)
        for source in range(scene.count):
            for target in range(scene.count):
                motion = view_set.target_from_source([scene.first + source], [scene.first + target])
                truths[_key(pictures[source]), _key(torch.from_numpy(motion[0]))] = pictures[target]
    return truths


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(0, 100), st.sampled_from(["train", "val"]))
def test_triples_are_views_of_one_scene_and_cover_the_groups(shards, pictures, seed, split):
    view_set = ViewSet.open([shards])
    triples = choose_triples(view_set, split, pictures, seed)
    scenes = [view_set.views["scene"][views] for views in (triples.source, triples.target, triples.other)]
    assert np.array_equal(scenes[0], scenes[1])
    assert np.array_equal(scenes[0], scenes[2])
    assert (triples.target != triples.source).all()
    assert (triples.target != triples.other).all()
    assert set(view_set.views["split"][triples.target]) == {split}
    groups = view_set.views["group"][triples.target]
    assert abs((groups == "rot").sum() - (groups == "trans").sum()) <= 1


def with_blanks(path, toy, blank):
    """A toy shard some of whose views show nothing: those of `blank`, (scene, view)."""
    shard = make_toy(toy)
    images = shard.images.copy()
    for scene, view in blank:
        images[scene * toy.views + view] = 0
    write_shard(path, dataclasses.replace(shard, images=images))
    return path


def test_blank_targets_are_left_out_and_counted(tmp_path):
    """They are 100 dB for a model that paints nothing, and would decide the mean."""
    toy = Toy(splits=("train", "train", "val", "val"), views=6)
    path = with_blanks(tmp_path / "a.h5", toy, [(scene, view) for scene in (2, 3) for view in (0, 2, 4)])
    done = fit(path, tmp_path / "runs", "steps=1", "validation_pictures=40")
    (line,) = done.said("show nothing")
    assert 10 <= int(line.split()[0]) <= 30 and "of the validation's 40 targets" in line
    (scores,) = [line for line in read_metrics(done.result.run.metrics) if line["kind"] == "validation"]
    assert scores["background_db"] < 20
    view_set = ViewSet.open([path])
    triples = choose_triples(view_set, "val", 40, seed=0)
    seen = triples.with_something_to_see(view_set)
    kept = {tuple(row) for row in zip(seen.source, seen.target, seen.other, strict=True)}
    alpha = {view: view_set.images([view])[..., 3].any() for view in set(triples.target.tolist())}
    rows = zip(triples.source, triples.target, triples.other, strict=True)
    assert kept == {tuple(row) for row in rows if alpha[row[1]]}


def test_nothing_to_see_at_all_is_refused_before_anything_is_written(tmp_path):
    toy = Toy(splits=("train", "val"), views=3)
    path = with_blanks(tmp_path / "a.h5", toy, [(1, view) for view in range(3)])
    with pytest.raises(EnrError, match="'val' shows anything"):
        fit(path, tmp_path / "runs", "steps=1")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("held_out", [FEWEST_SCENES - 1, FEWEST_SCENES])
def test_too_few_held_out_objects_choose_nothing(tmp_path, monkeypatch, held_out):
    """With enough of them the best validation chooses; with fewer the last checkpoint is the best, and that is said."""
    path = write_toy(tmp_path / "a.h5", Toy(splits=("train",) * 2 + ("val",) * held_out, views=2))
    score, falling = FixedViews.score, iter([30.0, 20.0, 10.0])
    monkeypatch.setattr(
        FixedViews, "score", lambda self, model: dataclasses.replace(score(self, model), psnr_db=next(falling))
    )
    done = fit(path, tmp_path / "runs", "steps=6", "validations=3")
    chooses = held_out == FEWEST_SCENES
    assert read_metadata(done.result.run.best)["step"] == (2 if chooses else 6)
    assert len(done.said("too few to choose a checkpoint by")) == (not chooses)


def test_frames_say_the_step_the_minutes_and_the_score_and_are_large(shards, tmp_path, monkeypatch):
    captions, under_caption = [], validation._under_caption
    monkeypatch.setattr(
        validation, "_under_caption", lambda grid, words: captions.append(words) or under_caption(grid, words)
    )
    done = fit(shards, tmp_path, "steps=12", "frames=4")
    assert [caption.split(",")[0] for caption in captions] == [f"step {step}" for step in (0, 3, 6, 9, 12)]
    assert all(re.fullmatch(r"step \d+, \d+\.\d min, \d+\.\d dB", caption) for caption in captions)
    with Image.open(done.folder / "progress.gif") as gif:
        assert gif.n_frames == 5
        assert gif.height > 3 * 160, "three rows of pictures of 16 px"
