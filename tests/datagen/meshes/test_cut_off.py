"""Files that Blender would read without a word, but only in part or with other numbers: each is named."""

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import box, write_glb

from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.meshes.staging import stage
from enr.errors import EnrError

FACET = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
TEXT_STL = f"solid a\n{FACET}endsolid a\nsolid b\n{FACET}endsolid b\n"
PLY = "ply\nformat {} 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 1\n"
TRIANGLE = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], dtype="<f4")


def binary_stl(corners=TRIANGLE, announced: int = 1) -> bytes:
    return b"solid".ljust(80) + announced.to_bytes(4, "little") + bytes(12) + corners.tobytes() + b"\0\0"


def with_nan() -> np.ndarray:
    corners = TRIANGLE.copy()
    corners[1, 1] = np.nan
    return corners


def binary_ply(corners) -> bytes:
    head = PLY.format("binary_little_endian") + "property list uchar int vertex_indices\nend_header\n"
    return head.encode() + corners.tobytes() + b"\3" + np.arange(3, dtype="<i4").tobytes()


def text_ply(corners) -> bytes:
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in corners.tolist())
    return (PLY.format("ascii") + f"property list uchar int vertex_indices\nend_header\n{rows}3 0 1 2\n").encode()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.stl", TEXT_STL[: TEXT_STL.rfind("endsolid")].encode(), "ends before `endsolid`"),
        ("cut-in-a-facet.stl", TEXT_STL[:-60].encode(), "ends before `endsolid`"),
        ("nan.stl", TEXT_STL.replace("vertex 1 0", "vertex 1 NaN", 1).encode(), "not finite"),
        ("short.stl", binary_stl(announced=9), "ends before the 9 triangles"),
        ("nan-binary.stl", binary_stl(with_nan()), "not finite"),
        ("nan.ply", text_ply(with_nan()), "not finite"),
        ("nan-binary.ply", binary_ply(with_nan()), "not finite"),
    ],
)
def test_it_is_said_before_blender_reads_it(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    (source,) = find_meshes([tmp_path])
    with pytest.raises(EnrError, match=words):
        stage(source, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.stl", binary_stl()), ("a.ply", text_ply(TRIANGLE)), ("b.ply", binary_ply(TRIANGLE))],
)
def test_a_whole_file_is_read_where_it_lies(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (source,) = find_meshes([tmp_path])
    assert stage(source, tmp_path).path == tmp_path / name


def test_a_text_stl_may_be_in_capitals(tmp_path):
    (tmp_path / "m.stl").write_text(TEXT_STL.upper())
    (source,) = find_meshes([tmp_path])
    assert stage(source, tmp_path).path.read_text() == TEXT_STL


@pytest.mark.parametrize("number", ["0,5", "5D-1", "one", "1e39", "nan"])
def test_coordinates_that_blender_takes_for_others_are_named(tmp_path, number):
    plain = bm.write_obj(tmp_path / "plain.obj", [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)])
    wrong = tmp_path / "wrong.obj"
    wrong.write_text(plain.read_text().replace("v 1 ", f"v {number} "))
    decorated = tmp_path / "decorated.obj"
    decorated.write_text("v 0 0 0 1.0\nv\t+1. 0e0  -.0 # a corner\nv 0 1E+0 \\\n0\nf 1 2 3\n")
    outcomes = bm.render(*(bm.make_job(path, 2, width_px=24, height_px=24, samples=1) for path in (wrong, decorated)))
    assert "number" in outcomes[0].reason and not outcomes[1].reason


def test_a_gltf_with_a_coordinate_that_is_no_number_is_named(tmp_path):
    part = box()
    part["POSITION"][3, 1] = np.nan
    path = write_glb(tmp_path / "m.glb", [part], [{"mesh": 0}])
    path.write_bytes(path.read_bytes().replace(b"NaN", b"0.0"))
    (outcome,) = bm.render(bm.make_job(path, 2, width_px=24, height_px=24, samples=1))
    assert "not a finite number" in outcome.reason
