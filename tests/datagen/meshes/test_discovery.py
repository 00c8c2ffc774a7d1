"""Meshes are found under stable ids, read or refused with a reason, and normalised as documented."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.datagen.meshes.discovery import (
    MeshSource,
    draw_meshes,
    find_meshes,
    mesh_sha256,
    unread_files,
)
from enr.datagen.meshes.formats import MESH_SUFFIXES, stored_up_axis
from enr.datagen.meshes.triangles import READ_BY_BLENDER_ALONE, load_triangles, normalisation
from enr.datagen.splits import assign_splits
from enr.errors import EnrError

TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 3\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
clouds = st.lists(st.tuples(*[st.floats(-100, 100)] * 3), min_size=2, max_size=20).map(np.array)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TETRAHEDRON)


def ids(*paths):
    return [source.scene_id for source in find_meshes(paths)]


def test_both_shapenet_layouts_take_the_folder_s_name_wherever_the_root_is(tmp_path):
    touch(tmp_path / "v1" / "abc" / "model.obj", tmp_path / "v2" / "def" / "models" / "model_normalized.obj")
    touch(tmp_path / "v2" / "def" / "models" / "model_normalized.mtl", tmp_path / "v1" / "abc" / "notes.txt")
    assert ids(tmp_path) == ids(tmp_path / "v1", tmp_path / "v2") == ["abc", "def"]
    assert ids(tmp_path / "v1" / "abc") == ids(tmp_path / "v1" / "abc" / "model.obj") == ["abc"]
    assert ids(tmp_path / "v2" / "def" / "models") == ["def"]


def test_ids_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    touch(tmp_path / "chairs" / "abc" / "model.obj", tmp_path / "mug.obj")
    monkeypatch.chdir(tmp_path / "chairs" / "abc")
    assert ids(Path()) == ids(Path("model.obj")) == ["abc"]
    monkeypatch.chdir(tmp_path)
    assert ids(Path()) == ["abc", "mug"]


def test_a_name_that_is_no_utf8_costs_itself_an_escaped_id(tmp_path):
    names = [b"st\xfchl.obj", b"st\xfdhl.obj", b"st\\xfchl.obj", "stühl.obj".encode(), b"good.obj"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_text(TETRAHEDRON)
    (tmp_path / os.fsdecode(b"w\xfc.dae")).write_text("x")
    sources = find_meshes([tmp_path])
    assert len({source.scene_id for source in sources}) == 5
    for source in sources:
        source.scene_id.encode()
        source.problem.encode()
    bad = [source for source in sources if source.problem]
    assert len(bad) == 2 and all("UTF-8" in source.problem for source in bad)
    assert {"good", "stühl"} <= {source.scene_id for source in sources if not source.problem}


def test_any_file_of_a_known_format_goes_by_its_stem(tmp_path):
    names = [f"shape{index}{suffix}" for index, suffix in enumerate((*MESH_SUFFIXES, ".OBJ", ".Stl"))]
    touch(*(tmp_path / "deep" / "er" / name for name in names))
    assert ids(tmp_path) == sorted(Path(name).stem for name in names)


def test_colliding_ids_are_qualified_and_others_left_alone(tmp_path):
    touch(tmp_path / "a" / "mug.obj", tmp_path / "b" / "mug.obj", tmp_path / "b" / "cup.obj")
    touch(tmp_path / "c" / "cube.obj", tmp_path / "c" / "cube.ply")
    touch(tmp_path / "v1" / "abc" / "model.obj", tmp_path / "v2" / "abc" / "models" / "model_normalized.obj")
    assert ids(tmp_path) == ["a-mug.obj", "b-mug.obj", "cube.obj", "cube.ply", "cup", "v1-abc", "v2-abc"]


def test_qualified_names_that_collide_again_are_told_apart(tmp_path):
    touch(tmp_path / "a-b" / "c.obj", tmp_path / "a" / "b-c.obj", tmp_path / "d" / "c.obj", tmp_path / "e" / "b-c.obj")
    assert len(set(ids(tmp_path))) == 4


@settings(max_examples=30)
@given(st.sets(st.lists(st.sampled_from(["a", "b", "a-b", "models"]), min_size=1, max_size=4).map(tuple), min_size=1))
def test_ids_are_unique_and_sorted_for_any_tree(tmp_path_factory, places):
    root = tmp_path_factory.mktemp("tree")
    files = {root.joinpath(*place, name) for place in places for name in ("model.obj", "model_normalized.obj", "x.ply")}
    touch(*files)
    found = find_meshes([root])
    names = [source.scene_id for source in found]
    assert {source.path for source in found} == files
    assert names == sorted(names) and len(set(names)) == len(names)


def test_a_mesh_given_twice_is_one_mesh(tmp_path):
    touch(tmp_path / "abc" / "model.obj")
    (tmp_path / "link").symlink_to(tmp_path / "abc")
    (tmp_path / "abc" / "loop").symlink_to(tmp_path)
    assert len(find_meshes([tmp_path, tmp_path / "abc", tmp_path / "abc" / "model.obj"])) == 1


@given(st.sets(st.text("abc123", min_size=1), max_size=30), st.integers(1, 40), st.integers(1, 40))
def test_a_larger_draw_keeps_what_a_smaller_one_drew(names, small, more):
    sources = tuple(MeshSource(name, Path(f"{name}.obj")) for name in sorted(names))
    few, many = draw_meshes(sources, small), draw_meshes(sources, small + more)
    assert len(few) == min(small, len(sources))
    assert set(few) <= set(many)
    assert list(few) == [source for source in sources if source in few]
    assert draw_meshes(sources, None) == sources


def test_another_mesh_replaces_at_most_one_that_was_drawn():
    sources = tuple(MeshSource(f"chair-{number}", Path(f"{number}.obj")) for number in range(100))
    before, after = set(draw_meshes(sources[1:], 20)), set(draw_meshes(sources, 20))
    assert len(before - after) <= 1


def test_a_draw_takes_a_fair_share_of_each_split():
    sources = tuple(MeshSource(f"chair-{number}", Path(f"{number}.obj")) for number in range(4000))
    drawn = [source.scene_id for source in draw_meshes(sources, 1000)]
    trained = [name for name, split in assign_splits(drawn).items() if split == "train"]
    assert 0.82 < len(trained) / len(drawn) < 0.90


def test_a_folder_of_links_goes_by_the_links_names(tmp_path):
    touch(tmp_path / "store" / "blob" / "model.obj")
    (tmp_path / "subset").mkdir()
    (tmp_path / "subset" / "chair7").symlink_to(tmp_path / "store" / "blob")
    assert ids(tmp_path / "subset") == ["chair7"]


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    touch(tmp_path / "a.obj", tmp_path / "._a.obj", tmp_path / ".cache" / "b.obj")
    assert ids(tmp_path) == ["a"]


def test_what_holds_no_mesh_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(EnrError, match=r"No mesh in .*\.obj"):
        find_meshes([tmp_path])
    with pytest.raises(EnrError, match="does not exist"):
        find_meshes([tmp_path / "nowhere"])
    with pytest.raises(EnrError, match=r"readme\.txt is not of a format"):
        find_meshes([tmp_path / "readme.txt"])
    with pytest.raises(EnrError, match="nothing"):
        find_meshes([])


def test_files_of_other_3d_formats_are_listed(tmp_path):
    touch(tmp_path / "a.obj", tmp_path / "b.DAE", tmp_path / "c" / "d.3ds", tmp_path / "e.txt")
    assert [path.name for path in unread_files([tmp_path])] == ["b.DAE", "d.3ds"]


def test_hash_is_of_the_bytes(tmp_path):
    touch(tmp_path / "a.obj")
    assert mesh_sha256(MeshSource("a", tmp_path / "a.obj")) == hashlib.sha256(TETRAHEDRON.encode()).hexdigest()


@pytest.mark.parametrize("suffix", sorted(set(MESH_SUFFIXES) - set(READ_BY_BLENDER_ALONE)))
def test_every_format_comes_out_z_up(tmp_path, suffix):
    path = tmp_path / f"shape{suffix}"
    mesh = trimesh.Trimesh(CORNERS, [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], process=False)
    if suffix == ".obj":
        touch(path)
    else:
        exported = mesh.export(file_type=suffix[1:])
        for name, content in exported.items() if isinstance(exported, dict) else [(path.name, exported)]:
            target = path if name.endswith(suffix) else tmp_path / name
            target.write_bytes(content.encode() if isinstance(content, str) else content)
    vertices, faces = load_triangles(path)
    y_up = stored_up_axis(path) == "Y"
    assert y_up == (suffix in (".obj", ".glb", ".gltf"))
    expected = CORNERS[:, [0, 2, 1]] * [1, -1, 1] if y_up else CORNERS
    assert faces.shape == (4, 3)
    assert {tuple(corner) for corner in vertices[faces].reshape(-1, 3).round(5)} == {tuple(v) for v in expected + 0.0}


def test_vertices_outside_every_face_are_dropped(tmp_path):
    (tmp_path / "a.obj").write_text("v 9 9 9\n" + TETRAHEDRON.replace("f 1 3 2", "f 2 4 3").split("f 1 2 4")[0])
    vertices, faces = load_triangles(tmp_path / "a.obj")
    assert len(vertices) == 3 and faces.shape == (1, 3) and vertices.max() < 9


BROKEN = {
    "empty.obj": b"",
    "empty.stl": b"",
    "empty.ply": b"",
    "empty.off": b"",
    "empty.glb": b"",
    "empty.gltf": b"",
    "points.obj": b"v 0 0 0\nv 1 1 1\n",
    "lines.obj": b"v 0 0 0\nv 1 1 1\nl 1 2\n",
    "nul.obj": b"\0" * 500,
    "beyond.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n",
    "flat.obj": b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n",
    "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "words.ply": b"ply\nformat ascii 1.0\nelement vertex many\nend_header\n",
    "huge.off": b"OFF\n999999999999 5 0\n0 0 0\n",
    "cut.glb": b"glTF\x02\0\0\0\xff\xff\0\0",
    "nothing.gltf": json.dumps({"asset": {"version": "2.0"}}).encode(),
    "elsewhere.gltf": json.dumps(
        {"asset": {"version": "2.0"}, "buffers": [{"uri": "no.bin", "byteLength": 9}]}
    ).encode(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_sentence(tmp_path, name, capfd):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(EnrError) as caught:
        load_triangles(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and ";" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_files_that_are_none_and_formats_that_are_not_read_are_refused(tmp_path):
    with pytest.raises(EnrError, match="not a file"):
        load_triangles(tmp_path / "no.obj")
    (tmp_path / "a.fbx").write_bytes(b"")
    with pytest.raises(EnrError, match="Blender alone"):
        load_triangles(tmp_path / "a.fbx")
    (tmp_path / "a.dae").write_bytes(b"")
    with pytest.raises(EnrError, match="no importer for COLLADA; convert it to glTF"):
        load_triangles(tmp_path / "a.dae")


def test_awkward_files_are_read_or_refused():
    data = Path(os.environ.get("ENR_DATA", "")) / "awkward"
    if not os.environ.get("ENR_DATA") or not data.is_dir():
        pytest.skip("set ENR_DATA to a folder that holds awkward/")
    read = 0
    for source in find_meshes([data]):
        if source.member or source.suffix in READ_BY_BLENDER_ALONE:
            continue
        try:
            vertices, faces = load_triangles(source.path)
        except EnrError:
            continue
        read += 1
        assert len(faces) and faces.max() < len(vertices) and np.isfinite(vertices).all()
    assert read >= 100


@given(clouds, st.sampled_from(["diagonal", "longest"]))
def test_normalised_boxes_are_centred_and_of_size_one(vertices, mode):
    extent = vertices.max(axis=0) - vertices.min(axis=0)
    if extent.max() < 1e-6:
        return
    scale, offset = normalisation(vertices, mode)
    world = scale * (vertices + offset)
    np.testing.assert_allclose(world.max(axis=0), -world.min(axis=0), atol=1e-6)
    size = world.max(axis=0) - world.min(axis=0)
    assert (np.linalg.norm(size) if mode == "diagonal" else size.max()) == pytest.approx(1)


@given(clouds)
def test_none_leaves_a_mesh_as_stored(vertices):
    scale, offset = normalisation(vertices, "none")
    np.testing.assert_array_equal(scale * (vertices + offset), vertices)


def test_meshes_without_size_and_unknown_modes_are_refused():
    with pytest.raises(EnrError, match="size"):
        normalisation(np.ones((3, 3)), "diagonal")
    with pytest.raises(EnrError, match="diagonal, longest, none"):
        normalisation(CORNERS, "sphere")
