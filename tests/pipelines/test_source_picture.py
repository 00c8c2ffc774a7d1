"""A picture from any lens is what the model's own camera would have seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.pipelines.tiny_config import tiny_config

from enr.camera import intrinsics, project
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.source_picture import fit_to_lens, read_source_picture

torch.set_num_threads(1)
SIZE = 16
GREY = (0.25, 0.5, 0.75)


def config(focal_px: float = 20.0, background: tuple[float, float, float] = GREY) -> RendererConfig:
    return tiny_config(SIZE, focal_px=focal_px, background=background)


def saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_a_picture_of_the_models_own_lens_and_size_stays_as_it_is(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    picture = read_source_picture(saved(tmp_path / "a.png", rgb), config(), focal_px=20.0)
    assert picture.dtype == torch.float32
    assert picture.permute(1, 2, 0).numpy() == pytest.approx(rgb / 255, abs=1e-6)


def test_more_pixels_through_the_same_lens_are_averaged(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (3 * SIZE, 3 * SIZE, 3), dtype=np.uint8)
    picture = read_source_picture(saved(tmp_path / "a.png", rgb), config(), focal_px=60.0)
    means = (rgb / 255).reshape(SIZE, 3, SIZE, 3, 3).mean(axis=(1, 3))
    assert picture.permute(1, 2, 0).numpy() == pytest.approx(means, abs=1e-6)


def test_transparency_shows_the_models_background(tmp_path):
    rgba = np.zeros((SIZE, SIZE, 4), dtype=np.uint8)
    rgba[: SIZE // 2] = (255, 0, 0, 51)
    picture = read_source_picture(saved(tmp_path / "a.png", rgba), config(), focal_px=20.0)
    assert picture[:, 0, 0].tolist() == pytest.approx([0.2 + 0.8 * 0.25, 0.8 * 0.5, 0.8 * 0.75])
    assert picture[:, -1, 0].tolist() == pytest.approx(GREY)


def test_what_the_picture_does_not_show_is_background(tmp_path):
    black = np.zeros((10, 10, 3), dtype=np.uint8)  # a narrow view: half of what the model sees
    picture = read_source_picture(saved(tmp_path / "a.png", black), config(), focal_px=25.0)
    assert (picture[:, 4:12, 4:12] == 0).all()
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[4:12, 4:12] = False
    assert picture[:, outside].numpy() == pytest.approx(np.repeat(np.array(GREY)[:, None], 192, axis=1))


@settings(deadline=None, max_examples=25)
@given(
    point=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(1.5, 2.5)),
    focal_px=st.floats(30.0, 80.0),
    size=st.tuples(st.integers(60, 90), st.integers(60, 90)),
)
def test_a_point_of_the_scene_lies_where_the_models_camera_sees_it(point, focal_px, size):
    """Paint the pixel that a camera sees a point in; in the fitted picture the model's camera sees it there."""
    where, _ = project([point], np.eye(4), intrinsics(focal_px, *size))
    column, row = np.floor(where[0]).astype(int)
    if not (0 <= column < size[0] and 0 <= row < size[1]):
        return
    rgb = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    rgb[row, column] = 0
    own = config(focal_px=20.0, background=(1.0, 1.0, 1.0))
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, dtype=np.uint8)])
    darkness = 1 - fit_to_lens(rgba, own, focal_px).numpy()[0]
    found = np.array([(darkness.sum(axis=axis) @ (np.arange(SIZE) + 0.5)) / darkness.sum() for axis in (0, 1)])
    wanted, _ = project([point], np.eye(4), intrinsics(20.0, SIZE, SIZE))
    if (wanted > 1).all() and (wanted < SIZE - 1).all():
        assert found == pytest.approx(wanted[0], abs=0.5 + 0.5 * 20.0 / focal_px)


def test_an_unknown_lens_is_one_sentence_that_says_what_to_give(tmp_path):
    path = saved(tmp_path / "a.png", np.zeros((48, 64, 3), dtype=np.uint8))
    with pytest.raises(EnrError, match=r"lens of .*a\.png is not known.*focal_px=80"):
        read_source_picture(path, config(), None)


@pytest.mark.parametrize("focal_px", [0.0, -3.0, float("nan")])
def test_an_impossible_lens_is_refused(tmp_path, focal_px):
    path = saved(tmp_path / "a.png", np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(EnrError, match="above 0"):
        read_source_picture(path, config(), focal_px)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for path, word in ((tmp_path / "a.png", "cannot be read"), (tmp_path / "gone.png", "does not exist")):
        with pytest.raises(EnrError, match=rf"{path.name} {word}"):
            read_source_picture(path, config(), 20.0)


def block() -> Image.Image:
    """A red block in the upper half, on white."""
    pixels = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    pixels[1:7, 4:9] = (200, 30, 30)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)],
)
def test_a_phones_picture_is_upright(tmp_path, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    block().transpose(stored).save(tmp_path / "phone.png", exif=exif)
    block().save(tmp_path / "upright.png")
    phone, upright = (read_source_picture(tmp_path / name, config(), 20.0) for name in ("phone.png", "upright.png"))
    assert torch.equal(phone, upright)


def test_palettes_inks_and_animations_show_what_viewers_show(tmp_path):
    block().save(tmp_path / "rgb.png")
    block().quantize(4).save(tmp_path / "palette.png")
    block().convert("CMYK").save(tmp_path / "inks.tif")
    block().save(tmp_path / "frames.png", save_all=True, append_images=[block().rotate(90)])
    right = read_source_picture(tmp_path / "rgb.png", config(), 20.0)
    for name in ("palette.png", "inks.tif", "frames.png"):
        found = read_source_picture(tmp_path / name, config(), 20.0)
        assert found.numpy() == pytest.approx(right.numpy(), abs=2 / 255), name


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused(tmp_path, dtype):
    path = saved(tmp_path / "a.tif", np.full((SIZE, SIZE), 7, dtype=dtype))
    with pytest.raises(EnrError, match="convert it to 8 bits"):
        read_source_picture(path, config(), 20.0)


def test_a_lens_that_shrinks_the_object_to_a_few_pixels_is_refused_with_one_that_fits(tmp_path):
    pixels = np.full((300, 400, 3), 255, dtype=np.uint8)
    pixels[100:140, 150:230] = 0  # 80 px: 3.2 of the model's with a focal length of 500 px
    path, own = saved(tmp_path / "a.png", pixels), config(background=(1.0, 1.0, 1.0))
    with pytest.raises(EnrError, match=r"80 px long, would shrink to 3\.2 px .*focal_px=200 "):
        read_source_picture(path, own, 500.0)
    dark = (read_source_picture(path, own, 200.0)[0] < 0.5).any(0)
    assert dark.sum() == SIZE // 2


@pytest.mark.parametrize(("dark", "shown"), [(0, "nothing"), (1, "a single pixel")])
def test_a_picture_that_shows_nothing_to_the_model_is_refused(tmp_path, dark, shown):
    pixels = np.full((16, 16, 3), 255, np.uint8)
    pixels[3 : 3 + dark, 4 : 4 + dark] = 0
    path = saved(tmp_path / "a.png", pixels)
    with pytest.raises(EnrError, match=f"shows {shown} that differs from the background"):
        read_source_picture(path, config(background=(1.0, 1.0, 1.0)), 20.0)
