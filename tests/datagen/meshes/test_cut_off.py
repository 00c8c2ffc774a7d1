"""Files that end too early, and archives in archives: refused in words that say so."""

from __future__ import annotations

import zipfile

import pytest
import trimesh
from tests.datagen import blender_meshes as bm

from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.meshes.rewriting import rewritten
from enr.errors import EnrError

BOX = trimesh.creation.box((2, 1, 0.5))


def test_a_binary_stl_that_was_cut_off_says_how_much_is_left(tmp_path):
    path = tmp_path / "m.stl"
    path.write_bytes(BOX.export(file_type="stl")[:-60])
    with pytest.raises(EnrError, match="announces 12 triangles and holds 10"):
        rewritten(path)


def test_a_text_stl_that_was_cut_off_is_not_rendered_in_part(tmp_path):
    path, text = tmp_path / "m.stl", BOX.export(file_type="stl_ascii")
    path.write_text(text[: len(text) // 2])
    with pytest.raises(EnrError, match="cut off within a triangle"):
        rewritten(path)


def test_a_text_stl_in_capitals_is_read(tmp_path):
    (tmp_path / "m.stl").write_text(BOX.export(file_type="stl_ascii").upper())
    (outcome,) = bm.render(bm.make_job(tmp_path / "m.stl", 1))
    assert outcome.facts["mesh"]["faces"] == 12


def test_an_archive_in_an_archive_is_said(tmp_path):
    bm.write_obj(tmp_path / "m.obj", BOX.vertices, BOX.faces)
    for name, member in (("inner.zip", "m.obj"), ("outer.zip", "inner.zip")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(tmp_path / member, member)
    (tmp_path / "inner.zip").unlink()
    problems = {source.path.name: source.problem for source in find_meshes([tmp_path])}
    assert "holds no mesh but another archive (inner.zip)" in problems["outer.zip"] and not problems["m.obj"]
    with pytest.raises(EnrError, match="another archive"):
        find_meshes([tmp_path / "outer.zip"])
