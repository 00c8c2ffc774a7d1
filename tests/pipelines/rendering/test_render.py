"""A photograph of an object before a plain wall becomes views of it; what cannot be used is refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.command_line import enr
from tests.pipelines.conftest import CONFIG

from enr.errors import EnrError
from enr.pipelines.rendering.framing import SEEN_LENGTH, frame_picture


@pytest.fixture
def photograph(tmp_path):
    """A dark box, 60 wide and 90 high, before a grey wall with the noise of a JPEG."""
    wall = np.full((200, 300, 3), 190.0) + np.random.default_rng(0).normal(0, 3, (200, 300, 3))
    wall[50:140, 170:230] = (60, 30, 120)
    path = tmp_path / "box.jpg"
    Image.fromarray(wall.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def render(*arguments):
    return enr("render", *map(str, arguments))


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


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--out", "views.txt"], "ends in"),
        (["--orbit", "--azimuth-deg", "20"], "beside a path"),
        (["--azimuth-deg", "nan"], "finite"),
        (["--fov-deg", "190"], "--fov-deg is 190.0; it must be below 180"),
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


def test_pictures_that_show_no_object_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    for name, pixels, word in (
        ("noise.png", noise, "not plain"),
        ("empty.png", np.full((64, 80, 3), 200, np.uint8), "Nothing is seen"),
        ("small.png", noise[:1, :1], "at least 8"),
    ):
        Image.fromarray(pixels).save(tmp_path / name)
        with pytest.raises(EnrError, match=word):
            frame_picture(tmp_path / name, CONFIG)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(EnrError, match="cannot be read"):
        frame_picture(tmp_path / "text.png", CONFIG)
