"""What a source picture cannot show of its targets, against a slow twin; the foreground of opaque pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.pipelines.measured import Bench
from tests.pipelines.toy_shards import Toy, make_toy

from enr.camera import intrinsics, orbit_camera
from enr.model.config import RendererConfig
from enr.model.renderer import Renderer
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.foreground import find_opaque, opaque_notes
from enr.pipelines.evaluation.report import FOREGROUND, MODEL
from enr.pipelines.evaluation.unseen import NOTHING_MEASURED, ball_points, mean_unseen, measure_unseen, unseen_notes
from enr.shards import write_shard

torch.set_num_threads(1)
SIZE_PX = 16
FOCAL_PX = SIZE_PX * 50 / 36
CONFIG = RendererConfig(
    image_shape=(3, SIZE_PX, SIZE_PX),
    channels_2d=(8,),
    strides_2d=(2,),
    channels_3d=(),
    strides_3d=(),
    num_channels_inv_projection=(32,),
    num_channels_projection=(8,),
    depth_cells=8,
    focal_px=FOCAL_PX,
    near=1.0,
    far=3.0,
)
RIGID = replace(CONFIG, warp="rigid")


def views_at(*points, clipped_share: float = 0.0):
    """Cameras that look at points from +X, as much of a view set as is asked for."""
    count = len(points)
    cameras = orbit_camera(np.zeros(count), np.zeros(count), 2.0, np.array(points))
    K = np.repeat(intrinsics(FOCAL_PX, SIZE_PX, SIZE_PX)[None], count, axis=0)
    views = {"world_from_camera": cameras, "K": K, "clipped_share": np.full(count, clipped_share, dtype=np.float32)}
    return SimpleNamespace(views=views, width_px=SIZE_PX, height_px=SIZE_PX)


def unseen(config, *points):
    return measure_unseen(views_at(*points), config, np.array([0]), np.arange(1, len(points)))


@pytest.mark.parametrize("config", [CONFIG, RIGID])
def test_a_ball_in_full_in_every_picture_is_seen(config):
    found = unseen(config, (0, 0, 0), (0, 0.05, 0), (0.1, 0, 0.05))
    assert (found.beyond_picture, found.beyond_volume, found.source_clipped) == (0, 0, 0)


def test_the_shares_equal_a_slow_twin():
    source, target = (0.1, 0.5, 0.2), (0, -0.2, 0.1)
    found = unseen(replace(CONFIG, near=1.9, far=2.2), source, target)
    shown = lost = outside = 0
    for x, y, z in ball_points():  # the cameras stand at 2 + x, look along -X, with +Y to their right and +Z up
        depths = [2 + place[0] - x for place in (source, target)]
        sides = [
            max(abs(y - place[1]), abs(z - place[2])) * FOCAL_PX / depth <= SIZE_PX / 2
            for place, depth in zip((source, target), depths, strict=True)
        ]
        if sides[1]:
            shown += 1
            lost += not sides[0]
            outside += not (sides[0] and all(1.9 <= depth <= 2.2 for depth in depths))
    assert found.beyond_picture == pytest.approx(lost / shown) and 0 < lost < outside < shown
    assert found.beyond_volume == pytest.approx(outside / shown)


def test_the_cube_loses_what_leaves_it_and_the_sphere_more():
    points = ((0, 0, 0), (-0.5, 0, 0))
    cube, sphere = unseen(RIGID, *points), unseen(replace(RIGID, spherical_mask=True), *points)
    assert cube.beyond_picture == sphere.beyond_picture == 0
    assert 0 < cube.beyond_volume < sphere.beyond_volume


def test_a_network_without_a_volume_has_no_share_of_it_and_targets_of_nothing_none_at_all():
    told = replace(CONFIG, warp="conditioned", projection="fold")
    assert math.isnan(unseen(told, (0, 0, 0), (0, 0.1, 0)).beyond_volume)
    assert math.isnan(unseen(CONFIG, (0, 0, 0), (0, 5.0, 0)).beyond_picture)


def test_sentences_name_what_is_worth_one():
    assert unseen_notes(NOTHING_MEASURED, CONFIG) == []
    half_gone = unseen(CONFIG, (0, 0.6, 0), (0, 0, 0))
    (picture,) = unseen_notes(half_gone, CONFIG)
    assert f"{half_gone.beyond_picture:.1%} of what the targets show" in picture and half_gone.beyond_picture > 0.3
    too_near = replace(CONFIG, near=1.9, far=2.1)
    (volume,) = unseen_notes(unseen(too_near, (0, 0, 0), (0, 0, 0)), too_near)
    assert "depth 1.9 to 2.1" in volume
    clipped = measure_unseen(views_at((0, 0, 0), (0, 0, 0), clipped_share=0.2), CONFIG, np.array([0]), np.array([1]))
    for measured in (clipped, replace(clipped, beyond_picture=math.nan)):
        assert "20.0% of its surface" in unseen_notes(measured, CONFIG)[0]


def test_a_second_source_shows_what_the_first_does_not():
    views = views_at((0, 0.6, 0), (0, -0.3, 0), (0, 0, 0))
    one, two, both = (measure_unseen(views, CONFIG, np.array(given), np.array([2])) for given in ([0], [1], [0, 1]))
    assert both.beyond_picture < min(one.beyond_picture, two.beyond_picture)
    assert both.beyond_volume < min(one.beyond_volume, two.beyond_volume)


def test_means_leave_out_what_was_not_measured():
    seen = unseen(CONFIG, (0, 0, 0), (0, 0, 0))
    assert mean_unseen([seen, NOTHING_MEASURED]) == seen


def bench_of(folder, name: str, opaque: bool, masked: bool) -> Bench:
    """A view set of one shard over white; opaque ones hold the same colours."""
    shard = make_toy(Toy(seed=4))
    alpha = shard.images[..., 3]
    images = shard.images.copy()
    if opaque:
        images[alpha == 0] = 255
    passes = {"mask": alpha > 0} if masked else {}
    write_shard(folder / f"{name}.h5", replace(shard, images=images, passes=passes))
    view_set = ViewSet.open([folder / f"{name}.h5"])
    torch.manual_seed(0)
    model = Renderer(CONFIG).eval()
    bench = Bench.of(model, view_set)
    return replace(bench, data=replace(bench.data, opaque=find_opaque(view_set)))


def scores(bench: Bench):
    return bench.measure(bench.data.view_set.scenes("test")[0])


def test_the_foreground_of_opaque_pictures_is_their_mask(tmp_path):
    clear, opaque = bench_of(tmp_path, "clear", False, True), bench_of(tmp_path, "opaque", True, True)
    assert clear.data.opaque.shards == frozenset() and opaque.data.opaque.masked == {0}
    one, two = scores(clear), scores(opaque)
    assert two.scores == one.scores and two.chroma == one.chroma
    assert math.isnan(two.silhouette_iou) and not math.isnan(one.silhouette_iou)
    assert "stored masks" in opaque_notes(opaque.data.view_set, opaque.data.opaque, [0])[0]
    assert opaque_notes(clear.data.view_set, clear.data.opaque, [0]) == []


def test_opaque_pictures_without_a_mask_have_no_foreground_and_that_is_said(tmp_path):
    bench = bench_of(tmp_path, "bare", True, False)
    found = scores(bench)
    assert math.isnan(found.scores[MODEL][FOREGROUND]) and np.isnan(found.chroma).all()
    assert math.isnan(found.silhouette_iou)
    (note,) = opaque_notes(bench.data.view_set, bench.data.opaque, [0])
    assert "bare.h5 holds opaque pictures and no mask" in note and "--mask" in note
