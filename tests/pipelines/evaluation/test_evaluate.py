"""Scores of a scene against a slow float64 twin; the swapped pose; means; what is refused before any work."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.pipelines.measured import Bench
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.errors import EnrError
from enr.model.renderer import Renderer
from enr.pipelines.data.views import Scene, ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import check_fit, learned_groups, make_untrained, seen_scenes
from enr.pipelines.evaluation.floors import BACKGROUND, COPIED_INPUT, MEAN_OF_TARGETS, derangement
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.report import (
    CANDIDATES,
    FOREGROUND,
    MODEL,
    PSNR,
    UNTRAINED,
    WRONG_POSE,
    GroupReport,
)
from enr.pipelines.evaluation.report_table import verdict
from enr.pipelines.evaluation.scene_choice import choose_groups, choose_scenes, split_views
from enr.pipelines.machine import pick_device
from enr.pipelines.metrics import PSNR_CAP_DB
from enr.shards import write_shard

torch.set_num_threads(1)
CPU = torch.device("cpu")
WHITE = (1.0, 1.0, 1.0)
GREY = (0.5, 0.5, 0.5)


class Painter:
    """No renderer: it knows nothing of distances."""

    config = SimpleNamespace(has_travelling_range=False)


class Oracle(Painter):
    """Knows the true picture of every motion: what a perfect model predicts."""

    def __init__(self, pictures):
        self.pictures = pictures

    def generate_from_sources(self, images, motions, batch_size=16, distance=None):
        known = self.pictures.target_from_sources
        nearest = [(known - motion).abs().amax((1, 2, 3)).argmin() for motion in motions]
        return self.pictures.targets[torch.stack(nearest)]


class Blank(Painter):
    """Paints the background whatever it is asked: the collapsed model."""

    def generate_from_sources(self, images, motions, batch_size=16, distance=None):
        return torch.ones(len(motions), *images.shape[1:])


def tiny_renderer(size_px: int = 16) -> Renderer:
    """A random renderer of the toy's lens."""
    torch.manual_seed(0)
    config = tiny_config(size_px, channels_2d=(8, 8), strides_2d=(1, 2), carry_colour=True)
    return Renderer(config).eval()


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Two groups; one has no test scene; over grey, with soft edges and a view of nothing."""
    folder = tmp_path_factory.mktemp("shards")
    for group, splits in (("rototrans", ("train", "val", "test", "test")), ("trans", ("train", "val"))):
        shard = make_toy(Toy(group=group, splits=splits, views=6, background=GREY, seed=3))
        images = shard.images.copy()
        images[..., 3] = images[..., 3] // 255 * np.random.default_rng(0).integers(1, 256, images.shape[:3])
        images[2 * 6 + 5 if group == "rototrans" else 5, ..., 3] = 0
        write_shard(folder / f"{group}.h5", replace(shard, images=images))
    return folder


@pytest.fixture(scope="module")
def view_set(shards) -> ViewSet:
    return ViewSet.open([shards])


def bench_of(view_set: ViewSet, model=None, **options) -> Bench:
    return Bench.of(model or tiny_renderer(), view_set, **options)


def psnr_twin(predicted: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """One picture in float64; NaN without pixels."""
    if not mask.any():
        return math.nan
    error = np.mean((predicted - target)[:, mask] ** 2)
    return PSNR_CAP_DB if error == 0 else min(PSNR_CAP_DB, -10 * math.log10(error))


def over(rgba: np.ndarray, background) -> np.ndarray:
    """(3, height, width) in [0, 1], rounded to 8 bits, in float64."""
    alpha = rgba[..., 3:] / 255
    blend = alpha * rgba[..., :3] + (1 - alpha) * 255 * np.array(background)
    return np.moveaxis(np.rint(blend) / 255, -1, 0)


@pytest.mark.parametrize("source", [0, 3])
def test_the_scores_of_a_scene_equal_a_slow_twin(view_set, source):
    scene = view_set.scenes("test", "rototrans")[0]
    bench = bench_of(view_set, source=source)
    predictions = bench.predict(scene)
    found = bench.measure(scene)

    rgba = view_set.images(scene.view_indices)
    others = [number for number in range(scene.count) if number != source and rgba[number][..., 3].any()]
    truths = [over(rgba[number], GREY) for number in others]
    masks = [rgba[number][..., 3] > 0 for number in others]
    guesses = predictions.double().numpy()
    told = bench.with_wrong_poses(scene, predictions).double().numpy()
    twins = {
        MODEL: list(guesses),
        WRONG_POSE: list(told),
        BACKGROUND: [np.full_like(truths[0], 0.5)] * 4,
        COPIED_INPUT: [over(rgba[source], GREY)] * 4,
        MEAN_OF_TARGETS: [sum(truths) / 4] * 4,
    }
    assert tuple(found.scores) == tuple(name for name in CANDIDATES if name in twins)
    for name, candidate in twins.items():
        whole = [psnr_twin(one, two, np.ones_like(masks[0])) for one, two in zip(candidate, truths, strict=True)]
        part = [psnr_twin(one, two, mask) for one, two, mask in zip(candidate, truths, masks, strict=True)]
        assert found.scores[name][PSNR] == pytest.approx(np.mean(whole), abs=1e-3)
        assert found.scores[name][FOREGROUND] == pytest.approx(np.nanmean(part), abs=1e-3)
    assert len(others) == scene.count - 2, "the view of nothing is not among the targets"


def test_the_swapped_score_is_that_of_a_model_told_another_pose(view_set):
    bench = bench_of(view_set)
    scene = view_set.scenes("test")[0]
    pictures, fast = bench.load(scene), bench.with_wrong_poses(scene, bench.predict(scene))
    # Find which pose each target was given, by asking the model for every one of them.
    with torch.no_grad():
        asked = [bench.model(pictures.source[None], motion[None])[0] for motion in pictures.target_from_source]
    told = [next(j for j, picture in enumerate(asked) if torch.allclose(picture, one, atol=1e-5)) for one in fast]
    assert sorted(told) == list(range(4))  # the fifth shows nothing
    assert all(told[target] != target for target in range(4))


def test_a_perfect_model_meets_the_cap_and_loses_it_with_other_poses(view_set):
    bench = bench_of(view_set)
    scene = view_set.scenes("test")[1]
    found = bench_of(view_set, Oracle(bench.load(scene))).measure(scene)
    assert found.scores[MODEL] == {PSNR: PSNR_CAP_DB, FOREGROUND: PSNR_CAP_DB}
    assert found.scores[WRONG_POSE][PSNR] < 30
    assert found.chroma[0] == pytest.approx(found.chroma[1])


def test_a_model_that_paints_the_background_is_no_better_with_the_right_pose(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy())])
    found = bench_of(view_set, Blank()).measure(view_set.scenes("test")[0])
    assert found.scores[MODEL] == found.scores[WRONG_POSE] == found.scores[BACKGROUND]
    assert found.silhouette_iou == 0
    group = GroupReport("rototrans", "test", (found,), 0.0)
    assert group.pose_gap_db == 0
    assert "hardly uses the pose" in verdict(group, WHITE)


def test_of_two_views_the_model_is_told_the_source_s_own_pose(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy(views=2))])
    bench = bench_of(view_set)
    scene = view_set.scenes("test")[0]
    pictures, predictions = bench.load(scene), bench.predict(scene)
    with torch.no_grad():
        expected = bench.model(pictures.source[None], torch.eye(4, dtype=torch.float64)[None])
    assert torch.allclose(bench.with_wrong_poses(scene, predictions), expected)
    assert not torch.allclose(predictions, expected)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_batch_size_changes_nothing(view_set, batch_size):
    scene = view_set.scenes("test")[0]
    one, other = bench_of(view_set), bench_of(view_set, batch_size=batch_size)
    assert torch.allclose(one.predict(scene), other.predict(scene), atol=1e-5)


def test_the_swapped_order_hangs_on_seed_and_scene_alone(view_set):
    scenes = view_set.scenes("test")

    def order(scene, seed):
        bench = bench_of(view_set, seed=seed)
        targets = bench.load(scene).targets
        marks = torch.arange(float(len(targets))).reshape(-1, 1, 1, 1).expand_as(targets)
        return bench.with_wrong_poses(scene, marks)[:, 0, 0, 0].tolist()

    assert order(scenes[0], 0) == order(scenes[0], 0)
    assert len({tuple(order(scene, seed)) for scene in scenes for seed in range(4)}) > 4
    assert sorted(order(scenes[0], 0)) == sorted(derangement(4, np.random.default_rng(0)))


def test_the_untrained_model_is_a_row_of_its_own_drawn_by_the_seed(view_set):
    model, scene = tiny_renderer(), view_set.scenes("test")[0]
    state = torch.get_rng_state()
    drawn = [make_untrained(model, seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    bench = bench_of(view_set, model)
    plain, twin, *found = (bench.beside(one).measure(scene).scores for one in (None, model, *drawn))
    assert UNTRAINED not in plain
    assert twin[UNTRAINED] == twin[MODEL]
    assert found[0][UNTRAINED] == found[1][UNTRAINED] != found[2][UNTRAINED]
    assert {name: found[0][name] for name in plain} == plain


def test_test_scenes_are_the_default_and_validation_scenes_are_named_as_such(view_set):
    chosen, notes = choose_scenes(EvalSettings(), view_set, "rototrans")
    assert list(chosen) == ["test"] and len(chosen["test"]) == 2 and not notes
    chosen, notes = choose_scenes(EvalSettings(), view_set, "trans")
    assert list(chosen) == ["val"] and "validation scenes" in notes[0]


def test_a_split_without_scenes_is_refused(view_set):
    with pytest.raises(EnrError, match=r"no test scene of trans .they hold train, val."):
        choose_scenes(EvalSettings(splits=("test",)), view_set, "trans")


def test_max_scenes_draws_by_the_seed_and_says_so(tmp_path):
    view_set = ViewSet.open([write_toy(tmp_path / "a.h5", Toy(splits=("train", *["test"] * 12), views=2))])
    draws = [choose_scenes(EvalSettings(max_scenes=4, seed=seed), view_set, "rototrans") for seed in (0, 0, 1)]
    ids = [[scene.scene_id for scene in chosen["test"]] for chosen, _ in draws]
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 4 and ids[0] == sorted(ids[0])
    assert "4 of 12" in draws[0][1][0]


def test_a_group_that_was_never_learned_is_refused_unless_asked_for(view_set):
    with pytest.raises(EnrError, match=r"learned trans and never saw rototrans.*--any-group"):
        choose_groups(EvalSettings(), view_set, ("trans",))
    assert choose_groups(EvalSettings(any_group=True), view_set, ("trans",)) == ("rototrans", "trans")
    assert choose_groups(EvalSettings(groups=("trans",)), view_set, ("trans",)) == ("trans",)
    with pytest.raises(EnrError, match="and no rot"):
        choose_groups(EvalSettings(groups=("rot",)), view_set, ("rot",))


@pytest.mark.parametrize(
    ("metadata", "groups"),
    [({"group": ["rot"]}, ("rot",)), ({"group": "trans"}, ("trans",)), ({}, ("rot", "trans", "rototrans"))],
)
def test_what_a_checkpoint_learned_stands_in_its_metadata(metadata, groups):
    assert learned_groups(metadata) == groups


def test_scenes_that_the_checkpoint_was_trained_on_are_found(view_set):
    metadata = {"data": {"trained_scene_ids": ["box-002", "elsewhere"]}}
    assert seen_scenes(metadata, view_set.scenes("test")) == ["box-002"]
    assert seen_scenes({}, view_set.scenes("test")) == []


def test_source_and_targets_are_all_views_of_the_scene_once(view_set):
    scene = view_set.scenes("test")[1]
    source, targets = split_views(EvalSettings(source=4), view_set, scene)
    assert source.tolist() == [scene.first + 4]
    assert sorted([*source, *targets]) == scene.view_indices.tolist()


def test_a_source_that_is_not_there_is_refused(view_set):
    with pytest.raises(EnrError, match=r"no view 6 .its views are 0 to 5.; choose --source"):
        split_views(EvalSettings(source=6), view_set, view_set.scenes("test")[0])


def test_the_paper_s_protocol_is_view_64_of_251():
    scenes = [Scene(name, "rot", "test", first, 251) for name, first in (("a", 0), ("b", 251))]
    views = SimpleNamespace(
        views={"view_index": np.tile(np.arange(251), 2)},
        images=lambda indices: np.full((len(indices), 1, 1, 4), 255, np.uint8),
    )
    source, targets = split_views(EvalSettings(protocol="apple"), views, scenes[1])
    assert source.tolist() == [251 + 64]
    assert targets.tolist() == [*range(251, 251 + 64), *range(251 + 65, 502)]


def test_the_paper_s_protocol_is_refused_for_other_data_and_other_sources(view_set):
    with pytest.raises(EnrError, match="has 6 views, --protocol apple needs 251"):
        split_views(EvalSettings(protocol="apple"), view_set, view_set.scenes("test")[0])
    with pytest.raises(EnrError, match="--source 3 and --protocol apple"):
        _ = EvalSettings(protocol="apple", source=3).source_view


def test_a_checkpoint_for_another_image_size_is_refused(view_set):
    with pytest.raises(EnrError, match="pictures of 32x32 px, the shards hold 16x16 px"):
        check_fit(tiny_renderer(32), view_set)


def test_another_lens_distance_and_background_are_worth_a_word(view_set):
    model = tiny_renderer()
    fitting = SimpleNamespace(config=replace(model.config, background=GREY))
    assert check_fit(fitting, view_set) == []
    other = replace(model.config, focal_px=30.0, radius=1.9)
    notes = check_fit(SimpleNamespace(config=other), view_set)
    assert [note.split(":")[0] for note in notes] == [
        "the lens differs",
        "the distance differs",
        "the background differs",
    ]
    assert "2.00 to 2.00" in notes[1] and "1.90" in notes[1]


def test_a_device_that_is_not_there_is_refused():
    assert pick_device("cpu") == CPU
    for name in ("cuda:99", "nonsense"):
        with pytest.raises(EnrError, match=f"The device '{name}' cannot be used"):
            pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "cpu:3", "meta", "CUDA", ""])
def test_a_device_of_no_such_name_is_answered_with_those_there_are(name):
    with pytest.raises(EnrError) as error:
        pick_device(name)
    assert str(error.value) == f"The device {name!r} cannot be used; choose auto, cpu or cuda."
