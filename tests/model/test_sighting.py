"""What one picture tells of where its object is: boxes, their stated behaviours, quantiles, and how they are taught."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.model import Renderer, RendererConfig
from enr.model.aiming import see_aimed
from enr.model.scene import pixel_of
from enr.model.sighting import (
    BOX_SHARE,
    FEWEST_HELD_OUT,
    MEDIAN,
    QUANTILES,
    Sight,
    find_boxes,
    masked_sighting_loss,
    sighting_loss,
    span_of,
)

WHITE = torch.ones(3)


def picture(*rectangles: tuple[int, int, int, int]) -> torch.Tensor:
    """(1, 3, 12, 16) white, with dark rectangles (left, top, right, bottom)."""
    image = torch.ones(1, 3, 12, 16)
    for left, top, right, bottom in rectangles:
        image[:, :, top:bottom, left:right] = 0.4
    return image


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_box_is_what_differs_from_the_background(data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, 14)), data.draw(st.integers(0, 10))
    right, bottom = data.draw(st.integers(left + 1, 16)), data.draw(st.integers(top + 1, 12))
    boxes = find_boxes(picture((left, top, right, bottom)), WHITE)
    assert boxes.middle.tolist() == [[(left + right) / 2, (top + bottom) / 2]]
    assert boxes.size.tolist() == [[right - left, bottom - top]]
    assert boxes.cut.tolist() == [[left == 0, right == 16, top == 0, bottom == 12]]
    assert bool(boxes.is_whole) == (left > 0 and right < 16 and top > 0 and bottom < 12)


def test_stated_behaviours() -> None:
    empty = find_boxes(picture(), WHITE)
    assert empty.middle.tolist() == [[8, 6]] and not empty.is_there and not empty.cut.any()
    surrounded = find_boxes(torch.zeros(1, 3, 12, 16), WHITE)
    assert surrounded.middle.tolist() == [[8, 6]] and surrounded.is_there and surrounded.cut.all()
    two = find_boxes(picture((1, 1, 3, 3), (12, 8, 14, 10)), WHITE)
    assert two.middle.tolist() == [[7.5, 5.5]] and two.size.tolist() == [[13, 9]]
    grey = torch.full((3,), 0.4)
    assert find_boxes(picture((2, 2, 5, 5)), grey).size.tolist() == [[16, 12]], "the white around it is the object"


@pytest.fixture
def config(small) -> RendererConfig:
    return RendererConfig(**{**small, "image_shape": (3, 12, 16), "depth_range": "travelling", "depth_cells": 8})


@pytest.fixture
def aimed(config: RendererConfig) -> RendererConfig:
    return dataclasses.replace(config, reaim=True, near=0.5, far=8.0)


@pytest.mark.parametrize(("side", "factor"), [(4, 1.0), (6, 2 / 3), (8, 0.5)])
def test_a_larger_box_is_nearer_in_proportion(aimed: RendererConfig, side: int, factor: float) -> None:
    """It starts so, and seen from there all boxes are of one size."""
    sight = Sight(16, aimed)
    with torch.no_grad():
        sight.judge[-1].weight.zero_()
    image = picture((6, 2, 6 + side, 2 + side // 2))
    expected = aimed.radius * BOX_SHARE * 12 / 4 * factor
    place = sight.box_centre(sight.boxes(image))
    assert float(place.norm()) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(pixel_of(place, aimed), torch.tensor([[6 + side / 2, 2 + side / 4]]))
    sighting = sight(image, torch.randn(1, 16, 6, 8))
    torch.testing.assert_close(sighting.distance, place[:, 2])
    torch.testing.assert_close(sighting.pixel, pixel_of(place, aimed))
    seen, _ = see_aimed(image, place, aimed)
    dark = (seen[0, 0] < 0.7).any(0).sum()  # what is half as dark as the box
    assert dark == pytest.approx(BOX_SHARE * 12, abs=1)


def test_a_box_beyond_what_was_trained_on_starts_at_its_end(aimed: RendererConfig) -> None:
    config = dataclasses.replace(aimed, near=1.5, far=2.5)
    sight = Sight(16, config)
    for image, end in ((picture((7, 5, 8, 6)), 2.5), (picture((0, 0, 16, 12)), 1.5)):
        assert float(sight.box_centre(sight.boxes(image)).norm()) == pytest.approx(end, rel=1e-5)


def test_with_aimed_cameras_ranges_are_widened_by_their_logarithms(aimed: RendererConfig) -> None:
    """Ranges that are measured on objects hold as many of them as they say, as those of cameras without an aim do."""
    torch.manual_seed(0)
    sight = Sight(16, aimed).eval()
    images, coarse = picture((2, 3, 9, 8)).expand(400, -1, -1, -1), torch.zeros(400, 16, 6, 8)
    depth = sight(images, coarse).distance * torch.exp(0.4 * torch.randn(400))
    sight.widen(sight(images, coarse).quantiles, depth)
    for low, high, share in ((0, 4, 0.9), (1, 3, 0.5)):
        quantiles = sight(images, coarse).quantiles
        held = (depth >= quantiles[:, low]) & (depth <= quantiles[:, high])
        assert held.float().mean() == pytest.approx(share, abs=0.02)


def test_a_new_network_says_the_box_and_the_orbit(config: RendererConfig) -> None:
    sight = Sight(16, config)
    with torch.no_grad():
        sight.judge[-1].weight.zero_()
    sighting = sight(picture((2, 3, 9, 8)), torch.randn(1, 16, 6, 8))
    torch.testing.assert_close(sighting.pixel, torch.tensor([[5.5, 5.5]]))
    assert sighting.distance.tolist() == pytest.approx([config.radius])
    assert (sighting.quantiles.diff(dim=1) > 0).all()
    assert sighting.uncertainty > 0


@pytest.mark.parametrize("training", [True, False])
def test_of_an_empty_picture_nothing_is_known_and_the_others_are_as_without_it(
    config: RendererConfig, training: bool
) -> None:
    sight = Sight(16, config).train(training)
    sight.widening.fill_(3.0)
    seen, coarse = picture((2, 3, 9, 8)), torch.randn(2, 16, 6, 8)
    both = sight(torch.cat([picture(), seen]), coarse)
    assert both.pixel[0].tolist() == [8, 6]
    levels = torch.tensor(QUANTILES)
    evenly = config.radius + span_of(config) * (2 * levels - 1) / 0.9
    torch.testing.assert_close(both.quantiles[0], evenly)
    torch.testing.assert_close(both.learned_uncertainty[0], torch.tensor(span_of(config)))
    alone = sight(seen, coarse[1:])
    assert torch.equal(both.quantiles[1:], alone.quantiles) and torch.equal(both.pixel[1:], alone.pixel)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_quantiles_rise_whatever_the_weights(seed: int) -> None:
    torch.manual_seed(seed)
    config = RendererConfig(
        image_shape=(3, 12, 16),
        channels_2d=(8,),
        strides_2d=(2,),
        channels_3d=(),
        strides_3d=(),
        num_channels_inv_projection=(64,),
        num_channels_projection=(8,),
        focal_px=22,
        near=1,
        far=3,
        depth_range="travelling",
    )
    sight = Sight(16, config)
    for parameter in sight.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    quantiles = sight(torch.rand(4, 3, 12, 16), torch.randn(4, 16, 6, 8)).quantiles
    assert (quantiles.diff(dim=1) > 0).all()


def test_the_loss_is_least_at_the_quantiles_of_what_is_taught(config: RendererConfig) -> None:
    """Taught distances that are spread evenly over a range, the estimate becomes that range's quantiles."""
    torch.manual_seed(0)
    sight = Sight(16, config)
    images, coarse = picture((2, 3, 9, 8)).expand(64, -1, -1, -1), torch.zeros(64, 16, 6, 8)
    depth = 1.5 + torch.linspace(0, 1, 64)
    centre = torch.stack([torch.full((64,), 0.1), torch.zeros(64), depth], dim=1)
    optimizer = torch.optim.Adam(sight.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        sighting_loss(sight(images, coarse), centre, config).backward()
        optimizer.step()
    found = sight(images, coarse)
    expected = 1.5 + torch.tensor(QUANTILES)
    torch.testing.assert_close(found.quantiles[0], expected, atol=0.06, rtol=0)
    inside = (depth >= found.quantiles[:, 0]) & (depth <= found.quantiles[:, -1])
    assert 0.8 < inside.float().mean() < 0.98
    assert found.quantiles[0, MEDIAN] == found.distance[0]
    middle = pixel_of(centre, config).median(0).values
    torch.testing.assert_close(found.pixel[0], middle, atol=0.3, rtol=0)


def test_what_shows_nothing_or_is_not_known_teaches_nothing(config: RendererConfig) -> None:
    sight = Sight(16, config)
    sighting = sight(torch.cat([picture(), picture((2, 2, 5, 5))]), torch.randn(2, 16, 6, 8))
    nowhere = torch.tensor([[0.0, 0.0, 2.5], [torch.nan, 0.0, 1.0]])
    loss = sighting_loss(sighting, nowhere, config)
    assert loss == 0
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in sight.parameters())


