"""The two warps against their slow twins, against the cameras of `enr.camera`, and against each other's laws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model import warp_twins as twins
from torch import Tensor

from enr.camera import VOLUME_FROM_CAMERA, intrinsics, invert_rigid, orbit_camera, project, target_from_source
from enr.camera import volume_rotation as numpy_volume_rotation
from enr.model import warp
from enr.model.warp import Cube, Frustum

CUBE = Cube(radius=2.0, half_side=0.7)
FRUSTUMS = {
    "linear": Frustum(focal_px=20.0, width_px=16, height_px=12, near=1.2, far=2.9),
    "disparity": Frustum(focal_px=20.0, width_px=16, height_px=12, near=1.2, far=2.9, spacing="disparity"),
}
CELLS = {"rigid": (3, 3, 3), "linear": (2, 3, 4), "disparity": (2, 3, 4)}
KINDS = tuple(CELLS)
Warping = Callable[[Tensor, Tensor], Tensor]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None, derandomize=True)


def fast(kind: str) -> Warping:
    if kind == "rigid":
        return lambda scene, motion: warp.rigid_warp(scene, motion, CUBE)
    return lambda scene, motion: warp.frustum_warp(scene, motion, FRUSTUMS[kind])


def slow(kind: str) -> Warping:
    if kind == "rigid":
        return lambda scene, motion: twins.rigid_warp_reference(scene, motion, CUBE)
    return lambda scene, motion: twins.frustum_warp_reference(scene, motion, FRUSTUMS[kind])


def small_motions(count: int, seed: int) -> Tensor:
    """Motions that leave much of the scene in view: up to 40 degrees apart, displaced by up to 0.2."""
    rng = np.random.default_rng(seed)
    spread = [rng.uniform(-20, 20, (2, count)), rng.uniform(-20, 20, (2, count))]
    cameras = orbit_camera(*spread, 2.0, rng.uniform(-0.2, 0.2, (2, count, 3)))
    return torch.as_tensor(target_from_source(cameras[0], cameras[1]))


def twisted(motion: Tensor, twist: Tensor) -> Tensor:
    """`motion` followed by the rigid motion exp(twist); twist (b, 6) is (rotation, translation)."""
    x, y, z, *shift = twist.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, shift[0], z, zero, -x, shift[1], -y, x, zero, shift[2], zero, zero, zero, zero]
    return torch.matrix_exp(torch.stack(rows, -1).reshape(-1, 4, 4)) @ motion


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@few
def test_a_warp_and_its_gradients_equal_the_slow_twin(kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    motion = small_motions(2, seed)
    scene = torch.randn(2, 2, *CELLS[kind], dtype=torch.float64, generator=generator)
    weight = torch.randn(scene.shape, dtype=torch.float64, generator=generator)
    results = []
    for warping in (fast(kind), slow(kind)):
        leaf, twist = scene.clone().requires_grad_(), torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
        output = warping(leaf, twisted(motion, twist))
        gradients = torch.autograd.grad((output * weight).sum(), (leaf, twist))
        results.append((output.detach(), *gradients))
    assert results[1][0].abs().max() > 0
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@few
def test_float32_is_as_good_as_its_rounding(kind: str, seed: int) -> None:
    scene = torch.randn(2, 2, *CELLS[kind], generator=torch.Generator().manual_seed(seed))
    motion = small_motions(2, seed)
    ours = fast(kind)(scene, motion)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, slow(kind)(scene, motion).float(), rtol=1e-5, atol=1e-5)


def around(frustum: Frustum, depth: Tensor) -> Frustum:
    """That lens, 0.85 to either side of a depth for each scene."""
    return dataclasses.replace(frustum, near=depth - 0.85, far=depth + 0.85)


@pytest.mark.parametrize("zooms", [False, True])
@pytest.mark.parametrize("kind", FRUSTUMS)
@given(seed=seeds)
@few
def test_between_two_ranges_the_frustums_warp_equals_the_slow_twin(kind: str, zooms: bool, seed: int) -> None:
    """Forward and backward, each scene with near, far and focal length of its own, those of the target again others."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (around(FRUSTUMS[kind], 1.8 + 0.5 * torch.rand(2, generator=generator)) for _ in range(2))
    if zooms:
        source, target = (
            dataclasses.replace(frustum, focal_px=15 + 10 * torch.rand(2, dtype=torch.float64, generator=generator))
            for frustum in (source, target)
        )
    motion = small_motions(2, seed)
    scene = torch.randn(2, 2, *CELLS[kind], dtype=torch.float64, generator=generator)
    weight = torch.randn(scene.shape, dtype=torch.float64, generator=generator)
    results = []
    for warping in (warp.frustum_warp, twins.frustum_warp_reference):
        leaf, twist = scene.clone().requires_grad_(), torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
        output = warping(leaf, twisted(motion, twist), source, target)
        gradients = torch.autograd.grad((output * weight).sum(), (leaf, twist))
        results.append((output.detach(), *gradients))
    assert results[1][0].abs().max() > 0
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spacing", FRUSTUMS)
def test_another_range_holds_the_same_points(spacing: str) -> None:
    """Cells that hold their own depth hold it in another range, too, as far as both ranges reach."""
    near, far = (around(FRUSTUMS[spacing], torch.tensor([middle])) for middle in (2.0, 2.3))
    depth = twins.frustum_points((16, 4, 5), near)[..., 2]
    carried = depth if spacing == "linear" else 1 / depth
    scene = torch.stack([carried, torch.ones_like(carried)], dim=1)
    moved = warp.frustum_warp(scene, torch.eye(4)[None], near, far)
    expected = twins.frustum_points((16, 4, 5), far)[..., 2]
    inside = moved[:, 1] > 1 - 1e-9
    assert inside[:, :10].all() and not inside[:, -1].any()
    found = moved[:, 0] if spacing == "linear" else 1 / moved[:, 0]
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_motion_changes_nothing(kind: str) -> None:
    scene = torch.randn(2, 3, *CELLS[kind])
    torch.testing.assert_close(fast(kind)(scene, torch.eye(4).repeat(2, 1, 1)), scene, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quarter_turns_of_the_cube_equal_rot90(axis: int, turns: int) -> None:
    volume = torch.randn(2, 3, 6, 6, 6)
    planes = {0: (3, 4), 1: (4, 2), 2: (2, 3)}  # index axes of a turn from one axis of the volume to the next
    first, second = ((axis + 1) % 3, (axis + 2) % 3)
    rotation = torch.zeros(3, 3, dtype=torch.float64)
    rotation[axis, axis] = 1
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]
    rotation[first, first] = rotation[second, second] = cosine
    rotation[second, first], rotation[first, second] = sine, -sine
    motion = about_the_target(torch.as_tensor(VOLUME_FROM_CAMERA.T) @ rotation @ torch.as_tensor(VOLUME_FROM_CAMERA))
    turned = warp.rigid_warp(volume, motion.repeat(2, 1, 1), CUBE)
    torch.testing.assert_close(turned, torch.rot90(volume, turns, planes[axis]), rtol=0, atol=1e-5)


