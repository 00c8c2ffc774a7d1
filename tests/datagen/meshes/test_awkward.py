"""Every file that a user may hold ends in a render or a named reason."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm

from enr.datagen.generate import generate
from enr.datagen.meshes.discovery import find_meshes, unread_files
from enr.datagen.settings import GenerateSettings, PoolSettings, PoseSettings, RenderSettings
from enr.datagen.workers.pool import default_workers
from enr.errors import EnrError
from enr.shards import read_shard

RIGHT_REASONS = (
    "holds NUL bytes|holds no mesh|has no faces|holds no triangles|have no area|no vertices|No end_header|names vertex|"
    "Invalid PLY header|cannot be read as .off|Failed to read file 'empty.stl'|'stl_empty_ascii.stl'|"
    r"not written as a number \(3\.1\+e2\)"
)
"""What is wrong with the files of the collection that cannot be rendered, by the words that say so."""
SMALL = RenderSettings(width_px=32, height_px=32, focal_px=44.0, samples=2)


def settings_for(meshes: Path, out: Path) -> GenerateSettings:
    return GenerateSettings(meshes=(meshes,), views=2, poses=PoseSettings("rot"), render=SMALL, out=out)


def write_broken_files(folder: Path) -> None:
    """One file of every kind of trouble, and a good one of every format."""
    blocks = bm.corner_blocks()
    bm.write_obj(folder / "good-obj.obj", blocks.vertices, blocks.faces)
    for suffix in ("ply", "stl", "off", "glb"):
        blocks.export(folder / f"good-{suffix}.{suffix}")
        data = (folder / f"good-{suffix}.{suffix}").read_bytes()
        (folder / f"cut-{suffix}.{suffix}").write_bytes(data[: len(data) // 2])
        (folder / f"empty-{suffix}.{suffix}").write_bytes(b"")
        (folder / f"zeros-{suffix}.{suffix}").write_bytes(bytes(2000))
        (folder / f"noise-{suffix}.{suffix}").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "utf16-obj.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", encoding="utf-16")
    (folder / "text-gltf.gltf").write_text("not JSON")
    (folder / "lonely-gltf.gltf").write_text('{"asset": {"version": "2.0"}, "buffers": [{"uri": "gone.bin"}]}')
    (folder / "huge-obj.obj").write_text("v 0 0 0\nv 1e30 0 0\nv 0 1e30 0\nf 1 2 3\n")
    (folder / "missing-index-obj.obj").write_text("v 0 0 0\nv 1 0 0\nf 1 2 9\n")


def test_broken_files_are_named_and_good_ones_rendered(tmp_path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    write_broken_files(folder)
    summary = generate(dataclasses.replace(settings_for(folder, tmp_path / "shards"), pool=PoolSettings(workers=2)))
    made = {scene for path in summary.shards for scene in read_shard(path).scenes["scene_id"].tolist()}
    names = {path.stem for path in folder.iterdir()}
    assert made | set(summary.failures) == names
    assert not made & set(summary.failures)
    assert {f"good-{suffix}" for suffix in ("obj", "ply", "stl", "off", "glb")} <= made
    broken = {name for name in names if name.startswith(("empty", "zeros", "utf16", "text"))} - {"utf16-obj"}
    assert broken <= set(summary.failures) and "utf16-obj" in made
    assert all(reason and "\n" not in reason for reason in summary.failures.values())


def data_folder(name: str) -> Path:
    """A folder of test meshes; the test is skipped where it is not at hand."""
    if "ENR_DATA" not in os.environ:
        pytest.skip("ENR_DATA does not name the folder of test meshes")
    return Path(os.environ["ENR_DATA"]) / name


def render_folder(folder: Path, out: Path) -> tuple[set[str], dict[str, str]]:
    """Scene ids that were rendered, and the reasons of those that were not."""
    pool = PoolSettings(workers=default_workers())
    summary = generate(dataclasses.replace(settings_for(folder, out), pool=pool))
    made = {scene for path in summary.shards for scene in read_shard(path).scenes["scene_id"].tolist()}
    return made, summary.failures


@pytest.mark.slow
def test_the_awkward_collection(tmp_path):
    """Each file, given alone or in its folder, is rendered, fails with the right reason, or is refused with one."""
    folder = data_folder("awkward")
    made, failures = render_folder(folder, tmp_path / "shards")
    sources = find_meshes([folder])
    assert made | set(failures) == {source.scene_id for source in sources}
    whole_formats = (".fbx", ".blend", ".gltf", ".glb", ".zip")
    assert {source.scene_id for source in sources if source.suffix in whole_formats} - made == {"empty_nodes"}
    part_read = {name for name, reason in failures.items() if "names vertex" in reason}  # once rendered without faces
    assert len(part_read) == 1 and len(made | part_read) >= 143
    assert "visible" in failures.pop("fuze.obj")  # its one material says `Tr 1`
    unexplained = {name: reason for name, reason in failures.items() if not re.search(RIGHT_REASONS, reason)}
    assert unexplained == {}
    found = {source.path for source in sources}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path not in found):
        with pytest.raises(EnrError, match=r"convert it to|it is packed"):
            find_meshes([path])
    assert len(unread_files([folder])) == 21 + 1  # and a packed one


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapenet/originals", "shapenet/tables"])
def test_real_meshes_all_render(tmp_path, name):
    """All undecimated originals, and the first hundred tables."""
    subset = tmp_path / "meshes"
    subset.mkdir()
    folder = data_folder(name)
    for number, child in enumerate(sorted(folder.iterdir())[:100]):
        (subset / f"{number:03d}").symlink_to(child)
    made, failures = render_folder(subset, tmp_path / "shards")
    assert failures == {}
    assert len(made) == len(find_meshes([subset])) >= 67
