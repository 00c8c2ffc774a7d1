"""How well distances are known: errors and ranges against plain sums, the three settings, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.command_line import enr
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.model import Renderer, save_model
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.distance import (
    DistanceErrors,
    format_distance,
    join_errors,
    measure_distances,
)

SIZE_PX = 16


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    torch.set_num_threads(1)
    return write_toy(tmp_path_factory.mktemp("shards") / "rototrans.h5", Toy(size_px=SIZE_PX))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A renderer whose range travels, and one whose range stands still."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("travelling", "fixed"):
        torch.manual_seed(0)
        save_model(folder / name, Renderer(tiny_config(SIZE_PX, depth_range=name)), {"group": ["rototrans"]})
    return folder


def run(checkpoint, shard, out, *options):
    arguments = ["eval", "--checkpoint", str(checkpoint), str(shard), "--out", str(out), *options]
    return enr(*arguments)


def test_errors_are_summed_up_plainly():
    error, truth = np.array([0.1, -0.3, 0.2, 0.0]), np.array([2.0, 1.5, 2.5, 2.0])
    held = {"nine_in_ten": np.array([True, False, True, True]), "half": np.array([True, False, False, True])}
    parts = [DistanceErrors(error[:1], truth[:1], {name: value[:1] for name, value in held.items()})]
    parts += [None, DistanceErrors(error[1:], truth[1:], {name: value[1:] for name, value in held.items()})]
    found = join_errors(parts)
    assert found["pictures"] == 4
    assert found["units"]["mean"] == pytest.approx(0.15)
    assert found["units"]["median"] == pytest.approx(0.15)
    assert found["percent"]["mean"] == pytest.approx((5 + 20 + 8) / 4)
    assert found["bias"] == pytest.approx(0.0)
    assert found["held"] == {"nine_in_ten": 0.75, "half": 0.5}
    line = format_distance("estimated from one picture", found)
    assert "error 0.150 mean, 0.150 median" in line and "its 90 % intervals hold 75%, its 50 % intervals 50%" in line
    assert join_errors([None, None]) is None


def test_every_view_counts_and_sources_are_triangulated(shard):
    view_set = ViewSet.open([shard])
    torch.manual_seed(1)
    model = Renderer(tiny_config(SIZE_PX, depth_range="travelling")).eval()
    scene = view_set.scenes("test")[0]
    from enr.pipelines.data.views import composite

    views = scene.view_indices
    images = composite(torch.from_numpy(view_set.images(views)), view_set.background)
    truth = torch.from_numpy(view_set.distances(views))
    motions = torch.from_numpy(view_set.target_from_source(views[:3], views[3]))
    estimated, triangulated = measure_distances(model, (images[:3], images[3:]), motions, truth)
    with torch.no_grad():
        one_by_one = torch.cat([model.inverse_render(image[None]).distance for image in images])
        together = model.locate(images[:3], torch.from_numpy(view_set.target_from_source(views[:3], views[0]))).distance
    np.testing.assert_allclose(estimated.error, (one_by_one - truth).numpy(), atol=1e-5)
    np.testing.assert_allclose(triangulated.error, (together - truth[:3]).numpy(), atol=1e-5)
    assert measure_distances(model, (images[:1], images[1:]), motions[:1], truth)[1] is None
    with pytest.raises(EnrError, match="no number"):
        measure_distances(model, (images[:3], images[3:]), motions, truth * torch.nan)
    standing = Renderer(tiny_config(SIZE_PX)).eval()
    assert measure_distances(standing, (images[:3], images[3:]), motions, truth) == (None, None)


def test_the_three_settings_are_three_reports(shard, checkpoints, tmp_path):
    reports = {}
    for name, options in {"estimated": (), "known": ("--known-distance",), "two": ("--sources", "2")}.items():
        outcome = run(checkpoints / "travelling", shard, tmp_path / name, *options)
        assert outcome.exit_code == 0, outcome.output
        reports[name] = json.loads((tmp_path / name / "report.json").read_text())
        assert ("was told the distance" in outcome.output) == (name == "known")
        title = " ".join(outcome.output.partition("PSNR dB")[0].split())
        assert title.endswith("told the distance of the object") == (name == "known")
        assert "Distance estimated from one picture: error" in outcome.output
        assert ("Distance triangulated from 2 pictures: error" in outcome.output) == (name == "two")
    assert reports["known"]["known_distance"] is True and reports["estimated"]["known_distance"] is False
    scores = [report["results"][0]["scores"]["model"]["psnr_db"] for report in reports.values()]
    assert len(set(scores)) == 3
    assert set(reports["two"]["results"][0]["distance"]) == {"estimated", "triangulated"}


def test_what_stands_still_is_told_nothing(shard, checkpoints, tmp_path):
    outcome = run(checkpoints / "fixed", shard, tmp_path / "out", "--known-distance")
    assert outcome.exit_code == 2 and "takes no distance; leave out --known-distance" in outcome.output
    plain = run(checkpoints / "fixed", shard, tmp_path / "plain")
    assert plain.exit_code == 0 and "Distance estimated" not in plain.output