def about_the_target(rotation: Tensor) -> Tensor:
    """The motion that turns camera coordinates about the cube's centre."""
    centre = torch.tensor([0.0, 0.0, CUBE.radius], dtype=torch.float64)
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3] = rotation
    motion[:3, 3] = centre - rotation @ centre
    return motion


@given(seed=seeds)
@few
def test_turns_about_the_target_are_the_published_rotation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cameras = orbit_camera(rng.uniform(-180, 180, (2, 2)), rng.uniform(-90, 90, (2, 2)), CUBE.radius)
    motion = target_from_source(cameras[0], cameras[1])
    volume = torch.randn(2, 1, 5, 5, 5, dtype=torch.float64)
    inverse = torch.as_tensor(numpy_volume_rotation(motion)).transpose(1, 2)
    expected = warp.resample_volume(volume, inverse, torch.zeros(2, 3))
    torch.testing.assert_close(warp.rigid_warp(volume, torch.as_tensor(motion), CUBE), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("camera_axis", "index_axis", "sign"), [(0, 4, 1), (1, 3, 1), (2, 2, -1)])
def test_translations_move_the_cubes_content_by_t_over_h(camera_axis: int, index_axis: int, sign: int) -> None:
    side, cells = 6, 2
    volume = torch.zeros(1, 1, side, side, side)
    volume[:, :, 2:4, 2:4, 2:4] = torch.randn(2, 2, 2)
    motion = torch.eye(4, dtype=torch.float64)[None].clone()
    motion[0, camera_axis, 3] = cells * 2 * CUBE.half_side / side
    moved = warp.rigid_warp(volume, motion, CUBE)
    torch.testing.assert_close(moved, volume.roll(sign * cells, index_axis), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@few
def test_cells_carry_what_the_cameras_of_the_project_see(kind: str, seed: int) -> None:
    """Trilinear interpolation is exact on coordinates; so a scene that holds each cell's own coordinates must, after
    the warp, hold the coordinates that `enr.camera` gives each target cell in the source."""
    rng = np.random.default_rng(seed)
    source = orbit_camera(rng.uniform(-20, 20), rng.uniform(-20, 20), 2.0, rng.uniform(-0.1, 0.1, 3))
    target = orbit_camera(rng.uniform(-20, 20), rng.uniform(-20, 20), 2.0, rng.uniform(-0.1, 0.1, 3))
    cells = (8, 8, 8)
    points = camera_points(kind, cells)
    world = points.reshape(-1, 3) @ target[:3, :3].T + target[:3, 3]
    expected = source_coordinates(kind, world, source).reshape(*cells, 3)
    own = source_coordinates(kind, points.reshape(-1, 3), np.eye(4)).reshape(*cells, 3)
    scene = torch.cat([torch.as_tensor(own).permute(3, 0, 1, 2), torch.ones(1, *cells, dtype=torch.float64)])
    motion = torch.as_tensor(target_from_source(source, target))
    moved = fast(kind)(scene[None], motion[None])[0]
    inside = moved[3] > 1 - 1e-9
    assert inside.sum() > 50
    torch.testing.assert_close(
        moved[:3].permute(1, 2, 3, 0)[inside], torch.as_tensor(expected)[inside], rtol=1e-7, atol=1e-7
    )


def camera_points(kind: str, cells: tuple[int, int, int]) -> np.ndarray:
    """(d, h, w, 3) cell centres in camera coordinates."""
    if kind != "rigid":
        return twins.frustum_points(cells, FRUSTUMS[kind]).numpy()
    axes = [(2 * np.arange(count) + 1) / count - 1 for count in cells]
    volume = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return CUBE.half_side * volume @ VOLUME_FROM_CAMERA + [0, 0, CUBE.radius]


def source_coordinates(kind: str, world: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(n, 3) what a cell of the source carries: camera coordinates (rigid), or pixel and (inverse) depth (frustum)."""
    if kind == "rigid":
        camera_from_world = invert_rigid(source)
        return world @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    frustum = FRUSTUMS[kind]
    pixels, z = project(world, source, intrinsics(frustum.focal_px, frustum.width_px, frustum.height_px))
    return np.concatenate([pixels, (z if kind == "linear" else 1 / z)[:, None]], -1)


@pytest.mark.parametrize("spacing", FRUSTUMS)
def test_a_camera_that_looks_away_sees_nothing_and_nothing_breaks(spacing: str) -> None:
    scene = torch.ones(1, 1, 3, 4, 5, requires_grad=True)
    away = torch.as_tensor(np.diag([-1.0, 1, -1, 1]))[None].requires_grad_()
    seen = fast(spacing)(scene, away)
    assert torch.equal(seen, torch.zeros_like(seen))
    for gradient in torch.autograd.grad(seen.sum(), (scene, away)):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("spacing", FRUSTUMS)
def test_frustum_depths_run_from_near_to_far(spacing: str) -> None:
    frustum = FRUSTUMS[spacing]
    z = warp.frustum_depths(torch.linspace(0, 1, 9, dtype=torch.float64), frustum)
    assert float(z[0]) == pytest.approx(frustum.near)
    assert float(z[-1]) == pytest.approx(frustum.far)
    steps = (z if spacing == "linear" else 1 / z).diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


@given(seed=seeds)
@few
def test_torch_inverse_equals_the_cameras(seed: int) -> None:
    motion = small_motions(3, seed)
    torch.testing.assert_close(warp.invert_rigid(motion), torch.as_tensor(invert_rigid(motion.numpy())))


@pytest.mark.parametrize("cells", [1, 2, 5, 8])
def test_the_spherical_mask_is_the_inscribed_sphere(cells: int) -> None:
    middle = (cells - 1) / 2
    expected = torch.zeros(cells, cells, cells)
    for index in np.ndindex(cells, cells, cells):
        expected[index] = float(np.linalg.norm(np.array(index) - middle) <= middle)
    assert torch.equal(warp.spherical_mask(cells), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_does_not_misplace_cells(kind: str) -> None:
    """In bfloat16 alone, or under autocast, only the features are rounded, never the positions."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(2, 2, 16, 16, 16, generator=generator).bfloat16()
    motion = small_motions(2, 4)
    exact = fast(kind)(scene.double(), motion)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fast(kind)(scene, motion).double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast(kind)(scene, motion).double(), exact, rtol=1e-4, atol=1e-4)
