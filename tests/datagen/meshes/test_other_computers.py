"""Meshes from other computers: their paths, line ends and encodings; one rule for folder, archive, hash and picture."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.datagen import blender_meshes as bm

from enr.datagen.generate import generate
from enr.datagen.meshes.discovery import find_meshes, mesh_sha256
from enr.datagen.meshes.obj_files import plain_library
from enr.datagen.meshes.staging import StagedMesh, stage
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.settings import GenerateSettings, PoseSettings, RenderSettings
from enr.errors import EnrError
from enr.shards import read_shard

SQUARE = "v -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACES = "usemtl m\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
MTL = "newmtl m\nKd 0 0 0\nmap_Kd {0}\n"
ABOVE = PoseSettings("rot", elevation_deg=(60, 60))
GREEN, RED = (30, 200, 60), (200, 30, 60)


def png(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, "PNG")
    return stream.getvalue()


def lay_out(root: Path, files: dict[str, bytes], kind: str) -> Path:
    """The files in a folder, or in an archive."""
    if kind == "zip":
        root.mkdir(parents=True)
        with zipfile.ZipFile(root / "all.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    for name, content in files.items() if kind == "folder" else ():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def textured(said: str, lies: str = "wood.png", colour: tuple[int, int, int] = GREEN) -> dict[str, bytes]:
    """A square whose library names its texture `said`, which lies in the mesh's folder as `lies`."""
    obj = f"mtllib m.mtl\n{SQUARE}{FACES}"
    return {"a/x.obj": obj.encode(), "a/m.mtl": MTL.format(said).encode("cp1252"), f"a/{lies}": png(colour)}


def staged_texture(staged: StagedMesh) -> bytes | None:
    """What the staged mesh's texture is, by the name that stands in its library alone."""
    library = re.search(rb"mtllib (.*)", staged.path.read_bytes())
    name = library and re.search(rb"map_Kd (?:-s 1 1 1 )?(.*)", (staged.path.parent / library[1].decode()).read_bytes())
    assert name is not None
    place = staged.path.parent / name[1].decode().replace("\\", "/")
    return place.read_bytes() if place.is_file() else None


SPELLINGS = [
    ("wood.png", "wood.png"),
    ("./wood.png", "wood.png"),
    ("C:\\Users\\me\\My Textures\\wood.png", "wood.png"),
    ("/opt/textures/wood.png", "wood.png"),
    ("/wood.png", "wood.png"),
    ("/maps/wood.png", "maps/wood.png"),
    ("D:\\maps\\wood.png", "maps/wood.png"),
    ('"wood.png"', "wood.png"),
    ('"C:\\my wood.png"', "my wood.png"),
    ("my_wood.png", "my wood.png"),
    ("-s 1 1 1 C:\\x\\my wood.png", "my wood.png"),
    ("WOOD.PNG", "wood.png"),
    ("maps\\Wood.png", "Maps/wood.PNG"),
    ("maps\\wood.png", "maps/wood.png"),
    ("stühl.png", "stühl.png"),
]


@pytest.mark.parametrize(("said", "lies"), SPELLINGS)
def test_a_texture_is_found_by_one_rule_for_folder_archive_and_hash(tmp_path, said, lies):
    hashes = set()
    for kind in ("folder", "zip"):
        (source,) = find_meshes([lay_out(tmp_path / kind, textured(said, lies), kind)])
        assert staged_texture(stage(source, tmp_path)) == png(GREEN)
        hashes.add(mesh_sha256(source))
        (other,) = find_meshes([lay_out(tmp_path / f"{kind}-red", textured(said, lies, RED), kind)])
        assert mesh_sha256(other) not in hashes
    assert len(hashes) == 1


def test_an_archive_shows_nothing_that_lies_on_this_computer(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(RED))
    for number, said in enumerate((f"{tmp_path}/secret.png", f"{tmp_path}\\secret.png", "../../../secret.png")):
        (source,) = find_meshes([lay_out(tmp_path / f"{number}", textured(said, "other.png"), "zip")])
        (tmp_path / f"scratch-{number}").mkdir()
        staged = stage(source, tmp_path / f"scratch-{number}")
        assert staged_texture(staged) is None
        assert staged.path.parent.name == "copy"


def test_a_file_that_lies_where_its_name_says_is_read_where_it_lies(tmp_path):
    (source,) = find_meshes([lay_out(tmp_path, textured("wood.png"), "folder")])
    assert stage(source, tmp_path) == StagedMesh(source.path, "Y")


