"""A mesh at map coordinates is rendered as the same mesh at the origin, or refused for that reason; never bent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from tests.datagen import blender_meshes as bm

from enr.datagen.generate import generate
from enr.datagen.meshes.staging import stage
from enr.datagen.settings import GenerateSettings, PoseSettings, RenderSettings
from enr.datagen.verify.reprojection import reproject
from enr.shards import read_shard

MAP = np.array([500_000.25, 4_649_776.5, 119.125])
BLOCKS = bm.corner_blocks()
Write = Callable[[Path, np.ndarray], object]


def write_ply(path: Path, offset: np.ndarray, form: str = "ascii") -> None:
    """Double precision, with a column of numbers before the coordinates."""
    lines = [f"ply\nformat {form} 1.0\nelement vertex {len(BLOCKS.vertices)}\nproperty uchar quality"]
    lines += [f"property double {axis}" for axis in "xyz"]
    lines += [f"element face {len(BLOCKS.faces)}\nproperty list uchar int vertex_indices\nend_header\n"]
    places, sign = BLOCKS.vertices + offset, "<" if "little" in form else ">"
    if form == "ascii":
        rows = [" ".join(["7", *map(repr, place)]) for place in places.tolist()]
        rows += [" ".join(["3", *map(str, face)]) for face in BLOCKS.faces.tolist()]
        path.write_text("\n".join(lines) + "\n".join(rows) + "\n")
        return
    table = np.zeros(len(places), dtype=[("quality", "u1"), ("place", f"{sign}f8", 3)])
    table["place"] = places
    faces = np.zeros(len(BLOCKS.faces), dtype=[("count", "u1"), ("corners", f"{sign}i4", 3)])
    faces["count"], faces["corners"] = 3, BLOCKS.faces
    path.write_bytes("\n".join(lines).encode() + table.tobytes() + faces.tobytes())


def write_stl(path: Path, offset: np.ndarray) -> None:
    facets = [
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {x} {y} {z}\n" for x, y, z in corners)
        + "endloop\nendfacet"
        for corners in (BLOCKS.vertices + offset)[BLOCKS.faces].tolist()
    ]
    path.write_text("\n".join(["solid x", *facets, "endsolid x"]) + "\n")


def write_off(path: Path, offset: np.ndarray) -> None:
    rows = [" ".join(map(repr, place)) for place in (BLOCKS.vertices + offset).tolist()]
    rows += [" ".join(["3", *map(str, face)]) for face in BLOCKS.faces.tolist()]
    path.write_text(f"OFF\n{len(BLOCKS.vertices)} {len(BLOCKS.faces)} 0\n" + "\n".join(rows) + "\n")


def gltf(nodes: Callable[[list[list[float]]], list[dict]]) -> Write:
    """A glTF of the three boxes, one node each, placed in the way that `nodes` says."""

    def write(path: Path, offset: np.ndarray) -> None:
        parts = BLOCKS.split(only_watertight=False)
        data, views, accessors = b"", [], []
        for part in parts:
            local = (part.vertices - part.bounds.mean(axis=0)).astype("<f4")
            y_up = local[:, [0, 2, 1]] * np.float32([1, 1, -1])
            for array, bounds in ((y_up, True), (part.faces.astype("<u4"), False)):
                views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
                data += array.tobytes()
                kind = {"componentType": 5126, "type": "VEC3"} if bounds else {"componentType": 5125, "type": "SCALAR"}
                limits = {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()} if bounds else {}
                count = len(array) if bounds else array.size
                accessors.append({"bufferView": len(views) - 1, "count": count, **kind, **limits})
        places = [part.bounds.mean(axis=0) + offset for part in parts]
        made = nodes([[x, z, -y] for x, y, z in np.array(places).tolist()])
        children = {child for node in made for child in node.get("children", ())}
        uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        document = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [number for number in range(len(made)) if number not in children]}],
            "nodes": made,
            "meshes": [
                {"primitives": [{"attributes": {"POSITION": 2 * number}, "indices": 2 * number + 1}]}
                for number in range(len(parts))
            ],
            "buffers": [{"byteLength": len(data), "uri": uri}],
            "bufferViews": views,
            "accessors": accessors,
        }
        path.write_text(json.dumps(document))

    return write


def loose(places):
    return [{"mesh": number, "translation": place} for number, place in enumerate(places)]


def below_a_turned_node(places):
    """Children far away below a root at the origin that turns by 90 degrees around y and doubles."""
    inside = [[-z / 2, y / 2, x / 2] for x, y, z in places]
    root = {"children": [1, 2, 3], "rotation": [0, 0.5**0.5, 0, 0.5**0.5], "scale": [2, 2, 2]}
    return [root, *({"mesh": n, "translation": place, "scale": [0.5] * 3, "rotation": [0, -(0.5**0.5), 0, 0.5**0.5]}
                    for n, place in enumerate(inside))]  # fmt: skip


def by_matrices(places):
    ones = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    return [{"mesh": number, "matrix": [*ones, *place, 1]} for number, place in enumerate(places)]


FORMS: dict[str, Write] = {
    "a.obj": lambda path, offset: bm.write_obj(path, BLOCKS.vertices + offset, BLOCKS.faces),
    "b.ply": write_ply,
    "c.ply": lambda path, offset: write_ply(path, offset, "binary_little_endian"),
    "d.ply": lambda path, offset: write_ply(path, offset, "binary_big_endian"),
    "e.stl": write_stl,
    "f.off": write_off,
    "g.gltf": gltf(loose),
    "h.gltf": gltf(below_a_turned_node),
    "i.gltf": gltf(by_matrices),
}
PLY_POINT = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
5 5 5
5 5 5
5 5 5
3 0 1 2
"""
ABOVE = PoseSettings("rot", elevation_deg=(20, 50))
SMALL = RenderSettings(width_px=48, height_px=48, samples=4)


