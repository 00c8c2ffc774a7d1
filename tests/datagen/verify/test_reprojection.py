"""The stored cameras are the cameras: projected triangles cover what Blender rendered, and wrong cameras do worse."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datagen.silhouettes import View, fill_triangles_slowly, own_iou, wrong_ious

from enr.camera import GROUPS, focal_px_from_lens
from enr.datagen.generate import generate
from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.settings import GenerateSettings, PoolSettings, PoseSettings, RenderSettings
from enr.datagen.shapes.catalogue import write_shapes
from enr.datagen.verify.raster import fill_triangles
from enr.datagen.verify.reprojection import reproject
from enr.shards import read_shard

RENDER = RenderSettings(
    width_px=128, height_px=128, focal_px=focal_px_from_lens(128), samples=64, materials="grey", seed=7
)
FORMATS = ("glb", "ply", "stl", "off")
REAL_CHAIRS, REAL_OTHERS = 20, ("chair-v1", "chair-v2", "cup", "bottle")


def rendered_views(meshes, group, views, out):
    """Pictures from a shard beside triangles read by another library, placed by the shard's own tables."""
    summary = generate(
        GenerateSettings(
            meshes=tuple(meshes), views=views, poses=PoseSettings(group), render=RENDER, out=out, pool=PoolSettings(2)
        )
    )
    assert not summary.failures
    assert not reproject(summary.shards, meshes, sample=10).findings
    for path in summary.shards:
        shard = read_shard(path)
        for row, scene_id in enumerate(shard.scenes["scene_id"]):
            vertices, faces = load_triangles(Path(str(shard.scenes["mesh_path"][row])))
            scale, offset = shard.scenes["normalise_scale"][row], shard.scenes["normalise_offset"][row]
            triangles = (scale * (vertices + offset))[faces]
            for index in np.flatnonzero(shard.views["scene_id"] == scene_id):
                camera, K = shard.views["world_from_camera"][index], shard.views["K"][index]
                yield f"{scene_id} {index}", View(shard.images[index, ..., 3], triangles, camera, K)


def check(meshes, views, out, supersample):
    """The bars for all groups together, and the figures in a line."""
    own, wrong, names = [], [], []
    for group in GROUPS:
        for name, view in rendered_views(meshes, group, views, out):
            fine = dataclasses.replace(view, supersample=supersample)
            own.append(own_iou(fine))
            wrong.append(max(wrong_ious(fine)))
            names.append(f"{group} {name}")
    share = np.mean(np.array(own) >= 0.95)
    print(f"\n{len(own)} views: IoU median {np.median(own):.4f}, p5 {np.percentile(own, 5):.4f}, lowest {min(own):.4f}")
    assert np.median(own) >= 0.985
    assert share >= 19 / 20
    assert not [f"{name}: {mine} <= {best}" for name, mine, best in zip(names, own, wrong, strict=True) if mine <= best]


def test_built_in_shapes_in_every_format_reproject(tmp_path):
    meshes = list(write_shapes(tmp_path / "meshes", count=3, seed=11))
    shape = trimesh.load_scene(meshes[0]).to_mesh()
    for suffix in FORMATS:
        meshes.append(tmp_path / "meshes" / f"shape.{suffix}")
        shape.export(meshes[-1])
    check(meshes, views=1, out=tmp_path / "shards", supersample=8)


@pytest.mark.slow
def test_real_meshes_reproject(tmp_path):
    data = Path(os.environ.get("ENR_DATA", "")) / "shapenet"
    if not os.environ.get("ENR_DATA") or not data.is_dir():
        pytest.skip("set ENR_DATA to a folder that holds shapenet/chairs and shapenet/originals")
    chairs = find_meshes([data / "chairs"])
    picked = [chairs[index].path for index in np.linspace(0, len(chairs) - 1, REAL_CHAIRS).astype(int)]
    picked += [find_meshes([data / "originals" / name])[0].path for name in REAL_OTHERS]
    check(picked, views=2, out=tmp_path / "shards", supersample=32)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_raster_equals_its_obvious_twin(seed, count):
    triangles = np.random.default_rng(seed).uniform(-10, 50, (count, 3, 2))
    np.testing.assert_array_equal(fill_triangles(triangles, 37, 41), fill_triangles_slowly(triangles, 37, 41))
