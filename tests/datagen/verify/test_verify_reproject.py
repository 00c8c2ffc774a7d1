"""`enr verify --reproject`: true cameras pass at any size; wrong ones are found. Pictures are drawn without Blender."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command_line import enr

from enr.camera import (
    OPENCV_FROM_BLENDER,
    Z_UP_FROM_Y_UP,
    focal_px_from_lens,
    intrinsics,
    invert_rigid,
    orbit_camera,
    roll_camera,
)
from enr.datagen.meshes.discovery import find_meshes, mesh_sha256
from enr.datagen.meshes.triangles import load_triangles, normalisation
from enr.datagen.shapes.catalogue import write_shapes
from enr.datagen.verify.raster import NEAR, clip_near, fine_raster
from enr.shards import Shard, ShardMeta, write_shard

VIEWS = 4
SAMPLES_ACROSS = 4
"""The alpha of a picture is counted from 4 x 4 samples a pixel, as a render of 16 samples does."""


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    write_shapes(folder, count=2, seed=5)
    return folder


@cache
def pictures(meshes: Path, size_px: int) -> Shard:
    """A shard of both meshes from right cameras."""
    sources, rng = find_meshes([meshes]), np.random.default_rng(size_px)
    count = len(sources) * VIEWS
    azimuth, elevation = rng.uniform(20, 160, count), rng.uniform(-60, 60, count)
    target = rng.uniform(-0.3, 0.3, (count, 3))
    cameras = orbit_camera(azimuth, elevation, 2.0, target)
    K = intrinsics(focal_px_from_lens(size_px), size_px, size_px)
    placed = [place(*load_triangles(source.path)) for source in sources]
    alpha = [
        fine_raster(placed[row // VIEWS][0], camera, K, (size_px, size_px), SAMPLES_ACROSS).coverage()
        for row, camera in enumerate(cameras)
    ]
    images = np.zeros((count, size_px, size_px, 4), dtype=np.uint8)
    images[..., 3] = np.round(255 * np.array(alpha))
    ids = [source.scene_id for source in sources]
    views = {
        "world_from_camera": cameras,
        "K": np.repeat(K[None], count, axis=0),
        "scene_id": np.repeat(ids, VIEWS),
        "view_index": np.tile(np.arange(VIEWS), len(ids)),
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "radius": np.full(count, 2.0),
        "target_point": target,
        "clipped": np.zeros(count, dtype=bool),
        "roll_deg": np.zeros(count),
        "split": np.repeat(["train"] * len(ids), VIEWS),
        "clipped_share": np.zeros(count, dtype=np.float32),
        "flags": np.zeros(count, dtype=np.uint16),
    }
    scenes = {
        "scene_id": np.array(ids),
        "split": np.array(["train"] * len(ids)),
        "mesh_path": np.array([str(source.path) for source in sources]),
        "mesh_sha256": np.array([mesh_sha256(source) for source in sources]),
        "normalise_scale": np.array([scale for _, scale, _ in placed]),
        "normalise_offset": np.array([offset for _, _, offset in placed]),
        "materials": np.array(["grey"] * len(ids)),
        "facts": np.array(["{}"] * len(ids)),
    }
    config = {"render": {"samples": SAMPLES_ACROSS**2}}
    return Shard(ShardMeta("rototrans", 0, (1.0, 1.0, 1.0), "none", config), images, views, scenes)


def place(vertices, faces):
    """Triangles in the world, and the scale and offset that put them there."""
    scale, offset = normalisation(vertices, "diagonal")
    return (scale * (vertices + offset))[faces], scale, offset


def verify(tmp_path, shard, meshes, **views):
    write_shard(tmp_path / "toy.h5", dataclasses.replace(shard, views={**shard.views, **views}))
    return enr("verify", "--reproject", str(meshes), str(tmp_path / "toy.h5"))


@pytest.mark.parametrize("size_px", [32, 64, 128])
def test_true_cameras_pass(tmp_path, meshes, size_px):
    result = verify(tmp_path, pictures(meshes, size_px), meshes)
    assert result.exit_code == 0, result.output
    assert "8 views reprojected" in result.output and result.output.endswith("all well\n")


def test_opaque_pictures_are_judged_by_their_mask(tmp_path, meshes):
    shard = pictures(meshes, 64)
    opaque = shard.images.copy()
    opaque[..., 3] = 255
    without = verify(tmp_path, dataclasses.replace(shard, images=opaque), meshes)
    assert without.exit_code == 2 and "no mask is stored" in without.output
    masked = dataclasses.replace(shard, images=opaque, passes={"mask": shard.images[..., 3] > 0})
    assert verify(tmp_path, masked, meshes).exit_code == 0
    swapped = shard.views["world_from_camera"][::-1]
    assert verify(tmp_path, masked, meshes, world_from_camera=swapped).exit_code == 1


def test_glass_is_judged_by_what_it_touches(tmp_path, meshes):
    shard = pictures(meshes, 64)
    glass = dataclasses.replace(shard, images=shard.images // 5)
    result = verify(tmp_path, glass, meshes)
    assert result.exit_code == 0, result.output


def test_cameras_of_two_views_that_were_swapped_are_found(tmp_path, meshes):
    shard = pictures(meshes, 64)
    order = [0, 2, 1, 3, 4, 5, 6, 7]
    result = verify(tmp_path, shard, meshes, world_from_camera=shard.views["world_from_camera"][order])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if "does not show its mesh" in line]
    scene_id = shard.scenes["scene_id"][0]
    assert len(lines) == 2 and all(f"view {view} of scene {scene_id}" in "".join(lines) for view in (1, 2))


def turned(degrees: float) -> np.ndarray:
    """A turn (4, 4) around z."""
    return roll_camera(np.eye(4), degrees)


MISTAKES = {
    "the axes of OpenGL": lambda cameras: cameras @ OPENCV_FROM_BLENDER,
    "the inverse": invert_rigid,
    "its world has Y up": lambda cameras: invert_rigid(Z_UP_FROM_Y_UP) @ cameras,
    "rolled by 270 degrees": lambda cameras: roll_camera(cameras, 90.0),
    "around the world's z axis by 270": lambda cameras: turned(90) @ cameras,
    "it is that of view ": lambda cameras: cameras[[1, 2, 3, 0, 5, 6, 7, 4]],
    "from a camera turned by ": lambda cameras: turned(15) @ cameras,
}


@pytest.mark.parametrize("words", MISTAKES)
def test_what_is_wrong_with_the_cameras_is_said(tmp_path, meshes, words):
    shard = pictures(meshes, 64)
    result = verify(tmp_path, shard, meshes, world_from_camera=MISTAKES[words](shard.views["world_from_camera"]))
    assert result.exit_code == 1 and words in result.output
    assert result.output.count("its camera is wrong") >= 7


def test_pictures_of_something_else_accuse_no_camera(tmp_path, meshes):
    """A ring around the first mesh, as a renderer's displacement or a fur would add it, in all of its views."""
    shard = pictures(meshes, 64)
    y, x = np.mgrid[:64, :64] - 31.5
    images = shard.images.copy()
    images[:VIEWS, np.hypot(x, y) > 28] = 255
    result = verify(tmp_path, dataclasses.replace(shard, images=images), meshes)
    assert result.exit_code == 1 and "its camera is wrong" not in result.output and "1 finding" in result.output
    words = "neither its cameras nor its mesh explain its pictures, which show more than its triangles"
    assert f"scene {shard.scenes['scene_id'][0]}: {words}" in result.output


