"""The lens of a photograph: by its EXIF data or by an option; what it changes, and what is not believed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.pipelines.conftest import CONFIG
from tests.pipelines.tiny_config import tiny_config

import enr
from enr.camera import intrinsics, project
from enr.errors import EnrError
from enr.model import Renderer, load_model, save_model
from enr.pipelines.rendering.framing import SEEN_LENGTH, Said, frame_picture
from enr.pipelines.source_picture import focal_px_by_exif, read_upright

WIDTH, HEIGHT = 400, 300
TAG = ExifTags.Base


def box_at(centre, half, focal_px):
    """A picture of a square board, `2 * half` wide, that faces the camera at `centre`."""
    corners = np.add(centre, [[-half, -half, 0], [half, half, 0]])
    (left, top), (right, bottom) = project(corners, np.eye(4), intrinsics(focal_px, WIDTH, HEIGHT))[0]
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[round(top) : round(bottom), round(left) : round(right)] = (200, 40, 60)
    return Image.fromarray(pixels)


def saved(image, path, tags):
    """The picture with EXIF data: (tag, value) of the photograph's own directory."""
    exif = Image.Exif()
    exif[TAG.Make] = "made up"
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    image.save(path, exif=exif)
    return path


def film_mm(focal_px):
    """`FocalLengthIn35mmFilm`: it tells the diagonal's field of view."""
    return round(focal_px / np.hypot(WIDTH, HEIGHT) * np.hypot(36, 24))


@pytest.mark.parametrize(
    ("tags", "focal_px"),
    [
        ({TAG.FocalLengthIn35mmFilm: 50}, 50 * 500 / np.hypot(36, 24)),
        ({TAG.FocalLengthIn35mmFilm: 50, TAG.ExifImageWidth: 4000, TAG.ExifImageHeight: 3000}, 577.8),
        ({TAG.FocalLengthIn35mmFilm: 0}, None),
        ({TAG.FocalLengthIn35mmFilm: 50, TAG.ExifImageWidth: 4000, TAG.ExifImageHeight: 2000}, None),
        ({TAG.FocalLengthIn35mmFilm: 1}, None),
        ({TAG.FocalLength: 5.0}, None),
        (
            # A sensor 8 mm wide, of 4000 pixels: 500 a millimetre, in centimetres.
            {
                TAG.FocalLength: 6.0,
                TAG.FocalPlaneXResolution: 5000.0,
                TAG.FocalPlaneYResolution: 5000.0,
                TAG.FocalPlaneResolutionUnit: 3,
                TAG.ExifImageWidth: 4000,
                TAG.ExifImageHeight: 3000,
            },
            6 / 8 * WIDTH,
        ),
        ({TAG.FocalLength: 6.0, TAG.FocalPlaneXResolution: 5000.0, TAG.FocalPlaneYResolution: 2500.0}, None),
    ],
)
def test_the_focal_length_is_what_the_data_say(tmp_path, tags, focal_px):
    path = saved(Image.new("RGB", (WIDTH, HEIGHT)), tmp_path / "a.jpg", tags)
    found = focal_px_by_exif(Image.open(path))
    assert found is None if focal_px is None else found == pytest.approx(focal_px, rel=1e-4)


