"""`enr verify --reproject`: right pictures of awkward meshes are compared as rendered, or not compared for a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import box, write_glb

from enr.camera import roll_camera
from enr.datagen.generate import generate
from enr.datagen.meshes.polygons import triangulate, triangulate_all
from enr.datagen.settings import GenerateSettings, PoseSettings, RenderSettings
from enr.datagen.verify.comparable import why_not_comparable
from enr.datagen.verify.reprojection import reproject
from enr.errors import EnrError
from enr.shards import read_shard, write_shard

OUTLINE = np.array([[3, 1], [1, 1], [1, 3], [0, 3], [0, 0], [3, 0]], dtype=float)
"""An L."""
VERTICES = np.array([[x, y, z] for z in (0, 0.5) for x, y in OUTLINE])
SIDES = [[n, (n + 1) % 6, 6 + (n + 1) % 6, 6 + n] for n in range(6)]
POLYGONS = [[5, 4, 3, 2, 1, 0], [6, 7, 8, 9, 10, 11], *SIDES]


def concave_files(folder: Path) -> None:
    """The L as an OBJ with counting backwards, as OFF, and as PLY in text."""
    lines = [f"v {x} {z} {-y}" for x, y, z in VERTICES]
    lines += ["f " + " ".join(f"{corner - 12}/1" for corner in face) for face in POLYGONS]
    (folder / "obj.obj").write_text("vt 0 0\n" + "\n".join(lines) + "\n")
    rows = [" ".join(map(str, place)) for place in VERTICES]
    rows += [" ".join(map(str, [len(face), *face])) for face in POLYGONS]
    (folder / "off.off").write_text(f"OFF\n12 {len(POLYGONS)} 0\n" + "\n".join(rows) + "\n")
    header = ["ply", "format ascii 1.0", "element vertex 12", *(f"property float {axis}" for axis in "xyz")]
    header += [f"element face {len(POLYGONS)}", "property list uchar int vertex_indices", "end_header"]
    (folder / "ply.ply").write_text("\n".join([*header, *rows]) + "\n")


def render(folder: Path, views: int = 6) -> Path:
    """The one shard of a folder of meshes."""
    settings = GenerateSettings(
        meshes=(folder / "meshes",),
        views=views,
        out=folder / "out",
        render=RenderSettings(width_px=64, height_px=64, samples=8),
        poses=PoseSettings("rot", elevation_deg=(-60, 60)),
        shard_bytes=10**9,
    )
    assert generate(settings).failures == {}
    return folder / "out/rot-00000-of-00001.h5"


def test_concave_polygons_are_compared_as_rendered_and_wrong_cameras_are_still_found(tmp_path):
    (tmp_path / "meshes").mkdir()
    concave_files(tmp_path / "meshes")
    shard = render(tmp_path)
    found = reproject([shard], [tmp_path / "meshes"], 100)
    assert found.findings == () and found.skipped == {} and len(found.fits) == 18
    content = read_shard(shard)
    content.views["world_from_camera"][:] = content.views["world_from_camera"][::-1]
    write_shard(tmp_path / "wrong.h5", content)
    assert len(reproject([tmp_path / "wrong.h5"], [tmp_path / "meshes"], 100).findings) > 6


def cut_out(folder: Path) -> None:
    """A square, half of which its texture's alpha takes away."""
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[:4] = 255
    Image.fromarray(alpha).save(folder / "alpha.png")
    (folder / "a.mtl").write_text("newmtl m\nKd 1 0 0\nmap_d alpha.png\n")
    square = "v -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{square}usemtl m\nf 1/1 2/2 3/3 4/4\n")


def test_a_cut_out_mesh_is_not_compared_and_no_camera_is_accused(tmp_path):
    (tmp_path / "meshes").mkdir()
    cut_out(tmp_path / "meshes")
    bm.write_obj(tmp_path / "meshes/b.obj", bm.corner_blocks().vertices, bm.corner_blocks().faces)
    shard = render(tmp_path)
    found = reproject([shard], [tmp_path / "meshes"], 100)
    assert found.findings == () and len(found.fits) == 6
    assert "a.mtl cuts parts out (map_d)" in found.skipped["a"]
    (tmp_path / "meshes/b.obj").unlink()
    with pytest.raises(EnrError, match=r"map_d.*none of the meshes can be compared"):
        reproject([shard], [tmp_path / "meshes"], 100)


