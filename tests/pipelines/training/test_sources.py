"""Several source pictures: batches, training steps, resuming exactly, and evaluation beside fewer sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipelines.measured import Bench
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.model.renderer import Renderer
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.report import GroupReport, Report
from enr.pipelines.evaluation.report_files import as_dict
from enr.pipelines.evaluation.report_table import format_report
from enr.pipelines.evaluation.scene_choice import split_views
from enr.pipelines.metrics import psnr
from enr.pipelines.training.loader import PairLoader
from enr.pipelines.training.prepare import resolve_config
from enr.pipelines.training.trainer import Trainer

torch.set_num_threads(1)
CPU = torch.device("cpu")
SMOKE = ["loss.l1=0", "loss.ssim=0", "loss.l2=1", "clip_norm=0", "precision=float32"]


@pytest.fixture(scope="module")
def view_set(tmp_path_factory) -> ViewSet:
    """Scenes of 6 views."""
    path = write_toy(tmp_path_factory.mktemp("shards") / "a.h5", Toy(views=6))
    return ViewSet.open([path])


def loader_of(view_set: ViewSet, targets: int, sources: int, batch_size: int = 3, seed: int = 0) -> PairLoader:
    return PairLoader(view_set, "train", batch_size, seed, targets + sources, sources)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(0, 500))
def test_every_view_is_the_target_of_different_sources_of_its_scene(view_set, targets, sources, batch_size, position):
    loader = loader_of(view_set, targets, sources, batch_size)
    loader.load_state_dict({"seed": 1, "position": position})
    batch = next(loader)
    number = batch.sources.shape[1]
    assert 1 <= number <= sources
    assert len(batch.target) == len(batch.sources) == loader.pairs_per_batch == targets * len(batch.views)
    assert sorted(batch.target.tolist()) == sorted([*range(len(batch.views))] * targets)
    pairs = [
        (target, *sorted(rows)) for rows, target in zip(batch.sources.tolist(), batch.target.tolist(), strict=True)
    ]
    assert len(set(pairs)) == len(pairs)
    scene, cameras = view_set.views["scene"][batch.views], view_set.views["world_from_camera"][batch.views]
    for (target, *rows), motions in zip(pairs, batch.target_from_sources, strict=True):
        assert len({target, *rows}) == number + 1
        assert set(scene[rows]) == {scene[target]}
        expected = np.linalg.inv(cameras[target]) @ cameras[rows]
        order = np.argsort(batch.sources[pairs.index((target, *rows))])
        np.testing.assert_allclose(motions[order], expected, atol=1e-12)


def test_one_to_so_many_sources_come_equally_often_and_every_view_serves(view_set):
    loader = loader_of(view_set, targets=2, sources=3, batch_size=1)
    counts, served = np.zeros(4), np.zeros((5, 5))
    for _ in range(600):
        batch = next(loader)
        counts[batch.sources.shape[1]] += 1
        np.add.at(served, (batch.target[:, None], batch.sources), 1)
    assert counts[0] == 0 and (np.abs(counts[1:] - 200) < 60).all(), counts  # five standard deviations
    others = served[~np.eye(5, dtype=bool)]
    assert (np.diag(served) == 0).all() and np.ptp(others) < 0.25 * others.mean(), served


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 40), st.integers(0, 5))
def test_the_sources_depend_on_seed_and_position_alone(view_set, before, seed):
    loader, other = loader_of(view_set, 1, 2, seed=seed), loader_of(view_set, 1, 2, seed=99)
    for _ in range(before):
        next(loader)
    other.load_state_dict(loader.state_dict())
    for _ in range(5):
        ours, theirs = next(loader), next(other)
        for name in ("views", "sources", "target", "target_from_sources"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_scenes_with_too_few_views_are_refused_with_what_to_lower(view_set):
    with pytest.raises(
        EnrError, match=r"has 6 views, but 3 targets from 4 sources need 7; lower `targets` or `sources`"
    ):
        loader_of(view_set, targets=3, sources=4)
    with pytest.raises(EnrError, match="sources is 0; it must be at least 1"):
        resolve_config(view_set, "smoke", ["sources=0"])


def test_a_step_fuses_the_sources_of_every_target(view_set):
    """Two steps with two sources, one of them with a single one, equal steps written out picture by picture."""
    config, _ = resolve_config(view_set, "smoke", [*SMOKE, "sources=2", "seed=1"])
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(Renderer(config.model))
    numbers = set()
    trainer, twin = Trainer(models[0], loader_of(view_set, 1, 2), config.train, CPU), loader_of(view_set, 1, 2)
    for _ in range(6):
        batch = next(twin)
        models[1].load_state_dict(trainer.model.state_dict())
        expected = written_out(models[1].train(), view_set, batch)
        assert float(trainer.train_step(1e-3).loss) == pytest.approx(expected, rel=1e-5)
        numbers.add(batch.sources.shape[1])
    assert numbers == {1, 2}


def written_out(model: Renderer, view_set: ViewSet, batch) -> float:
    """The step's loss, each target from its own sources, encoded again for each."""
    losses = []
    for rows, target, motions in zip(batch.sources, batch.target, batch.target_from_sources, strict=True):
        pictures = composite(torch.from_numpy(view_set.images(batch.views[[*rows, target]])), view_set.background)
        scenes = model.inverse_render(pictures[:-1])
        predicted = model.render(model.fuse(scenes[None], torch.from_numpy(motions[None])))
        losses.append((predicted - pictures[-1:]).square().mean().item())
    return float(np.mean(losses))


