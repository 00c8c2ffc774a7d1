"""Laws of fusing several sources' scenes, and a slow twin; renderers of every kind take several pictures."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.errors import EnrError
from enr.model.compositing import compositing_weights
from enr.model.config import RendererConfig
from enr.model.fusion import LearnedFusion, fuse_scenes
from enr.model.renderer import Renderer

CELLS = (2, 3, 2)


def moved_scenes(sources: int, seed: int, batch: int = 2, channels: int = 3) -> torch.Tensor:
    """Random scenes as a warp leaves them: multiplied by their visibility, which is 0 or 1 in many cells."""
    numbers = torch.Generator().manual_seed(seed)
    visibility = (3 * torch.rand(batch, sources, 1, *CELLS, generator=numbers, dtype=torch.float64) - 1).clamp(0, 1)
    content = torch.randn(batch, sources, channels, *CELLS, generator=numbers, dtype=torch.float64)
    return torch.cat([content * visibility, visibility], dim=2)


def again(scenes: torch.Tensor, times: int) -> torch.Tensor:
    """A single source, several times."""
    return scenes.expand(-1, times, -1, -1, -1, -1)


def moved_sight(scenes: torch.Tensor, seed: int) -> torch.Tensor:
    """Random light that reaches each cell, none in many cells, times the visibility."""
    light = torch.rand(scenes[:, :, -1:].shape, generator=torch.Generator().manual_seed(seed + 1), dtype=scenes.dtype)
    return (2 * light - 1).clamp_min(0) * scenes[:, :, -1:]


seeds, counts = st.integers(0, 2**31), st.integers(1, 5)


@settings(max_examples=30, deadline=None)
@given(seeds, counts, st.booleans())
def test_fusion_equals_its_slow_twin(seed, sources, has_sight):
    scenes = moved_scenes(sources, seed)
    sight = moved_sight(scenes, seed) if has_sight else scenes[:, :, -1:]
    fused = fuse_scenes(scenes, has_visibility=True, sight=sight if has_sight else None)
    zero = torch.zeros(3, dtype=torch.float64)
    for batch, place in itertools.product(range(len(scenes)), itertools.product(*map(range, CELLS))):
        mean, total, most = zero, 0.0, 0.0
        for source in range(sources):
            *values, visibility = scenes[(batch, source, slice(None), *place)]
            if visibility > 0:
                weight = 0.99 * float(sight[(batch, source, 0, *place)]) + 0.01 * float(visibility)
                mean = mean + weight * torch.stack(values) / visibility
                total, most = total + weight, max(most, float(visibility))
        expected = mean / total * most if total else zero
        torch.testing.assert_close(fused[(batch, slice(0, 3), *place)], expected)
        assert float(fused[(batch, 3, *place)]) == most


def test_who_sees_a_cell_outweighs_who_looks_at_it_through_something():
    scenes = torch.ones(1, 2, 2, 1, 1, 1)
    scenes[0, :, 0] = torch.tensor([2.0, 6.0]).reshape(2, 1, 1, 1)
    for light, expected in (((1.0, 1.0), 4.0), ((1.0, 0.0), 2.0396), ((0.0, 1.0), 5.9604), ((0.0, 0.0), 4.0)):
        fused = fuse_scenes(scenes, has_visibility=True, sight=torch.tensor(light).reshape(1, 2, 1, 1, 1, 1))
        assert fused[0, 0].item() == pytest.approx(expected, abs=1e-4)
        assert fused[0, 1].item() == 1


def test_a_source_has_a_line_of_sight_up_to_what_it_holds_for_opaque(small, motions):
    model = Renderer(RendererConfig(**{**small, "depth_cells": 4})).eval()
    scene = model.inverse_render(torch.rand(1, 3, 16, 16))
    alpha = torch.rand(1, 1, *model.config.scene_shape[1:])
    model.projection._opacity = lambda cells, parts: alpha
    sight = model._moved_sight(scene, torch.eye(4, dtype=torch.float64)[None])
    for depth in range(4):
        torch.testing.assert_close(sight[:, :, depth], (1 - alpha[:, :, :depth]).prod(dim=2), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sight * alpha, compositing_weights(alpha), atol=1e-5, rtol=1e-4)
    assert (model._moved_sight(scene, motions(1)) <= frustum_visibility(model, motions(1)) + 1e-6).all()


def frustum_visibility(model: Renderer, motion: torch.Tensor) -> torch.Tensor:
    """(1, 1, d, h, w)."""
    return model.transform(torch.ones(1, *model.config.scene_shape), motion)[:, -1:]


@settings(max_examples=30, deadline=None)
@given(seeds, counts, st.booleans())
def test_one_source_however_often_is_left_as_it_is(seed, times, has_visibility):
    scene = moved_scenes(1, seed)
    sight = moved_sight(scene, seed)
    fused = fuse_scenes(again(scene, times), has_visibility, again(sight, times))
    torch.testing.assert_close(fused, scene[:, 0])
    if times == 1:
        assert torch.equal(fused, scene[:, 0])


@settings(max_examples=30, deadline=None)
@given(seeds, st.permutations(range(4)), st.booleans())
def test_the_order_of_the_sources_does_not_matter(seed, order, has_visibility):
    scenes = moved_scenes(4, seed)
    sight = moved_sight(scenes, seed)
    fused = fuse_scenes(scenes[:, order], has_visibility, sight[:, order])
    torch.testing.assert_close(fused, fuse_scenes(scenes, has_visibility, sight))


@settings(max_examples=30, deadline=None)
@given(seeds, counts)
def test_a_source_that_sees_nothing_contributes_nothing(seed, sources):
    scenes = moved_scenes(sources, seed)
    sight, blind = moved_sight(scenes, seed), torch.zeros_like(scenes[:, :1])
    fused = fuse_scenes(torch.cat([scenes, blind], dim=1), True, torch.cat([sight, blind[:, :, -1:]], dim=1))
    torch.testing.assert_close(fused, fuse_scenes(scenes, True, sight))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 4))
def test_content_is_a_mean_and_visibility_never_falls(seed, sources):
    scenes = moved_scenes(sources, seed)
    fused = fuse_scenes(scenes, True, moved_sight(scenes, seed))
    visibility = scenes[:, :, -1]
    assert torch.equal(fused[:, -1], visibility.amax(dim=1))
    values = scenes[:, :, :-1] / scenes[:, :, -1:].clamp_min(1e-12)
    got = fused[:, :-1] / fused[:, -1:].clamp_min(1e-12)
    unseen = (visibility == 0)[:, :, None].expand_as(values)
    low, high = values.masked_fill(unseen, torch.inf).amin(dim=1), values.masked_fill(unseen, -torch.inf).amax(dim=1)
    seen = (fused[:, -1:] > 0).expand_as(got)
    assert (got[seen] >= low[seen] - 1e-9).all() and (got[seen] <= high[seen] + 1e-9).all()


def test_gradients_reach_every_source_that_sees_and_are_finite():
    scenes = moved_scenes(3, seed=5).requires_grad_()
    fuse_scenes(scenes, True, moved_sight(scenes, 5)).square().sum().backward()
    assert scenes.grad is not None and scenes.grad.isfinite().all()
    seen = (scenes[:, :, -1:] > 0).expand_as(scenes[:, :, :-1])
    assert (scenes.grad[:, :, :-1][seen] != 0).all()


def test_one_picture_is_the_single_source_case(config, motions):
    model = Renderer(config).eval()
    image, motion = torch.rand(3, *config.image_shape[1:]), motions(3)
    expected = model.generate_novel_views(image, motion)
    one = model.render(model.transform(model.inverse_render(image[None]).expand(3, *config.scene_shape), motion))
    torch.testing.assert_close(one.clamp(0, 1), expected)
    torch.testing.assert_close(model.generate_from_sources(image[None], motion[:, None], batch_size=2), expected)
    twice = model.generate_from_sources(image.expand(2, -1, -1, -1), motion[:, None].expand(-1, 2, -1, -1))
    torch.testing.assert_close(twice, expected, atol=1e-5, rtol=1e-4)


def test_a_second_picture_counts_and_the_order_of_pictures_does_not(config, motions):
    model = Renderer(config).eval()
    images, motion = torch.rand(2, *config.image_shape), motions(6).reshape(3, 2, 4, 4)
    scene = model.inverse_render(images)
    fused = model.fuse(scene.expand(3, *scene.shape), motion)
    torch.testing.assert_close(model.fuse(scene.flip(0).expand(3, *scene.shape), motion.flip(1)), fused)
    alone = model.transform(scene[:1].expand(3, *config.scene_shape), motion[:, 0])
    assert not torch.allclose(fused, alone)
    from_first = motion[:, :1] @ torch.stack([torch.eye(4).to(motion), motion[0, 1]])
    assert model.generate_from_sources(images, from_first).shape == (3, *config.image_shape)


def test_the_conditioned_comparison_takes_several_pictures_too(small, motions):
    config = RendererConfig(**{**small, "warp": "conditioned", "projection": "fold"})
    model = Renderer(config).eval()
    images, motion = torch.rand(2, *config.image_shape), motions(2)
    codes = model.transform(model.inverse_render(images), motion)
    views = model.generate_from_sources(images, motion[None])
    torch.testing.assert_close(views, model.render(codes.mean(dim=0)[None]).clamp(0, 1))


def test_scenes_and_motions_that_do_not_belong_together_are_refused(small, motions):
    model = Renderer(RendererConfig(**small))
    scenes = torch.zeros(2, 3, *model.config.scene_shape)
    with pytest.raises(EnrError, match="do not belong together; expected"):
        model.fuse(scenes, motions(4).reshape(2, 2, 4, 4))
    with pytest.raises(EnrError, match="do not belong together; expected"):
        model.fuse(scenes[:, :0], torch.zeros(2, 0, 4, 4))
    with pytest.raises(EnrError, match="rigid"):
        model.fuse(scenes, 2 * motions(6).reshape(2, 3, 4, 4))


@pytest.fixture
def learned(small):
    """A fusion whose weights are far from where they start."""
    config = RendererConfig(**{**small, "depth_cells": 4, "carry_colour": True, "learned_fusion": True})
    fusion = LearnedFusion(config).double()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return fusion, config


def full_scenes(config, sources, seed):
    """Scenes (2, sources, ...) with random content, times a visibility that is 0 in places."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, sources, *config.scene_shape, dtype=torch.float64, generator=generator)
    seen = torch.rand(2, sources, 1, *config.scene_shape[1:], dtype=torch.float64, generator=generator)
    seen = (1.4 * seen - 0.3).clamp(0, 1)
    return torch.cat([values[:, :, :-1] * seen, seen], dim=2)


