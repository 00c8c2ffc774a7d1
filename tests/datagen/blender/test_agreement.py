"""The net under everything else: pictures and passes that do not show the counted faces are noticed."""

import json
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import box, colour, write_glb

from enr.datagen.appearance.look import Look
from enr.datagen.flags import view_flags
from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings, PoolSettings, PoseSettings, RenderSettings
from enr.datagen.shapes.catalogue import write_shapes
from enr.shards import FLAGS

BROKEN = """
import json, sys
import bpy, mathutils
from enr.datagen.blender import materials, scene, surface
job, fault = json.loads(sys.stdin.read()), sys.argv[1]
paint, parts_of = materials.paint, surface.parts_of

def break_it(objects, *rest):
    paint(objects, *rest)
    first = sorted(objects, key=lambda item: item.name)[0]
    if fault == "moved":
        first.location.x += 3
    elif fault == "animated":
        for frame, x in ((1, first.location.x + 3), (9, 0.0)):
            first.location.x = x
            first.keyframe_insert("location", frame=frame)
    elif fault == "not rendered":
        first.hide_render = True
    elif fault == "left over":
        copy = first.copy()
        copy.location = first.location + first.scale.x * mathutils.Vector((0.8, 0, 0))  # into an empty corner
        bpy.context.scene.collection.objects.link(copy)
    elif fault == "clear":
        for slot in first.material_slots:
            slot.material = bpy.data.materials.new("clear")
            slot.material.use_nodes = True
            slot.material.node_tree.nodes["Principled BSDF"].inputs["Alpha"].default_value = 0

materials.paint = break_it
if fault == "depth":
    surface.parts_of = lambda objects: parts_of(objects)[1:]
print(json.dumps(scene.render_mesh(job)["unlike_mesh"]))
"""


@pytest.fixture
def job(tmp_path):
    meshes = [box((0.5, 0.5, 0.5), (-0.4, 0, 0)), box((0.5, 0.5, 0.5), (0.4, 0.9, 0))]  # the box has empty corners
    nodes = [{"mesh": 0, "name": "a"}, {"mesh": 1, "name": "b"}]
    path = write_glb(tmp_path / "m.glb", meshes, nodes, materials=[colour(1, 0, 0), colour(0, 1, 0)])
    look = Look(passes=("depth",))
    made = bm.make_job(path, 5, PoseSettings("rot"), width_px=40, height_px=40, samples=4, look=look)
    return made | {"out": str(tmp_path / "out.npy"), "threads": 1}


@pytest.mark.parametrize("fault", ["", "moved", "animated", "not rendered", "left over", "clear", "depth"])
def test_what_is_not_the_counted_faces_is_noticed(job, fault):
    done = subprocess.run([sys.executable, "-c", BROKEN, fault], input=json.dumps(job), capture_output=True, text=True)
    assert not done.returncode, done.stderr
    unlike = json.loads(done.stdout.splitlines()[-1])
    assert any(unlike) == bool(fault), unlike


def test_it_has_a_flag(job):
    (outcome,) = bm.render({key: value for key, value in job.items() if key not in ("out", "threads")})
    bit = FLAGS.index("unlike_mesh")
    facts = outcome.facts | {"unlike_mesh": [False, True, False, False, True]}
    assert (view_flags(outcome.images, facts) >> bit & 1).tolist() == [0, 1, 0, 0, 1]
    assert not (view_flags(outcome.images, outcome.facts) >> bit & 1).any()


def test_looking_changes_no_byte(tmp_path):
    """Of any data set, whatever passes are made, and whatever file is looked through."""
    write_shapes(tmp_path / "meshes", count=3, seed=3)
    trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "meshes/ball.ply", encoding="ascii")
    render = RenderSettings(24, 24, samples=2, look=Look(passes=("depth", "normals", "mask")))
    made = {}
    for checks in (True, False):
        out = tmp_path / f"out-{checks}"
        pool = PoolSettings(checks=checks)
        settings = GenerateSettings(meshes=(tmp_path / "meshes",), views=3, render=render, out=out, pool=pool)
        made[checks] = [path.read_bytes() for path in generate(settings).shards]
    assert made[True] == made[False]


@pytest.mark.parametrize("kind", ["wires", "needles", "leaves"])
def test_what_is_thinner_than_a_pixel_is_no_cause_for_alarm(tmp_path, kind):
    rng = np.random.default_rng(5)
    count, (length, width) = 400, {"wires": (0.5, 1e-3), "needles": (0.2, 1e-4), "leaves": (0.01, 0.01)}[kind]
    starts = rng.uniform(-0.5, 0.5, (count, 3))
    ends, third = (starts + size * rng.normal(size=(count, 3)) for size in (length, width))
    vertices = np.stack([starts, ends, third], axis=1).reshape(-1, 3)
    path = bm.write_obj(tmp_path / "m.obj", vertices, np.arange(3 * count).reshape(-1, 3))
    for size in (32, 96):
        job = bm.make_job(path, 6, PoseSettings("rot"), width_px=size, height_px=size, samples=1)
        (outcome,) = bm.render(job)
        assert not any(outcome.facts["unlike_mesh"])
