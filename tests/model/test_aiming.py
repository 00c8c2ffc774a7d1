"""Re-aimed cameras: the turn, the zoom, pictures there and back, and motions between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from enr.camera import orbit_camera, project, target_from_source
from enr.errors import EnrError
from enr.model import Renderer, RendererConfig
from enr.model.aiming import aim, aim_points, aimed_motion, real_depth, real_maps, see_aimed, see_real
from enr.model.counting import count_macs
from enr.model.scene import aimed_focal_px, frustum_around, move_points, pixel_of
from enr.model.warp import frustum_rays, invert_rigid

CONFIG = RendererConfig(
    image_shape=(3, 48, 64),
    channels_2d=(8, 16),
    strides_2d=(2, 2),
    channels_3d=(),
    strides_3d=(),
    num_channels_inv_projection=(16, 64),
    num_channels_projection=(8,),
    focal_px=80.0,
    near=1.0,
    far=3.0,
    radius=2.0,
    depth_cells=8,
    depth_range="travelling",
    reaim=True,
    background=(1.0, 0.9, 0.8),
)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None, derandomize=True)


def centres(count: int, seed: int, beside: float = 0.4) -> Tensor:
    """Points before the camera, to all sides of its axis."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(count, 3, dtype=torch.float64, generator=generator)
    return torch.cat([(2 * place[:, :2] - 1) * beside, 1.4 + 1.2 * place[:, 2:]], dim=1)


def motions(count: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    angles, shift = rng.uniform(-60, 60, (4, count)), rng.uniform(-0.3, 0.3, (2, count, 3))
    source, target = (orbit_camera(*angles[2 * k : 2 * k + 2], 2.0, shift[k]) for k in range(2))
    return torch.as_tensor(target_from_source(source, target))


@given(seed=seeds)
@few
def test_an_aim_is_the_shortest_turn_to_the_object(seed: int) -> None:
    """Twin: the exponential of the turn about the axis that is square to the camera's and the object's direction."""
    centre = centres(3, seed)
    turned = aim_points(centre[:, None], centre)[:, 0]
    torch.testing.assert_close(turned[:, :2], torch.zeros(3, 2, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(turned[:, 2], centre.norm(dim=1))
    direction = centre / centre.norm(dim=1, keepdim=True)
    axis = torch.linalg.cross(direction, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))
    turn = axis / axis.norm(dim=1, keepdim=True) * torch.arccos(direction[:, 2:])
    x, y, z = turn.unbind(1)
    zero = torch.zeros_like(x)
    generators = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).unflatten(1, (3, 3))
    torch.testing.assert_close(aim(centre), torch.matrix_exp(generators), atol=1e-9, rtol=0)


def test_an_object_on_the_axis_is_aimed_at_already() -> None:
    torch.testing.assert_close(aim(torch.tensor([[0.0, 0.0, 2.0]])), torch.eye(3, dtype=torch.float64)[None])


@given(seed=seeds)
@few
def test_objects_are_in_the_middle_and_of_one_size(seed: int) -> None:
    """Seen by the outside judge: points square to the line of sight, projected by the aimed camera."""
    centre = centres(4, seed)
    height_px, width_px = CONFIG.image_shape[1:]
    for place in centre:
        square = torch.linalg.svd(place[None])[2][1:]  # two directions square to the line of sight
        points = torch.cat([place[None], place + 0.3 * square])
        focal_px = float(aimed_focal_px(place, CONFIG))
        K = np.array([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1]])
        pixels, _ = project(aim_points(points[None], place[None])[0].numpy(), np.eye(4), K)
        np.testing.assert_allclose(pixels[0], [width_px / 2, height_px / 2], atol=1e-9)
        sizes = np.linalg.norm(pixels[1:] - pixels[0], axis=1)
        np.testing.assert_allclose(sizes, 0.3 * CONFIG.focal_px / CONFIG.radius, rtol=1e-9)