def rendered(folder: Path, offset: np.ndarray, forms: dict[str, Write]) -> tuple[dict, GenerateSettings]:
    """Pictures, scale and offset by id of a mesh in every form."""
    (folder / "meshes").mkdir(parents=True)
    for name, write in forms.items():
        write(folder / "meshes" / name, offset)
    settings = GenerateSettings(
        meshes=(folder / "meshes",), views=3, poses=ABOVE, render=SMALL, out=folder / "out", shard_bytes=10**9
    )
    assert generate(settings).failures == {}
    shard = read_shard(settings.out / "rot-00000-of-00001.h5")
    numbers = zip(shard.scenes["normalise_scale"], shard.scenes["normalise_offset"], strict=True)
    ids = shard.scenes["scene_id"].tolist()
    images = {scene_id: shard.images[shard.views["scene_id"] == scene_id] for scene_id in ids}
    return {scene_id: (images[scene_id], *pair) for scene_id, pair in zip(ids, numbers, strict=True)}, settings


def test_a_mesh_far_away_is_the_same_mesh(tmp_path):
    far, settings = rendered(tmp_path / "far", MAP, FORMS)
    near, _ = rendered(tmp_path / "near", np.zeros(3), FORMS)
    for scene_id, (images, scale, offset) in near.items():
        silhouette, moved = (pictures[..., 3].astype(float) / 255 for pictures in (images, far[scene_id][0]))
        assert np.abs(silhouette - moved).mean() < 2e-3, scene_id
        assert far[scene_id][1] == pytest.approx(scale, rel=1e-6)
        np.testing.assert_allclose(far[scene_id][2], offset - MAP, atol=1e-6)
    found = reproject([settings.out / "rot-00000-of-00001.h5"], [settings.meshes[0]], 100)
    assert found.findings == () and found.skipped == {} and len(found.fits) == 27


def test_what_single_precision_has_bent_already_is_refused(tmp_path):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    far = trimesh.Trimesh(8 * BLOCKS.vertices + MAP, BLOCKS.faces, process=False)
    for name in ("a.stl", "b.ply", "c.glb"):
        far.export(meshes / name)
    summary = generate(GenerateSettings(meshes=(meshes,), views=1, poses=ABOVE, render=SMALL, out=tmp_path / "out"))
    assert set(summary.failures) == {"a", "b", "c"}
    for reason in summary.failures.values():
        assert "far from the origin" in reason and "single precision has steps of 0.5" in reason


@pytest.mark.parametrize("suffix", ["stl", "ply", "glb", "obj", "off"])
def test_what_single_precision_merges_is_called_that(tmp_path, suffix):
    """To a line, to a point, to a sheet, and at steps that doubles have, too."""
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    steps = {"line": 0.5, "point": 256, "sheet": 8, "doubles": 6.9e10}
    places = {"line": (5e6, 4e6, 0), "point": (3e9, 1e9, 2e9), "sheet": (1e8, 0, 0), "doubles": (1e18, 0, 0)}
    for name, place in places.items():
        size = 0.05 if name == "line" else 1.0
        moved = (size * BLOCKS.vertices + np.array(place)).astype(np.float32).astype(float)
        trimesh.Trimesh(moved, BLOCKS.faces, process=False).export(meshes / f"{name}.{suffix}")
    summary = generate(GenerateSettings(meshes=(meshes,), views=1, poses=ABOVE, render=SMALL, out=tmp_path / "out"))
    assert set(summary.failures) == set(places)
    for name, reason in summary.failures.items():
        step = re.search(r"far from the origin.*single precision.*steps of ([\d.e+]+)", reason)
        assert step and float(step[1]) == pytest.approx(steps[name], rel=0.01), reason


def test_what_has_no_area_near_the_origin_is_called_that(tmp_path):
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (tmp_path / "point.ply").write_text(PLY_POINT)
    summary = generate(GenerateSettings(meshes=(tmp_path,), views=1, render=SMALL, out=tmp_path / "out"))
    assert set(summary.failures.values()) == {"the faces of the mesh have no area"}


def test_a_mesh_that_is_to_stay_where_it_is_is_refused(tmp_path):
    bm.write_obj(tmp_path / "meshes/a.obj", BLOCKS.vertices + MAP, BLOCKS.faces)
    render = RenderSettings(width_px=8, height_px=8, samples=1, normalise="none")
    settings = GenerateSettings(meshes=(tmp_path / "meshes",), views=1, render=render, out=tmp_path / "out")
    assert "so far from the origin" in generate(settings).failures["a"]


@pytest.mark.parametrize("offset", [0.0, 100.0, 1000.0])
def test_a_mesh_that_is_near_enough_is_read_where_it_lies(tmp_path, offset):
    for name, write in FORMS.items():
        write(tmp_path / name, np.full(3, offset))
    for path in sorted(tmp_path.iterdir()):
        staged = stage(bm.MeshSource(path.stem, path), tmp_path)
        assert staged.offset == (0, 0, 0) and (staged.path == path or path.suffix == ".off")
