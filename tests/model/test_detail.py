"""The detail level packs, moves and composites its pixels as its slow twin does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.model import Renderer, RendererConfig
from enr.model.detail import CoarseRays, composite_levels, pack, unpack
from enr.model.projection import SceneParts

FOCAL_PX, NEAR, FAR, SIZE_PX, DEPTHS = 24.0, 1.0, 3.0, 16, 8
WHITE = torch.ones(1, 3, 1, 1)


def config(**changes):
    entries = {
        "image_shape": (3, SIZE_PX, SIZE_PX),
        "channels_2d": (8, 16),
        "strides_2d": (2, 2),
        "channels_3d": (),
        "strides_3d": (),
        "num_channels_inv_projection": (32,),
        "num_channels_projection": (8,),
        "depth_cells": DEPTHS,
        "focal_px": FOCAL_PX,
        "near": NEAR,
        "far": FAR,
        "carry_colour": True,
        "detail_stride": 1,
    }
    return RendererConfig(**{**entries, **changes})


def empty_rays():
    return CoarseRays(torch.zeros(1, 1, DEPTHS, 4, 4), torch.ones(1, 3, DEPTHS, 4, 4))


def plane(picture, depth):
    """A detail level (1, 4, d, h, w) that shows `picture` (3, h, w), opaque in one depth cell."""
    level = torch.zeros(1, 4, DEPTHS, *picture.shape[1:], dtype=picture.dtype)
    level[0, 0, depth] = 1
    level[0, 1:, depth] = picture
    return level


@given(factor=st.integers(1, 4), cells=st.integers(1, 3), channels=st.integers(1, 3))
def test_unpacking_undoes_packing_and_keeps_neighbours(factor, cells, channels):
    volume = torch.rand(2, channels, 2, factor * cells, factor * cells)
    packed = pack(volume, factor)
    assert packed.shape == (2, channels * factor**2, 2, cells, cells)
    assert torch.equal(unpack(packed, factor), volume)
    block = volume[0, :, 1, :factor, :factor]
    assert torch.equal(packed[0, :, 1, 0, 0].sort().values, block.flatten().sort().values)


@settings(max_examples=10)
@given(st.integers(0, 2**20))
def test_compositing_equals_its_slow_twin(seed):
    rng = torch.Generator().manual_seed(seed)
    alpha, colour, detail = (torch.rand(1, c, 3, 2, 2, generator=rng, dtype=torch.float64) for c in (1, 3, 5))
    detail[:, 1:] *= detail[:, :1]
    picture, maps = composite_levels(CoarseRays(alpha, colour), detail, WHITE.double())
    for v in range(2):
        for u in range(2):
            shown, own, features, clear = torch.zeros(3).double(), 0.0, 0.0, 1.0
            for d in range(3):
                shown += clear * detail[0, 1:4, d, v, u]
                own += clear * detail[0, 0, d, v, u]
                features += clear * detail[0, 4, d, v, u]
                clear *= 1 - detail[0, 0, d, v, u]
                shown += clear * alpha[0, 0, d, v, u] * colour[0, :, d, v, u]
                clear *= 1 - alpha[0, 0, d, v, u]
            torch.testing.assert_close(picture[0, :, v, u], shown + clear)
            torch.testing.assert_close(maps[0, :, v, u], torch.stack([1 - clear, own, features]))


@pytest.mark.parametrize("front", [0, 6])
def test_what_is_in_front_hides_what_is_behind(front):
    """The detail lies at depth 3; the coarse volume is black and opaque before or behind it."""
    picture = torch.rand(3, SIZE_PX, SIZE_PX)
    alpha, black = torch.zeros(1, 1, DEPTHS, 4, 4), torch.zeros(1, 3, DEPTHS, 4, 4)
    alpha[:, :, front] = 1
    shown, _ = composite_levels(CoarseRays(alpha, black), plane(picture, 3), WHITE)
    torch.testing.assert_close(shown[0], picture if front > 3 else torch.zeros_like(picture))


@given(columns=st.integers(-5, 5), rows=st.integers(-5, 5), depth=st.integers(0, DEPTHS - 1))
@settings(max_examples=15, deadline=None)
def test_a_sideways_step_moves_a_plane_by_whole_pixels(columns, rows, depth):
    """Equivariance of the detail level: at a plane's depth z a step of t metres is focal_px * t / z pixels."""
    model = Renderer(config()).eval()
    picture = torch.rand(3, SIZE_PX, SIZE_PX)
    z = NEAR + (depth + 0.5) / DEPTHS * (FAR - NEAR)
    motion = torch.eye(4, dtype=torch.float64)[None].clone()
    motion[0, :2, 3] = torch.tensor([columns, rows]) * z / FOCAL_PX
    scene = model.inverse_render(torch.rand(1, 3, SIZE_PX, SIZE_PX)).detach()
    first, count = model.config.feature_channels, model.config.packed_channels
    scene[:, first : first + count] = pack(plane(picture, depth), model.config.detail_factor)
    detail = SceneParts.split(model.transform(scene, motion), model.config).detail
    shown, _ = composite_levels(empty_rays(), detail, WHITE)
    expected = torch.ones_like(picture)
    height, width = SIZE_PX - abs(rows), SIZE_PX - abs(columns)
    to_v, to_u, from_v, from_u = max(rows, 0), max(columns, 0), max(-rows, 0), max(-columns, 0)
    expected[:, to_v : to_v + height, to_u : to_u + width] = picture[
        :, from_v : from_v + height, from_u : from_u + width
    ]
    torch.testing.assert_close(shown[0], expected, atol=1e-4, rtol=0)


