"""What the published implementation computes with a checkpoint of its format; `ENR_PARITY` names the folder.

The file's own numbers carry float32 rounding: computed in float64, its scene differs from them by up to 1e-5.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from enr.camera import orbit_camera, target_from_source, volume_rotation
from enr.model import Renderer, load_model
from enr.model.warp import Cube, resample_volume, rigid_warp

FOLDER = Path(os.environ.get("ENR_PARITY", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("ENR_PARITY") or not (FOLDER / "apple_parity.npz").is_file(),
    reason="ENR_PARITY does not name a folder with apple_parity.npz and apple_small.pt",
)
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def parity() -> dict[str, Tensor]:
    with np.load(FOLDER / "apple_parity.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def model() -> Renderer:
    return load_model(FOLDER / "apple_small.pt")


def angles(parity: dict[str, Tensor]) -> list[Tensor]:
    return [parity[f"{angle}_{view}_deg"] for view in ("source", "target") for angle in ("azimuth", "elevation")]


def orbit(parity: dict[str, Tensor], view: str) -> np.ndarray:
    return orbit_camera(parity[f"azimuth_{view}_deg"], parity[f"elevation_{view}_deg"])


@torch.no_grad()
def test_pictures_become_the_published_scenes(parity: dict[str, Tensor], model: Renderer) -> None:
    torch.testing.assert_close(model.inverse_render(parity["image"]), parity["scene"], **TOLERANCE)


@torch.no_grad()
def test_float64_gives_the_published_scenes(parity: dict[str, Tensor]) -> None:
    model = load_model(FOLDER / "apple_small.pt").double()
    scene = model.inverse_render(parity["image"].double())
    torch.testing.assert_close(scene, parity["scene"].double(), rtol=0, atol=1e-5)


@torch.no_grad()
def test_scenes_become_the_published_pictures(parity: dict[str, Tensor], model: Renderer) -> None:
    for scene, picture in (("scene", "rendered_source"), ("rotated_scene", "rendered_rotated")):
        torch.testing.assert_close(model.render(parity[scene]), parity[picture], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_whole_way_from_picture_to_turned_picture(parity: dict[str, Tensor], model: Renderer) -> None:
    rotated = model.rotate_source_to_target(model.inverse_render(parity["image"]), *angles(parity))
    torch.testing.assert_close(rotated, parity["rotated_scene"], **TOLERANCE)
    torch.testing.assert_close(model.render(rotated), parity["rendered_rotated"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_turn_of_a_scene(parity: dict[str, Tensor], model: Renderer) -> None:
    for rotated in (
        model.rotate_source_to_target(parity["scene"], *angles(parity)),
        model.rotate(parity["scene"], parity["source_to_target_matrix"]),
    ):
        torch.testing.assert_close(rotated, parity["rotated_scene"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_pairs_are_swapped_as_in_the_published_training(parity: dict[str, Tensor], model: Renderer) -> None:
    partner = [1, 0, 3, 2]
    source = orbit(parity, "source")
    motion = torch.as_tensor(target_from_source(source[partner], source))
    predicted = model(parity["image"][partner], motion)
    torch.testing.assert_close(predicted, parity["pair_rendered"], rtol=0, atol=1e-5)


def test_angles_become_the_published_matrices(parity: dict[str, Tensor]) -> None:
    source, target = orbit(parity, "source"), orbit(parity, "target")
    step = volume_rotation(target_from_source(source, target))
    np.testing.assert_allclose(step, parity["source_to_target_matrix"].numpy(), rtol=0, atol=1e-6)
    from_front = volume_rotation(target_from_source(orbit_camera(0, 0), source))
    np.testing.assert_allclose(from_front, parity["object_rotation"].numpy(), rtol=0, atol=1e-6)


def test_the_warp_alone(parity: dict[str, Tensor]) -> None:
    volume, inverse = parity["volume"], parity["rotation_matrix"].transpose(1, 2)
    rotated = resample_volume(volume, inverse, torch.zeros(len(volume), 3))
    torch.testing.assert_close(rotated, parity["rotated_volume"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "azimuth", "elevation"), [("azimuth90", 90, 0), ("elevation90", 0, 90)])
def test_quarter_turns_of_the_camera(parity: dict[str, Tensor], name: str, azimuth: float, elevation: float) -> None:
    motion = torch.as_tensor(target_from_source(orbit_camera(0, 0), orbit_camera(azimuth, elevation)))
    turned = rigid_warp(parity["volume"][:1], motion[None], Cube(radius=2.0, half_side=1.0))
    torch.testing.assert_close(turned, parity[f"volume_{name}"], rtol=0, atol=1e-5)
