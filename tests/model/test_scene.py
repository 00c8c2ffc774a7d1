"""Scenes whose depth range travels with the object: the group's laws, what is told, and what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.warp_twins import frustum_points
from torch import Tensor

from enr.camera import orbit_camera, target_from_source
from enr.errors import EnrError
from enr.model import Renderer, RendererConfig
from enr.model.aiming import aim_points
from enr.model.projection import SceneParts
from enr.model.scene import PlacedScene, frustum_around, move_points, pixel_of, ray_through
from enr.model.sighting import sighting_loss
from enr.model.warp import frustum_coordinates, invert_rigid

SIZE_PX = 16
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None, derandomize=True)


@pytest.fixture(params=[False, True], ids=["", "reaim"])
def travelling(small, request: pytest.FixtureRequest) -> RendererConfig:
    """A small renderer with all parts, whose range travels; with and without re-aimed cameras."""
    return RendererConfig(
        **{**small, "depth_cells": 8, "num_channels_inv_projection": (16, 64), "depth_range": "travelling"},
        reaim=request.param,
        carry_colour=True,
        detail_stride=2,
    )


def pictures(count: int, seed: int = 0) -> Tensor:
    """White, with a coloured rectangle each."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.ones(count, 3, SIZE_PX, SIZE_PX)
    for number in range(count):
        left, top = torch.randint(1, 7, (2,), generator=generator).tolist()
        width, height = torch.randint(3, 9, (2,), generator=generator).tolist()
        images[number, :, top : top + height, left : left + width] = torch.rand(3, 1, 1, generator=generator) * 0.8
    return images


def with_features(scene: PlacedScene, features: Tensor) -> PlacedScene:
    """Other features in the same place."""
    return PlacedScene(features, scene.centre, scene.uncertainty)


def smooth_scene(config: RendererConfig, centre: Tensor) -> PlacedScene:
    """A ball of smooth features around each centre, seen by its own camera; interpolation hardly changes it."""
    points = frustum_points(config.scene_shape[1:], frustum_around(centre, config))
    middle = aim_points(centre[:, None], centre)[:, 0] if config.reaim else centre.double()
    distance = (points - middle[:, None, None, None]).norm(dim=-1)[:, None]
    values = torch.cos(math.pi * distance.clamp_max(0.5)).square().float()
    features = values.expand(-1, config.scene_shape[0], -1, -1, -1).clone()
    features[:, -1] = 1
    return PlacedScene(features, centre, torch.zeros(len(centre)))


def fine(config: RendererConfig) -> RendererConfig:
    """A larger volume with fewer channels, for laws that hold up to interpolation."""
    return replace(
        config,
        image_shape=(3, 32, 32),
        focal_px=44.0,
        strides_2d=(1, 1, 1),
        depth_cells=32,
        carry_colour=False,
        detail_stride=0,
    )


