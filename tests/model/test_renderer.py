"""The renderer: shapes, gradients, laws of its parts, the start that cannot collapse, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from enr.camera import orbit_camera, target_from_source, volume_rotation
from enr.errors import EnrError
from enr.model import Renderer, RendererConfig
from enr.model.compositing import compositing_weights
from enr.model.counting import count_macs, count_parameters
from enr.model.losses import LossWeights, reconstruction_loss
from enr.model.published import orbit_motions

PUBLISHED: dict[str, Any] = {
    "channels_2d": (64, 64, 128, 128, 128, 128, 256, 256, 128, 128, 128),
    "strides_2d": (1, 1, 2, 1, 2, 1, 2, 1, -2, 1, 1),
    "channels_3d": (32, 32, 128, 128, 128, 64, 64, 64),
    "strides_3d": (1, 1, 2, 1, 1, -2, 1, 1),
    "num_channels_inv_projection": (256, 512, 1024),
    "num_channels_projection": (512, 256, 256),
    "warp": "rigid",
    "spherical_mask": True,
    "projection": "fold",
    "output": "sigmoid",
    "near": 1.5,
    "far": 2.5,
}
Motions = Callable[..., Tensor]
Values = dict[str, Any]


def published(size: int) -> RendererConfig:
    return RendererConfig(image_shape=(3, size, size), focal_px=131.25 / 128 * size, **PUBLISHED)


@pytest.mark.parametrize(("size", "cells", "parameters"), [(128, 32, 11_489_027), (64, 16, 11_227_907)])
def test_the_published_sizes(size: int, cells: int, parameters: int) -> None:
    assert published(size).scene_shape == (64, cells, cells, cells)
    assert count_parameters(published(size)) == parameters


def test_the_published_multiply_adds() -> None:
    assert count_macs(published(128)) == pytest.approx(43e9, rel=0.02)


def test_shapes_and_gradients_everywhere(config: RendererConfig, motions: Motions) -> None:
    model = Renderer(config).train()
    images = torch.rand(2, *config.image_shape)
    scene = model.inverse_render(images)
    assert scene.shape == (2, *config.scene_shape)
    predicted = model.render(model.transform(scene, motions(2)))
    assert predicted.shape == images.shape
    reconstruction_loss(predicted, images, LossWeights(l1=1, l2=1, ssim=0))[0].backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not silent
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_whole_way_is_its_three_steps(config: RendererConfig, motions: Motions) -> None:
    model = Renderer(config).eval()
    images = torch.rand(2, *config.image_shape)
    step_by_step = model.render(model.transform(model.inverse_render(images), motions(2)))
    torch.testing.assert_close(model(images, motions(2)), step_by_step)


def test_bfloat16_training_computes_the_same_up_to_its_rounding(config: RendererConfig, motions: Motions) -> None:
    model = Renderer(config).train()
    images = torch.rand(2, *config.image_shape)
    exact = model(images, motions(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model(images, motions(2))
    assert (rounded.float() - exact).abs().mean() < 0.05
    rounded.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_each_kind_fits_two_views(config: RendererConfig, motions: Motions) -> None:
    """Dark objects on white from two cameras: in a few steps the loss falls to a fraction of the white picture's."""
    torch.manual_seed(3)
    model = Renderer(config).train()
    images = torch.ones(2, *config.image_shape)
    images[0, :, 4:10, 3:8] = torch.tensor([0.1, 0.2, 0.6])[:, None, None]
    images[1, :, 3:8, 6:12] = torch.tensor([0.1, 0.2, 0.6])[:, None, None]
    motion = motions(2, seed=5, reach=0.1)
    white = (1 - images.flip(0)).square().mean()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(25):
        loss = (model(images, motion) - images.flip(0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * white


def test_a_new_model_paints_the_background_and_can_leave_it(config: RendererConfig, motions: Motions) -> None:
    background = (0.2, 0.5, 0.9)
    model = Renderer(dataclasses.replace(config, background=background, output="linear")).train()
    shown = torch.tensor(background).reshape(3, 1, 1)
    images = shown.expand(2, *config.image_shape).clone()
    predicted = model(images, motions(2))
    assert (predicted - shown).abs().mean() < 0.1
    head = model.transform_2d.layers[-1]
    predicted.mean().backward()
    torch.testing.assert_close(head.bias.grad, torch.full((3,), 1 / 3))  # not saturated: the full gradient arrives


def test_visibility_is_what_the_warp_leaves_of_ones(variants: dict[str, Values], motions: Motions) -> None:
    model = Renderer(RendererConfig(**variants["frustum-colour"])).eval()
    scene = model.inverse_render(torch.rand(4, 3, 16, 16))
    assert torch.equal(scene[:, -1:], torch.ones_like(scene[:, -1:]))
    moved = model.transform(scene, motions(4, reach=0.5))
    ones = model.transform(torch.ones_like(scene), motions(4, reach=0.5))
    torch.testing.assert_close(moved[:, -1], ones[:, -1])
    assert 0 <= moved[:, -1].min() < 0.5
    assert moved[:, -1].max() <= 1 + 1e-5


def test_carried_colours_lie_on_their_rays(variants: dict[str, Values]) -> None:
    config = RendererConfig(**variants["frustum-colour"])
    images = torch.rand(2, 3, 16, 16)
    scene = Renderer(config).inverse_render(images)
    colour = scene[:, -4:-1]
    height, width = config.map_shape
    expected = images.reshape(2, 3, height, 16 // height, width, 16 // width).mean((3, 5))
    torch.testing.assert_close(colour, expected[:, :, None].expand_as(colour))


def test_unmoved_opaque_colours_come_back(variants: dict[str, Values]) -> None:
    """With every cell opaque, the composited colour of an unmoved scene is the source picture at the scene's size."""
    model = Renderer(RendererConfig(**variants["frustum-colour"])).eval()
    with torch.no_grad():
        model.projection.alpha.bias.fill_(50.0)
        images = torch.rand(2, 3, 16, 16)
        scene = model.inverse_render(images)
        projected = model.project(scene)
    torch.testing.assert_close(projected.colour, scene[:, -4:-1, 0])
    torch.testing.assert_close(projected.opacity, torch.ones_like(projected.opacity))


@given(depth=st.integers(1, 7), reverse=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_compositing_equals_walking_along_the_ray(depth: int, reverse: bool, seed: int) -> None:
    alpha = torch.rand(2, 1, depth, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights = compositing_weights(alpha, reverse)
    light = torch.ones(2, 1, 3, 2, dtype=torch.float64)
    for layer in reversed(range(depth)) if reverse else range(depth):
        torch.testing.assert_close(weights[:, :, layer], light * alpha[:, :, layer])
        light = light * (1 - alpha[:, :, layer])
    torch.testing.assert_close(weights.sum(2), 1 - light)


def test_angles_and_matrices_move_a_scene_alike(config: RendererConfig) -> None:
    model = Renderer(config).eval()
    scene = torch.randn(2, *config.scene_shape)
    angles = ([10.0, 200.0], [-5.0, 30.0], [40.0, 170.0], [20.0, -50.0])
    source, target = orbit_camera(*angles[:2]), orbit_camera(*angles[2:])
    expected = model.transform(scene, torch.as_tensor(target_from_source(source, target)))
    torch.testing.assert_close(model.rotate_source_to_target(scene, *angles), expected, rtol=1e-4, atol=1e-4)


def test_a_turn_in_the_volumes_axes_moves_a_scene_as_its_motion_does(config: RendererConfig) -> None:
    model = Renderer(config).eval()
    scene = torch.randn(2, *config.scene_shape)
    motion = target_from_source(orbit_camera([0, 10], [0, 20]), orbit_camera([15, 90], [30, -20]))
    turned = model.rotate(scene, torch.as_tensor(volume_rotation(motion)))
    torch.testing.assert_close(turned, model.transform(scene, torch.as_tensor(motion)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_novel_views_equal_one_view_at_a_time(config: RendererConfig) -> None:
    model = Renderer(config).eval()
    image = torch.rand(*config.image_shape)
    motion = orbit_motions((20.0, 10.0), [(20.0, 10.0), (60.0, -10.0), (100.0, 80.0)], config.radius)
    views = model.generate_novel_views(image, motion, batch_size=2)
    single = torch.cat([model(image[None], motion[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(views, single, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pictures_are_in_range_outside_training(config: RendererConfig, motions: Motions) -> None:
    model = Renderer(config).eval()
    head = model.transform_2d.layers[-1]
    head.weight *= 100
    pictures = model(torch.rand(2, *config.image_shape), motions(2))
    assert 0 <= pictures.min() <= pictures.max() <= 1


@pytest.mark.parametrize("scale", [[1, 1, 1.1], [1, -1, 1], [2, 2, 2], [float("nan"), 1, 1]])
def test_what_is_not_rigid_is_refused(config: RendererConfig, scale: list[float]) -> None:
    model = Renderer(config)
    scene = torch.randn(1, *config.scene_shape)
    bad = torch.diag(torch.tensor([*scale, 1.0]))[None]
    with pytest.raises(EnrError, match="rigid"):
        model.transform(scene, bad)
    with pytest.raises(EnrError, match="rigid"):
        model.rotate(scene, bad[:, :3, :3])


@pytest.mark.parametrize("kind", ["uint8", "int64", "float64", "float16", "ndarray"])
def test_pictures_of_another_kind_are_refused_in_a_sentence(config: RendererConfig, kind: str) -> None:
    pictures = torch.ones(1, *config.image_shape)
    given = pictures.numpy() if kind == "ndarray" else pictures.to(getattr(torch, kind))
    with pytest.raises(EnrError, match=rf"given as .*{kind}; expected a tensor of torch\.float32"):
        Renderer(config).inverse_render(given)


def test_wrong_shapes_are_refused_with_both_shapes(config: RendererConfig) -> None:
    model = Renderer(config)
    scene = torch.randn(2, *config.scene_shape)
    with pytest.raises(EnrError, match=r"\(1, 3, 6, 6\).*expects \(batch, 3, "):
        model.inverse_render(torch.rand(1, 3, 6, 6))
    with pytest.raises(EnrError, match="A scene of shape"):
        model.render(scene[:, 1:])
    with pytest.raises(EnrError, match=r"expected \(2, 4, 4\)"):
        model.transform(scene, torch.eye(4)[None])
    with pytest.raises(EnrError, match=r"expected \(batch, 3, 3\)"):
        model.rotate(scene, torch.eye(4)[None])


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "lengths-2d": ({"strides_2d": (1, 2)}, "channels_2d has 3 entries and strides_2d 2"),
    "lengths-3d": ({"channels_3d": (8,)}, "channels_3d has 1 entries and strides_3d 0"),
    "stride": ({"strides_2d": (1, 3, 1)}, r"strides_2d\[1\] is 3"),
    "stride-3d": ({"channels_3d": (8, 8), "strides_3d": (1, -1)}, r"strides_3d\[1\] is -1"),
    "size": ({"image_shape": (3, 14, 14), "strides_2d": (2, 1, 2)}, r"strides_2d\[2\] halves a map of 7 x 7"),
    "size-3d": (
        {"channels_3d": (8, 8, 8), "strides_3d": (2, 2, 2), "num_channels_inv_projection": (12,), "depth_cells": 4},
        r"strides_3d\[2\] halves a map of 1 x 2 x 2",
    ),
    "width": ({"channels_2d": (8, 33, 16)}, r"channels_2d\[1\] is 33.*multiple of 4"),
    "no-width": ({"channels_2d": (8, 0, 16)}, r"channels_2d\[1\] is 0"),
    "projection-width": ({"num_channels_projection": (9,)}, r"num_channels_projection\[0\] is 9"),
    "empty": ({"num_channels_projection": ()}, "num_channels_projection is empty"),
    "lift": ({"num_channels_inv_projection": (16, 60)}, r"num_channels_inv_projection\[1\] is 60.*8 depths"),
    "cube": ({"warp": "rigid", "depth_cells": 4}, "a scene of 4 x 8 x 8 cells"),
    "mask": ({"spherical_mask": True}, "spherical_mask belongs to the rigid warp"),
    "composite": ({"channels_3d": (8,), "strides_3d": (2,)}, "composite needs strides_3d that keep"),
    "colour": ({"carry_colour": True, "projection": "fold"}, "carry_colour"),
    "warp": ({"warp": "affine"}, "model.warp is 'affine'; give one of 'rigid', 'frustum'"),
    "range": ({"near": 3.0}, "near 3.0 and far 3.0"),
    "image": ({"image_shape": (4, 16, 16)}, "image_shape"),
    "focal": ({"focal_px": 0.0}, "focal_px is 0.0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_configs_that_do_not_fit_name_the_layer(case: str, small: Values) -> None:
    change, message = REFUSALS[case]
    with pytest.raises(EnrError, match=message):
        RendererConfig(**{**small, **change})


def test_configs_survive_the_way_to_plain_values(config: RendererConfig) -> None:
    assert RendererConfig.from_dict(config.to_dict()) == config


def test_unknown_and_missing_entries_are_named(small: Values) -> None:
    with pytest.raises(EnrError, match="'chanels_2d'; did you mean channels_2d"):
        RendererConfig.from_dict({**small, "chanels_2d": (8,)})
    with pytest.raises(EnrError, match="lacks near, far"):
        RendererConfig.from_dict({name: value for name, value in small.items() if name not in ("near", "far")})


@pytest.mark.parametrize("wrong", [255.0, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("grad", [True, False])
def test_pictures_outside_their_range_are_refused(small: Values, wrong: float, grad: bool) -> None:
    """8-bit values as floats, or NaN, would give pictures without a word."""
    model = Renderer(RendererConfig(**small))
    images = torch.rand(2, *model.config.image_shape)
    images[1, 0, 0, 0] = wrong
    with torch.set_grad_enabled(grad), pytest.raises(EnrError, match=r"expected \[0, 1\]"):
        model(images, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_renderer_of_half_precision_is_refused(small: Values, dtype: torch.dtype) -> None:
    model = Renderer(RendererConfig(**small)).to(dtype)
    images = torch.rand(1, *model.config.image_shape).to(dtype)
    with pytest.raises(EnrError, match=r"leave them float32 .* torch\.autocast"):
        model(images, torch.eye(4, dtype=torch.float64)[None])


def test_several_motions_of_a_picture_are_predicted_as_each_alone_to_the_bit(
    config: RendererConfig, motions: Motions
) -> None:
    model, images = Renderer(config).eval(), torch.rand(2, *config.image_shape)
    wanted = [motions(2, seed) for seed in (1, 2)]
    with torch.no_grad():
        alone = [model(images, motion) for motion in wanted]
    assert all(torch.equal(*pair) for pair in zip(model.predict_moved(images, wanted), alone, strict=True))


def test_one_scene_seen_from_many_cameras_is_that_scene_moved_and_rendered(
    config: RendererConfig, motions: Motions
) -> None:
    model = Renderer(config).eval()
    motion = motions(3)
    with torch.no_grad():
        scene = model.inverse_render(torch.rand(1, *config.image_shape))
        expected = model.render(model.transform(scene.expand(3, *scene.shape[1:]), motion))
        for given in (scene, model.apart(scene)):
            torch.testing.assert_close(model.view(given, motion), expected, atol=1e-6, rtol=0)
            torch.testing.assert_close(model.view(given, motion[1:2]), expected[1:2], atol=1e-6, rtol=0)


def test_a_scene_goes_with_one_motion_each_or_is_alone(config: RendererConfig, motions: Motions) -> None:
    model = Renderer(config).eval()
    scene = model.inverse_render(torch.rand(2, *config.image_shape)).detach()
    with pytest.raises(EnrError, match=r"expected \(2, 4, 4\)"):
        model.view(scene, motions(3))
