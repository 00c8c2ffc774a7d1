"""Pictures of every kind: what can be used is, with a word on what was done; the rest is refused in a sentence."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import enr
from tests.pipelines.conftest import CONFIG
from tests.pipelines.tiny_config import tiny_config

from enr.errors import EnrError
from enr.model import Renderer, save_model
from enr.pipelines.rendering.framing import MOST_PX, frame_picture
from enr.pipelines.viewer.shelf import Offer, OpenModel


def box(width=80, height=60):
    pixels = np.full((height, width, 3), 250, np.uint8)
    pixels[height // 3 : 2 * height // 3, 3 * width // 8 : 5 * width // 8] = (200, 40, 60)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "box.png"
    box().save(path)
    return frame_picture(path, CONFIG).image


@pytest.mark.parametrize(("mode", "ending"), [("CMYK", "jpg"), ("CMYK", "tif"), ("LAB", "tif"), ("RGBA", "webp")])
def test_other_colour_models_show_the_same(plain, tmp_path, mode, ending):
    path = tmp_path / f"box.{ending}"
    box().convert(mode).save(path)
    assert (frame_picture(path, CONFIG).image - plain).abs().mean() < 0.02


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1"])
def test_greys_and_palettes_are_read(tmp_path, mode):
    path = tmp_path / "box.png"
    box().convert(mode, dither=Image.Dither.NONE).save(path)
    framed = frame_picture(path, CONFIG).image
    assert framed.shape == (3, 16, 16)
    assert framed.min() < 0.9


def test_of_an_animation_the_first_frame_is_taken_and_it_is_said(plain, tmp_path):
    path = tmp_path / "box.gif"
    box().save(path, save_all=True, append_images=[box().rotate(90)])
    framed = frame_picture(path, CONFIG)
    assert (framed.image - plain).abs().mean() < 0.02
    assert any("2 frames the first" in note for note in framed.notes)


def test_a_huge_picture_is_made_smaller_and_shows_the_same(plain, tmp_path):
    path = tmp_path / "box.jpg"
    box(4 * MOST_PX, 3 * MOST_PX).save(path)
    framed = frame_picture(path, CONFIG)
    assert (framed.image - plain).abs().mean() < 0.02
    assert any(f"8192x6144 pixels no more than {MOST_PX}" in note for note in framed.notes)


def noise():
    return np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (noise(), "not plain"),
        (np.full((64, 80, 3), 200, np.uint8), "Nothing is seen"),
        (noise()[:1, :1], "1x1 pixels; give a picture of at least 8"),
        (noise()[:1], "80x1 pixels"),
        (np.full((64, 80), 40000, np.uint16), "more than 8 bits a channel"),
    ],
)
def test_pictures_that_show_no_object_are_refused(tmp_path, pixels, word):
    path = tmp_path / "mine.png"
    Image.fromarray(pixels).save(path)
    with pytest.raises(EnrError, match=word) as refusal:
        frame_picture(path, CONFIG)
    assert "mine.png" in str(refusal.value)


def dot(side, width, height):
    """A white picture with a dark rectangle."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    pixels[5 : 5 + height, 6 : 6 + width] = 40
    return pixels


@pytest.mark.parametrize("side", [16, 120])
@pytest.mark.parametrize(
    ("pixels_of", "word"),
    [
        (lambda side: np.full((side, side, 3), 255, np.uint8), "Nothing is seen"),
        (lambda side: np.full((side, side, 3), 200, np.uint8), "Nothing is seen"),
        (lambda side: np.zeros((side, side, 3), np.uint8), "Nothing is seen"),
        (lambda side: np.zeros((side, side, 4), np.uint8), "Nothing is seen"),
        (lambda side: dot(side, 1, 1), r"is 1x1 px large \(columns 6-6, rows 5-5\)"),
        (lambda side: dot(side, 3, 2), r"is 3x2 px large \(columns 6-8, rows 5-6\)"),
    ],
)
def test_what_shows_nothing_or_next_to_it_is_refused_in_the_models_size_and_in_others(tmp_path, side, pixels_of, word):
    path = tmp_path / "mine.png"
    Image.fromarray(pixels_of(side)).save(path)
    with pytest.raises(EnrError, match=word) as refusal:
        frame_picture(path, CONFIG)
    assert "mine.png" in str(refusal.value)


