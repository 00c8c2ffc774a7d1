"""Every format comes out of Blender alike: the same shape, Z up, whole, with its own colours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm

from enr.datagen.cameras.poses import sample_poses
from enr.datagen.jobs import render_job
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.staging import stage
from enr.datagen.settings import PoseSettings, RenderSettings

WRITE_FILES = """
import sys
from pathlib import Path
import bpy

folder = Path(sys.argv[1])
bpy.ops.wm.read_factory_settings(use_empty=True)
red = bpy.data.materials.new("red")
red.use_nodes = True
red.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.8, 0.02, 0.02, 1)
# The blocks of the OBJ file, made of a unit cube by their objects' matrices; the last is a copy by instancing.
for extents, centre in BLOCKS[:-1]:
    bpy.ops.mesh.primitive_cube_add(size=1, location=centre, scale=extents)
    bpy.context.object.data.materials.append(red)
export = lambda operator, name, **options: operator(filepath=str(folder / name), **options)
extents, centre = BLOCKS[-1]
bpy.ops.mesh.primitive_cube_add(size=1, location=centre, scale=extents)
last = bpy.context.object
last.data.materials.append(red)
export(bpy.ops.export_scene.fbx, "blocks.fbx")
export(bpy.ops.export_scene.gltf, "blocks.glb")
export(bpy.ops.export_scene.gltf, "draco.glb", export_draco_mesh_compression_enable=True)
export(bpy.ops.wm.usd_export, "blocks.usdc")
export(bpy.ops.wm.usd_export, "blocks.usda", convert_orientation=True, export_global_up_selection="Y",
       export_global_forward_selection="NEGATIVE_Z", convert_scene_units="CENTIMETERS")
export(bpy.ops.wm.usd_export, "blocks.usdz")
export(bpy.ops.wm.alembic_export, "blocks.abc", as_background_job=False)

# A .blend with everything that must not show, and a part that shows only as an instance of a collection.
hidden = last.copy()
hidden.location, hidden.hide_render = (9, 9, 9), True
unseen = bpy.data.collections.new("unseen")
bpy.context.scene.collection.children.link(unseen)
unseen.hide_render = True
far = last.copy()
far.location = (-9, 9, 9)
unseen.objects.link(far)
bpy.context.scene.collection.objects.link(hidden)
parts = bpy.data.collections.new("parts")
bpy.context.scene.collection.objects.unlink(last)
parts.objects.link(last)
instance = bpy.data.objects.new("instance", None)
instance.instance_type, instance.instance_collection = "COLLECTION", parts
bpy.context.scene.collection.objects.link(instance)
bpy.ops.object.light_add(type="SUN")
bpy.ops.object.camera_add()
first = bpy.data.objects["Cube"]
first.hide_viewport = True  # to be rendered all the same
wide = first.scale.x
first.scale.x = wide / 2
array = first.modifiers.new("array", "ARRAY")  # two halves side by side are the block
array.count, array.show_viewport = 2, False
first.location.x -= wide / 4
export(bpy.ops.wm.save_as_mainfile, "blocks.blend")
"""
COLOURED = ("blocks.fbx", "blocks.glb", "draco.glb", "blocks.usdc", "blocks.usda", "blocks.usdz", "blocks.blend")
NAMES = ("blocks.obj", "blocks.ply", "blocks.stl", "blocks.abc", *COLOURED)
BLOCKS = [((1.0, 0.5, 0.2), (0, 0, 0)), ((0.2, 0.2, 0.8), (0.4, 0.15, 0.5)), ((0.1, 0.3, 0.1), (-0.5, -0.3, 0.2))]
"""Sides and centres of what `corner_blocks` makes."""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The same blocks in every format, written by trimesh and by Blender."""
    folder = tmp_path_factory.mktemp("formats")
    blocks = bm.corner_blocks()
    bm.write_obj(folder / "blocks.obj", blocks.vertices, blocks.faces)
    blocks.export(folder / "blocks.ply")
    blocks.export(folder / "blocks.stl")
    script = f"BLOCKS = {BLOCKS!r}\n{WRITE_FILES}"
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, capture_output=True)
    return folder


def job(path: Path, **render) -> dict:
    """A job whose pictures are the same for every file that holds the same shape."""
    settings = RenderSettings(**{"width_px": 48, "height_px": 48, "focal_px": 60.0, "samples": 8, **render})
    poses = sample_poses(PoseSettings("rototrans"), 0, "blocks", 4)
    source = MeshSource("blocks", path)
    return render_job(settings, source, poses, stage(source, path.parent, settings.up_axis))


def test_every_format_shows_the_same_shape(files):
    reference, *others = bm.pictures(*(job(files / name) for name in NAMES))
    assert 0.05 < (reference[..., 3] > 0).mean() < 0.9
    for name, images in zip(NAMES[1:], others, strict=True):
        assert np.abs(reference[..., 3] - images[..., 3]).mean() < 1.0, name
        if name in COLOURED:
            solid = images[images[..., 3] == 255]
            assert (solid[:, 0] > 2 * solid[:, 1:3].max(axis=1)).mean() > 0.95, name


def test_the_up_axis_can_be_given_where_the_file_does_not_say_it(files, tmp_path):
    """Files that lie on their side are put upright; formats that state their axis are believed."""
    blocks = bm.corner_blocks()
    lying = blocks.copy()
    lying.apply_transform(np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))
    bm.write_obj(tmp_path / "z-up.obj", lying.vertices, blocks.faces)  # which are stored as those of `blocks`
    blocks.export(tmp_path / "z-up.glb")
    blocks.copy().apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])).export(
        tmp_path / "y-up.stl"
    )
    jobs = [
        job(tmp_path / f"{axis}-up.{suffix}", up_axis=axis)
        for axis, suffix in (("z", "obj"), ("z", "glb"), ("y", "stl"))
    ]
    jobs += [job(files / f"blocks.{suffix}", up_axis="y") for suffix in ("fbx", "usda", "usdc", "blend")]
    reference, *others = bm.pictures(job(files / "blocks.obj"), *jobs)
    for given, images in zip(jobs, others, strict=True):
        assert np.abs(reference[..., 3] - images[..., 3]).mean() < 1.0, given["mesh"]


def test_what_blender_cannot_read_has_a_reason(files, tmp_path):
    for suffix in ("fbx", "usdc", "usda", "usdz", "blend"):
        data = (files / f"blocks.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
        (tmp_path / f"noise.{suffix}").write_bytes(np.random.default_rng(0).bytes(3000))
    jobs = [job(path) for path in sorted(tmp_path.iterdir())]
    *broken, good = bm.render(*jobs, job(files / "blocks.blend"))
    for outcome in broken:
        assert outcome.reason and "\n" not in outcome.reason and len(outcome.reason) < 400, outcome.job["mesh"]
    assert not good.reason
