"""A mesh's hash covers what its pictures depend on, and an archive is a folder that was not unpacked."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enr.datagen.generate import generate
from enr.datagen.meshes.discovery import MeshSource, find_meshes, mesh_sha256, unread_files
from enr.datagen.meshes.formats import stored_up_axis, unread_words, why_not_read
from enr.datagen.meshes.mesh_files import named_files
from enr.datagen.meshes.staging import stage, unstage
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.shards import read_shard

OBJ = b"mtllib model_normalized.mtl\nv 0 0 0\nv 1 0 0\nv 0 2 0\nusemtl wood\nf 1 3 2\n"
MTL = b"newmtl wood\nKd 0.5 0.3 0.1\nmap_Kd -s 1 1 1 -clamp on ../images/wood grain.jpg\nmap_Bump -bm 0.2 bump.png\n"
FILES = {
    "1/a/models/model_normalized.obj": OBJ,
    "1/a/models/model_normalized.mtl": MTL,
    "1/a/images/wood grain.jpg": b"a picture",
    "1/a/models/notes.json": b"{}",
    "1/b/models/model_normalized.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
}


def write_files(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def damage(path: Path, name: str) -> None:
    """Overwrite the packed bytes of one member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(name)
    data[start : start + info.compress_size] = bytes(info.compress_size)
    path.write_bytes(data)


def encrypt(path: Path) -> None:
    """Set the flag that says so, in the list of contents and before each member."""
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        place = data.find(magic)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(magic, place + 1)
    path.write_bytes(data)


def hashes(*paths: Path) -> dict[str, str]:
    return {source.scene_id: mesh_sha256(source) for source in find_meshes(paths)}


def gltf(uris: list[str]) -> bytes:
    return json.dumps({"buffers": [{"uri": uri} for uri in uris], "images": [{"bufferView": 0}]}).encode()


def test_a_mesh_that_names_nothing_has_the_hash_of_its_bytes(tmp_path):
    write_files(tmp_path, FILES)
    assert hashes(tmp_path)["b"] == hashlib.sha256(FILES["1/b/models/model_normalized.obj"]).hexdigest()


@pytest.mark.parametrize("name", [name for name in FILES if "/a/" in name])
def test_the_hash_follows_every_file_that_the_pictures_depend_on_and_no_other(tmp_path, name):
    before = hashes(write_files(tmp_path, FILES))
    (tmp_path / name).write_bytes(FILES[name] + b"\n")
    assert (hashes(tmp_path)["a"] != before["a"]) == (not name.endswith(".json"))
    assert hashes(tmp_path)["b"] == before["b"]


def test_a_missing_texture_that_appears_is_noticed(tmp_path):
    before = hashes(write_files(tmp_path, FILES))
    (tmp_path / "1/a/models/bump.png").write_bytes(b"")
    assert hashes(tmp_path)["a"] != before["a"]


def test_the_hash_does_not_depend_on_where_the_mesh_lies(tmp_path, monkeypatch):
    write_files(tmp_path / "here", FILES)
    shutil.copytree(tmp_path / "here", tmp_path / "somewhere/else")
    monkeypatch.chdir(tmp_path / "here/1/a/models")
    expected = hashes(tmp_path / "here")
    assert hashes(tmp_path / "somewhere") == expected
    assert hashes(Path("model_normalized.obj"))["a"] == expected["a"]
    assert hashes(write_zip(tmp_path / "1.zip", FILES)) == expected


@given(st.binary(max_size=200))
def test_files_that_are_named_in_any_bytes_are_only_asked_for(noise):
    """Whatever a file says, finding what it names neither fails nor reads anything else."""

    def read(name: str) -> bytes:
        raise FileNotFoundError(name)

    for suffix, content in ((".obj", b"mtllib " + noise), (".gltf", noise), (".glb", b"glTF" + noise), (".off", noise)):
        assert set(named_files(suffix, content, read).values()) <= {None}


def test_names_in_a_material_library_are_found_behind_their_options():
    library = b"map_Kd -o 0.1 0 0 -mm 0 1 -imfchan r my wood.png\nrefl -type sphere sky.png\n\tMap_d 2.png\n"

    def read(name: str) -> bytes:
        return library if name == "a.mtl" else b""

    named = named_files(".OBJ", b"# mtllib no.mtl\r  mtllib a.mtl\n", read)
    assert set(named) == {"a.mtl", "my wood.png", "sky.png", "2.png"}


