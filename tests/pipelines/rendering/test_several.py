"""Several pictures of one object, fused: laws of the sources, whose camera is whose, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import enr as run_enr
from tests.pipelines.conftest import CONFIG
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy

import enr
from enr.camera import orbit_camera
from enr.compositing import over_background
from enr.datagen.cameras.pose_files import GivenCameras, read_cameras, write_cameras
from enr.errors import EnrError
from enr.model import Renderer, load_model, save_model
from enr.pipelines.rendering.several import cameras_of

VIEWS = (0, 2, 3)


@pytest.fixture(scope="module")
def travelling(tmp_path_factory):
    """A model that places its object, so that several pictures triangulate it."""
    folder = tmp_path_factory.mktemp("travelling") / "checkpoint"
    save_model(folder, Renderer(tiny_config(16, carry_colour=True, depth_range="travelling", half_depth=0.5)), {})
    return folder


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """Pictures of a toy object, `a.png` and so on, and `poses.json` with their cameras and lens, by their names."""
    folder, toy = tmp_path_factory.mktemp("posed"), make_toy(Toy())
    rows = np.flatnonzero(toy.views["split"] == "test")
    pictures = [folder / f"{letter}.png" for letter in "abcd"]
    for path, row in zip(pictures, rows, strict=True):
        Image.fromarray(over_background(toy.images[row], (1, 1, 1))).save(path)
    cameras = toy.views["world_from_camera"][rows]
    write_cameras(folder / "poses.json", cameras, toy.views["K"][rows], (16, 16), tuple(path.name for path in pictures))
    return folder, pictures, cameras


def test_views_of_a_shard_are_what_the_model_makes_of_several_sources(travelling, shard):
    toy = make_toy(Toy())
    cameras = toy.views["world_from_camera"][toy.views["split"] == "test"]
    views = enr.novel_views(shard, checkpoint=travelling, view=VIEWS)
    over_white = over_background(toy.images[toy.views["split"] == "test"], (1, 1, 1))
    np.testing.assert_array_equal(views.truth, over_white[[1]])
    motions = torch.as_tensor(np.linalg.inv(cameras[1]) @ cameras[list(VIEWS)])[None]
    pictures = torch.from_numpy(over_white[list(VIEWS)]).permute(0, 3, 1, 2) / 255
    expected = load_model(travelling).generate_from_sources(pictures, motions)[0].permute(1, 2, 0) * 255
    np.testing.assert_allclose(views.images[0], expected.numpy(), atol=1.01)


@pytest.mark.parametrize("model", ["travelling", "checkpoint"])
def test_a_picture_given_twice_is_one_and_the_order_of_further_ones_does_not_matter(model, shard, request):
    given = {"checkpoint": request.getfixturevalue(model), "path": "orbit", "frames": 3}
    once, twice = (enr.novel_views(shard, view=view, **given).images for view in ((0,), (0, 0)))
    np.testing.assert_allclose(twice.astype(int), once, atol=1)
    one, other = (enr.novel_views(shard, view=view, **given).images for view in ((0, 2, 3), (0, 3, 2)))
    np.testing.assert_allclose(one.astype(int), other, atol=1)
    assert np.abs(one.astype(int) - once).max() > 1


def test_pictures_with_a_pose_file_are_the_shards_views(travelling, shard, posed):
    folder, pictures, cameras = posed
    chosen = [pictures[view] for view in VIEWS]
    given = {"checkpoint": travelling, "path": "orbit", "frames": 3}
    expected = enr.novel_views(shard, view=VIEWS, **given)
    by_name = enr.novel_views(chosen, poses=folder / "poses.json", **given)
    np.testing.assert_array_equal(by_name.images, expected.images)
    by_order = enr.novel_views(chosen, poses=cameras[list(VIEWS)], **given)
    np.testing.assert_array_equal(by_order.images, expected.images)
    assert any("triangulated from 3 pictures" in note for note in by_name.notes)


def test_the_command_fuses_and_writes(travelling, posed, tmp_path):
    folder, pictures, _ = posed
    line = ("render", *pictures[:2], "--poses", folder / "poses.json", "--checkpoint", travelling, "--orbit")
    result = run_enr(*line, "--frames", 3, "--depth", "--out", tmp_path / "o.gif")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"o.gif", "o-depth.gif"}


def test_a_larger_picture_is_seen_through_the_lens_of_its_pose(travelling, posed, tmp_path):
    folder, pictures, cameras = posed
    for path in pictures[:2]:
        image = Image.open(path)
        image.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / path.name)
    enlarged = [tmp_path / path.name for path in pictures[:2]]
    small, large = (
        enr.novel_views(given, poses=folder / "poses.json", checkpoint=travelling).source
        for given in (pictures[:2], enlarged)
    )
    np.testing.assert_allclose(large.astype(int), small, atol=1)
    with pytest.raises(EnrError, match=r"lens of .*a\.png is not known"):
        enr.novel_views(enlarged, poses=cameras[:2], checkpoint=travelling)


def test_cameras_are_told_by_name_else_by_order(posed):
    folder, pictures, cameras = posed
    poses = read_cameras(folder / "poses.json")
    found = [camera.world_from_camera[0] for camera in cameras_of([pictures[3], pictures[1]], poses)]
    np.testing.assert_array_equal(found, cameras[[3, 1]])
    assert [len(camera) for camera in cameras_of([folder / "a.jpg"], poses)] == [1]
    with pytest.raises(EnrError, match=r"but not z\.png"):
        cameras_of([pictures[0], folder / "z.png"], poses)
    with pytest.raises(EnrError, match="2 pictures and 4 cameras were given"):
        cameras_of([folder / "y.png", folder / "z.png"], poses)


def test_pictures_that_contradict_their_poses_are_refused(travelling, posed):
    _, pictures, _ = posed
    apart = orbit_camera([0.0, 0.0], [0.0, 0.0], 2.0, np.array([[0, 0, 0], [0, 9.0, 0]]))
    with pytest.raises(EnrError, match="contradict the poses"):
        enr.novel_views(pictures[:2], poses=apart, checkpoint=travelling)


def test_poses_in_other_units_are_said_with_the_factor(travelling, posed):
    """Twice as far apart, the same pictures put the object twice as far away as it looks."""
    _, pictures, cameras = posed
    distances = []
    for factor in (1, 2):
        scaled = cameras.copy()
        scaled[:, :3, 3] *= factor
        notes = enr.novel_views(pictures, poses=scaled, checkpoint=travelling).notes
        (taken,) = (note for note in notes if "triangulated" in note)
        distances.append(float(taken.split("taken to be ")[1].split()[0]))
        assert any("multiply their translations by 0.4" in note for note in notes) == (factor == 2)
    assert distances[1] == pytest.approx(2 * distances[0], rel=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"poses": None}, "nothing says where they were taken"),
        ({"poses": [np.eye(4)]}, "2 pictures and 1 camera were given"),
        ({"poses": [np.eye(4), 2 * np.eye(4)]}, "rigid"),
        ({"poses": 5}, r"the shape \(n, 4, 4\)"),
        ({"poses": np.eye(4)}, r"the shape \(n, 4, 4\)"),
        ({"view": None}, "--view"),
        ({"distance": 2.0}, "--distance goes with one picture"),
        ({"source_elevation_deg": 5.0}, "leave out --source-elevation-deg"),
        ({"fov_deg": 40.0}, "leave out --fov-deg"),
        ({"view": (0, 1)}, "choose from a shard"),
    ],
)
def test_what_does_not_go_with_several_pictures_is_refused(checkpoint, posed, options, words):
    folder, pictures, _ = posed
    with pytest.raises(EnrError, match=words):
        enr.novel_views(pictures[:2], checkpoint=checkpoint, **{"poses": folder / "poses.json", **options})


def test_further_refusals_of_the_command(checkpoint, posed, shard):
    folder, pictures, _ = posed
    for line, words in (
        ((pictures[0], shard), "A shard brings its own pictures"),
        ((shard, "--view", "0,x"), "--view"),
        ((shard, "--view", "0,9"), "give 0 to 3"),
        ((shard, "--view", "0,1,2,3"), "has no further view"),
        ((shard, "--view", "0,1", "--towards", pictures[0]), "--towards goes with one picture"),
        ((pictures[0], pictures[1], "--poses", folder / "none.json"), "none.json cannot be read"),
        ((pictures[0], pictures[1], "--poses", pictures[0]), "is not JSON"),
    ):
        result = run_enr("render", *line, "--checkpoint", checkpoint)
        assert result.exit_code == 2, result.output
        assert words in result.output


def test_a_model_that_does_not_tell_what_a_picture_sees_says_so(shard, tmp_path):
    save_model(tmp_path / "rigid", Renderer(tiny_config(16, warp="rigid", depth_cells=8)), {})
    views = enr.novel_views(shard, checkpoint=tmp_path / "rigid", view=(0, 1))
    assert any("count alike everywhere" in note for note in views.notes)
    assert CONFIG.warp == "frustum"


def given_names(*names: str) -> GivenCameras:
    return GivenCameras(orbit_camera(30.0 * np.arange(len(names)), 10.0, 2.0), names=names)


@pytest.mark.parametrize(
    ("pictures", "names", "order"),
    [
        (("a/0.png", "b/0.png", "c/0.png"), ("c/0.png", "a/0.png", "b/0.png"), (1, 2, 0)),
        (("x/b/0.jpg", "x/a/0.jpg"), ("./a/0", "./b/0"), (1, 0)),
        (("a.jpg", "a.png"), ("a.png", "a.jpg"), (1, 0)),
        (("r_0.5.png", "r_0.png"), ("r_0", "r_0.5"), (1, 0)),
        (("b/0.png", "a/0.png"), ("train\\a\\0.png", "train\\b\\0.png"), (1, 0)),
    ],
)
def test_a_picture_has_the_camera_whose_name_shares_most_of_its_path(pictures, names, order):
    poses = given_names(*names)
    found = cameras_of([Path(picture) for picture in pictures], poses)
    assert [camera.names for camera in found] == [(names[index],) for index in order]


@pytest.mark.parametrize(
    ("pictures", "names", "said"),
    [
        (("d/0.png",), ("a/0.png", "b/0.png"), "a/0.png and b/0.png both fit d/0.png"),
        (("a.webp",), ("a.png", "a.jpg"), "a.png and a.jpg both fit a.webp"),
        (("a/0.png", "b/0.png"), ("0.png", "1.png"), "a/0.png and b/0.png would both have the camera of 0.png"),
    ],
)
def test_a_name_that_fits_several_is_refused(pictures, names, said):
    with pytest.raises(EnrError, match=said):
        cameras_of([Path(picture) for picture in pictures], given_names(*names))