def test_a_ring_in_some_views_is_not_compared(tmp_path, meshes):
    shard = pictures(meshes, 64)
    images = shard.images.copy()
    images[1, np.hypot(*(np.mgrid[:64, :64] - 31.5)) > 28] = 255
    result = verify(tmp_path, dataclasses.replace(shard, images=images), meshes)
    assert result.exit_code == 0, result.output
    assert f"not compared: {shard.scenes['scene_id'][0]}: its pictures show more than its triangles" in result.output
    assert "4 views reprojected" in result.output


def test_cameras_that_are_wrong_at_random_are_found(tmp_path, meshes):
    shard, rng = pictures(meshes, 64), np.random.default_rng(3)
    count = len(shard.images)
    away = orbit_camera(rng.uniform(-180, 180, count), rng.uniform(-80, 80, count), rng.uniform(1.2, 4, count))
    result = verify(tmp_path, shard, meshes, world_from_camera=roll_camera(away, rng.uniform(40, 320, count)))
    assert result.exit_code == 1 and "not compared" not in result.output
    assert all(f"scene {scene_id}" in result.output for scene_id in shard.scenes["scene_id"])


def test_pictures_of_another_mesh_are_found(tmp_path, meshes):
    shard = pictures(meshes, 64)
    images = np.roll(shard.images, VIEWS, axis=0)
    result = verify(tmp_path, dataclasses.replace(shard, images=images), meshes)
    assert result.exit_code == 1 and "not compared" not in result.output
    assert all(f"scene {scene_id}" in result.output for scene_id in shard.scenes["scene_id"])


