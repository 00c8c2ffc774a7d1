"""What a picture lets through, its depth, normals and mask let through."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import SQUARE, colour, write_glb

from enr.datagen.appearance.look import Look
from enr.datagen.settings import PoseSettings

SMALL = {"width_px": 48, "height_px": 48, "samples": 4, "look": Look(passes=("depth", "normals", "mask"))}
ABOVE = PoseSettings("rot", elevation_deg=(20, 60))
RAMP = np.array([(1, 1, 1, a) for a in (0.0, 1.0, 1.0, 0.3)], dtype="<f4")
"""Colours of a square's corners whose alpha falls off."""


def square_picture() -> bytes:
    pixels = np.full((16, 16, 4), 255, dtype=np.uint8)
    pixels[:, :8, 3] = 100
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def glb(path, mode, cutoff=0.5, factor=1.0, textured=True, vertex_alpha=False, unlit=False, moved=False):
    texture = {"index": 0}
    more = {"alphaMode": mode} | ({"alphaCutoff": cutoff} if mode == "MASK" else {})
    content = {}
    if moved:
        texture["extensions"] = {"KHR_texture_transform": {"offset": [0.25, 0.0], "scale": [1.0, 2.0]}}
        content["extensionsUsed"] = ["KHR_texture_transform"]
    if unlit:
        more["extensions"] = {"KHR_materials_unlit": {}}
        content["extensionsUsed"] = ["KHR_materials_unlit"]
    pbr = {"baseColorTexture": texture} if textured else {}
    mesh = SQUARE | ({"COLOR_0": RAMP} if vertex_alpha else {})
    png = square_picture() if textured else b""
    return write_glb(
        path, [mesh], [{"mesh": 0}], materials=[colour(1, 1, 1, factor, pbr=pbr, **more)], png=png, **content
    )


@pytest.mark.parametrize(
    "kind",
    [
        {"mode": "MASK"},
        {"mode": "MASK", "cutoff": 0.9, "factor": 0.95},
        {"mode": "MASK", "textured": False, "vertex_alpha": True},
        {"mode": "MASK", "vertex_alpha": True},
        {"mode": "MASK", "unlit": True},
        {"mode": "MASK", "moved": True},
        {"mode": "BLEND", "textured": False, "factor": 0.5},
        {"mode": "OPAQUE"},
    ],
    ids=str,
)
def test_the_passes_have_the_holes_of_the_picture(tmp_path, kind):
    (outcome,) = bm.render(bm.make_job(glb(tmp_path / "m.glb", **kind), 2, ABOVE, **SMALL))
    assert not outcome.reason
    alpha, depth = outcome.images[..., 3], np.isfinite(outcome.passes["depth"])
    sure = (alpha == 0) | (alpha >= alpha.max() - 2)  # the others lie on an edge
    assert (depth == (alpha > 0))[sure].mean() > 0.995
    np.testing.assert_array_equal(depth, np.linalg.norm(outcome.passes["normals"], axis=-1) > 0.5)
    np.testing.assert_array_equal(outcome.passes["mask"], (alpha > 0) | depth)
    assert depth.any()


@pytest.mark.parametrize("passes", [(), ("depth", "normals", "mask")])
def test_a_mesh_that_cannot_be_seen_is_told_in_the_same_words_with_and_without_passes(tmp_path, passes):
    path = glb(tmp_path / "m.glb", "BLEND", factor=0.0, textured=False)
    (outcome,) = bm.render(bm.make_job(path, 2, ABOVE, **SMALL | {"look": Look(passes=passes)}))
    assert (outcome.kind, outcome.reason) == ("bad_mesh", "nothing of the mesh is visible in any view")
