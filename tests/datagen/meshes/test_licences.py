"""What a mesh's owner says about its licence is found, and nothing else is made of it."""

import json
import struct
import zipfile

import pytest

from enr.datagen.meshes.discovery import MeshSource, find_meshes
from enr.datagen.meshes.licences import find_licence

MIT = "MIT License\n\nCopyright (c) 2020 Somebody\n\nPermission is hereby granted, free of charge, to any person"


def licence_beside(folder, name: str, text: str) -> str | None:
    (folder / "model.obj").write_text("")
    (folder / name).write_text(text)
    return find_licence(MeshSource("model", folder / "model.obj"))


@pytest.mark.parametrize("name", ["LICENSE", "license.txt", "LICENCE.md", "Licence-models.txt", "COPYING"])
def test_a_file_beside_the_mesh_tells(tmp_path, name):
    assert licence_beside(tmp_path, name, MIT) == "MIT"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("See https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
        ("\n  For  research\nonly", "For research"),
        ("CC0 for the chairs,\nlicenses/by/4.0 for the rest", "CC0 for the chairs,"),
        ("", None),
    ],
)
def test_a_known_text_goes_by_its_name_and_any_other_by_its_first_line(tmp_path, text, told):
    assert licence_beside(tmp_path, "LICENSE", text) == told


@pytest.mark.parametrize("name", ["licensed.obj.txt", "README", "my-license.txt"])
def test_other_files_do_not(tmp_path, name):
    assert licence_beside(tmp_path, name, MIT) is None


def gltf(asset: dict) -> bytes:
    return json.dumps({"asset": {"version": "2.0", **asset}}).encode()


def glb(content: bytes) -> bytes:
    content += b" " * (-len(content) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(content), len(content), b"JSON") + content


@pytest.mark.parametrize(
    ("asset", "told"),
    [
        ({"copyright": "(c) 2020  Somebody"}, "(c) 2020 Somebody"),
        ({"copyright": "x", "extras": {"license": "CC-BY-4.0", "author": "y"}}, "CC-BY-4.0"),
        ({"extras": "not an object"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize(("suffix", "pack"), [(".gltf", bytes), (".glb", glb)])
def test_a_gltf_tells_itself(tmp_path, asset, told, suffix, pack):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pack(gltf(asset)))
    assert find_licence(MeshSource("model", path)) == told


def test_inside_an_archive_as_beside_a_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one/model.obj", "v 0 0 0")
        archive.writestr("one/LICENSE", MIT)
        archive.writestr("two/model.glb", glb(gltf({"copyright": "mine"})))
        archive.writestr("three/model.obj", "v 0 0 0")
    told = {source.scene_id: find_licence(source) for source in find_meshes([tmp_path / "all.zip"])}
    assert sorted(told.values(), key=str) == ["MIT", None, "mine"]


@pytest.mark.parametrize("content", [b"", b"glTF", b"\xff\xfe", b"[]", b'{"asset": 3}'])
def test_damaged_files_tell_nothing(tmp_path, content):
    for suffix in (".gltf", ".glb"):
        (tmp_path / f"model{suffix}").write_bytes(content)
        assert find_licence(MeshSource("model", tmp_path / f"model{suffix}")) is None
