"""Colours in a file that no picture shows are counted, mesh by mesh."""

import json

import numpy as np
import pytest
import trimesh
from tests.datagen import blender_meshes as bm

from enr.datagen.generate import generate
from enr.datagen.meshes.hidden_colours import has_hidden_colours
from enr.datagen.meshes.off import read_off
from enr.datagen.settings import GenerateSettings, PoseSettings, RenderSettings

BOX = trimesh.creation.box((2, 1, 0.5))
POINTS, FACE = "0 0 0\n1 0 0\n0 1 0\n", "3 0 1 2"
PLY = "ply\nformat ascii 1.0\n{}element vertex 3\nproperty float x\n{}element face 1\n{}end_header\n"
RED = "property uchar red\n"


def stl(header: bytes = b"", attribute: int = 0) -> bytes:
    data = np.frombuffer(BOX.export(file_type="stl"), dtype=np.uint8).copy()
    data[84:].reshape(-1, 50)[3, 48:] = [attribute & 0xFF, attribute >> 8]
    return header.ljust(80) + data[80:].tobytes()


@pytest.mark.parametrize(
    ("name", "content", "hidden"),
    [
        ("a.off", f"OFF\n3 1 0\n{POINTS}{FACE}\n", False),
        ("a.off", f"OFF\n3 1 0\n{POINTS}{FACE} 255 0 0\n", True),
        ("a.off", f"COFF\n3 1 0\n{POINTS.replace(chr(10), ' 9 9 9 255' + chr(10))}{FACE}\n", True),
        ("a.off", f"NOFF\n3 1 0\n{POINTS.replace(chr(10), ' 0 0 1' + chr(10))}{FACE}\n", False),
        ("a.ply", PLY.format("", "", ""), False),
        ("a.ply", PLY.format("", RED, ""), False),
        ("a.ply", PLY.format("", RED, RED), False),
        ("a.ply", PLY.format("", "", RED), True),
        ("a.ply", PLY.format("comment TextureFile a.png\n", "", ""), True),
        ("a.stl", stl(), False),
        ("a.stl", stl(b"COLOR=\xff\0\0\xff"), True),
        ("a.stl", stl(attribute=0x801F), True),
        ("a.stl", BOX.export(file_type="stl_ascii"), False),
    ],
)
def test_they_are_seen(tmp_path, name, content, hidden):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert has_hidden_colours(path) is hidden
    if path.suffix == ".off":
        assert [len(part) for part in read_off(path)] == [3, 1]


def test_they_are_counted_by_name(tmp_path):
    meshes = tmp_path / "meshes"
    bm.write_obj(meshes / "plain.obj", BOX.vertices, BOX.faces)
    (meshes / "painted.stl").write_bytes(stl(b"COLOR=\xff\0\0\xff"))
    lines = BOX.export(file_type="off").splitlines()
    (meshes / "faces.off").write_text("\n".join(f"{line} 9 9 9" if line.startswith("3 ") else line for line in lines))
    for materials, names in (("original", ["faces", "painted"]), (None, [])):
        render = RenderSettings(materials=materials, width_px=16, height_px=16, samples=1)
        out = tmp_path / str(materials)
        summary = generate(GenerateSettings((meshes,), 1, PoseSettings("rot"), render, out=out))
        assert summary.without_colours == len(names) and not summary.failures
        manifest = json.loads(summary.manifest.read_text())
        assert [mesh["scene_id"] for mesh in manifest["meshes"] if mesh["facts"].get("colours_hidden")] == names
