"""What Blender makes of a mesh. Every test starts one Blender, which takes a second or two."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm

from enr.camera import intrinsics, project
from enr.datagen.cameras.poses import sample_poses
from enr.datagen.settings import PoseSettings

FULL_FRAME = """
import json, sys
import numpy as np
from enr.datagen.blender import scene as blender_scene

job = json.loads(sys.stdin.read())
blender_scene.render_mesh(job)
bordered = np.load(job["out"])
blender_scene._set_border = lambda render, *_: not setattr(render, "use_border", False)
blender_scene.render_mesh(job)
print("\\nsame" if (bordered == np.load(job["out"])).all() and bordered.any() else "\\ndifferent")
"""


@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_the_render_border_changes_no_pixel(tmp_path, blocks, size):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    job = bm.make_job(path, views=12, width_px=size[0], height_px=size[1])
    job |= {"out": str(tmp_path / "out.npy"), "threads": 1}
    done = subprocess.run([sys.executable, "-c", FULL_FRAME], input=json.dumps(job), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "same", done.stderr


def test_equal_jobs_give_equal_pixels_and_seeds_matter(tmp_path, blocks):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    other = bm.write_obj(tmp_path / "other.obj", blocks.vertices * 2, blocks.faces)
    first, _, again, reseeded = bm.pictures(
        bm.make_job(path), bm.make_job(other), bm.make_job(path), bm.make_job(path, seed=9)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != reseeded).any()


def test_formats_agree_on_what_is_up(tmp_path, blocks):
    jobs = [bm.make_job(bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces))]
    for suffix in ("ply", "stl"):
        blocks.export(tmp_path / f"blocks.{suffix}")
        jobs.append(bm.make_job(tmp_path / f"blocks.{suffix}"))
    y_up = blocks.copy()
    y_up.vertices = np.stack([blocks.vertices[:, 0], blocks.vertices[:, 2], -blocks.vertices[:, 1]], axis=1)
    y_up.export(tmp_path / "blocks.glb")
    jobs.append(bm.make_job(tmp_path / "blocks.glb"))
    obj, *others = bm.pictures(*jobs)
    for other in others:
        assert np.abs(obj[..., 3] - other[..., 3]).mean() < 1.0


def test_a_point_is_seen_where_the_camera_model_says(tmp_path):
    """A tiny cube at a known place: its picture's centre is the projection of its own."""
    rng = np.random.default_rng(3)
    size, places = 96, rng.uniform(-0.25, 0.25, (5, 3))
    K = intrinsics(130.0, size, size)
    for place, outcome in zip(places, bm.render(*_tiny_cubes(tmp_path, places, size)), strict=True):
        poses = sample_poses(PoseSettings("rototrans"), 0, outcome.job["scene_id"], 8)
        expected, _ = project(place[None], poses.world_from_camera, K)
        inside = ((expected[:, 0] > 6) & (expected[:, 0] < size - 6)).all(axis=1)
        assert inside.any()
        for image, pixel in zip(outcome.images[inside], expected[inside, 0], strict=True):
            weight = image[..., 3].astype(float)
            rows, columns = np.indices(weight.shape) + 0.5
            centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
            assert np.abs(centre - pixel).max() < 0.15


def _tiny_cubes(folder, places, size):
    for number, place in enumerate(places):
        cube = bm.trimesh.creation.box((0.05, 0.05, 0.05))
        path = bm.write_obj(folder / f"cube{number}.obj", cube.vertices + place, cube.faces)
        yield bm.make_job(path, views=8, normalise="none", width_px=size, height_px=size, focal_px=130.0)