def test_a_gltf_names_its_buffers_in_text_and_binary_files():
    text = gltf(["a%20b.bin", "data:application/octet-stream;base64,AAAA"])
    binary = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON") + text
    assert set(named_files(".gltf", text, lambda name: b"")) == {"a b.bin"}
    assert set(named_files(".glb", binary, lambda name: b"")) == {"a b.bin"}


def test_an_archive_counts_as_a_folder(tmp_path):
    write_files(tmp_path / "folder", FILES)
    write_zip(tmp_path / "zips/deep/1.zip", {**FILES, "__MACOSX/1/._x.obj": b"", "1/.hidden/y.obj": b"", "readme": b""})
    assert hashes(tmp_path / "zips") == hashes(tmp_path / "zips/deep/1.zip") == hashes(tmp_path / "folder")
    assert len(find_meshes([tmp_path / "zips", tmp_path / "zips/deep/1.zip"])) == 2
    loose = write_zip(tmp_path / "MUGS.ZIP", {"mug.obj": OBJ, "cups/cup.stl": b"x", "model.obj": OBJ, "scan.dae": b""})
    assert [source.scene_id for source in find_meshes([loose])] == ["MUGS", "cup", "mug"]
    assert unread_files([tmp_path]) == (tmp_path / "MUGS.ZIP/scan.dae",)


def test_a_mesh_is_unpacked_with_what_it_names_and_removed_again(tmp_path):
    sources = find_meshes([write_zip(tmp_path / "1.zip", FILES)])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    staged = stage(sources[0], scratch)
    unpacked = {path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file()}
    assert unpacked == {name for name in FILES if "/a/" in name and not name.endswith(".json")}
    assert mesh_sha256(MeshSource("a", staged.path)) == mesh_sha256(sources[0])
    unstage({"staged_in": str(staged.folder)})
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["../up.obj", "/../abs.obj", "a/../../up.obj", "c:/x.obj", "a\\..\\..\\b.obj"])
def test_nothing_is_unpacked_outside_of_its_folder(tmp_path, name):
    """A member whose name leads elsewhere is none, and a texture that is called so is not found."""
    mtl = f"newmtl a\nmap_Kd {'../' * 9}{name}\nmap_Ks {name}\n".encode()
    archive = write_zip(tmp_path / "in/evil.zip", {name: OBJ, "x/good.obj": b"mtllib m.mtl\n" + OBJ, "x/m.mtl": mtl})
    (tmp_path / "scratch").mkdir()
    (source,) = find_meshes([archive])
    staged = stage(source, tmp_path / "scratch")
    files = {path for path in tmp_path.rglob("*") if path.is_file() and path != archive}
    copy = {path for path in files if path.parent == staged.folder / "copy"}
    assert sorted(path.relative_to(staged.folder).as_posix() for path in files - copy) == ["x/good.obj", "x/m.mtl"]
    assert sorted(path.name for path in copy) == ["0.mtl", "mesh-of.obj"]
    assert re.findall(rb"map_K. (.*)", (staged.folder / "copy/0.mtl").read_bytes()) == [b"missing-0", b"missing-1"]


def test_an_archive_that_cannot_be_read_is_refused_alone_and_named_in_a_folder(tmp_path):
    write_zip(tmp_path / "good.zip", FILES)
    (tmp_path / "cut.zip").write_bytes((tmp_path / "good.zip").read_bytes()[:200])
    encrypt(write_zip(tmp_path / "locked.zip", FILES))
    for name, reason in (("cut", "cannot be read as a zip"), ("locked", "is encrypted")):
        with pytest.raises(EnrError, match=reason):
            find_meshes([tmp_path / f"{name}.zip"])
    sources = {source.scene_id: source for source in find_meshes([tmp_path])}
    assert set(sources) == {"a", "b", "cut", "locked"}
    for name in ("cut", "locked"):
        with pytest.raises(EnrError, match=f"{name}.zip"):
            stage(sources[name], tmp_path)


def test_a_damaged_member_fails_alone(tmp_path):
    archive = write_zip(tmp_path / "1.zip", FILES)
    damage(archive, "1/b/models/model_normalized.obj")
    good, bad = find_meshes([archive])
    for use in (mesh_sha256, lambda source: stage(source, tmp_path)):
        with pytest.raises(EnrError, match="damaged"):
            use(bad)
    assert stage(good, tmp_path).path.read_bytes() == OBJ
    assert len(list(tmp_path.glob("mesh-*"))) == 1


