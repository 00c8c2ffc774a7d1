"""The stored K is the lens: projected triangles cover what Blender rendered with it, and another K does worse."""

from __future__ import annotations

import numpy as np
from tests.datagen import blender_meshes as bm
from tests.datagen.silhouettes import View, own_iou

from enr.camera import intrinsics
from enr.datagen.cameras.lens import LensJitter, view_intrinsics
from enr.datagen.cameras.pose_files import read_cameras, write_cameras
from enr.datagen.cameras.poses import sample_poses
from enr.datagen.jobs import render_job
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.staging import StagedMesh
from enr.datagen.settings import PoseSettings, RenderSettings

SHAPE = {"samples": 16, "materials": "grey", "normalise": "none"}
VIEWS = 4


def tasks(folder):
    """Settings and poses by name: each another way to bend K away from the plain one."""
    plain = RenderSettings(96, 64, 90.0, **SHAPE)
    orbit, tilted = PoseSettings("rot", radius=3.0), PoseSettings("rot", radius=3.0, roll_deg=(20, 70))
    oblong = np.array([[80.0, 0, 52], [0, 120.0, 30], [0, 0, 1]])
    slim = np.array([[130.0, 0, 50], [0, 70.0, 35], [0, 0, 1]])
    cameras = sample_poses(tilted, 4, "blocks", 2).world_from_camera
    write_cameras(folder / "cameras.json", cameras, np.stack([oblong, slim]), (96, 64))
    given = PoseSettings("rot", cameras=read_cameras(folder / "cameras.json"))
    jittered = RenderSettings(64, 96, 80.0, **SHAPE, lens_jitter=LensJitter(0.2, 8.0))
    short = RenderSettings(512, 64, 10.0, **SHAPE)
    return {
        "plain": (plain, sample_poses(orbit, 0, "blocks", 2)),
        "jittered": (jittered, sample_poses(tilted, 0, "blocks", VIEWS)),
        "given": (plain, sample_poses(given, 0, "blocks", 2)),
        "short": (short, sample_poses(PoseSettings("rot", radius=1.0), 0, "blocks", 2)),
    }


def views_of(settings, poses, images, triangles):
    """The pictures beside the triangles that the stored cameras say they show."""
    K = view_intrinsics(settings.lens, settings.seed, "blocks", poses)
    for image, camera, lens in zip(images, poses.world_from_camera, K, strict=True):
        yield View(image[..., 3].astype(np.uint8), triangles, camera, lens)


def test_pictures_have_the_lens_that_is_stored(tmp_path, blocks):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    chosen = tasks(tmp_path)
    jobs = [
        render_job(settings, MeshSource("blocks", path), poses, StagedMesh(path, "Y"))
        for settings, poses in chosen.values()
    ]
    triangles = blocks.vertices[blocks.faces]
    for (name, (settings, poses)), images in zip(chosen.items(), bm.pictures(*jobs), strict=True):
        plain = intrinsics(settings.lens.focal_px, settings.width_px, settings.height_px)
        for view in views_of(settings, poses, images, triangles):
            own = own_iou(view)
            print(name, round(own, 4), round(own_iou(View(view.alpha, triangles, view.world_from_camera, plain)), 4))
            assert own >= (0.85 if name == "short" else 0.97), name
            if name in ("jittered", "given"):
                assert own_iou(View(view.alpha, triangles, view.world_from_camera, plain)) < own - 0.03