LIBRARIES = {
    "plain": ("mtllib m.mtl\n", "m.mtl"),
    "backslash": ("mtllib lib\\m.mtl\n", "lib/m.mtl"),
    "foreign": ("mtllib C:\\work\\m.mtl\n", "m.mtl"),
    "quoted": ('mtllib "my lib.mtl"\n', "my lib.mtl"),
    "blank": ("mtllib my lib.mtl\n", "my lib.mtl"),
    "case": ("mtllib M.MTL\n", "m.mtl"),
    "second": ("mtllib none.mtl m.mtl\n", "m.mtl"),
    "second line": ("mtllib none.mtl\nmtllib m.mtl\n", "m.mtl"),
    "none": ("", "x.mtl"),
    "wrong": ("mtllib untitled.mtl\n", "x.mtl"),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_colours_of_a_library_are_shown_wherever_it_is_found(tmp_path, name):
    """By folder and archive alike; a change of the library is noticed, too."""
    line, place = LIBRARIES[name]
    texture = "a/wood.png" if "/" not in place else "a/lib/wood.png"
    found = {}
    for kind in ("folder", "zip"):
        files = {"a/x.obj": f"{line}{SQUARE}{FACES}".encode(), f"a/{place}": MTL.format("wood.png").encode()}
        root = lay_out(tmp_path / kind, {**files, texture: png(GREEN)}, kind)
        render = RenderSettings(width_px=16, height_px=16, samples=1)
        summary = generate(
            GenerateSettings(meshes=(root,), views=1, out=tmp_path / f"{kind}-out", render=render, poses=ABOVE)
        )
        shard = read_shard(summary.shards[0])
        assert shard.scenes["materials"].tolist() == ["original"]
        found[kind] = shard.images, shard.scenes["mesh_sha256"].tolist()
        changed = lay_out(tmp_path / f"{kind}-new", {**files, f"a/{place}": b"newmtl m\nKd 1 0 0\n"}, kind)
        assert mesh_sha256(find_meshes([changed])[0]) not in found[kind][1]
    np.testing.assert_array_equal(found["folder"][0], found["zip"][0])
    assert found["folder"][1] == found["zip"][1]
    red, green, blue, _ = found["zip"][0][0, 7:9, 7:9].mean(axis=(0, 1))
    assert green > 1.5 * max(red, blue)


DIALECTS = {
    "statements in capitals": ("NEWMTL m\nKD 0.1 0.7 0.3\n", "newmtl m\nKd 0.1 0.7 0.3\n"),
    "one number for a grey": ("newmtl m\nKd 0.4\n", "newmtl m\nKd 0.4 0.4 0.4\n"),
    "decimal commas": ("newmtl m\nKd 0,1 0,7 0,3\nd 0,5\n", "newmtl m\nKd 0.1 0.7 0.3\nd 0.5\n"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_library_in_another_dialect_gives_the_picture_of_the_plain_one(tmp_path, dialect):
    odd, plain = DIALECTS[dialect]
    assert plain_library(plain.encode()).decode() == plain
    assert plain_library(odd.encode()).decode() == plain
    obj = f"mtllib m.mtl\n{SQUARE}{FACES}".encode()
    for name, library in (("odd", odd), ("plain", plain)):
        lay_out(tmp_path / name, {"x.obj": obj, "m.mtl": library.encode()}, "folder")
    shown = bm.pictures(*(bm.make_job(tmp_path / name / "x.obj", 2) for name in ("odd", "plain")))
    np.testing.assert_array_equal(*shown)
    assert shown[0][..., 3].any()


ENCODINGS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "carriage returns": lambda text: text.replace("\n", "\r").encode(),
    "marked, with carriage returns": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r").encode(),
    "mixed": lambda text: (text[:30].replace("\n", "\r\n") + text[30:].replace("\n", "\r")).encode(),
}
TEXTS = {
    "x.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n",
    "x.off": "OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n",
    "x.ply": "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "x.stl": "solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    "endsolid x\n",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_any_system_are_read_whole(tmp_path, name, encoding):
    """The first line, too, and the faces that a carriage return parts."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / name).write_text(TEXTS[name])
    (tmp_path / name).write_bytes(ENCODINGS[encoding](TEXTS[name]))
    staged, plain = (stage(find_meshes([place])[0], tmp_path) for place in (tmp_path / name, tmp_path / "plain" / name))
    for found, expected in zip(load_triangles(staged.path), load_triangles(plain.path), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_blender_reads_what_is_staged(tmp_path):
    made = {}
    for folder, write in (("plain", str.encode), *((name, ENCODINGS[name]) for name in ("mark", "carriage returns"))):
        for name, text in TEXTS.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(write(text))
            job = bm.make_job(tmp_path / folder / name, 1, ABOVE, width_px=16, height_px=16, samples=1)
            (made[folder, name],) = bm.pictures(job)
    for (_, name), images in made.items():
        np.testing.assert_array_equal(images, made["plain", name])


def test_a_text_that_only_begins_as_utf_16_is_named(tmp_path):
    (tmp_path / "x.obj").write_bytes(b"\xff\xfe" + b"v 0 0  0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(EnrError, match=r"x\.obj: the text begins as UTF-16 does"):
        stage(find_meshes([tmp_path])[0], tmp_path)
