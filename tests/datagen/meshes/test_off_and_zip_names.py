"""OFF polygons keep their notches, and archives are read whatever wrote their names."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.meshes.staging import stage
from enr.datagen.meshes.triangles import load_triangles
from enr.errors import EnrError

L_SHAPE = ["3 1 0", "1 1 0", "1 3 0", "0 3 0", "0 0 0", "3 0 0"]
CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"


def area(path) -> float:
    vertices, faces = load_triangles(path)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (1, 0, 2)])
def test_a_concave_polygon_keeps_its_notch(tmp_path, start, backwards, axes):
    order = np.roll(np.arange(6), start)[:: -1 if backwards else 1]
    points = [" ".join(point.split()[axis] for axis in axes) for point in L_SHAPE]
    face = " ".join(map(str, order))
    (tmp_path / "l.off").write_text("\n".join(["OFF", "6 1 0", *points, f"6 {face}"]))
    assert area(tmp_path / "l.off") == pytest.approx(5.0)


@pytest.mark.parametrize(
    "head", ["OFF\n7 3 0", "off\n7 3 0", "OFF 7 3 0", "OFF7 3 0", "\ufeffOFF # words\n\n7 3 0", "COFF\n7 3 0"]
)
def test_polygons_of_several_sizes_and_ways_to_begin(tmp_path, head):
    colour = " 255 0 0 255" if head.startswith("COFF") else ""
    points = [point + colour for point in [*L_SHAPE, "0 0 2"]]
    faces = ["6 5 4 3 2 1 0", "3 4 5 6 0.5 0.5 0.5", "4 4 5 0 1"]
    (tmp_path / "m.off").write_text("\n".join([head, *points, *faces]), encoding="utf-8")
    assert area(tmp_path / "m.off") == pytest.approx(5 + 3 + 2.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("PLY\n", "not OFF"),
        ("OFF\n3 1 0\n0 0 0\n", "ends before"),
        ("OFF\n1 1 0\n0 0 0\n3 0 1 2", "not there"),
    ],
)
def test_a_broken_off_is_named(tmp_path, text, words):
    (tmp_path / "m.off").write_text(text)
    with pytest.raises(EnrError, match=words):
        load_triangles(tmp_path / "m.off")


@pytest.mark.parametrize("form", ["c\\abw\\{}", "/c/abw/{}", "./c/abw/{}", "c/./abw/{}"])
def test_names_of_other_packers_are_read(tmp_path, form):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for name, text in (
            ("model.obj", "mtllib m.mtl\n" + CUBE),
            ("m.mtl", "newmtl m\nmap_Kd t.png\n"),
            ("t.png", "x"),
        ):
            info = zipfile.ZipInfo("x")
            info.filename = form.format(name)
            archive.writestr(info, text)
    (source,) = find_meshes([tmp_path / "m.zip"])
    assert source.scene_id == "abw"
    staged = stage(source, tmp_path)
    assert sorted(path.name for path in staged.path.parent.iterdir()) == ["m.mtl", "model.obj", "t.png"]
    assert staged.folder in staged.path.parents


@pytest.mark.parametrize("name", ["..\\m.obj", "/../m.obj", "c/..\\..\\m.obj", "C:\\m.obj"])
def test_no_name_leads_outside(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, CUBE)
    with pytest.raises(EnrError, match="No mesh"):
        find_meshes([tmp_path / "m.zip"])