def test_a_resumed_training_from_several_sources_repeats_the_uninterrupted_one(view_set, tmp_path):
    from enr.pipelines.training.train import TrainSettings, train

    whole = TrainSettings(
        shards=view_set.paths,
        preset="smoke",
        assignments=("steps=6", "sources=2", "batch_size=2", "validations=1", "validation_pictures=2", "frames=1"),
        runs=tmp_path / "runs",
        show_progress=False,
    )
    ends = []
    for stop_at in (None, 3):
        outcome = train(whole, say=lambda words: None, stop=lambda step, last=stop_at: step == last)
        if stop_at:
            outcome = train(replace(whole, shards=(), preset=None, assignments=(), resume=outcome.run.folder), str)
        assert outcome.step == 6 and outcome.run.config["train"]["sources"] == 2
        ends.append(torch.load(outcome.run.last / "trainer.pt", weights_only=True)["optimizer"]["state"])
    for key, values in ends[0].items():
        assert torch.equal(values["exp_avg"], ends[1][key]["exp_avg"])


def bench_of(view_set: ViewSet, **options) -> Bench:
    config, _ = resolve_config(view_set, "smoke", ["carry_colour=true"])
    torch.manual_seed(0)
    return Bench.of(Renderer(config.model).eval(), view_set, **options)


def scores_of(view_set: ViewSet, scene, **options):
    return bench_of(view_set, **options).measure(scene)


def test_the_following_views_are_sources_and_no_targets(view_set):
    scene = view_set.scenes("test")[0]
    sources, targets = split_views(EvalSettings(source=1, sources=3), view_set, scene)
    assert (sources - scene.first).tolist() == [1, 2, 3]
    assert (targets - scene.first).tolist() == [0, 4, 5]
    pictures = bench_of(view_set, source=1, sources=3).load(scene)
    assert pictures.sources.shape[0] == pictures.target_from_sources.shape[1] == 3
    cameras = view_set.views["world_from_camera"]
    expected = np.linalg.inv(cameras[targets[2]]) @ cameras[sources[1]]
    np.testing.assert_allclose(pictures.target_from_sources[2, 1], expected, atol=1e-12)


def test_fewer_sources_are_measured_on_the_same_targets(view_set):
    scene = view_set.scenes("test")[0]
    given = {number: scores_of(view_set, scene, sources=number) for number in (1, 3, 4)}
    assert [found.targets for found in given.values()] == [5, 3, 2]
    assert "one_source" not in given[1].scores
    assert list(given[3].scores)[:4] == ["model", "one_source", "two_sources", "wrong_pose"]
    bench = bench_of(view_set, sources=4)
    pictures = bench.load(scene)
    assert {"one_source", "two_sources", "model"} <= given[4].scores.keys() and "four_sources" not in given[4].scores
    with torch.no_grad():
        for number, name in ((1, "one_source"), (2, "two_sources"), (4, "model")):
            scenes = bench.model.inverse_render(pictures.sources[:number]).expand(2, -1, -1, -1, -1, -1)
            slow = bench.model.render(bench.model.fuse(scenes, pictures.target_from_sources[:, :number])).clamp(0, 1)
            expected = psnr(slow, pictures.targets).mean().item()
            assert given[4].scores[name]["psnr_db"] == pytest.approx(expected, abs=1e-4)


def test_with_a_single_target_the_model_is_told_the_pose_of_the_first_source(view_set):
    scene = view_set.scenes("test")[0]
    bench = bench_of(view_set, sources=5)
    pictures = bench.load(scene)
    cameras = torch.from_numpy(view_set.views["world_from_camera"][scene.view_indices])
    motions = torch.linalg.inv(cameras[0]) @ cameras[:5]
    expected = bench.model.generate_from_sources(pictures.sources, motions[None])
    torch.testing.assert_close(bench.with_wrong_poses(scene, bench.predict(scene)), expected)


def test_more_sources_than_there_are_views_are_refused(view_set):
    scene = view_set.scenes("test")[0]
    with pytest.raises(EnrError, match=r"has no view 6 .its views are 0 to 5.; give --sources 5 at most"):
        split_views(EvalSettings(sources=7), view_set, scene)
    with pytest.raises(EnrError, match=r"has no view 8 .*; choose --source among them"):
        split_views(EvalSettings(source=8, sources=2), view_set, scene)
    with pytest.raises(EnrError, match=r"has 6 views, all of them sources, so there is no .* --views 7 or more"):
        split_views(EvalSettings(sources=6), view_set, scene)
    with pytest.raises(EnrError, match="--sources 2 and --protocol apple"):
        split_views(EvalSettings(sources=2, protocol="apple"), view_set, scene)


def test_the_table_and_the_json_say_how_many_sources(view_set):
    scenes = tuple(scores_of(view_set, scene, sources=2) for scene in view_set.scenes("test"))
    report = Report((GroupReport("rototrans", "test", scenes, 0.0),), (1.0, 1.0, 1.0), {}, (), Path("report.json"))
    table = format_report(report)
    assert "from source views 0 to 1" in table and "model given 1 source" in table and "Several sources" in table
    (group,) = as_dict(report)["results"]
    assert group["per_scene"][0]["sources"] == 2
    gain = group["scores"]["model"]["psnr_db"] - group["scores"]["one_source"]["psnr_db"]
    assert f"{gain:+.2f}" in next(line for line in table.splitlines() if line.startswith("model given 1 source"))
