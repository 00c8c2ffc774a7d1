"""Pictures of others in fewer pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.datagen.convert.conftest import converted
from tests.datagen.posed_folders import apple_entries, uva_entries, write_scene

from enr.errors import EnrError

SMALL = 12


@pytest.mark.parametrize(("layout", "focal_px"), [("apple", 131.25 / 128 * 8), ("uva", 50 / 36 * 8)])
def test_shrunk_pictures_keep_their_cameras_and_what_they_show(there, layout, focal_px):
    write_scene(there / "a", apple_entries(2) if layout == "apple" else uva_entries(2), size_px=24)
    (small,) = converted(there, layout, resolution=(8, 8))
    (whole,) = converted(there, layout, overwrite=True)
    assert small.views["K"][0] == pytest.approx(np.array([[focal_px, 0, 4], [0, focal_px, 4], [0, 0, 1]]))
    assert (small.views["world_from_camera"] == whole.views["world_from_camera"]).all()
    assert (small.views["clipped"] == whole.views["clipped"]).all()
    assert small.meta.config["converted"]["found_px"] == [24, 24]
    solid = np.stack([np.asarray(Image.open(there / "a" / f"0000{view}.png"), dtype=float) for view in range(2)])
    means = solid.reshape(2, 8, 3, 8, 3, 3).mean(axis=(2, 4))
    alpha = small.images[..., 3:] / 255
    assert np.abs(small.images[..., :3] * alpha + 255 * (1 - alpha) - means).max() <= 0.5 + 1e-6


def test_a_focal_length_is_that_of_the_pictures_found(there):
    write_scene(there / "a", apple_entries(2), SMALL)
    (shard,) = converted(there, "apple", focal_px=15.0, resolution=(4, 4))
    assert shard.views["K"][0, 0, 0] == pytest.approx(5.0)


@pytest.mark.parametrize(("resolution", "reason"), [((24, 24), "inventing"), ((6, 4), "another shape")])
def test_a_resolution_that_cannot_be_is_one_sentence(there, resolution, reason):
    write_scene(there / "a", apple_entries(2), SMALL)
    with pytest.raises(EnrError, match=reason):
        converted(there, "apple", resolution=resolution)
    assert not (there.parent / "shards").exists()