def turns(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    angles = 60 * torch.rand(4, count, dtype=torch.float64, generator=generator) - 30
    shift = 0.3 * torch.rand(2, count, 3, dtype=torch.float64, generator=generator) - 0.15
    source, target = (orbit_camera(*angles[2 * k : 2 * k + 2].numpy(), 2.0, shift[k].numpy()) for k in range(2))
    return torch.as_tensor(target_from_source(source, target))


@given(seed=seeds)
@few
def test_the_range_after_two_motions_is_that_after_their_product(seed: int) -> None:
    """The centre moves as a point does, exactly, so near and far obey the group's laws exactly."""
    one, two = turns(3, seed), turns(3, seed + 1)
    centre = torch.tensor([[0.1, -0.2, 1.7], [0.0, 0.0, 2.0], [-0.3, 0.1, 2.4]], dtype=torch.float64)
    torch.testing.assert_close(move_points(move_points(centre, one), two), move_points(centre, two @ one))
    torch.testing.assert_close(move_points(move_points(centre, one), invert_rigid(one)), centre)


@pytest.mark.parametrize("reaim", [False, True])
@given(seed=seeds)
@few
def test_there_and_back_and_by_way_of_another_camera(reaim: bool, seed: int) -> None:
    """Round trip and composition, on the object, where all the cells were inside all the frustums."""
    config = fine(RendererConfig(**CONFIG, reaim=reaim))
    model = Renderer(config).eval()
    scene = smooth_scene(config, torch.tensor([[0.05, -0.05, 1.9]]))
    one, two = turns(1, seed), turns(1, seed + 1)
    there = model.transform(scene, one)
    back = model.transform(there, invert_rigid(one))
    torch.testing.assert_close(back.centre.float(), scene.centre)
    assert error(back, scene) < 0.12 < error(there, with_features(scene, scene.features.flip(2))) + 0.12
    assert error(model.transform(there, two), model.transform(scene, two @ one)) < 0.12
    torch.testing.assert_close(
        model.transform(there, two).centre, model.transform(scene, two @ one).centre, rtol=1e-6, atol=1e-6
    )


CONFIG = {
    "image_shape": (3, 16, 16),
    "channels_2d": (8, 16, 16),
    "strides_2d": (1, 2, 1),
    "channels_3d": (),
    "strides_3d": (),
    "num_channels_inv_projection": (16, 64),
    "num_channels_projection": (8, 8),
    "focal_px": 22.0,
    "near": 1.0,
    "far": 3.0,
    "depth_range": "travelling",
}


def error(found: PlacedScene, expected: PlacedScene) -> float:
    """Relative, of the learned features, in the cells that both have seen."""
    both = (found.features[:, -1:] > 0.999) & (expected.features[:, -1:] > 0.999)
    one, two = (scene.features[:, :1] * both for scene in (found, expected))
    return float((one - two).norm() / two.norm())


@pytest.mark.parametrize("reaim", [False, True])
@given(seed=seeds)
@few
def test_a_moved_scene_is_the_scene_that_the_moved_camera_has(reaim: bool, seed: int) -> None:
    """A ball in the world, put straight into the target's own travelling frustum, is the source's, moved."""
    config = fine(RendererConfig(**CONFIG, reaim=reaim))
    model = Renderer(config).eval()
    centre, motion = torch.tensor([[0.1, 0.0, 1.8]]), turns(1, seed)
    moved = model.transform(smooth_scene(config, centre), motion)
    there = smooth_scene(config, move_points(centre, motion).float())
    assert error(moved, there) < 0.1
    pictures_of = [
        model.render(scene) for scene in (moved, with_features(there, there.features * moved.features[:, -1:]))
    ]
    assert (pictures_of[0] - pictures_of[1]).abs().mean() < 0.02


def test_an_object_is_in_the_middle_of_its_own_range(travelling: RendererConfig) -> None:
    """The centre's cell is the middle one in depth, on both sides of a motion, wherever the object is."""
    centre = torch.tensor([[0.1, 0.1, 1.4], [0.0, -0.2, 2.6]])
    for place in (centre, move_points(centre, turns(2, 3)).float()):
        seen = aim_points(place[:, None], place) if travelling.reaim else place[:, None].double()
        at = frustum_coordinates(seen, frustum_around(place, travelling))
        torch.testing.assert_close(at[..., 0], torch.zeros(2, 1, dtype=torch.float64), atol=1e-6, rtol=0)


def test_pixels_and_rays_undo_each_other(travelling: RendererConfig) -> None:
    pixel = torch.tensor([[3.0, 12.5], [8.0, 8.0]])
    torch.testing.assert_close(pixel_of(2.3 * ray_through(pixel, travelling), travelling), pixel)


def test_the_centre_lies_on_the_ray_at_the_distance(travelling: RendererConfig) -> None:
    model = Renderer(travelling).eval()
    images = torch.ones(1, 3, SIZE_PX, SIZE_PX)
    images[:, :, 2:6, 3:13] = 0
    _, sighting = model.look(images)
    scene = model.inverse_render(images, distance=1.7)
    expected = ray_through(sighting.pixel, travelling) * 1.7
    torch.testing.assert_close(scene.centre, expected)
    assert scene.distance.tolist() == pytest.approx([1.7])
    assert scene.uncertainty.tolist() == [0]


def test_shapes_and_gradients_everywhere(travelling: RendererConfig) -> None:
    model = Renderer(travelling).train()
    images, motion = pictures(2), turns(2, 4)
    rendered = model.predict(images, motion, torch.tensor([2.0, math.nan]))
    predicted, sighting = rendered.images, rendered.sighting
    assert predicted.shape == images.shape
    taught = sighting_loss(sighting, torch.tensor([[0.1, 0.2, 1.5], [0.2, 0.1, 2.2]]), travelling)
    ((predicted - images).square().mean() + taught).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == ["refine.layers.0.weight", "refine.layers.0.bias"], "behind a layer that starts at zero"
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_whole_way_is_its_three_steps(travelling: RendererConfig) -> None:
    model = Renderer(travelling).eval()
    images, motion = pictures(2), turns(2, 5)
    scene = model.inverse_render(images)
    assert scene.shape == (2, *travelling.scene_shape)
    assert len(scene[:1]) == 1
    torch.testing.assert_close(model(images, motion), model.render(model.transform(scene, motion)))
    parts = SceneParts.split(scene, travelling)
    assert torch.equal(parts.scene(travelling).features, scene.features)


def test_what_is_told_counts(travelling: RendererConfig) -> None:
    """Another distance gives another picture of a moved camera, and the same one of the camera itself."""
    model = Renderer(travelling).eval()
    with torch.no_grad():
        model.projection.alpha.bias.fill_(0.0)
    images, motion = pictures(1, seed=3), turns(1, 6)
    near, far = (model.generate_novel_views(images[0], motion, distance=distance) for distance in (1.6, 2.4))
    assert (near - far).abs().mean() > 1e-3


@pytest.mark.parametrize("distance", [None, 2.1])
def test_one_picture_twice_is_one_and_the_order_of_pictures_does_not_matter(
    travelling: RendererConfig, distance: float | None
) -> None:
    """Also with ranges that are wider than learned, and where a frustum's border cuts cells of the coarse level."""
    model = Renderer(travelling).eval()
    with torch.no_grad():
        model.sight.widening.fill_(5.0)
        model.sight.told.weight.fill_(0.2)  # what is told is seen
        model.projection.alpha.bias.fill_(0.0)
    images, motion = pictures(1), turns(12, 7)[:, None]
    once = model.generate_from_sources(images, motion, distance=distance)
    twice = model.generate_from_sources(images.expand(2, -1, -1, -1), motion.expand(-1, 2, -1, -1), distance=distance)
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-5)
    both, poses = ball_pictures(travelling)[0], poses_of_the_ball(travelling)
    forward = model.generate_from_sources(both, poses)
    torch.testing.assert_close(model.generate_from_sources(both.flip(0), poses.flip(1)), forward, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("distance", [None, 2.0, (2.0, 1.6, 1.9)])
def test_an_empty_picture_counts_for_nothing_wherever_its_camera_looks(
    travelling: RendererConfig, distance: float | tuple[float, ...] | None
) -> None:
    model = Renderer(travelling).eval()
    poses = poses_of_the_ball(travelling)
    aside = poses[:, :1] @ torch.as_tensor(orbit_camera(90.0, 0.0, 2.0))[None, None]
    images = ball_pictures(travelling)[0]
    given = distance if distance is None or isinstance(distance, float) else torch.tensor(distance)
    with_it = model.generate_from_sources(
        torch.stack([images[0], torch.ones_like(images[0]), images[1]]),
        torch.cat([poses[:, :1], aside, poses[:, 1:]], dim=1),
        distance=given,
    )
    kept = given[[0, 2]] if isinstance(given, Tensor) else given
    torch.testing.assert_close(with_it, model.generate_from_sources(images, poses, distance=kept))


def poses_of_the_ball(config: RendererConfig) -> Tensor:
    """(1, 2, 4, 4) from the cameras of `ball_pictures` to the first."""
    apart = ball_pictures(config)[1]
    return torch.stack([torch.eye(4, dtype=torch.float64), invert_rigid(apart)])[None]


def ball_pictures(config: RendererConfig) -> tuple[Tensor, Tensor]:
    """A box around one point of the world, seen from two cameras; and second_from_first."""
    motion = torch.as_tensor(target_from_source(orbit_camera(0, 0, 2.0), orbit_camera(70, 10, 2.0)))
    point = torch.tensor([[0.1, 0.1, 1.9]])
    images = torch.ones(2, 3, SIZE_PX, SIZE_PX)
    for image, place in zip(images, (point, move_points(point, motion).float()), strict=True):
        column, row = pixel_of(place, config)[0].round().int().tolist()
        image[:, row - 2 : row + 2, column - 2 : column + 2] = 0.3
    return images, motion


def test_two_pictures_triangulate_the_distance(travelling: RendererConfig) -> None:
    model = Renderer(travelling).eval()
    images, motion = ball_pictures(travelling)
    with torch.no_grad():
        model.sight.judge[-1].weight.zero_()
    located = model.locate(images, torch.stack([torch.eye(4, dtype=torch.float64), invert_rigid(motion)]))
    distance, uncertainty = located.distance, located.uncertainty
    expected = [1.9, float(move_points(torch.tensor([0.1, 0.1, 1.9]), motion)[2])]
    assert distance.tolist() == pytest.approx(expected, abs=0.1)
    alone = model.inverse_render(images).uncertainty
    assert (uncertainty < 0.5 * alone).all()


def test_pictures_that_contradict_their_poses_are_refused(travelling: RendererConfig) -> None:
    model = Renderer(travelling).eval()
    images = torch.ones(2, 3, SIZE_PX, SIZE_PX)
    images[:, :, 6:10, 6:10] = 0
    poses = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
    poses[:, 1, 0, 3] = 3  # side by side, both cameras look straight ahead: not at one object
    with pytest.raises(EnrError, match="contradict the poses"):
        model.generate_from_sources(images, poses)


@pytest.mark.parametrize("distances", [(0.7, 3.4), (3.4, 3.4)])
def test_distances_that_put_one_object_in_two_places_are_refused(
    travelling: RendererConfig, distances: tuple[float, float]
) -> None:
    config = replace(travelling, near=0.5, far=3.5)
    model = Renderer(config).eval()
    images, poses = ball_pictures(config)[0], poses_of_the_ball(config)
    with pytest.raises(EnrError, match="contradict the poses, or the distances: one picture's object lies"):
        model.generate_from_sources(images, poses, distance=torch.tensor(distances))
    moved = poses.clone()
    moved[:, 1, 0, 3] += 3
    with pytest.raises(EnrError, match="contradict the poses"):
        model.generate_from_sources(images, moved, distance=2.0)


@pytest.mark.parametrize(("times", "words"), [(100, r"0\.01"), (1000, r"0\.001"), (0.05, r"\d\.?\d*")])
def test_poses_in_other_units_are_refused(travelling: RendererConfig, times: float, words: str) -> None:
    model = Renderer(travelling).eval()
    with torch.no_grad():
        model.sight.judge[-1].weight.zero_()
    images, poses = ball_pictures(travelling)[0], poses_of_the_ball(travelling)
    poses[..., :3, 3] *= times
    with pytest.raises(EnrError, match=rf"in other units, multiply their translations by {words}\d*\.$"):
        model.generate_from_sources(images, poses)


@pytest.mark.parametrize(("near", "far"), [(0.8031619145842162, 3.196838085415784), (1.0, 3.0), (0.0456, 123.4)])
def test_the_bounds_of_what_was_trained_on_are_within_them_and_so_are_those_that_a_refusal_names(
    travelling: RendererConfig, near: float, far: float
) -> None:
    model = Renderer(replace(travelling, near=near, far=far))
    for bound in (near, far, torch.tensor(near), torch.tensor(far)):
        model.inverse_render(pictures(1), bound)
    with pytest.raises(EnrError) as refused:
        model.inverse_render(pictures(1), 2 * far)
    for named in re.findall(r"between (\S+) and (\S+) units", str(refused.value))[0]:
        model.inverse_render(pictures(1), float(named))


def test_no_gradient_passes_a_distance(travelling: RendererConfig) -> None:
    model = Renderer(travelling).requires_grad_(False)
    assert not model.inverse_render(pictures(1), torch.tensor([2.0], requires_grad=True)).features.requires_grad


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (0.0, "A distance is 0; expected the depth"),
        (-1.5, "A distance is -1.5; expected the depth"),
        (math.nan, "A distance is nan; expected the depth"),
        (math.inf, "trained on objects between 1 and 3"),
        (7.0, "trained on objects between 1 and 3"),
        ([2.0, 2.0, 2.0], "3 distances are given for a batch of 2"),
        ("2.0", "A distance is given as '2.0'; expected a number"),
        (b"2", "A distance is given as b'2'; expected a number"),
        ({}, "A distance is given as {}; expected a number"),
        ([None], r"A distance is given as \[None\]; expected a number"),
        ([2, None], r"A distance is given as \[2, None\]; expected a number"),
        (2 + 0j, r"A distance is given as \(2\+0j\); expected a number"),
        (True, "A distance is given as True; expected a number"),
        ([], "0 distances are given for a batch of 2"),
    ],
)
def test_bad_distances_are_refused_in_a_sentence(travelling: RendererConfig, distance: object, words: str) -> None:
    with pytest.raises(EnrError, match=words):
        Renderer(travelling).inverse_render(pictures(2), distance)
    with pytest.raises(EnrError, match=words.replace("batch of 2", "batch of 1")):
        Renderer(travelling).generate_novel_views(pictures(1)[0], turns(1, 0), distance=distance)