def test_learned_weights_start_as_the_mean(small):
    config = RendererConfig(**{**small, "depth_cells": 4, "carry_colour": True, "learned_fusion": True})
    scenes = full_scenes(config, 3, 0)
    sight = moved_sight(scenes, 0)
    torch.testing.assert_close(LearnedFusion(config).double()(scenes, sight), fuse_scenes(scenes, True, sight))


@pytest.mark.parametrize("seed", range(4))
def test_learned_weights_know_no_order_and_one_picture_twice_is_one(learned, seed):
    fusion, config = learned
    scenes = full_scenes(config, 3, seed)
    sight = moved_sight(scenes, seed)
    order = [2, 0, 1]
    fused = fusion(scenes, sight)
    torch.testing.assert_close(fusion(scenes[:, order], sight[:, order]), fused)
    assert not torch.allclose(fused, fuse_scenes(scenes, True, sight))
    one = scenes[:, :1]
    torch.testing.assert_close(fusion(one.repeat(1, 4, 1, 1, 1, 1), sight[:, :1].repeat(1, 4, 1, 1, 1, 1)), one[:, 0])
    assert torch.equal(fusion(one, sight[:, :1]), one[:, 0])


def test_learned_weights_are_finite_where_nobody_sees_and_blind_sources_add_nothing(learned):
    fusion, config = learned
    scenes = full_scenes(config, 2, 7).requires_grad_()
    blind = torch.zeros_like(scenes[:, :1])
    sight = moved_sight(scenes.detach(), 7)
    with_blind = fusion(torch.cat([scenes, blind], dim=1), torch.cat([sight, blind[:, :, -1:]], dim=1))
    torch.testing.assert_close(with_blind, fusion(scenes, sight))
    with_blind.square().sum().backward()
    assert scenes.grad.isfinite().all()
