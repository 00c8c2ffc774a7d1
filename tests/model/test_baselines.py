"""The methods that the renderer is compared with: what they are told decides what they paint, and nothing else does."""

from __future__ import annotations

import pytest
import torch

from enr.camera import orbit_camera
from enr.errors import EnrError
from enr.model.baselines.query_network import QueryNetwork
from enr.model.baselines.scene_representation import SceneRepresentationNetwork
from enr.model.warp import Frustum

SIZE, WHITE = 16, (1.0, 1.0, 1.0)


def poses(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    azimuth, elevation = (torch.rand(2, count, generator=generator) * 60).numpy()
    return torch.from_numpy(orbit_camera(azimuth, elevation, 2.0)).float()


@pytest.fixture
def query_network() -> QueryNetwork:
    torch.manual_seed(0)
    network = QueryNetwork((3, SIZE, SIZE), WHITE, 2.0).eval()
    torch.nn.init.normal_(network.finish.weight, std=0.1)
    return network


@pytest.fixture
def scene_network() -> SceneRepresentationNetwork:
    torch.manual_seed(0)
    return SceneRepresentationNetwork(3, Frustum(22.2, SIZE, SIZE, 1.5, 2.5), WHITE).eval()


def test_an_untrained_query_network_paints_the_background():
    images = torch.rand(2, 1, 3, SIZE, SIZE)
    painted = QueryNetwork((3, SIZE, SIZE), (0.2, 0.4, 0.6), 2.0)(images, poses(2)[:, None], poses(2, seed=1))
    assert torch.allclose(painted, torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand_as(painted))


def test_the_order_of_the_pictures_does_not_matter(query_network):
    images, sources, target = torch.rand(1, 3, 3, SIZE, SIZE), poses(3)[None], poses(1, seed=1)
    there, back = query_network(images, sources, target), query_network(images.flip(1), sources.flip(1), target)
    assert torch.allclose(there, back, atol=1e-5)


@pytest.mark.parametrize("other", ["source", "target"])
def test_a_query_network_needs_both_absolute_poses(query_network, other):
    images, source, target = torch.rand(1, 1, 3, SIZE, SIZE), poses(1)[None], poses(1, seed=1)
    before = query_network(images, source, target)
    moved = poses(1, seed=2)
    after = query_network(images, moved[None], target) if other == "source" else query_network(images, source, moved)
    assert not torch.allclose(before, after, atol=1e-4)


def test_a_size_that_does_not_fit_the_query_network_is_refused():
    with pytest.raises(EnrError, match="multiple of 4"):
        QueryNetwork((3, 18, 16), WHITE, 2.0)


def test_a_turn_of_world_and_cameras_alone_changes_a_scene_networks_picture(scene_network):
    """Its poses are absolute: there is no telling where a scene is but by its world's axes."""
    code = torch.randn(1, 128)
    turned = torch.from_numpy(orbit_camera(90.0, 0.0, 2.0)).float()[None]
    straight = torch.from_numpy(orbit_camera(0.0, 0.0, 2.0)).float()[None]
    assert not torch.allclose(scene_network(code, turned).images, scene_network(code, straight).images, atol=1e-4)


def test_a_fitted_code_explains_its_picture_better_than_the_mean_code(scene_network):
    pose = poses(1)
    with torch.no_grad():
        scene_network.codes.weight.normal_()
        for layer in scene_network.hyper:
            layer.layers[-1].weight.normal_(std=0.05)
        truth = scene_network(torch.randn(1, 128), pose).images
        of_mean = scene_network(scene_network.codes.weight.mean(0)[None], pose).images
    before = [parameter.clone() for parameter in scene_network.parameters()]
    code = scene_network.fit(truth[None], pose[None])
    assert (scene_network(code, pose).images - truth).square().mean() < 0.5 * (of_mean - truth).square().mean()
    assert all(torch.equal(old, new) for old, new in zip(before, scene_network.parameters(), strict=True))


def test_it_learns_a_picture(scene_network):
    """A disc at the world's origin, from four sides."""
    cameras = poses(4)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    disc = ((rows - 7.5) ** 2 + (columns - 7.5) ** 2 < 16).float()
    truth = (1 - disc).expand(4, 3, SIZE, SIZE)
    optimizer = torch.optim.Adam(scene_network.train().parameters(), lr=1e-3)
    codes = torch.zeros(4, dtype=torch.long)
    for _ in range(120):
        rendered = scene_network(scene_network.codes(codes), cameras)
        loss = (rendered.images - truth).square().mean() + rendered.penalty
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(scene_network.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.25 * truth.var().item()