@given(seed=seeds)
@few
def test_motions_between_aimed_cameras_obey_the_groups_laws(seed: int) -> None:
    """Exactly: a point arrives where it does, and two motions are their product."""
    centre, one, two = centres(3, seed), motions(3, seed), motions(3, seed + 1)
    there, further = move_points(centre, one), move_points(centre, two @ one)
    points = centres(3, seed + 2)[:, None]
    moved = move_points(points[:, 0], one)[:, None]
    between = aimed_motion(one, centre, there)
    torch.testing.assert_close(move_points(aim_points(points, centre)[:, 0], between), aim_points(moved, there)[:, 0])
    torch.testing.assert_close(aimed_motion(two, there, further) @ between, aimed_motion(two @ one, centre, further))
    torch.testing.assert_close(
        aimed_motion(invert_rigid(one), there, centre) @ between, torch.eye(4).to(one).repeat(3, 1, 1)
    )


def world(directions: Tensor) -> Tensor:
    """A smooth picture (..., 3) of the directions (..., 3) that are seen."""
    x, y = (directions[..., :2] / directions[..., 2:]).unbind(-1)
    return torch.stack(
        [0.5 + 0.3 * torch.sin(9 * x), 0.5 + 0.3 * torch.cos(8 * y), 0.5 + 0.2 * torch.sin(6 * (x + y))], -1
    )


def seen_by(focal_px: float, real_from_camera: Tensor) -> Tensor:
    """What a camera of that lens, turned so, sees of `world`: (3, height, width)."""
    frustum = replace(frustum_around(torch.tensor([0.0, 0.0, 2.0]), CONFIG), focal_px=focal_px)
    rays = frustum_rays(CONFIG.image_shape[1:], frustum)
    return world(rays @ real_from_camera.T).movedim(-1, 0)


@given(seed=seeds)
@few
def test_an_aimed_picture_is_what_the_aimed_camera_sees(seed: int) -> None:
    centre = centres(1, seed, beside=0.25)
    real = seen_by(CONFIG.focal_px, torch.eye(3, dtype=torch.float64))
    expected = seen_by(float(aimed_focal_px(centre[0], CONFIG)), aim(centre)[0].T)
    found, within = see_aimed(real[None], centre, CONFIG)
    # Beside the border a pixel is mixed with what lies beyond it.
    beside = torch.nn.functional.avg_pool2d(within[0], 9, 1, 4)[0]
    inside, beyond = beside > 1 - 1e-9, beside < 1e-9
    assert inside.double().mean() > 0.2
    assert (found[0] - expected).abs()[:, inside].max() < 0.02
    background = torch.tensor(CONFIG.background, dtype=torch.float64)[:, None].expand(3, int(beyond.sum()))
    torch.testing.assert_close(found[0][:, beyond], background)