def test_an_off_file_in_an_archive_is_unpacked_and_converted(tmp_path):
    off = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 0 2\n3 0 1 2\n"
    (source,) = find_meshes([write_zip(tmp_path / "a.zip", {"in/tri.off": off})])
    staged = stage(source, tmp_path, "y")
    assert staged.path.suffix == ".ply" and staged.up_axis == "Z"


def test_the_user_s_axis_counts_for_formats_that_do_not_say_theirs():
    assert [stored_up_axis(Path(name)) for name in ("a.obj", "a.GLB", "a.ply", "a.fbx")] == ["Y", "Y", "Z", None]
    assert [stored_up_axis(Path(name), "z") for name in ("a.obj", "a.ply", "a.usdz")] == ["Z", "Z", None]
    assert [stored_up_axis(Path(name), "y") for name in ("a.obj", "a.ply", "a.blend")] == ["Y", "Y", None]


def test_formats_without_an_importer_are_refused_with_the_reason(tmp_path):
    write_files(tmp_path, {"a.dae": b"", "b.DAE": b"", "c.3ds": b"", "d.txt": b""})
    with pytest.raises(
        EnrError, match=r"a\.dae is not read: Blender 5 has no importer for COLLADA; convert it to glTF"
    ):
        find_meshes([tmp_path / "a.dae"])
    with pytest.raises(EnrError, match=r"3 files .* \(2 COLLADA, 1 3D Studio\)"):
        find_meshes([tmp_path])
    assert why_not_read(Path("d.txt")).startswith("d.txt is not of a format")
    assert unread_words([]) == ""


def test_packed_meshes_are_said(tmp_path):
    packed = {"a.obj.gz": b"", "b.OBJ.GZ": b"", "c.tar.gz": b"", "d.rar": b""}
    write_files(tmp_path, {**packed, "mug.obj": OBJ, "table.csv.gz": b"", "e.dae": b""})
    found = unread_files([tmp_path])
    assert {path.name for path in found} == {*packed, "e.dae"} and len(find_meshes([tmp_path])) == 1
    assert re.search(r"1 file of .* \(1 COLLADA\); .*; 4 packed files .* \(2 \.obj\.gz, ", unread_words(found))
    with pytest.raises(EnrError, match="it is packed; unpack it"):
        find_meshes([tmp_path / "a.obj.gz"])


def test_a_data_set_from_an_archive_is_that_of_the_unpacked_folder(tmp_path, fake_worker):
    """Pixels, ids and hashes; and nothing of what was unpacked is left."""
    write_files(tmp_path / "folder", FILES)
    write_zip(tmp_path / "packed/1.zip", FILES)
    shards = []
    for name in ("folder", "packed"):
        settings = GenerateSettings(meshes=(tmp_path / name,), views=2, out=tmp_path / f"shards-{name}")
        summary = generate(settings)
        assert summary.failures == {}
        shards.append(read_shard(summary.shards[0]))
    np.testing.assert_array_equal(shards[0].images, shards[1].images)
    for column in ("scene_id", "mesh_sha256", "split"):
        assert shards[0].scenes[column].tolist() == shards[1].scenes[column].tolist()
    assert shards[1].scenes["mesh_path"].tolist()[0].endswith("packed/1.zip/1/a/models/model_normalized.obj")


def test_a_damaged_archive_in_a_folder_is_a_named_failure(tmp_path, fake_worker):
    write_files(tmp_path / "meshes", FILES)
    (tmp_path / "meshes/broken.zip").write_bytes(b"PK\3\4 no more")
    summary = generate(GenerateSettings(meshes=(tmp_path / "meshes",), views=1, out=tmp_path / "shards"))
    assert summary.scenes == 2
    assert "cannot be read as a zip archive" in summary.failures["broken"]


@pytest.mark.parametrize("extra", [b"", b"\0", b"made by a scanner"])
def test_bytes_after_a_binary_stl_are_left_out(tmp_path, extra):
    corners = np.float32([[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]])
    whole = b"x".ljust(80) + (1).to_bytes(4, "little") + corners.tobytes() + b"\0\0"
    (tmp_path / "m.stl").write_bytes(whole + extra)
    (source,) = find_meshes([tmp_path])
    staged = stage(source, tmp_path)
    assert staged.path.read_bytes() == whole
    assert (staged.folder is None) == (not extra)
    assert len(load_triangles(staged.path)[1]) == 1