def test_a_picture_of_something_else_is_found_where_other_views_show_the_mesh(tmp_path, meshes):
    shard = pictures(meshes, 64)
    images = shard.images.copy()
    images[1] = 0
    images[1, 40:60, 2:22] = 255
    result = verify(tmp_path, dataclasses.replace(shard, images=images), meshes)
    assert result.exit_code == 1 and "1 finding" in result.output and "(other views fit)" in result.output


def test_a_mirrored_azimuth_is_found(tmp_path, meshes):
    views = pictures(meshes, 64).views
    mirrored = orbit_camera(-views["azimuth_deg"], views["elevation_deg"], 2.0, views["target_point"])
    result = verify(tmp_path, pictures(meshes, 64), meshes, world_from_camera=mirrored)
    assert result.output.count("does not show its mesh") >= 7


@pytest.mark.parametrize("size_px", [32, 64, 128])
@pytest.mark.parametrize(("axis", "name"), [(0, "right"), (1, "down")])
def test_half_a_pixel_is_found_and_named(tmp_path, meshes, size_px, axis, name):
    shard = pictures(meshes, size_px)
    K = shard.views["K"].copy()
    K[:, axis, 2] -= 0.5  # so that the pictures lie half a pixel to the right of, or below, the projections
    result = verify(tmp_path, shard, meshes, K=K)
    assert result.exit_code == 1
    moved_px = {what: float(value) for value, what in re.findall(r"([+-]\d\.\d\d) px (right|down)", result.output)}
    assert moved_px.pop(name) == pytest.approx(0.5, abs=0.12)
    assert [abs(value) < 0.1 for value in moved_px.values()] == [True]


def test_another_focal_length_is_found(tmp_path, meshes):
    shard = pictures(meshes, 128)
    K = shard.views["K"].copy()
    K[:, [0, 1], [0, 1]] *= 0.99
    result = verify(tmp_path, shard, meshes, K=K)
    assert result.exit_code == 1 and "outwards" in result.output


def test_another_mesh_of_that_name_is_found(tmp_path, meshes):
    first, second = (source.path for source in find_meshes([meshes]))
    other = tmp_path / "other" / first.parent.name / first.name
    other.parent.mkdir(parents=True)
    other.write_bytes(second.read_bytes())
    result = verify(tmp_path, pictures(meshes, 32), tmp_path / "other")
    assert result.exit_code == 1
    assert "is not the mesh that was rendered" in result.output and "not compared" in result.output


def test_meshes_of_other_scenes_are_bad_input(tmp_path, meshes):
    (tmp_path / "other").mkdir()
    write_shapes(tmp_path / "other", count=1, seed=6)
    shard = pictures(meshes, 32)
    ids = np.array(["a", "b"])
    renamed = dataclasses.replace(shard, scenes={**shard.scenes, "scene_id": ids})
    result = verify(tmp_path, renamed, tmp_path / "other", scene_id=np.repeat(ids, VIEWS))
    assert result.exit_code == 2
    assert "No view could be reprojected" in result.output


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_what_reaches_behind_the_camera_is_cut_off_there(seed, count):
    triangles = np.random.default_rng(seed).uniform(-1, 1, (count, 3, 3))
    K = intrinsics(8.0, 12, 10)
    drawn = fine_raster(triangles, np.eye(4), K, (10, 12), 1).coverage() > 0
    rows, columns = np.mgrid[:10, :12] + 0.5
    rays = np.stack([(columns - 6) / 8, (rows - 5) / 8, np.ones_like(rows)], axis=-1)
    hit = np.array([[any(hits(ray, corners) for corners in triangles) for ray in line] for line in rays])
    assert (drawn != hit).sum() <= 1  # a ray along an edge may go either way
    assert (clip_near(triangles)[..., 2] >= NEAR - 1e-12).all()


def hits(ray, corners):
    """The obvious twin: whether a ray from the origin meets a triangle beyond the near plane."""
    edges = np.stack([corners[0], corners[1], corners[2]], axis=1)
    if abs(np.linalg.det(edges)) < 1e-12:
        return False
    weights = np.linalg.solve(edges, ray)
    return (weights > 0).all() and 1 / weights.sum() > NEAR
