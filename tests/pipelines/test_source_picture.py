from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.pipelines.tiny_config import tiny_config

from enr.camera import intrinsics, project
from enr.errors import EnrError
from enr.model.config import RendererConfig
from enr.pipelines.source_picture import read_source_picture

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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    point=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(1.5, 2.5)),
    focal_px=st.floats(30.0, 80.0),
    size=st.tuples(st.integers(60, 90), st.integers(60, 90)),
)
def test_a_point_of_the_scene_lies_where_the_models_camera_sees_it(tmp_path, point, focal_px, size):
    """Paint the pixel that a camera sees a point in; in the fitted picture the model's camera sees it there."""
    where, _ = project([point], np.eye(4), intrinsics(focal_px, *size))
    column, row = np.floor(where[0]).astype(int)
    if not (0 <= column < size[0] and 0 <= row < size[1]):
        return
    rgb = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    rgb[row, column] = 0
    own = config(focal_px=20.0, background=(1.0, 1.0, 1.0))
    darkness = 1 - read_source_picture(saved(tmp_path / "a.png", rgb), own, focal_px).numpy()[0]
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
    for path in (tmp_path / "a.png", tmp_path / "gone.png"):
        with pytest.raises(EnrError, match=rf"{path.name} cannot be read"):
            read_source_picture(path, config(), 20.0)
