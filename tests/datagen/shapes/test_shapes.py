"""Built-in shapes: closed solids, the layout of ShapeNet, the same for the same seed, no faces within faces."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from enr.datagen.meshes.discovery import find_meshes
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.shapes.catalogue import KINDS, make_shape, write_shapes
from enr.datagen.shapes.mountains import fractal, terrain
from enr.datagen.shapes.solids import Solid, box, extrude, lathe, sheet, tube, volume
from enr.errors import EnrError

CASES = [(kind, index) for kind, count in zip(KINDS, (24, 6, 4, 6, 3), strict=True) for index in range(count)]
sizes = st.floats(0.1, 3)


def triangles_of(solid: Solid) -> np.ndarray:
    return np.array([(face[0], *face[at : at + 2]) for face in solid.faces for at in range(1, len(face) - 1)])


def as_trimesh(solid: Solid) -> trimesh.Trimesh:
    return trimesh.Trimesh(solid.vertices, triangles_of(solid), process=False)


def shared_faces(solids):
    """Pairs of solids with a triangle of one lying in a face of the other, both looking the same way."""
    corners = np.concatenate([solid.vertices[triangles_of(solid)] for solid in solids])
    owner = np.repeat(np.arange(len(solids)), [len(triangles_of(solid)) for solid in solids])
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    corners, owner, normal = (
        values[area > 1e-7] for values in (corners, owner, normal / np.maximum(area, 1e-12)[:, None])
    )
    height = (normal * corners[:, 0]).sum(axis=1)
    found = set()
    for index, centre in enumerate(corners.mean(axis=1)):
        alike = np.flatnonzero((normal @ normal[index] > 0.9999) & (owner != owner[index]))
        for other in alike[np.abs(corners[alike] @ normal[index] - height[index]).max(axis=1) < 1e-4]:
            start, *ends = corners[other]
            weights = np.linalg.lstsq(np.stack([end - start for end in ends], axis=1), centre - start, rcond=None)[0]
            if weights.min() > 0 and weights.sum() < 1:
                found.add((int(owner[index]), int(owner[other])))
    return found


@pytest.mark.parametrize(("kind", "index"), CASES)
def test_shapes_are_centred_closed_and_share_no_faces(kind, index):
    solids, colours = make_shape(kind, 0, index)
    vertices = np.concatenate([solid.vertices for solid in solids])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    np.testing.assert_allclose(low, -high, atol=1e-9)
    assert np.linalg.norm(high - low) == pytest.approx(1)
    assert set(colours) >= {name for solid in solids for name in solid.face_materials}
    assert all(((colour > 0) & (colour < 1)).all() for colour in colours.values())
    for solid in solids:
        mesh = as_trimesh(solid)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    assert len(solids) == 1 or not shared_faces(solids)


def test_a_chair_faces_x_and_stands_on_its_feet():
    for index in range(24):
        solids, _ = make_shape("chair", 0, index)
        vertices = np.concatenate([solid.vertices for solid in solids])
        assert abs(vertices[:, 1].min() + vertices[:, 1].max()) < 1e-9
        top = vertices[vertices[:, 2] > vertices[:, 2].max() - 0.05]
        if np.ptp(top[:, 0]) < 0.2:  # a back and not a stool's seat
            assert top[:, 0].mean() < 0


def test_a_car_stands_on_four_wheels_below_its_windows_with_its_lamps_in_front():
    for index in range(20):
        solids, colours = make_shape("car", 0, index)
        parts = {name: [one for one in solids if one.material == name] for name in colours}
        tyres = np.stack([one.vertices.mean(axis=0) for one in parts["tyre"][:4]])
        np.testing.assert_allclose(tyres[:2] * [1, -1, 1], tyres[2:], atol=1e-9)
        ground = min(one.vertices[:, 2].min() for one in solids)
        assert all(one.vertices[:, 2].min() == pytest.approx(ground) for one in parts["tyre"][:4])
        (glass,) = parts["glass"]
        assert glass.vertices[:, 2].min() > tyres[:, 2].max()
        assert np.mean([one.vertices[:, 0].mean() for one in parts["tail"]]) < tyres[:, 0].min()
        assert max(one.vertices[:, 0].max() for one in parts["lamp"]) > tyres[:, 0].max()


def test_a_mountain_is_coloured_by_height_and_slope():
    """Snow is high, meadows low, water flat; bare rock is steeper than meadows."""
    order = ["meadow", "wood", "rock", "snow"]
    heights: dict[str, list[float]] = {}
    slopes: dict[str, list[float]] = {}
    for index in range(8):
        ((solid,), _) = make_shape("mountain", 0, index)
        corners = solid.vertices[[face[:4] for face in solid.faces if len(face) == 4]]
        names = [
            name.rstrip("012") for name, face in zip(solid.face_materials, solid.faces, strict=True) if len(face) == 4
        ]
        normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        steep_deg = np.degrees(np.arctan2(np.linalg.norm(normal[:, :2], axis=1), normal[:, 2]))
        tops = (corners[..., 2].mean(axis=1) - solid.vertices[:, 2].min()) / np.ptp(solid.vertices[:, 2])
        for name, top, steep in zip(names, tops, steep_deg, strict=True):
            heights.setdefault(name, []).append(top)
            slopes.setdefault(name, []).append(steep)
    means = [np.mean(heights[name]) for name in order]
    assert means == sorted(means) and means[-1] > 2 * means[0]
    assert np.mean(slopes["rock"]) > 2 * np.mean(slopes["meadow"])
    assert np.median(slopes["water"]) == pytest.approx(0, abs=1e-9)


def test_terrain_is_low_at_its_border_and_no_two_are_alike():
    grounds = [terrain(np.random.default_rng(seed)) for seed in range(6)]
    for ground in grounds:
        border = np.concatenate([ground[0], ground[-1], ground[:, 0], ground[:, -1]])
        assert (ground.min(), ground.max()) == (0, 1) and border.max() < 0.25
    likeness = np.corrcoef([ground.ravel() for ground in grounds])
    assert likeness[np.triu_indices(6, 1)].max() < 0.95


@pytest.mark.parametrize("exponent", [1.2, 2.0])
def test_the_noise_s_amplitude_falls_with_the_frequency(exponent):
    """White noise over frequency**exponent: an octave up, the mean amplitude is 2**-exponent of it."""
    spectra = [np.abs(np.fft.fft2(fractal(np.random.default_rng(seed), 64, exponent))) for seed in range(40)]
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64, 1 / 64)] * 2))
    low, high = (np.mean([one[(frequency > f) & (frequency < f + 1)].mean() for one in spectra]) for f in (7.5, 15.5))
    assert high / low == pytest.approx(2**-exponent, rel=0.1)


def test_files_are_shapenet_s_first_layout_and_y_up(tmp_path):
    paths = write_shapes(tmp_path, len(KINDS), seed=5, kinds=KINDS)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"{kind}-5-{index:04d}/model.obj" for index, kind in enumerate(KINDS)
    ]
    assert [source.scene_id for source in find_meshes([tmp_path])] == sorted(path.parent.name for path in paths)
    for index, (kind, path) in enumerate(zip(KINDS, paths, strict=True)):
        solids, _ = make_shape(kind, 5, index)
        expected = np.concatenate([solid.vertices for solid in solids])
        vertices, faces = load_triangles(path)
        np.testing.assert_allclose(vertices.min(axis=0), expected.min(axis=0), atol=1e-5)
        np.testing.assert_allclose(vertices.max(axis=0), expected.max(axis=0), atol=1e-5)
        assert len(faces) == sum(len(triangles_of(solid)) for solid in solids)
        text = path.read_text()
        used = {line.split()[1] for line in text.splitlines() if line.startswith("usemtl")}
        named = {line.split()[1] for line in (path.parent / "model.mtl").read_text().splitlines() if "newmtl" in line}
        assert "mtllib model.mtl" in text and used <= named


def test_a_shape_depends_on_seed_and_index_alone(tmp_path):
    few, many = write_shapes(tmp_path / "few", 2, seed=3), write_shapes(tmp_path / "many", 4, seed=3)
    for first, second in zip(few, many, strict=False):
        assert first.read_bytes() == second.read_bytes()
        assert first.with_suffix(".mtl").read_bytes() == second.with_suffix(".mtl").read_bytes()
    other = write_shapes(tmp_path / "other", 2, seed=4)
    contents = [path.read_bytes() for path in (*many, *other)]
    assert len(set(contents)) == len(contents)


def test_impossible_wishes_are_refused(tmp_path):
    with pytest.raises(EnrError, match="chair, table, mug"):
        write_shapes(tmp_path, 1, 0, kinds=("teapot",))
    with pytest.raises(EnrError, match="chair, table, mug"):
        write_shapes(tmp_path, 1, 0, kinds=())
    with pytest.raises(EnrError, match="at least 1"):
        write_shapes(tmp_path, 0, 0)
    with pytest.raises(EnrError, match="seed"):
        write_shapes(tmp_path, 1, -1)
    assert not list(tmp_path.iterdir())


@settings(max_examples=25)
@given(sizes, sizes, sizes)
def test_volumes_of_simple_solids(a, b, c):
    square = [[0, 0], [a, 0], [a, b], [0, b]]
    flat = [[[0, y, z] for y in np.linspace(0, a, 3)] for z in (0.0, b)]
    for solid in (
        box((1, 2, 3), (a, b, c), "m"),
        extrude(square, 0, c, "m"),
        sheet(flat, (c, 0, 0), "m"),
        sheet(flat, (-c, 0, 0), "m"),
    ):
        assert volume(solid) == pytest.approx(a * b * c)
        assert as_trimesh(solid).volume == pytest.approx(a * b * c)
    assert volume(tube([[0, 0, 0], [a, b, c]], 0.05, "m", sides=4)) == pytest.approx(0.01 * np.linalg.norm([a, b, c]))
    assert volume(lathe([(a, 0), (a, b)], "m", sides=200)) == pytest.approx(np.pi * a * a * b, rel=1e-3)


@settings(max_examples=30)
@given(sizes, sizes, sizes, st.floats(0, 0.5), st.integers(2, 6))
def test_rounded_boxes_keep_their_extent_and_are_closed(a, b, c, round_by, steps):
    solid = box((0, 0, 0), (a, b, c), "m", round_by, steps)
    mesh = as_trimesh(solid)
    np.testing.assert_allclose(np.ptp(solid.vertices, axis=0), [a, b, c])
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert 0.3 * a * b * c < mesh.volume <= a * b * c * (1 + 1e-9)


@given(st.floats(-360, 360))
def test_turning_and_mirroring_keep_faces_outwards(angle_deg):
    solid = box((1, 2, 0), (1, 2, 3), "m")
    assert volume(solid.turned_z(angle_deg)) == pytest.approx(6)
    assert volume(solid.mirrored_y()) == pytest.approx(6)
    np.testing.assert_allclose(solid.turned_z(90).vertices.mean(axis=0), [-2, 1, 0], atol=1e-9)
    np.testing.assert_allclose(solid.mirrored_y().vertices.mean(axis=0), [1, -2, 0])