def test_both_levels_move_as_they_would_alone():
    """The coarse channels of a scene with detail move as those of the same scene without it."""
    torch.manual_seed(0)
    with_detail, without = Renderer(config()).eval(), Renderer(config(detail_stride=0)).eval()
    scene = torch.rand(1, *with_detail.config.scene_shape)
    first, count = with_detail.config.feature_channels, with_detail.config.packed_channels
    coarse = torch.cat([scene[:, :first], scene[:, first + count :]], dim=1)
    motion = torch.eye(4, dtype=torch.float64)[None].clone()
    motion[0, :3, 3] = torch.tensor([0.2, -0.1, 0.3])
    moved = with_detail.transform(scene, motion)
    moved_coarse = torch.cat([moved[:, :first], moved[:, first + count :]], dim=1)
    assert torch.equal(moved_coarse, without.transform(coarse, motion))


@pytest.mark.parametrize("changes", [{}, {"detail_stride": 2, "detail_channels": 3}, {"detail_stride": 0}])
def test_a_scene_of_one_tensor_holds_all_parts(changes):
    model = Renderer(config(**changes)).eval()
    images, motion = torch.rand(2, 3, SIZE_PX, SIZE_PX), torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    motion[:, :3, 3] = torch.tensor([0.1, -0.2, 0.3])
    scene = model.inverse_render(images)
    assert torch.equal(SceneParts.split(scene, model.config).join(model.config), scene)
    torch.testing.assert_close(model(images, motion), model.render(model.transform(scene, motion)))


def test_learned_features_ride_along():
    model = Renderer(config(detail_stride=2, detail_channels=3)).train()
    images, motion = torch.rand(2, 3, SIZE_PX, SIZE_PX), torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    assert model.inverse_render(images).shape[1:] == model.config.scene_shape
    for _ in range(2):  # the correction starts at zero: its first layer learns from the second step on
        loss = model(images, motion).square().sum()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-3 * parameter.grad
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.lift_detail.parameters())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"detail_stride": 3}, "detail_stride 3"),
        ({"detail_stride": 8}, "detail_stride 8"),
        ({"detail_stride": -1}, "detail_stride is -1; it must be at least 0"),
        ({"detail_channels": -1}, "detail_channels is -1; it must be at least 0"),
        ({"carry_colour": False}, "carry_colour"),
    ],
)
def test_levels_that_do_not_fit_are_refused(changes, word):
    with pytest.raises(EnrError, match=word):
        config(**changes)
