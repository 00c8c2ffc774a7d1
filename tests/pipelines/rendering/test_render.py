"""A photograph of an object before a plain wall becomes views of it; what cannot be used is refused in a sentence."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import enr as run_enr
from tests.pipelines.conftest import CONFIG
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

import enr
from enr.compositing import over_background
from enr.errors import EnrError
from enr.model import Renderer, save_model
from enr.pipelines.rendering.camera_paths import STEPS_FORMAT, Cameras, CameraStep
from enr.pipelines.rendering.framing import SEEN_LENGTH, frame_picture
from enr.pipelines.rendering.maps import depth_pictures
from enr.pipelines.rendering.novel_views import NovelViewSettings, render_novel_views
from enr.pipelines.rendering.parts import NOTEWORTHY, noteworthy_parts
from enr.pipelines.rendering.writing import check_output

STEPS = f'{{"format": "{STEPS_FORMAT}", "steps": '
GOOD = '{"azimuth_deg": 1, "elevation_deg": 0, "translation": [0, 0, 0]}'


@pytest.fixture
def photograph(tmp_path):
    """A dark box, 60 wide and 90 high, before a grey wall with the noise of a JPEG."""
    wall = np.full((200, 300, 3), 190.0) + np.random.default_rng(0).normal(0, 3, (200, 300, 3))
    wall[50:140, 170:230] = (60, 30, 120)
    path = tmp_path / "box.jpg"
    Image.fromarray(wall.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def render(*arguments):
    return run_enr("render", *arguments)


def test_the_object_is_framed_as_large_as_the_models_objects(photograph):
    framed = frame_picture(photograph, CONFIG)
    dark = (framed.image[0] < (1 + 60 / 255) / 2).numpy()  # pixels that the box covers by half or more
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    usual_px = SEEN_LENGTH * CONFIG.focal_px / CONFIG.radius
    assert abs(len(rows) - usual_px) <= 1
    assert abs((rows[0] + rows[-1] + 1) / 2 - 8) <= 0.6
    assert abs((columns[0] + columns[-1] + 1) / 2 - 8) <= 0.6
    assert any("background" in note for note in framed.notes)


def test_a_picture_that_lies_on_its_side_is_turned_by_its_exif(photograph, tmp_path):
    upright = Image.open(photograph)
    exif = upright.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    lying = tmp_path / "phone.png"
    upright.rotate(90, expand=True).save(lying, exif=exif)
    turned = frame_picture(lying, CONFIG).image
    np.testing.assert_allclose(turned, frame_picture(photograph, CONFIG).image, atol=0.05)


def test_one_view_and_a_path_are_written(photograph, checkpoint):
    result = render(photograph, "--azimuth-deg", 30, "--checkpoint", checkpoint, "--size-px", 64)
    assert result.exit_code == 0, result.output
    assert Image.open(photograph.with_name("box-view.png")).size == (64, 64)
    result = render(
        photograph, "--orbit", "--frames", 4, "--checkpoint", checkpoint, "--out", photograph.parent / "o.gif"
    )
    assert result.exit_code == 0, result.output
    assert Image.open(photograph.parent / "o.gif").n_frames >= 2


def test_default_names_tell_what_was_asked_for(photograph, checkpoint):
    second = photograph.with_name("lid.jpg")
    second.write_bytes(photograph.read_bytes())
    base = ["--frames", 2, "--checkpoint", checkpoint, "--size-px", 16]
    for words in (["--orbit"], ["--towards", second, "--orbit"], ["--towards", second]):
        result = render(photograph, *words, *base)
        assert result.exit_code == 0, result.output
    names = {path.name for path in photograph.parent.glob("*.gif")}
    assert names == {"box-orbit.gif", "box-to-lid-orbit.gif", "box-to-lid.gif"}


LEG, OTHER_LEG = ((220, 244), (120, 460)), ((356, 380), (120, 460))
BACK, SEAT = ((220, 380), (120, 180)), ((220, 380), (290, 330))


def chair(stray=()):
    """A chair, in columns 220-379 and rows 120-459, before a wall that darkens downwards, with noise."""
    random = np.random.default_rng(1)
    pixels = np.repeat(np.linspace(215, 165, 600)[:, None, None], 600, axis=1) + np.array([0.0, -4.0, -12.0])
    for columns, rows in [LEG, OTHER_LEG, BACK, SEAT]:
        pixels[slice(*rows), slice(*columns)] = (110, 60, 40)
    for row, column in stray:
        pixels[row, column] = 90
    return Image.fromarray((pixels + random.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_neither_stray_pixels_nor_a_shaded_wall_spoil_the_frame(tmp_path, ending):
    path = tmp_path / f"chair.{ending}"
    chair([(20, 560), (580, 3), (0, 0)]).save(path)
    framed = frame_picture(path, CONFIG)
    found = [int(number) for number in re.findall(r"\d+", next(note for note in framed.notes if "columns" in note))]
    np.testing.assert_allclose(found, [220, 379, 120, 459], atol=2)
    assert not any("border" in note for note in framed.notes)


def test_an_object_that_touches_the_border_is_said(tmp_path):
    chair().crop((0, 0, 600, 400)).save(tmp_path / "cut.png")
    assert any("touches the picture's border" in note for note in frame_picture(tmp_path / "cut.png", CONFIG).notes)


def test_parts_of_noteworthy_size_are_those_of_a_known_library():
    ndimage = pytest.importorskip("scipy.ndimage")
    for seed in range(20):
        mask = np.random.default_rng(seed).random((23, 31)) < 0.1 + 0.02 * seed
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels[mask])
        expected = mask & (sizes >= NOTEWORTHY * sizes.max())[labels]
        np.testing.assert_array_equal(noteworthy_parts(mask), expected)
    assert not noteworthy_parts(np.zeros((3, 4), bool)).any()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--out", "views.txt"], "ends in"),
        (["--out", "view.bmp"], "a single view can be written under a name that ends in .png"),
        (["--out", "view.gif"], "view.gif is the name of an animation, and a single view was asked for"),
        (["--orbit", "--spiral"], "--orbit and --spiral were both given"),
        (["--orbit", "--path", "x"], "--path and --orbit were both given"),
        (["--orbit", "--azimuth-deg", "20"], "beside a path"),
        (["--azimuth-deg", "nan"], "finite"),
        (["--frames", "5"], "5 frames were asked for, but of a single view"),
        (["--source-elevation-deg", "400"], "--source-elevation-deg is 400.0; it must be at most 90"),
        (["--fov-deg", "190"], "--fov-deg is 190.0; it must be at most 150"),
        (["--fov-deg", "1"], "--fov-deg is 1.0; it must be at least 2"),
        (["--azimuth-deg", "1e5"], "--azimuth-deg is 100000.0; it must be at most 10000"),
        (["--translate", "0", "nan", "0"], "--translate is nan; it must be a finite number"),
        (["--distance", "1e9"], "--distance is 1000000000.0; it must be at most 10000"),
        (["--path", "orbitt"], "did you mean orbit"),
        (["--distance", "0"], "--distance is 0.0; it must be above 0"),
        (["--orbit", "--frames", "1"], "2 to 1000"),
        (["--size-px", "8"], "16 to 2048"),
        (["--checkpoint", "nowhere"], "does not exist"),
    ],
)
def test_what_does_not_fit_is_refused(photograph, checkpoint, options, word):
    base = [] if "--checkpoint" in options else ["--checkpoint", checkpoint]
    result = render(photograph, *base, *options)
    assert result.exit_code == 2
    assert word in result.output
    assert not list(photograph.parent.glob("*.png"))


def test_a_full_disk_is_said_and_leaves_nothing(photograph, checkpoint, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    result = render(photograph, "--checkpoint", checkpoint)
    assert result.exit_code == 2
    assert "No space left on device" in result.output
    assert not list(photograph.parent.glob("*.png*"))


@pytest.fixture(scope="module")
def solid(tmp_path_factory):
    """A model whose cells are all opaque: what is first on a ray is all that is seen."""
    folder = tmp_path_factory.mktemp("solid") / "checkpoint"
    model = Renderer(tiny_config(16, carry_colour=True, depth_range="travelling", half_depth=0.5))
    torch.nn.init.zeros_(model.projection.alpha.weight)
    torch.nn.init.constant_(model.projection.alpha.bias, 20.0)
    save_model(folder, model, {})
    return folder


def test_the_depth_of_an_opaque_volume_is_that_of_its_first_cells(solid, photograph):
    views = enr.novel_views(photograph, checkpoint=solid, distance=2.0, depth=True, opacity=True)
    first_cell = 1.5 + 0.5 / 4  # near is half_depth before the centre, a quarter of the range is one cell
    np.testing.assert_allclose(views.depth, first_cell, atol=1e-4)
    np.testing.assert_allclose(views.opacity, 1, atol=1e-4)


def test_depth_comes_nearer_as_the_camera_does_and_its_picture_stays(solid, photograph):
    views = [
        render_novel_views(
            NovelViewSettings(
                photograph, Cameras((CameraStep(translation=(0, 0, z)),)), solid, distance=2.0, with_maps=True
            )
        )
        for z in (0.0, 0.25)
    ]
    middle = [view.maps.depth[0, 8, 8] for view in views]
    np.testing.assert_allclose(middle[0] - middle[1], 0.25, atol=1e-3)
    pictures = [depth_pictures(view.maps.depth, view.centre_depth)[0, 8, 8] for view in views]
    np.testing.assert_array_equal(*pictures)


def test_a_model_that_folds_its_volume_has_no_depth(tmp_path, photograph):
    save_model(tmp_path / "fold", Renderer(tiny_config(16, projection="fold")), {})
    with pytest.raises(EnrError, match="neither depth nor opacity"):
        enr.novel_views(photograph, checkpoint=tmp_path / "fold", depth=True)


def test_a_shard_gives_the_picture_and_the_truth(checkpoint, shard, tmp_path):
    views = enr.novel_views(shard, checkpoint=checkpoint, view=1)
    toy = make_toy(Toy())
    over_white = over_background(toy.images[toy.views["split"] == "test"], (1, 1, 1))
    np.testing.assert_array_equal(views.source, over_white[1])
    np.testing.assert_array_equal(views.truth, over_white[[0, 2, 3]])
    assert views.images.shape == views.truth.shape
    result = render(
        shard, "--checkpoint", checkpoint, "--scene", "box-004", "--size-px", 32, "--out", tmp_path / "s.png"
    )
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "s.png").height > 2 * 32


def test_an_object_becomes_another_and_itself_again(checkpoint, shard):
    first, second = (enr.novel_views(shard, checkpoint=checkpoint, scene=name, path="orbit", frames=4).images
                     for name in ("box-000", "box-004"))  # fmt: skip
    both = enr.novel_views(shard, checkpoint=checkpoint, scene="box-000", towards=shard, path="orbit", frames=4).images
    np.testing.assert_array_equal(both[0], first[0])
    np.testing.assert_array_equal(both[2], second[2])
    assert np.abs(both[1].astype(int) - first[1]).max() > 0
    still = enr.novel_views(shard, checkpoint=checkpoint, scene="box-000", towards=shard, frames=6).images
    np.testing.assert_array_equal(still[1], still[5])


def test_a_path_saved_by_the_viewer_is_rendered(photograph, checkpoint, tmp_path):
    path = tmp_path / "path.json"
    steps = [{"azimuth_deg": 10 * n, "elevation_deg": n, "translation": [0, 0.1, -0.1]} for n in range(3)]
    path.write_text(json.dumps({"format": STEPS_FORMAT, "steps": steps, "distance": None}))
    views = enr.novel_views(photograph, checkpoint=checkpoint, path=path)
    single = enr.novel_views(
        photograph, checkpoint=checkpoint, azimuth_deg=20, elevation_deg=2, translate=(0, 0.1, -0.1)
    )
    np.testing.assert_array_equal(views.images[2], single.images[0])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"format": "enr-camera-steps"}', "record it again"),
        ('{"format": "enr-camera-steps", "steps": []}', "no step"),
        ('{"format": "enr-camera-steps", "steps": [{"azimuth_deg": 1}]}', "record it again"),
        (
            f'{STEPS}[{{"azimuth_deg": 1, "elevation_deg": 0, "translation": [1]}}]}}',
            "steps.0.translation is [1]; give three",
        ),
        (f'{STEPS}[{GOOD}], "distance": -1}}', "distance is -1; it must be above 0"),
        (f'{STEPS}[{GOOD}], "distance": NaN}}', "distance is nan; it must be a finite number"),
        (f'{STEPS}[{{"azimuth_deg": NaN, "elevation_deg": 0, "translation": [0, 0, 0]}}]}}', "finite"),
        ('{"a": 1}', "no pose file"),
        ("[1, 2]", "JSON object"),
        ("hello", "not JSON"),
    ],
)
def test_a_path_file_of_another_kind_is_refused(photograph, checkpoint, tmp_path, content, word):
    (tmp_path / "path.json").write_text(content)
    result = render(photograph, "--checkpoint", checkpoint, "--path", tmp_path / "path.json")
    assert result.exit_code == 2
    assert word in result.output
    assert not list(photograph.parent.glob("*.gif"))


def test_depth_and_opacity_are_written_beside_the_views_and_mp4_plays(photograph, checkpoint, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg comes with enr[dev]")
    out = tmp_path / "o.mp4"
    options = ("--orbit", "--frames", 4, "--size-px", 33, "--depth", "--opacity", "--out", out)
    result = render(photograph, "--checkpoint", checkpoint, *options)
    assert result.exit_code == 0, result.output
    for name in ("o.mp4", "o-depth.mp4", "o-opacity.mp4"):
        assert name in result.output.splitlines()[-1]
        assert next(ffmpeg.read_frames(str(tmp_path / name)))["size"] == (34, 34)
        assert ffmpeg.count_frames_and_secs(str(tmp_path / name))[0] == 4


def test_without_ffmpeg_mp4_is_refused_before_anything_is_rendered(photograph, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnrError, match=r"pip install -e .\.\[video\]"):
        check_output(tmp_path / "o.mp4", several=True)


def test_shards_of_another_size_and_unknown_scenes_are_refused(checkpoint, shard, tmp_path, photograph):
    other = write_toy(tmp_path / "large.h5", Toy(size_px=24))
    for picture, options, words in (
        (other, {}, "24x24 px, the model's 16x16 px"),
        (shard, {"scene": "chair"}, "No scene"),
        (shard, {"scene": "box"}, "More than one"),
        (shard, {"view": 9}, "give 0 to 3"),
        (shard, {"fov_deg": 40.0}, "leave out --fov-deg"),
        (shard, {"source_elevation_deg": 4.0}, "leave out --source-elevation-deg"),
        (photograph, {"scene": "box"}, "from a shard"),
    ):
        with pytest.raises(EnrError, match=words):
            enr.novel_views(picture, checkpoint=checkpoint, **options)


def test_views_do_not_depend_on_the_threads_of_the_caller(photograph, checkpoint):
    before, images = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            images.append(enr.novel_views(photograph, checkpoint=checkpoint, path="orbit", frames=5).images)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*images)


def test_what_is_read_is_not_replaced(photograph, checkpoint, tmp_path):
    picture = tmp_path / "x-depth.png"
    Image.open(photograph).save(picture)
    before = picture.read_bytes()
    for out, more in ((picture, ()), (tmp_path / "x.png", ("--depth",))):
        result = render(picture, "--checkpoint", checkpoint, "--out", out, *more)
        assert result.exit_code == 2 and "would be replaced" in result.output
    assert picture.read_bytes() == before


def test_a_single_view_of_a_shard_is_no_animation(shard, tmp_path):
    result = render(shard, "--azimuth-deg", 30, "--checkpoint", tmp_path / "none", "--out", tmp_path / "x.gif")
    assert result.exit_code == 2 and "x.gif is the name of an animation" in result.output


@pytest.mark.parametrize(
    ("name", "size_px", "said"),
    [
        ("a.png", "big", "size_px is 'big'; give a whole number"),
        ("none/a.png", 64, "give another path="),
        ("one.gif", 64, 'a path such as path="orbit"'),
    ],
)
def test_what_cannot_be_saved_is_said_in_words_of_python(photograph, checkpoint, tmp_path, name, size_px, said):
    views = enr.novel_views(photograph, checkpoint=checkpoint)
    with pytest.raises(EnrError, match=said) as caught:
        views.save(tmp_path / name, size_px=size_px)
    assert "--" not in str(caught.value)