def test_a_mesh_that_cannot_be_compared_is_told_from_a_wrong_camera(tmp_path):
    """A fan of triangles, which another reader of the file leaves out; wires thinner than a pixel; a plain mesh."""
    meshes, rng = tmp_path / "meshes", np.random.default_rng(1)
    meshes.mkdir()
    angles = np.linspace(0, 5, 9)
    rim = np.stack([np.cos(angles), np.sin(angles), 0.3 * np.cos(3 * angles)], axis=1)
    fan = {"POSITION": np.vstack([np.zeros(3), rim]).astype("<f4"), "indices": np.arange(10, dtype="<u4")}
    write_glb(meshes / "fan.glb", [fan | {"mode": 6}, box((0.4, 0.4, 0.4))], [{"mesh": 0}, {"mesh": 1}])
    ends = rng.normal(size=(40, 2, 3))
    wires = [trimesh.creation.cylinder(0.004, segment=segment, sections=6) for segment in ends]
    trimesh.util.concatenate(wires).export(meshes / "wires.ply")
    bm.write_obj(meshes / "blocks.obj", bm.corner_blocks().vertices, bm.corner_blocks().faces)
    shard = render(tmp_path)
    found = reproject([shard], [meshes], 100)
    assert found.findings == () and set(found.skipped) == {"fan", "wires"} and len(found.fits) == 6
    assert "fans of triangles" in found.skipped["fan"] and "thinner than a pixel" in found.skipped["wires"]
    content = read_shard(shard)
    content.views["world_from_camera"][:] = content.views["world_from_camera"] @ roll_camera(np.eye(4), 20.0)
    write_shard(tmp_path / "wrong.h5", content)
    wrong = reproject([tmp_path / "wrong.h5"], [meshes], 100)
    assert set(wrong.skipped) == {"fan", "wires"}
    assert sum("scene blocks does not show its mesh" in str(one) for one in wrong.findings) == 6


def gltf(path: Path, **changes) -> Path:
    bm.write_gltf_cubes(path, ["m"], [{"mesh": 0}])
    document = json.loads(path.read_text())
    for key, value in changes.items():
        document[key] = value
    path.write_text(json.dumps(document))
    return path


PRIMITIVE = {"attributes": {"POSITION": 0}, "indices": 1, "material": 0}
TEXTURED = {"baseColorTexture": {"index": 0}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"nodes": [{"mesh": 0, "skin": 0}]}, "skeleton"),
        ({"nodes": [{"mesh": 0, "weights": [0, 0.5]}]}, "shape keys"),
        ({"meshes": [{"primitives": [PRIMITIVE], "weights": [0.5]}]}, "shape keys"),
        ({"meshes": [{"primitives": [PRIMITIVE], "weights": [0]}]}, None),
        ({"materials": [{"alphaMode": "MASK"}]}, "alphaMode MASK"),
        ({"materials": [{"alphaMode": "BLEND", "pbrMetallicRoughness": TEXTURED}]}, "alphaMode BLEND"),
        ({"materials": [{"alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 0.5]}}]}, None),
        ({"materials": [{"alphaMode": "OPAQUE", "pbrMetallicRoughness": TEXTURED}]}, None),
        ({"meshes": [{"primitives": [PRIMITIVE | {"mode": 6}]}]}, "fans"),
        ({"extensionsUsed": ["EXT_mesh_gpu_instancing"]}, "instances"),
    ],
)
def test_what_a_projection_does_not_show_is_named(tmp_path, changes, words):
    reason = why_not_comparable(gltf(tmp_path / "m.gltf", **changes), "original")
    assert reason is None if words is None else words in (reason or "")
    if words and words.startswith("alpha"):
        assert why_not_comparable(tmp_path / "m.gltf", "grey") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("d 0.5", None),
        ("d 0", "hardly seen (d 0)"),
        ("Tr 1", "hardly seen (Tr 1)"),
        ("map_d a.png", "map_d"),
        ("", None),
    ],
)
def test_a_library_says_what_is_not_shown(tmp_path, line, words):
    (tmp_path / "m.mtl").write_text(f"newmtl m\nKd 1 1 1\n{line}\n")
    (tmp_path / "m.obj").write_text("mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    reason = why_not_comparable(tmp_path / "m.obj", "original")
    assert reason is None if words is None else words in (reason or "")
    assert why_not_comparable(tmp_path / "m.obj", "palette") is None


def area(points: np.ndarray, triangles) -> float:
    a, b, c = points[np.array(triangles)].swapaxes(0, 1)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize("turned", [False, True])
def test_triangles_cover_a_polygon_and_no_more(turned):
    corners = list(range(6))[:: -1 if turned else 1]
    points = VERTICES[:6] @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    triangles = triangulate(points, corners)
    assert len(triangles) == 4 and area(points, triangles) == pytest.approx(5.0)


def test_convex_polygons_are_split_as_they_were():
    """A fan, and quadrilaterals in their two halves: the same triangles in the same order as before."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [-0.5, 0.5, 0]], dtype=float)
    found = triangulate_all(points, [[0, 1, 2, 3], [0, 1, 2], [3, 2, 1, 0], [0, 1, 2, 3, 4]])
    expected = [[0, 1, 2], [0, 1, 2], [3, 2, 1], [2, 3, 0], [1, 0, 3], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert found.tolist() == expected