def judged(sight: Sight, count: int = 200) -> torch.Tensor:
    """Quantiles (count, 5) of one picture beside maps that differ."""
    torch.manual_seed(3)
    coarse = 3 * torch.randn(count, 16, 6, 8)
    with torch.no_grad():
        return sight(picture((2, 3, 9, 8)).expand(count, -1, -1, -1), coarse).quantiles


@pytest.mark.parametrize("error", [0.01, 0.1, 0.4])
def test_ranges_hold_as_many_held_out_objects_as_they_say(config: RendererConfig, error: float) -> None:
    torch.manual_seed(2)
    sight = Sight(16, config)
    torch.nn.init.normal_(sight.judge[-1].weight, std=0.3)
    sight.eval()
    before = judged(sight)
    depth = before[:, MEDIAN] + error * torch.randn(200).exp() * torch.randn(200).sign()
    depth[:10] = torch.nan
    sight.widen(before, depth)
    after = judged(sight)[10:]
    assert torch.equal(after[:, MEDIAN], before[10:, MEDIAN]) and (after.diff(dim=1) > 0).all()
    for low, high, share in ((1, 3, 0.5), (0, 4, 0.9)):
        held = (after[:, low] <= depth[10:]) & (depth[10:] <= after[:, high])
        assert held.float().mean() == pytest.approx(share, abs=0.011), "to a picture"
    widened = sight.widening.clone()
    sight.widen(judged(sight), depth)
    torch.testing.assert_close(sight.widening, widened, rtol=1e-3, atol=0)