@pytest.mark.parametrize("mode", ["diagonal", "longest", "none"])
def test_normalisation_is_what_the_worker_says(tmp_path, blocks, mode):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices * 3 + 0.1, blocks.faces)
    (outcome,) = bm.render(bm.make_job(path, normalise=mode))
    moved = outcome.facts["normalise_scale"] * (blocks.vertices * 3 + 0.1 + outcome.facts["normalise_offset"])
    extent = np.ptp(moved, axis=0)
    expected = {"diagonal": np.linalg.norm(extent), "longest": extent.max(), "none": outcome.facts["normalise_scale"]}
    assert expected[mode] == pytest.approx(1, abs=1e-5)
    if mode != "none":
        np.testing.assert_allclose(moved.min(axis=0), -moved.max(axis=0), atol=1e-5)


def test_winding_and_stored_normals_change_nothing(tmp_path, blocks):
    """Nothing is missing from behind, and wrong normals make nothing black."""
    normals = "\n".join("vn 0 -1 0" for _ in blocks.vertices)
    faces = blocks.faces
    plain = bm.write_obj(tmp_path / "a/blocks.obj", blocks.vertices, faces)
    turned = bm.write_obj(tmp_path / "b/blocks.obj", blocks.vertices, faces[:, ::-1])
    with_normals = bm.write_obj(tmp_path / "c/blocks.obj", blocks.vertices, [], normals)
    text = "".join("f " + " ".join(f"{corner + 1}//{corner + 1}" for corner in face) + "\n" for face in faces)
    with_normals.write_text(with_normals.read_text() + "s 1\n" + text)
    reference, *others = bm.pictures(*(bm.make_job(path, samples=64) for path in (plain, turned, with_normals)))
    for other in others:
        np.testing.assert_array_equal(reference[..., 3], other[..., 3])
        assert np.abs(reference - other).mean() < 1.0


def test_no_side_is_black(tmp_path, blocks):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    (images,) = bm.pictures(bm.make_job(path, views=24, materials="grey", samples=32))
    brightest = images[..., :3].max(axis=-1)[images[..., 3] == 255]
    assert brightest.min() > 60


def test_pixels_carry_straight_alpha(tmp_path):
    """A pixel that the object covers in part has the object's colour, not one mixed with black."""
    path = bm.write_obj(tmp_path / "patch.obj", bm.PATCH, [(0, 1, 2, 3)])
    poses = PoseSettings("trans", box=((0, 0), (-0.1, 0.1), (-0.1, 0.1)))
    (images,) = bm.pictures(bm.make_job(path, views=4, poses=poses, samples=64, materials="grey"))
    solid = images[..., 0][images[..., 3] == 255]
    partial = images[..., 0][(images[..., 3] > 30) & (images[..., 3] < 200)]
    assert len(partial) > 20
    assert abs(partial.mean() - solid.mean()) < 5


def test_clipped_views_are_those_whose_object_leaves_the_picture(tmp_path, blocks):
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    (outcome,) = bm.render(bm.make_job(path, views=40))
    scale, offset = outcome.facts["normalise_scale"], np.array(outcome.facts["normalise_offset"])
    cameras = sample_poses(PoseSettings("rototrans"), 0, "blocks", 40).world_from_camera
    pixels, _ = project(scale * (blocks.vertices + offset), cameras, intrinsics(60.0, 48, 48))
    outside = ((pixels < 0) | (pixels > 48)).any(axis=(1, 2))
    assert outcome.facts["clipped"] == outside.tolist()
    assert 0 < outside.sum() < 40
    alpha = outcome.images[..., 3]
    assert not alpha[~outside][:, [0, -1]].any() and not alpha[~outside][:, :, [0, -1]].any()


