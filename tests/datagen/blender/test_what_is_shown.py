"""What of a file is rendered, and that nothing else counts for anything."""

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm
from tests.datagen.glb_files import box, colour, write_glb

from enr.datagen.appearance.look import Look
from enr.datagen.settings import PoseSettings

SMALL = {"width_px": 40, "height_px": 40, "samples": 4, "look": Look(passes=("depth", "normals", "mask"))}
AROUND = PoseSettings("rot")
DIAGONAL = np.linalg.norm((1.0, 0.6, 0.3))
RED = colour(1, 0, 0)


def rendered(*paths):
    outcomes = bm.render(*(bm.make_job(path, 2, AROUND, **SMALL) for path in paths))
    assert not [outcome.reason for outcome in outcomes if outcome.reason]
    return outcomes


def agreement(outcome) -> float:
    """Share of the pixels that picture or depth cover which both cover."""
    alpha, depth = outcome.images[..., 3] > 127, np.isfinite(outcome.passes["depth"])
    np.testing.assert_array_equal(depth, np.linalg.norm(outcome.passes["normals"], axis=-1) > 0.5)
    return (alpha & depth).sum() / (alpha | depth).sum()


@pytest.mark.parametrize(
    "scenes", [[{"nodes": [0]}, {"nodes": [1]}], [{"nodes": [0]}]], ids=["of another scene", "of no scene"]
)
def test_what_is_not_in_the_default_scene_counts_for_nothing(tmp_path, scenes):
    far = box((1, 1, 1), (5, 0, 0))
    (outcome,) = rendered(
        write_glb(tmp_path / "two.glb", [box(), far], [{"mesh": 0}, {"mesh": 1}], scenes=scenes, materials=[RED, RED])
    )
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / DIAGONAL, rel=1e-5)
    assert agreement(outcome) > 0.9


def test_a_file_that_shows_nothing_says_so(tmp_path):
    path = write_glb(tmp_path / "m.glb", [box()], [{"mesh": 0}, {}], scenes=[{"nodes": [1]}])
    (outcome,) = bm.render(bm.make_job(path, 2, AROUND, **SMALL))
    assert "outside of its default scene" in outcome.reason


def test_files_name_their_properties_as_they_like_and_nothing_reaches_the_next_mesh(tmp_path):
    tagged = {"extras": {"enr": "mine", "enr-light": 1}}
    nodes = [{"mesh": 0, "name": "enr-camera", **tagged}, {"mesh": 1, "name": "enr-light"}]
    scene = [{"nodes": [0, 1], "extras": {"enr": 1, "enr-light": "x", "enr-engine": "y"}}]
    meshes = [box(), box((0.2, 0.2, 1.0), (0.3, 0.1, 0.4))]
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    plain = write_glb(tmp_path / "plain.glb", meshes[:1], [{"mesh": 0}], materials=[RED])
    first = write_glb(tmp_path / "a/m.glb", meshes, nodes, scenes=scene, materials=[RED, RED])
    hidden = write_glb(tmp_path / "b/m.glb", meshes, nodes, scenes=[{"nodes": [1]}, {"nodes": [0]}])
    moving = (0, "translation", [0, 1], [(0, 0, 0), (9, 0, 0)])
    moved = write_glb(tmp_path / "c/m.glb", meshes, nodes, animation=moving, materials=[RED])
    (alone,), (tagged_alone,) = rendered(plain), rendered(first)
    in_turn = rendered(first, plain, hidden, plain, moved, plain, first)
    for outcome in (in_turn[1], in_turn[3], in_turn[5]):
        np.testing.assert_array_equal(outcome.images, alone.images)
        np.testing.assert_array_equal(outcome.passes["depth"], alone.passes["depth"])
    np.testing.assert_array_equal(in_turn[6].images, tagged_alone.images)
    assert agreement(tagged_alone) > 0.9


