"""Textures that a file names in another case than the disk, seen from the folder that the command was given in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import SQUARE, write_glb

from enr.datagen.meshes.obj_files import locate


def green() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (4, 4), (0, 200, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_obj(folder: Path) -> Path:
    (folder / "m.mtl").write_text("newmtl m\nKd 1 1 1\nmap_Kd WOOD.png\n")
    square = "v -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    (folder / "m.obj").write_text(f"mtllib m.mtl\n{square}usemtl m\nf 1/1 2/2 3/3 4/4\n")
    return folder / "m.obj"


def write_named_glb(folder: Path) -> Path:
    textured = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0}}
    pictures = {"images": [{"uri": "WOOD.png"}], "textures": [{"source": 0}], "materials": [textured]}
    return write_glb(folder / "m.glb", [SQUARE], [{"mesh": 0}], **pictures)


@pytest.mark.parametrize("write", [write_obj, write_named_glb])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_texture_in_another_case_is_shown(tmp_path, monkeypatch, write, is_relative):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes/Wood.PNG").write_bytes(green())
    path = write(tmp_path / "meshes")
    monkeypatch.chdir(tmp_path)
    job = bm.make_job(path.relative_to(tmp_path) if is_relative else path, 3, samples=2, width_px=24, height_px=24)
    (images,) = bm.pictures(job)
    red, green_, blue = images[images[..., 3] > 250][:, :3].mean(axis=0)
    assert green_ > 100 and max(red, blue) < 60


def test_a_name_in_another_case_is_found_from_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "a/B").mkdir(parents=True)
    (tmp_path / "a/B/c.png").touch()
    monkeypatch.chdir(tmp_path)
    found = locate(Path("a"), "b/C.PNG")
    assert found is not None and found.samefile(tmp_path / "a/B/c.png")