def test_neither_a_turn_nor_a_smaller_copy_changes_the_lens(tmp_path):
    tags = {TAG.FocalLengthIn35mmFilm: 50}
    image = Image.new("RGB", (WIDTH, HEIGHT))
    plain = read_upright(saved(image, tmp_path / "a.jpg", tags))
    small = read_upright(tmp_path / "a.jpg", most_px=WIDTH // 2)
    assert small.focal_px == pytest.approx(plain.focal_px / 2)
    exif = Image.Exif()
    exif[TAG.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    image.save(tmp_path / "turned.jpg", exif=exif)
    turned = read_upright(tmp_path / "turned.jpg")
    assert turned.rgba.shape[:2] == (WIDTH, HEIGHT)
    assert turned.focal_px == plain.focal_px


def test_through_a_known_lens_the_object_stays_where_it_is(tmp_path):
    """Aside by a tenth of its distance: the model's camera sees it there, and its distance is the true one."""
    focal_px, centre = 50 * 500 / np.hypot(36, 24), np.array([0.2, -0.1, CONFIG.radius])
    path = saved(box_at(centre, 0.3, focal_px), tmp_path / "a.png", {TAG.FocalLengthIn35mmFilm: 50})
    framed = frame_picture(path, CONFIG)
    assert framed.zoom == 1
    darkness = 1 - framed.image[1].numpy()
    found = [(darkness.sum(axis) @ (np.arange(16) + 0.5)) / darkness.sum() for axis in (0, 1)]
    wanted, _ = project([centre], np.eye(4), intrinsics(CONFIG.focal_px, 16, 16))
    np.testing.assert_allclose(found, wanted[0], atol=0.1)
    assert any("degrees from left to right" in note for note in framed.notes)
    said = frame_picture(path, CONFIG, Said(fov_deg=float(np.rad2deg(2 * np.arctan(WIDTH / 2 / focal_px)))))
    np.testing.assert_allclose(said.image, framed.image, atol=1e-4)


@pytest.mark.parametrize("depth", [0.9, 6.0])
def test_an_object_that_is_framed_is_as_many_times_further_as_its_lens_says(tmp_path, depth):
    focal_px = 280.0
    image = box_at((0.0, 0.0, depth), SEEN_LENGTH / 2, focal_px)
    path = saved(image, tmp_path / "a.png", {TAG.FocalLengthIn35mmFilm: film_mm(focal_px)})
    framed = frame_picture(path, CONFIG)
    assert framed.zoom * CONFIG.radius == pytest.approx(depth, rel=0.04)
    assert any("times as far away" in note for note in framed.notes)
    image.save(tmp_path / "unsaid.png")
    unsaid = frame_picture(tmp_path / "unsaid.png", CONFIG)
    assert unsaid.zoom == 1
    np.testing.assert_array_equal(unsaid.image, framed.image)


def test_a_distance_that_is_given_is_the_photographs_own(tmp_path, checkpoint):
    """The picture that is framed the same, without a lens, at the distance that the model sees."""
    image = box_at((0.0, 0.0, 6.0), SEEN_LENGTH / 2, 280.0)
    path = saved(image, tmp_path / "a.png", {TAG.FocalLengthIn35mmFilm: film_mm(280.0)})
    image.save(tmp_path / "unsaid.png")
    zoom = frame_picture(path, CONFIG).zoom
    model = tmp_path / "travelling"
    save_model(model, Renderer(tiny_config(16, carry_colour=True, depth_range="travelling", half_depth=0.5)), {})
    given = {"checkpoint": model, "azimuth_deg": 40.0}
    seen = enr.novel_views(tmp_path / "unsaid.png", distance=2.1, **given)
    true = enr.novel_views(path, distance=2.1 * zoom, **given)
    np.testing.assert_allclose(true.images.astype(int), seen.images, atol=1)
    estimated = [enr.novel_views(one, **given).notes[-1] for one in (tmp_path / "unsaid.png", path)]
    near, far = (float(note.split("taken to be ")[1].split()[0]) for note in estimated)
    assert far == pytest.approx(zoom * near, rel=0.01)
    with pytest.raises(EnrError, match=r"The distance is 50 units.* between \S+ and \S+ units away") as refused:
        enr.novel_views(path, distance=50.0, **given)
    near, far = (float(number) for number in re.findall(r"between (\S+) and (\S+) units", str(refused.value))[0])
    config = load_model(model).config
    assert (near, far) == pytest.approx((zoom * config.near, zoom * config.far), rel=0.01)
    for bound in (near, far):
        enr.novel_views(path, distance=bound, **given)