@pytest.mark.parametrize("target", ["root", "child", "scale"])
def test_an_animated_file_is_rendered_as_it_stands_at_rest(tmp_path, target):
    """The same bytes as without its animation."""
    nodes = [{"translation": [5, 0, 0], "scale": [3, 3, 3], "children": [1, 2]}, {"mesh": 0}, {"mesh": 1}]
    meshes = [box(), box((0.2, 0.2, 1.0), (0.3, 0.1, 0.4))]
    moving = {
        "root": (0, "translation", [0, 1], [(7, 2, 0), (9, 0, 0)]),
        "child": (1, "translation", [0, 1], [(0.5, 0.3, 0), (2, 0, 0)]),
        "scale": (0, "scale", [0, 1], [(0.1, 0.1, 0.1), (1, 1, 1)]),
    }[target]
    still, moved = tmp_path / "still", tmp_path / "moved"
    still.mkdir()
    moved.mkdir()
    scene = {"scenes": [{"nodes": [0]}], "materials": [RED, RED]}
    expected, outcome = rendered(
        write_glb(still / "m.glb", meshes, nodes, **scene),
        write_glb(moved / "m.glb", meshes, nodes, animation=moving, **scene),
    )
    assert outcome.facts["normalise_scale"] == expected.facts["normalise_scale"]
    np.testing.assert_array_equal(outcome.images, expected.images)
    np.testing.assert_array_equal(outcome.passes["depth"], expected.passes["depth"])
    assert agreement(outcome) > 0.9


@pytest.mark.parametrize(
    "stray",
    [[(100, 100, 100)] * 3, [(90, 90, 90), (100, 100, 100), (110, 110, 110)], [(0.1, 0, 0), (70.3, 0, 0), (0.1, 0, 0)]],
    ids=["a point", "a line", "there and back"],
)
def test_faces_without_area_count_for_nothing_in_the_box(tmp_path, stray):
    block = bm.trimesh.creation.box((1.0, 0.6, 0.3))
    vertices, faces = [*block.vertices, *stray], [*block.faces, (8, 9, 10)]
    (outcome,) = rendered(bm.write_obj(tmp_path / "m.obj", vertices, faces))
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / DIAGONAL, rel=1e-5)
    assert agreement(outcome) > 0.9


@pytest.mark.parametrize("more", [{"scale": [0, 0, 0]}, {"extensions": {"KHR_node_visibility": {"visible": False}}}])
def test_a_node_that_is_not_there_counts_for_nothing(tmp_path, more):
    nodes = [{"mesh": 0}, {"translation": [5, 0, 0], "children": [2], **more}, {"mesh": 0}]
    path = write_glb(tmp_path / "m.glb", [box()], nodes, scenes=[{"nodes": [0, 1]}], materials=[RED])
    (outcome,) = rendered(path)
    assert outcome.facts["normalise_scale"] == pytest.approx(1 / DIAGONAL, rel=1e-5)
    assert agreement(outcome) > 0.9


def test_an_invisible_object_takes_nothing_with_it(tmp_path):
    unseen = colour(0.1, 0.2, 0.9, 0.0, alphaMode="BLEND")
    once = write_glb(tmp_path / "m.glb", [box()], [{"mesh": 0}], materials=[RED])
    (tmp_path / "b").mkdir()
    nodes = [{"mesh": 0}, {"mesh": 1}]
    expected, outcome = rendered(once, write_glb(tmp_path / "b/m.glb", [box()] * 2, nodes, materials=[unseen, RED]))
    np.testing.assert_allclose(outcome.images[..., 3], expected.images[..., 3], atol=64)
    assert agreement(outcome) > 0.9


@pytest.mark.parametrize("kind", ["the same mesh", "another mesh", "moved by rounding", "a part of another object"])
def test_an_object_that_stands_twice_in_a_file_does_not_shade_itself(tmp_path, kind):
    more = [box(), box((0.2, 0.2, 1.0), (0.3, 0.1, 0.4))] if kind == "a part of another object" else [box()]
    joined = {
        "POSITION": np.concatenate([part["POSITION"] for part in more]),
        "indices": np.concatenate([part["indices"] + 8 * number for number, part in enumerate(more)]),
    }
    place = {"translation": [1e-7, 0, 0]} if kind == "moved by rounding" else {}
    twice = [{"mesh": 0}, {"mesh": int(kind != "the same mesh"), **place}]
    blue = colour(0.1, 0.2, 0.9)
    once = write_glb(tmp_path / "once.glb", [joined], [{"mesh": 0}], materials=[blue])
    (tmp_path / "b").mkdir()
    again = write_glb(tmp_path / "b/once.glb", [joined, box()], twice, materials=[blue, blue])
    expected, outcome = rendered(once, again)
    both = (expected.images[..., 3] > 250) & (outcome.images[..., 3] > 250)
    difference = outcome.images[both].astype(float) - expected.images[both]
    assert both.any() and np.abs(difference).mean() < 6
