"""`enr export`: what each layout's readers find is the same cameras and the same pictures."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.command_line import enr
from tests.pipelines.toy_shards import Toy, make_toy

from enr.datagen.cameras.pose_files import read_cameras
from enr.datagen.export.dataset import export
from enr.datagen.export.webdataset import TarWriter
from enr.errors import EnrError
from enr.shards import Shard, write_shard

BACKGROUND = (0.2, 0.4, 1.0)
TOY = Toy(splits=("train", "val"), views=3, size_px=9, group="rot", background=BACKGROUND)


def written(folder: Path, shard: Shard) -> Path:
    path = folder / f"{shard.meta.group}-00000-of-00001.h5"
    write_shard(path, shard)
    return path


def changed(shard: Shard, **views) -> Shard:
    return dataclasses.replace(shard, views={**shard.views, **views})


def held_out(shard: Shard) -> Shard:
    """The last view of the scene that is trained on is a test view."""
    split = shard.views["split"].copy()
    split[2] = "test"
    return changed(shard, split=split)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def over(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return np.rint(alpha * rgba[..., :3] + (1 - alpha) * 255 * np.array(BACKGROUND)).astype(np.uint8)


def rows_of(shard: Shard, scene_id: str, split: str | None = None) -> np.ndarray:
    own = shard.views["scene_id"] == scene_id
    return np.flatnonzero(own & (shard.views["split"] == split) if split else own)


def read_srn(folder: Path) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Picture, camera to world and K of each view, as the readers of that data do it."""
    lines = (folder / "intrinsics.txt").read_text().splitlines()
    focal, centre_x, centre_y, _ = map(float, lines[0].split())
    height, width = map(int, lines[-1].split())
    K = np.array([[focal, 0, centre_x], [0, focal, centre_y], [0, 0, 1]])
    views = {}
    for path in sorted((folder / "rgb").iterdir()):
        pose = np.loadtxt(folder / "pose" / f"{path.stem}.txt").reshape(4, 4)
        views[int(path.stem)] = picture(path), pose, K
        assert views[int(path.stem)][0].shape == (height, width, 3)
    return views


def test_nerf_gives_the_same_cameras_and_pictures(tmp_path):
    shard = held_out(make_toy(dataclasses.replace(TOY, group="rototrans")))
    export([written(tmp_path, shard)], "nerf", tmp_path / "out")
    for scene_id in shard.scenes["scene_id"]:
        folder, rows = tmp_path / "out/rototrans" / scene_id, rows_of(shard, scene_id)
        cameras = read_cameras(folder / "transforms.json")
        np.testing.assert_array_equal(cameras.world_from_camera, shard.views["world_from_camera"][rows])
        np.testing.assert_array_equal(cameras.K, shard.views["K"][rows])
        assert cameras.size_px == (9, 9)
        for name, row in zip(cameras.names, rows, strict=True):
            np.testing.assert_array_equal(picture(folder / name), shard.images[row])
    content = json.loads((tmp_path / "out/rototrans/box-000/transforms.json").read_text())
    forward = -np.array(content["frames"][0]["transform_matrix"])[:3, 2]
    np.testing.assert_allclose(forward, shard.views["world_from_camera"][0, :3, 2])
    assert np.tan(content["camera_angle_x"] / 2) == pytest.approx(9 / 2 / shard.views["K"][0, 0, 0])


def test_nerf_has_a_file_for_each_split_as_its_readers_expect(tmp_path):
    shard = held_out(make_toy(TOY))
    export([written(tmp_path, shard)], "nerf", tmp_path / "out")
    folder = tmp_path / "out/rot/box-000"
    assert {path.name for path in folder.glob("transforms*")} == {
        "transforms.json",
        "transforms_train.json",
        "transforms_test.json",
    }
    for split, rows in (("train", [0, 1]), ("test", [2])):
        frames = json.loads((folder / f"transforms_{split}.json").read_text())["frames"]
        for frame, row in zip(frames, rows, strict=True):
            np.testing.assert_array_equal(picture(folder / f"{frame['file_path']}.png"), shard.images[row])


