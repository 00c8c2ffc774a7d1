"""Nothing of one mesh reaches the next in the same worker, whatever its file brings along."""

import io
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import SQUARE, box, colour, write_glb

from enr.datagen.appearance.look import Look
from enr.datagen.settings import PoseSettings

SMALL = {"width_px": 32, "height_px": 32, "samples": 4, "look": Look(passes=("depth",)), "materials": "original"}
ABOVE = PoseSettings("rot", elevation_deg=(20, 60))
WHOLE_SCENE = """
import sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene["enr"] = scene["enr-light"] = "mine"
scene.world = bpy.data.worlds.new("enr-world")
scene.world.use_nodes = True
scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 0, 0, 1)
scene.unit_settings.scale_length, scene.render.fps, scene.render.resolution_x = 0.01, 7, 123
scene.frame_start, scene.frame_end = 40, 60
scene.view_settings.exposure = 3
bpy.ops.mesh.primitive_cube_add(size=1)
cube = bpy.context.object
cube["enr"], cube.name = True, "enr-camera"
cube.data.materials.append(bpy.data.materials.new("enr-matte"))
cube.data.materials[0].use_fake_user = True
for frame, place in ((40, (0.5, 0, 0)), (60, (9, 0, 0))):
    cube.location = place
    cube.keyframe_insert("location", frame=frame)
bpy.ops.mesh.primitive_cone_add(location=(0, 0, 2))
bpy.ops.object.light_add(type="SUN")
bpy.ops.object.camera_add()
scene.camera = bpy.context.object
scene.frame_set(50)
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1] + "/scene.blend", check_existing=False)
bpy.ops.wm.usd_export(filepath=sys.argv[1] + "/scene.usdc", export_animation=True)
bpy.ops.wm.alembic_export(filepath=sys.argv[1] + "/scene.abc", as_background_job=False)
bpy.ops.export_scene.fbx(filepath=sys.argv[1] + "/scene.fbx", object_types={"MESH", "LIGHT", "CAMERA"})
"""


def write_textured(folder, name, rgba, mode):
    """A square with a picture of its own, which has the same name and size in all such files."""
    pixels = np.tile(np.array([rgba, rgba[::-1]], dtype=np.uint8), (8, 8, 1))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    material = colour(1, 1, 1, pbr={"baseColorTexture": {"index": 0}}, alphaMode=mode)
    write_glb(folder / f"{name}.glb", [SQUARE], [{"mesh": 0}], materials=[material], png=stream.getvalue())


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Files that bring along all that a file can bring along."""
    folder = tmp_path_factory.mktemp("meshes")
    subprocess.run([sys.executable, "-c", WHOLE_SCENE, str(folder)], check=True, capture_output=True)
    colours = [(200, 30, 30, 255), (30, 200, 30, 255), (200, 30, 200, 0), (200, 200, 30, 128), (230, 90, 200, 60)]
    modes = ["OPAQUE", "OPAQUE", "MASK", "BLEND", "MASK"]
    for number, (rgba, mode) in enumerate(zip(colours, modes, strict=True)):
        write_textured(folder, f"textured-{number}", rgba, mode)
    tagged = [{"mesh": 0, "name": "enr-camera", "extras": {"enr": 1}}, {"mesh": 1}]
    scenes = [{"nodes": [0], "extras": {"enr-light": 1, "enr-engine": ""}}, {"nodes": [1]}]
    write_glb(folder / "tagged.glb", [box(), box((2, 0.1, 0.1))], tagged, scenes=scenes, materials=[colour(1, 0, 0)])
    moving = (0, "translation", [0, 1], [(0, 0, 0), (9, 0, 0)])
    write_glb(folder / "moving.glb", [box(), box((0.2, 0.2, 2))], tagged, animation=moving)
    (folder / "plain.mtl").write_text("newmtl m\nKd 0.1 0.8 0.8\n")
    cube = bm.trimesh.creation.box((1, 0.5, 0.7))
    bm.write_obj(folder / "plain.obj", cube.vertices, cube.faces, header="mtllib plain.mtl\nusemtl m")
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".mtl")


def contents(outcome):
    assert not outcome.reason, outcome.job["mesh"]
    return outcome.images.tobytes(), outcome.passes["depth"].tobytes(), str(outcome.facts["mesh"])


def test_a_mesh_looks_the_same_alone_and_after_any_others(meshes):
    jobs = {path.name: bm.make_job(path, 2, ABOVE, **SMALL) for path in meshes}
    alone = {name: contents(*bm.render(job)) for name, job in jobs.items()}
    assert len(set(alone.values())) == len(jobs)
    for seed in range(3):
        names = 2 * list(jobs)
        random.Random(seed).shuffle(names)
        outcomes = bm.render(*(jobs[name] for name in names))
        different = [name for name, one in zip(names, outcomes, strict=True) if contents(one) != alone[name]]
        assert not different, names


def test_a_moving_scene_is_one_pose_in_the_picture_and_the_passes(meshes):
    moving = [path for path in meshes if path.stem in ("scene", "moving")]
    assert len(moving) == 5
    for outcome in bm.render(*(bm.make_job(path, 2, ABOVE, **SMALL) for path in moving)):
        alpha, depth = outcome.images[..., 3] > 127, np.isfinite(outcome.passes["depth"])
        assert (alpha & depth).sum() / (alpha | depth).sum() > 0.9, outcome.job["mesh"]
        assert not any(outcome.facts["unlike_mesh"])


UNSEEN = """
import sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene, far = bpy.context.scene, 9
for number in range(6):
    bpy.ops.mesh.primitive_cube_add(size=1, location=(far * number, 0, 0))
    cube = bpy.context.object
    if number == 1:
        cube.visible_camera = False
    elif number == 2:
        cube.is_holdout = True
    elif number == 3:
        cube.hide_render = True
    elif number in (4, 5):
        collection = bpy.data.collections.new("unseen")
        scene.collection.children.link(collection)
        scene.collection.objects.unlink(cube)
        collection.objects.link(cube)
        collection.hide_render = number == 4
        bpy.context.view_layer.layer_collection.children[collection.name].exclude = number == 5
colour = bpy.data.materials.new("changing")
colour.use_nodes = True
socket = colour.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
for frame, value in ((1, (1, 0, 0, 1)), (50, (0, 1, 0, 1))):
    socket.default_value = value
    socket.keyframe_insert("default_value", frame=frame)
bpy.data.objects["Cube"].data.materials.append(colour)
scene.frame_set(50)
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1], check_existing=False)
"""


def test_what_a_blender_file_does_not_render_counts_for_nothing_and_its_frame_is_the_saved_one(tmp_path):
    path = tmp_path / "m.blend"
    subprocess.run([sys.executable, "-c", UNSEEN, str(path)], check=True, capture_output=True)
    (outcome,) = bm.render(bm.make_job(path, 2, ABOVE, **SMALL))
    assert not outcome.reason
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / 3**0.5, rel=1e-5)
    red, green, _ = outcome.images[outcome.images[..., 3] == 255][:, :3].mean(axis=0)
    assert green > 2 * red