@pytest.mark.parametrize("side", [16, 120])
def test_what_is_just_large_enough_is_taken(tmp_path, side):
    path = tmp_path / "mine.png"
    Image.fromarray(dot(side, 4, 4)).save(path)
    assert frame_picture(path, CONFIG).image.min() < 0.5


def test_a_pale_object_of_the_models_own_data_is_taken(tmp_path):
    pixels = np.full((16, 16, 3), 255, np.uint8)
    pixels[4:12, 4:12] = 247
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    assert frame_picture(tmp_path / "mine.png", CONFIG).image.min() < 0.98


def test_an_object_that_the_model_cannot_tell_from_its_background_is_refused(tmp_path):
    pixels = np.full((120, 120, 4), 255, np.uint8)
    pixels[..., 3] = 0
    pixels[40:80, 40:80, 3] = 255  # white, cut out; the model's background is white
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    with pytest.raises(EnrError, match=r"mine\.png shows nothing that differs from the background"):
        frame_picture(tmp_path / "mine.png", CONFIG)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", "half"])
def test_files_that_are_no_pictures_are_refused(tmp_path, content):
    path = tmp_path / "mine.png"
    if content == "half":
        Image.fromarray(noise()).save(path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(EnrError, match=r"mine\.png cannot be read as a picture"):
        frame_picture(path, CONFIG)


def test_what_would_unpack_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30000, 30000), 1).save(path)
    with pytest.raises(EnrError, match=r"bomb\.png has more than 178 million pixels"):
        frame_picture(path, CONFIG)


def test_a_large_photograph_is_read_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "large.png"
    Image.new("L", (10000, 9000), 255).save(path)
    with pytest.raises(EnrError, match="Nothing is seen"):
        frame_picture(path, CONFIG)
    assert not list(recwarn)


def refused(*arguments):
    result = enr(*arguments)
    assert result.exit_code == 2, result.output
    return result.output


def test_missing_files_and_closed_folders_are_said(checkpoint, tmp_path, monkeypatch):
    box().save(tmp_path / "box.png")
    given = ("--checkpoint", checkpoint)
    assert "none.png does not exist" in refused("render", tmp_path / "none.png", *given)
    assert "No shard found" in refused("render", tmp_path, *given)
    assert "none does not exist" in refused("render", tmp_path / "box.png", "--checkpoint", tmp_path / "none")
    assert "none.png does not exist" in refused("view", checkpoint, "--picture", tmp_path / "none.png", "--no-browser")
    assert "does not exist" in refused("render", tmp_path / "box.png", *given, "--towards", tmp_path / "none.png")
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert "cannot be written to; give another --out" in refused("render", tmp_path / "box.png", *given)


def test_the_picture_is_checked_before_a_model_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("enr.model.shipped.FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 700, 3), dtype=np.uint8)).save("busy.png")
    box().save("box.png")
    assert "nosuch.jpg does not exist" in refused("render", "nosuch.jpg")
    assert "nosuch.jpg does not exist" in refused("render", "box.png", "--towards", "nosuch.jpg", "--orbit")
    assert "busy.png is not plain" in refused("render", "busy.png")
    assert "this copy of enr has no model of its own" in refused("render", "box.png")


def test_a_folder_that_is_no_checkpoint_is_refused_by_the_viewer_as_by_render(tmp_path):
    (tmp_path / "shards").mkdir()
    box().save(tmp_path / "box.png")
    said = refused("render", tmp_path / "box.png", "--checkpoint", tmp_path / "shards")
    assert "shards lacks model.safetensors" in said
    assert refused("view", tmp_path / "shards", "--no-browser") == said


def test_weights_of_another_size_are_refused_by_both(checkpoint, tmp_path):
    save_model(tmp_path / "mixed", Renderer(CONFIG), {})
    torch.manual_seed(0)
    save_model(tmp_path / "other", Renderer(tiny_config(16, carry_colour=True, channels_2d=(16,))), {})
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "mixed" / "model.safetensors")
    box().save(tmp_path / "box.png")
    assert "mixed" in refused("render", tmp_path / "box.png", "--checkpoint", tmp_path / "mixed")
    with pytest.raises(EnrError, match="mixed"):
        OpenModel(tmp_path / "mixed", Offer())