@given(seed=seeds)
@few
def test_there_and_back_is_the_picture(seed: int) -> None:
    """Of an object that is seen whole: a smooth spot about its centre."""
    centre = centres(2, seed, beside=0.15)
    pixel = pixel_of(centre, CONFIG)
    rows, columns = (torch.arange(count, dtype=torch.float64) + 0.5 for count in CONFIG.image_shape[1:])
    squared = (columns - pixel[:, 0, None, None]) ** 2 + (rows[:, None] - pixel[:, 1, None, None]) ** 2
    background = torch.tensor(CONFIG.background, dtype=torch.float64)[:, None, None]
    pictures = background * (1 - 0.8 * torch.exp(-squared / 40))[:, None]
    aimed, _ = see_aimed(pictures, centre, CONFIG)
    darkest = aimed.mean(1).flatten(1).argmin(1)
    middle = torch.stack([darkest % 64, darkest // 64], dim=1) + 0.5
    assert (middle - torch.tensor([32.0, 24.0])).abs().max() <= 1
    assert (see_real(aimed, centre, CONFIG) - pictures).abs().max() < 0.03


def test_depths_are_measured_along_the_real_axis() -> None:
    """A plane square to the real camera's axis has one depth, whatever the aim."""
    centre = torch.tensor([[0.3, -0.2, 1.8]], dtype=torch.float64)
    frustum = frustum_around(centre, CONFIG).of(0)
    rays = frustum_rays(CONFIG.image_shape[1:], frustum)
    plane = 1.7 / (rays @ aim(centre)[0])[..., 2]  # where each aimed ray meets the real depth 1.7
    torch.testing.assert_close(
        real_depth(plane[None], centre, CONFIG), torch.full((1, 48, 64), 1.7, dtype=torch.float64)
    )
    shown = real_maps(torch.ones(1, 1, 48, 64, dtype=torch.float64), centre, CONFIG)
    assert shown.min() >= 0 and shown.max() <= 1 + 1e-9


def test_what_lies_beyond_the_border_is_guessed_by_the_coarse_level_alone() -> None:
    """An object at the picture's edge: half of the aimed picture is known, and the detail level is empty elsewhere."""
    model = Renderer(replace(CONFIG, carry_colour=True, detail_stride=1)).eval()
    images = torch.tensor(CONFIG.background)[:, None, None].repeat(1, 1, 48, 64).reshape(1, 3, 48, 64).clone()
    images[:, :, 18:30, :12] = 0.2
    parts = model.apart(model.inverse_render(images, distance=1.6))
    assert parts.visibility.min() == 1
    assert parts.detail[0, :, :, :, 0].abs().max() < 1e-6 < parts.detail[0, :, :, :, -1].abs().max()


def test_a_place_in_the_picture_changes_nothing_else() -> None:
    """The same object, seen from the same place by a camera that looks past it: the same scene, up to resampling.

    What the name of the method promises, for turns of the camera about itself; without the aim no network promises it.
    """
    config = replace(CONFIG, carry_colour=True, detail_stride=1)
    torch.manual_seed(0)
    model = Renderer(config).eval()
    place = torch.tensor([[0.0, 0.0, 2.0], [0.25, 0.15, 1.9]], dtype=torch.float64)
    place[1] *= 2 / place[1].norm()
    aimed = torch.tensor(CONFIG.background).reshape(1, 3, 1, 1).repeat(2, 1, 48, 64)
    rows, columns = (torch.arange(count) + 0.5 for count in (48, 64))
    bump = torch.exp(-((columns - 35) ** 2 + (rows[:, None] - 22) ** 2) / 60)
    aimed = aimed * (1 - 0.8 * bump)
    real = see_real(aimed, place, config)
    centred = see_aimed(real, place, config)[0]
    maps = model.inv_transform_2d(centred)
    assert (maps[1] - maps[0]).norm() < 0.1 * (maps[0] - maps[0].mean((1, 2), keepdim=True)).norm()


@pytest.mark.parametrize("beyond", [2.0, 2.5, 4.0, 4.0001])
def test_a_camera_at_the_object_or_past_it_paints_the_background_or_numbers(beyond: float) -> None:
    """An object behind the camera is not seen, also straight behind it, where no turn is the shortest."""
    torch.manual_seed(0)
    model = Renderer(replace(CONFIG, carry_colour=True, detail_stride=1)).eval()
    image = torch.tensor(CONFIG.background)[:, None, None].repeat(1, 48, 64)
    image[:, 18:30, 26:38] = 0.2
    motion = torch.eye(4, dtype=torch.float64)[None].clone()
    motion[0, 2, 3] = -beyond
    seen = model.generate_novel_views(image, motion, distance=2.0)
    assert torch.isfinite(seen).all()
    if beyond > 2:
        torch.testing.assert_close(seen, torch.tensor(CONFIG.background)[None, :, None, None].expand_as(seen))


def test_re_aiming_needs_a_place_to_aim_at() -> None:
    with pytest.raises(EnrError, match="choose depth_range travelling"):
        replace(CONFIG, depth_range="fixed")


def test_a_network_of_its_own_estimates_the_distance() -> None:
    """It is taught by the distance alone, and the picture-side network by the pictures alone."""
    torch.manual_seed(0)
    model = Renderer(replace(CONFIG, sight_channels=(8, 8))).train()
    images, where = torch.rand(3, *CONFIG.image_shape), torch.eye(4).expand(3, 4, 4)
    painted = model.predict(images, where)
    assert painted.sighting is not None and model.sight is not None and model.sight.glance is not None
    (painted.sighting.quantiles.sum() + painted.sighting.pixel.sum()).backward(retain_graph=True)
    picture_side, glance = (list(network.parameters()) for network in (model.inv_transform_2d, model.sight.glance))
    assert all(parameter.grad is None for parameter in picture_side)
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in glance)
    model.zero_grad(set_to_none=True)
    painted.images.square().sum().backward()
    assert all(parameter.grad is not None for parameter in picture_side)
    assert all(parameter.grad is None for parameter in glance)


def test_cameras_without_an_aim_need_no_network_of_their_own() -> None:
    """The renderer's map of the picture is at hand; with re-aimed cameras it would be a second one."""
    plain, aimed, shared = (
        Renderer(replace(CONFIG, reaim=reaim, sight_channels=widths))
        for reaim, widths in ((False, (8, 8)), (True, (8, 8)), (True, ()))
    )
    assert [model.sight is not None and model.sight.glance is not None for model in (plain, aimed, shared)] == [
        False,
        True,
        False,
    ]
    for start in (plain, shared):
        before = {name: value.clone() for name, value in aimed.state_dict().items()}
        weights = start.state_dict()
        aimed.load_state_dict(weights)
        after = aimed.state_dict()
        looks = ("sight.glance", "sight.look", "sight.judge")
        assert all(torch.equal(after[name], before[name]) for name in after if name.startswith(looks))
        assert all(torch.equal(after[name], weights[name]) for name in weights if not name.startswith(looks))


def test_an_estimate_that_starts_anew_knows_nothing_of_how_sure_the_old_one_was() -> None:
    old, new = (Renderer(replace(CONFIG, sight_channels=widths)) for widths in ((), (8, 8)))
    weights = {**old.state_dict(), "sight.widening": torch.tensor([5.0, 7.0])}
    new.load_state_dict(weights)
    assert new.sight is not None and new.sight.widening.tolist() == [1, 1]
    old.load_state_dict(weights)
    assert old.sight is not None and old.sight.widening.tolist() == [5, 7]
    plain = Renderer(replace(CONFIG, reaim=False))
    judge = plain.state_dict()["sight.judge.0.weight"].clone()
    plain.load_state_dict(weights)  # its numbers are those of the logarithm
    assert torch.equal(plain.state_dict()["sight.judge.0.weight"], judge)


def test_multiply_adds_are_counted_also_with_re_aimed_cameras() -> None:
    plain, shared, own = (
        count_macs(replace(CONFIG, reaim=reaim, sight_channels=widths))
        for reaim, widths in ((False, ()), (True, ()), (True, (8, 8)))
    )
    assert plain < own < shared


@pytest.mark.parametrize("widths", [(1,), (8, 1)])
def test_a_network_may_end_in_a_single_channel(widths: tuple[int, ...]) -> None:
    model = Renderer(replace(CONFIG, sight_channels=widths)).eval()
    assert model.inverse_render(torch.rand(1, *CONFIG.image_shape)).distance.isfinite().all()


@pytest.mark.parametrize("widths", [(8,) * 6, (8, 0), (True, 8)])
def test_a_network_that_does_not_fit_the_picture_is_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(EnrError, match="sight_channels"):
        replace(CONFIG, sight_channels=widths)