def test_poses_that_are_no_motions_are_refused_as_such(travelling: RendererConfig) -> None:
    model = Renderer(travelling).eval()
    poses = torch.eye(4).repeat(1, 2, 1, 1)
    poses[0, 1, 0, 3] = math.nan
    for refused in (model.generate_from_sources, lambda images, motions: model.encode_together(images, motions[0])):
        with pytest.raises(EnrError, match="rigid: some of its numbers are not finite"):
            refused(pictures(2), poses)


def test_a_placed_scene_is_printed_in_a_line(travelling: RendererConfig) -> None:
    scene = Renderer(travelling).inverse_render(pictures(2), [2.0, 2.25])
    sizes = "x".join(map(str, (2, *travelling.scene_shape)))
    assert repr(scene) == f"<PlacedScene: features {sizes}, distance [2.0, 2.25], uncertainty [0.0, 0.0]>"
    assert len(repr(scene.expand(2, *scene.shape).flatten(0, 1)[[0] * 500])) < 160


def test_a_range_that_stands_still_takes_no_distance_and_no_place(small, travelling: RendererConfig) -> None:
    standing = Renderer(RendererConfig(**small))
    with pytest.raises(EnrError, match="takes no distance"):
        standing.inverse_render(pictures(1), 2.0)
    with pytest.raises(EnrError, match="a tensor, not PlacedScene"):
        standing.render(Renderer(travelling).inverse_render(pictures(1)))
    with pytest.raises(EnrError, match="the place of its object, not Tensor"):
        Renderer(travelling).render(torch.zeros(1, *travelling.scene_shape))
    with pytest.raises(EnrError, match="choose depth_range fixed for warp rigid"):
        RendererConfig(**{**CONFIG, "warp": "rigid", "depth_cells": 8, "projection": "fold"})