def test_materials(tmp_path, blocks):
    """The file's own where it has some, else seeded colours; a missing texture gives the material's colour."""
    mtl = "newmtl red\nKd 0.8 0.02 0.02\n"
    header = "mtllib blocks.mtl\nusemtl red"
    plain = bm.write_obj(tmp_path / "plain/blocks.obj", blocks.vertices, blocks.faces, header)
    red = bm.write_obj(tmp_path / "red/blocks.obj", blocks.vertices, blocks.faces, header)
    red.with_suffix(".mtl").write_text(mtl)
    untextured = bm.write_obj(tmp_path / "untextured/blocks.obj", blocks.vertices, blocks.faces, header)
    untextured.with_suffix(".mtl").write_text(mtl + "map_Kd missing.png\n")
    jobs = [bm.make_job(path) for path in (plain, red, untextured)] + [bm.make_job(red, materials="grey")]
    outcomes = bm.render(*jobs)
    assert [o.facts["materials"] for o in outcomes] == ["palette", "original", "original", "grey"]
    colours = [o.images[o.images[..., 3] == 255].astype(int)[:, :3] for o in outcomes]
    for red_one in colours[1:3]:
        assert (red_one[:, 0] > 2 * red_one[:, 1:].max(axis=1)).mean() > 0.95
    assert np.ptp(colours[3], axis=1).max() <= 2


def test_copies_of_a_part_share_its_colour(tmp_path):
    """Two nodes of a glTF that share a mesh, left and right of another one."""
    nodes = [
        {"name": "base", "mesh": 0, "scale": [0.5, 0.5, 0.5]},
        {"name": "left", "mesh": 1, "scale": [0.3, 0.3, 0.3], "translation": [0, 0, 1]},
        {"name": "right", "mesh": 1, "scale": [0.3, 0.3, 0.3], "translation": [0, 0, -1]},  # glTF's -z is to the right
    ]
    bm.write_gltf_cubes(tmp_path / "parts.gltf", ["wood", "steel"], nodes)
    front = PoseSettings("trans", box=((0, 0), (0, 0), (0, 0)))
    (images,) = bm.pictures(bm.make_job(tmp_path / "parts.gltf", 1, front, materials="palette", samples=64))
    left, middle, right = (
        part[part[..., 3] == 255][:, :3].mean(axis=0) for part in np.array_split(images[0], [20, 28], axis=1)
    )
    assert np.abs(left - right).max() < 12
    assert np.abs(left - middle).max() > 12


def test_a_mesh_is_measured_in_its_rendered_pose(tmp_path):
    """A glTF cube with a morph target that doubles it, fully applied: its diagonal is 2 sqrt(3)."""
    path = tmp_path / "morphed.gltf"
    bm.write_gltf_cubes(path, ["wood"], [{"mesh": 0}])
    content = json.loads(path.read_text())
    content["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": 0}]
    content["meshes"][0]["weights"] = [1.0]
    path.write_text(json.dumps(content))
    (outcome,) = bm.render(bm.make_job(path, views=2))
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / (2 * 3**0.5), rel=1e-5)


BROKEN = {
    "empty": ("", "the file holds no mesh"),
    "points": ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "the mesh has no faces"),
    "nan": ("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not a finite number"),
    "infinite": ("v 0 0 0\nv 1 -Inf 0\nv 0 1 0\nf 1 2 3\n", "not a finite number"),
    "line": ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "have no area"),
    "nul": ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n\0\0\0", "NUL bytes"),
}


def test_what_cannot_be_rendered_has_a_reason_and_harms_no_neighbour(tmp_path, blocks):
    good = bm.write_obj(tmp_path / "good/blocks.obj", blocks.vertices, blocks.faces)
    jobs = [bm.make_job(good)]
    for name, (text, _) in BROKEN.items():
        (tmp_path / f"{name}.obj").write_text(text)
        jobs.append(bm.make_job(tmp_path / f"{name}.obj"))
    far = bm.write_obj(tmp_path / "far.obj", blocks.vertices + 100, blocks.faces)
    jobs += [bm.make_job(far, normalise="none"), bm.make_job(good)]
    first, *broken, unseen, last = bm.render(*jobs)
    for outcome, (_, reason) in zip(broken, BROKEN.values(), strict=True):
        assert reason in outcome.reason
        assert outcome.facts["bad_mesh"]
    assert "nothing of the mesh is visible" in unseen.reason
    np.testing.assert_array_equal(first.images, last.images)
