"""Depth, normals and mask against geometry that is worked out without Blender."""

import numpy as np
import pytest
import trimesh
from PIL import Image
from tests.datagen import blender_meshes as bm

from enr.datagen.appearance.look import Look
from enr.datagen.cameras.poses import sample_poses
from enr.datagen.settings import PoseSettings

ALL = ("depth", "normals", "mask")
VIEWS = 6


def pixel_rays(job, view):
    """Origin (3,) and directions (height, width, 3) with z = 1 in the camera, from the job's own numbers."""
    camera, K = np.array(job["views"][view]["world_from_camera"]), np.array(job["views"][view]["K"])
    v, u = np.indices((job["height_px"], job["width_px"])) + 0.5
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)
    return camera[:3, 3], rays @ camera[:3, :3].T


def nearest_hits(triangles, origin, rays):
    """Depth (height, width) and unit normal (height, width, 3) by trying every triangle."""
    depth, normal = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape)
    for a, b, c in triangles:
        n = np.cross(b - a, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = ((a - origin) @ n) / (rays @ n)
            points = origin + t[..., None] * rays
            sides = [np.cross(q - p, points - p) @ n for p, q in ((a, b), (b, c), (c, a))]
            nearer = (np.min(sides, axis=0) >= 0) & (t > 0) & (t < depth)
        depth[nearer] = t[nearer]
        facing = np.sign(-(rays @ n))[..., None] * n / np.linalg.norm(n)
        normal[nearer] = facing[nearer]
    return depth, normal


def normalised(outcome, mesh):
    vertices = outcome.facts["normalise_scale"] * (mesh.vertices + outcome.facts["normalise_offset"])
    return vertices[mesh.faces]


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """The blocks rendered without passes, with all in the camera's axes, and with normals in the world's."""
    mesh = bm.corner_blocks()
    path = bm.write_obj(tmp_path_factory.mktemp("blocks") / "blocks.obj", mesh.vertices, mesh.faces)
    looks = (Look(), Look(passes=ALL), Look(passes=("normals",), normals_space="world"))
    size = {"width_px": 50, "height_px": 37}
    return mesh, bm.render(*(bm.make_job(path, views=VIEWS, look=look, **size) for look in looks))


def test_passes_change_no_pixel_and_are_made_only_if_asked(blocks):
    _, (plain, full, world) = blocks
    assert (set(plain.passes), set(full.passes), set(world.passes)) == (set(), set(ALL), {"normals"})
    np.testing.assert_array_equal(plain.images, full.images)
    np.testing.assert_array_equal(plain.images, world.images)


def test_flat_faces_have_the_depth_and_normal_of_their_plane_at_the_pixels_centre(blocks):
    mesh, (_, outcome, world) = blocks
    triangles = normalised(outcome, mesh)
    for view in range(VIEWS):
        depth, normal = nearest_hits(triangles, *pixel_rays(outcome.job, view))
        found = outcome.passes["depth"][view]
        same = np.isfinite(found) == np.isfinite(depth)
        assert same.mean() > 0.998  # a centre that lies on an edge may go either way
        hit = np.isfinite(depth) & np.isfinite(found)
        np.testing.assert_allclose(found[hit], depth[hit], atol=1e-4)
        off = np.abs(world.passes["normals"][view][hit].astype(float) - normal[hit]).max(axis=1)
        assert (off < 1e-3).mean() > 0.995  # of two faces that meet in an edge, either
        rotation = np.array(outcome.job["views"][view]["world_from_camera"])[:3, :3]
        turned = outcome.passes["normals"][view].astype(float) @ rotation.T
        np.testing.assert_allclose(turned, world.passes["normals"][view].astype(float), atol=2e-3)


def test_the_mask_is_where_anything_shows(blocks):
    _, (_, outcome, _) = blocks
    finite = np.isfinite(outcome.passes["depth"])
    np.testing.assert_array_equal(outcome.passes["mask"], (outcome.images[..., 3] > 0) | finite)
    np.testing.assert_array_equal(finite, np.linalg.norm(outcome.passes["normals"], axis=-1) > 0.5)
    assert 0 < finite.sum() < outcome.passes["mask"].sum() < finite.size


def test_a_sphere_has_the_normals_and_the_depth_of_a_sphere(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    path = bm.write_obj(tmp_path / "ball.obj", ball.vertices, ball.faces)
    (outcome,) = bm.render(bm.make_job(path, views=3, normalise="none", look=Look(passes=ALL, normals_space="world")))
    for view in range(3):
        origin, rays = pixel_rays(outcome.job, view)
        depth = outcome.passes["depth"][view]
        hit = np.isfinite(depth)
        points = origin + depth[hit][:, None] * rays[hit]
        distance = np.linalg.norm(points, axis=1)
        assert (distance <= 0.5 + 1e-6).all() and (distance > 0.4985).all()
        cosine = (outcome.passes["normals"][view][hit] * points).sum(axis=1) / distance
        assert cosine.min() > 0.998


GLASS = """newmtl glass
Kd 0.2 0.4 0.9
d 0.03
newmtl air
Kd 1 0 0
d 0
newmtl fence
Kd 1 1 1
map_Kd fence.png
map_d fence.png
newmtl wall
Kd 0.5 0.5 0.5
"""


def write_squares(folder, name, *materials):
    """Unit squares one behind the other, 0.1 apart, that face +X, each in a material; the wall is twice as large."""
    places = [(0, y - 0.5, z - 0.5) for y, z in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lines = ["mtllib panes.mtl", "vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    for number, material in enumerate(materials):
        grow = 2 if material == "wall" else 1
        for _, y, z in places:
            lines.append(f"v {-0.1 * number} {z * grow} {-y * grow}")  # OBJ: Y up
        corners = " ".join(f"{4 * number + index}/{index}" for index in (1, 2, 3, 4))
        lines += [f"usemtl {material}", f"f {corners}"]
    path = folder / f"{name}.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_can_be_seen_through_is_still_there_and_what_is_not_there_is_not(tmp_path):
    (tmp_path / "panes.mtl").write_text(GLASS)
    fence = np.full((8, 8, 4), 255, dtype=np.uint8)
    fence[:, :4, 3] = 0  # the half with the smaller u, which is the smaller y
    Image.fromarray(fence).save(tmp_path / "fence.png")
    front = PoseSettings("trans", box=((0, 0), (0, 0), (0, 0)))
    options = {"normalise": "none", "focal_px": 30.0, "samples": 4, "look": Look(passes=ALL)}
    names = {"glass": ("glass",), "air": ("air", "wall"), "fence": ("fence", "wall"), "lone": ("fence",)}
    paths = [write_squares(tmp_path, name, *materials) for name, materials in names.items()]
    glass, air, fenced, lone = bm.render(*(bm.make_job(path, 1, front, **options) for path in paths))
    inner = (slice(20, 28), slice(20, 28))
    np.testing.assert_allclose(glass.passes["depth"][0][inner], 2.0, atol=1e-5)
    assert glass.passes["mask"][0][inner].all()
    np.testing.assert_allclose(air.passes["depth"][0][inner], 2.1, atol=1e-5)
    half = np.where(np.arange(48) < 24, 2.1, 2.0)[20:28]  # +Y is to the right of a camera on +X
    np.testing.assert_allclose(fenced.passes["depth"][0][inner], np.broadcast_to(half, (8, 8)), atol=1e-5)
    np.testing.assert_array_equal(lone.passes["mask"][0][24], lone.images[0, 24, :, 3] > 0)
    assert np.isinf(lone.passes["depth"][0][inner][:, :3]).all()


def test_both_sides_of_a_doubled_face_keep_their_material(tmp_path):
    (tmp_path / "sheet.mtl").write_text("newmtl red\nKd 0.8 0 0\nnewmtl blue\nKd 0 0 0.8\n")
    square = "v 0 -1 1\nv 0 -1 -1\nv 0 1 -1\nv 0 1 1\n"  # its front looks towards +X
    (tmp_path / "sheet.obj").write_text(
        f"mtllib sheet.mtl\n{square}usemtl red\nf 1 2 3 4\nusemtl blue\nf 4 3 2 1\nusemtl red\nf 1 2 3 4\n"
    )
    around = PoseSettings("rot", azimuth_deg=(-20, 200), elevation_deg=(0, 1))
    job = bm.make_job(tmp_path / "sheet.obj", 12, around, samples=4)
    (outcome,) = bm.render(job)
    x = sample_poses(around, 0, "sheet", 12).world_from_camera[:, 0, 3]
    seen = [image[image[..., 3] == 255][:, :3].mean(axis=0) for image in outcome.images[np.abs(x) > 0.5]]
    is_red = np.array([red > blue for red, _, blue in seen])
    assert all(min(red, blue) < 10 for red, _, blue in seen)
    np.testing.assert_array_equal(is_red, x[np.abs(x) > 0.5] > 0)
    assert 0 < is_red.sum() < len(is_red)