def test_nerf_keeps_lenses_that_differ(tmp_path):
    shard = make_toy(TOY)
    K = shard.views["K"] + np.random.default_rng(1).uniform(0, 1, (6, 3, 3)) * [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    export([written(tmp_path, changed(shard, K=K))], "nerf", tmp_path / "out")
    np.testing.assert_array_equal(read_cameras(tmp_path / "out/rot/box-001/transforms.json").K, K[3:])


def test_nerf_depth_is_in_thousandths(tmp_path):
    shard = make_toy(TOY)
    depth = np.full((6, 9, 9), np.inf, dtype=np.float32)
    depth[:, 2, 3], depth[:, 3, 3] = 1.2344, 70.0
    export([written(tmp_path, dataclasses.replace(shard, passes={"depth": depth}))], "nerf", tmp_path / "out")
    frame = json.loads((tmp_path / "out/rot/box-000/transforms.json").read_text())["frames"][0]
    stored = picture(tmp_path / "out/rot/box-000" / frame["depth_file_path"])
    assert stored.dtype == np.uint16 or stored.dtype == np.int32
    assert stored[2, 3] == 1234 and stored.sum() == 1234


def test_srn_gives_the_same_cameras_and_opaque_pictures(tmp_path):
    shard = held_out(make_toy(dataclasses.replace(TOY, group="rototrans")))
    export([written(tmp_path, shard)], "srn", tmp_path / "out")
    seen = 0
    for split, scene_id in (("train", "box-000"), ("test", "box-000"), ("val", "box-001")):
        views = read_srn(tmp_path / f"out/rototrans_{split}" / scene_id)
        for row in rows_of(shard, scene_id, split):
            image, pose, K = views[int(shard.views["view_index"][row])]
            np.testing.assert_array_equal(pose, shard.views["world_from_camera"][row])
            np.testing.assert_array_equal(K, shard.views["K"][row])
            np.testing.assert_array_equal(image, over(shard.images[row]))
            seen += 1
    assert seen == len(list(tmp_path.glob("out/*/*/rgb/*.png"))) == 6


def test_apple_gives_the_same_cameras_and_opaque_pictures(tmp_path):
    shard = make_toy(TOY)
    export([written(tmp_path, shard)], "apple", tmp_path / "out")
    for split, scene_id in (("train", "box-000"), ("val", "box-001")):
        folder, rows = tmp_path / "out/rot" / split / scene_id, rows_of(shard, scene_id)
        cameras = read_cameras(folder / "render_params.json", radius=2.0)
        np.testing.assert_allclose(cameras.world_from_camera, shard.views["world_from_camera"][rows], atol=1e-12)
        for name, row in zip(cameras.names, rows, strict=True):
            np.testing.assert_array_equal(picture(folder / f"{name}.png"), over(shard.images[row]))


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), views=st.integers(1, 4))
def test_webdataset_gives_the_same_views(tmp_path_factory, seed, views):
    folder = tmp_path_factory.mktemp("tar")
    shard = make_toy(Toy(("train", "train"), views, 8, seed=seed))
    mask = shard.images[..., 3] > 0
    depth = np.where(mask, 2.0, np.inf).astype(np.float32)
    shard = dataclasses.replace(shard, passes={"mask": mask, "depth": depth})
    export([written(folder, shard)], "webdataset", folder / "out")
    with tarfile.open(folder / "out/rototrans-train-000000.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    keys = [name.partition(".")[0] for name in files]
    assert keys == sorted(keys)  # a sample's files are adjacent
    for row in range(2 * views):
        key = f"{shard.views['scene_id'][row]}-{shard.views['view_index'][row]:05d}"
        facts = json.loads(files[f"{key}.json"])
        np.testing.assert_array_equal(facts["world_from_camera"], shard.views["world_from_camera"][row])
        np.testing.assert_array_equal(facts["K"], shard.views["K"][row])
        np.testing.assert_array_equal(Image.open(io.BytesIO(files[f"{key}.png"])), shard.images[row])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(files[f"{key}.mask.png"]))) > 0, mask[row])
        np.testing.assert_array_equal(np.load(io.BytesIO(files[f"{key}.depth.npy"])), depth[row])


def test_tar_files_are_closed_when_large_and_their_bytes_depend_on_the_views_alone(tmp_path, monkeypatch):
    path = written(tmp_path, make_toy(dataclasses.replace(TOY, splits=("train",))))
    monkeypatch.setattr(TarWriter.__init__, "__defaults__", (4000,))
    for name in ("first", "second"):
        export([path], "webdataset", tmp_path / name)
    tars = sorted((tmp_path / "first").glob("*.tar"))
    assert [tar.name for tar in tars] == [f"rot-train-00000{number}.tar" for number in range(2)]
    assert all(tar.read_bytes() == (tmp_path / "second" / tar.name).read_bytes() for tar in tars)


