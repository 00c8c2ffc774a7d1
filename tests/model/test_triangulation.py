"""The centre from several pictures: exact rays, the slow way, priors that one picture twice does not sharpen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.camera import invert_rigid, orbit_camera
from enr.errors import EnrError
from enr.model.triangulation import BESIDE, NINE_IN_TEN, Rays, check_agreement, distance_from_rays, triangulate

seeds = st.integers(0, 2**32 - 1)


def cameras(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-180, 180, count), rng.uniform(-60, 60, count)
    return torch.as_tensor(orbit_camera(*angles, 2.0, rng.uniform(-0.3, 0.3, (count, 3))))


def rays_to(point: torch.Tensor, world_from_camera: torch.Tensor, wobble: float = 0.0, seed: int = 0) -> Rays:
    """Rays from cameras through a point of the world, without a guess."""
    motion = torch.as_tensor(invert_rigid(world_from_camera.numpy()))
    local = motion[:, :3, :3] @ point.double() + motion[:, :3, 3]
    direction = local / local[:, 2:]
    direction[:, :2] += wobble * torch.randn(len(direction), 2, generator=torch.Generator().manual_seed(seed))
    return Rays(direction, torch.zeros(len(local)), torch.full((len(local),), torch.inf))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 8))
def test_rays_that_meet_give_the_point_where_they_meet(seed: int, count: int) -> None:
    point = torch.tensor([0.1, -0.2, 0.15], dtype=torch.float64)
    views = cameras(count, seed)
    found, uncertainty = triangulate(rays_to(point, views), views)
    torch.testing.assert_close(found, point, rtol=0, atol=1e-3)
    assert uncertainty.shape == (count,) and (uncertainty > 0).all()
    check_agreement(found, rays_to(point, views), views, reach=0.01)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_the_point_is_the_one_with_the_least_squared_distances(seed: int) -> None:
    """No point beside it has smaller ones."""
    views = cameras(4, seed)
    rays = rays_to(torch.zeros(3), views, wobble=0.05, seed=seed)
    found, _ = triangulate(rays, views)
    least = distance_from_rays(found, rays, views).square().sum()
    for step in 1e-3 * torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)):
        assert distance_from_rays(found + step, rays, views).square().sum() >= least - 1e-9


def test_one_picture_twice_is_one_picture() -> None:
    views = cameras(1, seed=3)
    direction = torch.tensor([[0.1, 0.2, 1.0]])
    once = triangulate(Rays(direction, torch.tensor([1.8]), torch.tensor([0.3])), views)
    rays = Rays(direction.repeat(3, 1), torch.full((3,), 1.8), torch.full((3,), 0.3))
    thrice = triangulate(rays, views.repeat(3, 1, 1))
    torch.testing.assert_close(once[0], thrice[0])
    local = torch.as_tensor(invert_rigid(views[0].numpy())) @ torch.cat([once[0], torch.ones(1)])
    assert float(local[2]) == pytest.approx(1.8, abs=1e-6)
    assert float(thrice[1][0]) == pytest.approx(0.3, rel=0.05)
    assert float(once[1][0]) == pytest.approx(0.3, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_rays_that_cross_do_not_mind_a_wrong_guess(seed: int) -> None:
    views = torch.as_tensor(orbit_camera(np.array([0.0, 90.0]), np.array([0.0, 10.0]), 2.0))
    point = torch.tensor([0.1, 0.1, -0.1], dtype=torch.float64)
    rays = rays_to(point, views)
    guessed = Rays(rays.direction, torch.tensor([1.6, 2.5]), torch.tensor([0.5, 0.5]))
    found, uncertainty = triangulate(guessed, views)
    assert (found - point).norm() < 0.03
    assert (uncertainty < 2 * NINE_IN_TEN * BESIDE).all()


def test_contradictions_are_refused() -> None:
    views = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    views[1, 0, 3] = 3.0
    apart = Rays(torch.tensor([[0.0, 0.0, 1.0]] * 2), torch.full((2,), 2.0), torch.full((2,), 0.3))
    point, _ = triangulate(apart, views)
    with pytest.raises(EnrError, match=r"1\.50 units beside one picture's object"):
        check_agreement(point, apart, views, reach=0.6)
    behind = Rays(torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), torch.full((2,), 2.0), torch.full((2,), 50.0))
    with pytest.raises(EnrError, match="behind one picture's camera"):
        check_agreement(triangulate(behind, views)[0], behind, views, reach=0.6)