def test_a_training_learns_its_own_ranges(config: RendererConfig) -> None:
    """Those that are held to other objects would teach the network that they are narrower, or wider."""
    sight = Sight(16, config)
    plain = judged(sight)
    sight.widening.fill_(2)
    assert torch.equal(judged(sight), plain)
    sight.eval()
    torch.testing.assert_close(judged(sight).diff(dim=1), 2 * plain.diff(dim=1), rtol=1e-4, atol=1e-6)


def test_a_wider_range_is_said_and_not_painted(config: RendererConfig) -> None:
    torch.manual_seed(0)
    model = Renderer(config).eval()
    assert model.sight is not None
    torch.nn.init.normal_(model.sight.told.weight)
    scenes = []
    for widening in (1.0, 3.0):
        model.sight.widening.fill_(widening)
        with torch.no_grad():
            scenes.append(model.inverse_render(picture((2, 3, 9, 8))))
    assert torch.equal(scenes[0].features, scenes[1].features) and torch.equal(scenes[0].centre, scenes[1].centre)
    torch.testing.assert_close(scenes[1].uncertainty, 3 * scenes[0].uncertainty)


def test_of_few_known_objects_nothing_is_measured(config: RendererConfig) -> None:
    sight = Sight(16, config).eval()
    depth = torch.full((200,), torch.nan)
    depth[: FEWEST_HELD_OUT - 1] = 9.0
    sight.widen(judged(sight), depth)
    assert sight.widening.tolist() == [1, 1]


def test_weights_of_a_version_without_it_leave_the_ranges_alone(config: RendererConfig) -> None:
    weights = Sight(16, config).state_dict()
    del weights["widening"]
    sight = Sight(16, config)
    sight.load_state_dict(weights)
    assert sight.widening.tolist() == [1, 1]


@pytest.mark.parametrize("unknown", [(), (1,), (0, 2), (0, 1, 2, 3)])
def test_the_loss_of_a_gpu_is_that_of_the_cpu(config: RendererConfig, unknown: tuple[int, ...]) -> None:
    """And its gradients; pictures that show nothing or whose centre is not known count in neither."""
    torch.manual_seed(1)
    images = torch.cat([picture((1 + n, 2, 8 + n, 9)) for n in range(4)] + [picture()])
    coarse, centre = torch.randn(5, 16, 6, 8), torch.rand(5, 3) + 1
    centre[list(unknown)] = torch.nan
    found = []
    for loss in (sighting_loss, masked_sighting_loss):
        torch.manual_seed(2)
        sight = Sight(16, config)
        torch.nn.init.normal_(sight.judge[-1].weight)
        value = loss(sight(images, coarse), centre, config)
        value.backward()
        found.append([value.detach(), *(parameter.grad for parameter in sight.judge.parameters())])
    torch.testing.assert_close(found[0], found[1])