def test_ids_that_are_no_file_names_do_not_collide(tmp_path):
    shard = make_toy(TOY)
    ids = np.array(["a/b.c", "a_b/c"])
    renamed = dataclasses.replace(changed(shard, scene_id=np.repeat(ids, 3)), scenes={**shard.scenes, "scene_id": ids})
    export([written(tmp_path, renamed)], "nerf", tmp_path / "out")
    folders = [path.name for path in (tmp_path / "out/rot").iterdir()]
    assert len(folders) == 2 and all(name.startswith("a_b_c-") for name in folders)


@pytest.mark.parametrize(
    ("layout", "change", "words"),
    [
        ("apple", {"world_from_camera": lambda cameras: cameras + 0.1 * (np.eye(4, k=3) * 1.0)}, "look at the origin"),
        ("apple", {"azimuth_deg": lambda angles: angles * np.nan}, "look at the origin"),
        ("srn", {"K": lambda K: K * [[2, 1, 1], [1, 1, 1], [1, 1, 1]]}, "one focal length"),
        ("srn", {"K": lambda K: K + np.arange(6)[:, None, None] * np.diag([1, 1, 0])}, "one focal length"),
    ],
)
def test_what_a_layout_has_no_place_for_is_refused_before_anything_is_written(tmp_path, layout, change, words):
    shard = make_toy(TOY)
    views = {name: make(shard.views[name]) for name, make in change.items()}
    result = enr("export", written(tmp_path, changed(shard, **views)), "--to", layout, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.output and len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_translated_targets_have_no_place_in_azimuth_and_elevation(tmp_path):
    path = written(tmp_path, make_toy(dataclasses.replace(TOY, group="rototrans")))
    with pytest.raises(EnrError, match="an azimuth and an elevation alone"):
        export([path], "apple", tmp_path / "out")


def test_a_folder_that_is_not_empty_is_kept_unless_told(tmp_path):
    path = written(tmp_path, make_toy(TOY))
    out = tmp_path / "out"
    first = enr("export", path, "--to", "nerf", "--out", out)
    assert first.exit_code == 0 and "6 images of 2 scenes" in first.output
    stale = out / "rot/box-000/train/r_99.png"
    stale.write_bytes(b"")
    again = enr("export", path, "--to", "nerf", "--out", out)
    assert again.exit_code == 2 and "is not empty" in again.output and stale.exists()
    assert enr("export", path, "--to", "nerf", "--out", out, "--overwrite").exit_code == 0
    assert not stale.exists() and not list(out.rglob("*.partial"))
    assert json.loads((out / "about.json").read_text())["layout"] == "nerf"


@pytest.mark.parametrize("layout", ["nerf", "webdataset"])
def test_an_export_that_fails_leaves_no_half_written_scene(tmp_path, monkeypatch, layout):
    path = written(tmp_path, make_toy(TOY))

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    result = enr("export", path, "--to", layout, "--out", tmp_path / "out")
    assert result.exit_code == 2 and "No space left" in result.output
    assert [item for item in (tmp_path / "out").rglob("*") if item.is_file()] == []


def test_a_damaged_shard_is_not_exported(tmp_path):
    path = written(tmp_path, make_toy(TOY))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(EnrError, match="no longer what was written"):
        export([path], "nerf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["nerf", "srn", "apple", "webdataset"])
@pytest.mark.parametrize("length", [104, 300])
def test_long_ids_are_written_under_names_that_stay_apart(tmp_path, layout, length):
    shard = make_toy(TOY)
    names = {old: f"{'chair_' * 50}"[: length - 1] + str(index) for index, old in enumerate(shard.scenes["scene_id"])}
    renamed = {
        table: {**columns, "scene_id": np.array([names[one] for one in columns["scene_id"]])}
        for table, columns in (("views", shard.views), ("scenes", shard.scenes))
    }
    made = export([written(tmp_path, dataclasses.replace(shard, **renamed))], layout, tmp_path / "out")
    assert made.scenes == len(names)
    if layout == "webdataset":
        found = [name for path in (tmp_path / "out").glob("*.tar") for name in tarfile.open(path).getnames()]  # noqa: SIM115
        assert len(set(found)) == len(found) == 2 * made.images
    else:
        assert len(list((tmp_path / "out").rglob("*.png"))) == made.images
