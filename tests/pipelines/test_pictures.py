"""Grids keep every pixel, GIFs keep every frame, and half a file is never left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from enr.compositing import over_background
from enr.pipelines.pictures import (
    FRAME,
    PAPER,
    contact_sheet,
    image_grid,
    save_gif,
    save_picture,
    to_uint8,
)

seeds = st.integers(0, 2**32 - 1)


def random_picture(rng: np.random.Generator, height: int = 5, width: int = 7) -> np.ndarray:
    """Dark pixels, so that neither paper nor frame is among them."""
    return rng.integers(0, 100, (height, width, 3), dtype=np.uint8)


def find(picture: np.ndarray, sheet: np.ndarray) -> list[tuple[int, int]]:
    """Every (row, column) of `sheet` where `picture` stands pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, picture.shape)[:, :, 0]
    return [(int(y), int(x)) for y, x in np.argwhere((windows == picture).all(axis=(2, 3, 4)))]


@given(seed=seeds, columns=st.lists(st.integers(0, 3), min_size=1, max_size=3), zoom=st.integers(1, 2))
@settings(max_examples=20)
def test_a_grid_shows_every_picture_once_in_reading_order(seed, columns, zoom):
    rng = np.random.default_rng(seed)
    rows = [[random_picture(rng) for _ in range(count)] for count in columns]
    sheet = np.asarray(image_grid(rows, zoom=zoom))
    places = []
    for row in rows:
        for picture in row:
            (place,) = find(picture.repeat(zoom, axis=0).repeat(zoom, axis=1), sheet)
            places.append(place)
    assert places == sorted(places)


def test_labels_leave_the_pictures_alone():
    rng = np.random.default_rng(0)
    rows = [[random_picture(rng), random_picture(rng)], [None, random_picture(rng)]]
    bare = np.asarray(image_grid(rows))
    sheet = np.asarray(image_grid(rows, ["truth", "prediction\n21.3 dB"], ["a source", "a target"]))
    assert sheet.shape[0] > bare.shape[0] and sheet.shape[1] > bare.shape[1]
    assert all(len(find(picture, sheet)) == 1 for row in rows for picture in row if picture is not None)
    above = sheet[: find(rows[0][0], sheet)[0][0] - 1]
    assert above.min() < 128, "the column labels are not written"


def test_an_empty_cell_is_paper():
    sheet = np.asarray(image_grid([[np.zeros((4, 4, 3), np.uint8)], [None]]))
    colours = {tuple(colour) for colour in sheet[7:].reshape(-1, 3).tolist()}
    assert colours <= {PAPER, FRAME} and PAPER in colours


def test_to_uint8_rounds_clamps_and_moves_the_channels():
    images = torch.tensor([-0.5, 0.0, 0.5, 1.0, 2.0, 127.4 / 255]).reshape(1, 3, 1, 2)
    assert to_uint8(images).tolist() == [[[[0, 128, 255], [0, 255, 127]]]]


def test_a_contact_sheet_holds_every_view_over_its_background():
    rng = np.random.default_rng(0)
    views = np.concatenate([rng.integers(0, 100, (5, 6, 6, 3)), np.full((5, 6, 6, 1), 255)], axis=3).astype(np.uint8)
    views[:, 0, 0, 3] = 0
    sheet = np.asarray(contact_sheet(views, background=(0.0, 0.0, 1.0), columns=2))
    places = [find(picture, sheet)[0] for picture in over_background(views, (0.0, 0.0, 1.0))]
    assert places == sorted(places) and len({row for row, _ in places}) == 3
    assert over_background(views, (0.0, 0.0, 1.0))[0, 0, 0].tolist() == [0, 0, 255]


def test_a_gif_keeps_its_frames_and_their_times(tmp_path):
    frames = [Image.new("RGB", (8, 6), (40 * index, 0, 0)) for index in range(4)]
    path = save_gif(frames, tmp_path / "new" / "progress.gif", milliseconds=100, last_milliseconds=900)
    with Image.open(path) as gif:
        assert gif.n_frames == 4 and gif.info["loop"] == 0
        times, reds = [], []
        for index in range(4):
            gif.seek(index)
            times.append(gif.info["duration"])
            reds.append(gif.convert("RGB").getpixel((0, 0))[0])
    assert times == [100, 100, 100, 900]
    assert reds == [0, 40, 80, 120]


def test_a_gif_of_equal_frames_still_lasts_as_long(tmp_path):
    path = save_gif([Image.new("RGB", (4, 4))] * 3, tmp_path / "still.gif", milliseconds=100, last_milliseconds=300)
    with Image.open(path) as gif:
        total = 0
        for index in range(gif.n_frames):
            gif.seek(index)
            total += gif.info["duration"]
    assert total == 500


def test_a_picture_comes_back_as_it_was_saved(tmp_path):
    picture = Image.fromarray(random_picture(np.random.default_rng(0)))
    with Image.open(save_picture(picture, tmp_path / "deep" / "picture.png")) as read:
        assert np.array_equal(np.asarray(read), np.asarray(picture))


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = save_picture(Image.new("RGB", (4, 4)), tmp_path / "picture.png")
    before = path.read_bytes()

    def fail(self, target, **options):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_picture(Image.new("RGB", (8, 8)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
