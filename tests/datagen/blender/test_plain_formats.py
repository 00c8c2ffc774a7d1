"""What OBJ and PLY say of colours and opacity that Blender's importers leave out."""

import numpy as np
import pytest
from PIL import Image
from tests.datagen import blender_meshes as bm

from enr.datagen.settings import PoseSettings

SMALL = {"width_px": 32, "height_px": 32, "samples": 4, "materials": "original"}
ABOVE = PoseSettings("rot", elevation_deg=(30, 60))
SQUARE = "v -1 0 -1{0}\nv -1 0 1{1}\nv 1 0 1{2}\nv 1 0 -1{3}\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def write(folder, mtl="", colours=("",) * 4):
    use = "mtllib m.mtl\nusemtl m\n" if mtl else ""
    (folder / "m.mtl").write_text(mtl)
    path = folder / "m.obj"
    path.write_text(use + SQUARE.format(*colours) + "f 1/1 2/2 3/3 4/4\n")
    return path


def inner(path):
    """RGBA (pixels, 4) of where the square is whole."""
    (images,) = bm.pictures(bm.make_job(path, 2, ABOVE, **SMALL))
    return images[images[..., 3] > 0.9 * images[..., 3].max()]


def test_a_texture_shows_its_colour_where_its_unused_alpha_is_zero(tmp_path):
    Image.new("RGBA", (8, 8), (20, 150, 150, 0)).save(tmp_path / "t.png")
    see_through = inner(write(tmp_path, "newmtl m\nKd 1 1 1\nmap_Kd t.png\n"))
    Image.new("RGB", (8, 8), (20, 150, 150)).save(tmp_path / "t.png")
    np.testing.assert_allclose(see_through, inner(tmp_path / "m.obj"), atol=1)
    assert see_through[:, 1].mean() > 100


@pytest.mark.parametrize(("said", "opacity"), [("Tr 0.5", 0.5), ("d 0.5", 0.5), ("d 0.75\nTr 0.5", 0.75), ("Tr 0", 1)])
def test_tr_is_one_less_d(tmp_path, said, opacity):
    pixels = inner(write(tmp_path, f"newmtl m\nKd 0.9 0.2 0.2\n{said}\n"))
    assert pixels[:, 3].mean() / 255 == pytest.approx(opacity, abs=0.15)  # four samples a pixel


@pytest.mark.parametrize("suffix", ["obj", "obj with materials", "ply"])
def test_colours_of_vertices_are_shown(tmp_path, suffix):
    path = write(tmp_path, "newmtl m\nKd 1 1 1\n" if "materials" in suffix else "", (" 0.1 0.9 0.1",) * 4)
    if suffix == "ply":
        path = tmp_path / "m.ply"
        mesh = bm.trimesh.creation.box((2, 2, 0.1))
        mesh.visual.vertex_colors = np.tile([25, 230, 25, 255], (8, 1))
        mesh.export(path)
    red, green, blue, _ = inner(path).mean(axis=0)
    assert green > 150 and max(red, blue) < 0.65 * green


@pytest.mark.parametrize(
    ("line", "library"),
    [
        ("", "m.mtl"),
        ("mtllib untitled.mtl", "m.mtl"),
        ("mtllib sub\\mine.mtl", "sub/mine.mtl"),
        ('mtllib "my own.mtl"', "my own.mtl"),
        ("mtllib gone.mtl mine.mtl", "mine.mtl"),
    ],
)
def test_materials_are_shown_wherever_they_are_found(tmp_path, line, library):
    """Without a word about materials: the file's own, not those of a palette; textures lie beside their library."""
    place = tmp_path / library
    place.parent.mkdir(exist_ok=True)
    place.write_text("newmtl m\nKd 0.1 0.1 0.9\nmap_Kd t.png\n")
    Image.new("RGB", (8, 8), (20, 150, 150)).save(place.parent / "t.png")
    (tmp_path / "m.obj").write_text(f"{line}\nusemtl m\n{SQUARE.format(*[''] * 4)}f 1/1 2/2 3/3 4/4\n")
    (outcome,) = bm.render(bm.make_job(tmp_path / "m.obj", 2, ABOVE, **SMALL | {"materials": None}))
    assert (outcome.reason, outcome.facts["materials"], outcome.facts["mesh"]["textures_missing"]) == (
        "",
        "original",
        0,
    )
    red, green, blue = outcome.images[outcome.images[..., 3] == 255][:, :3].mean(axis=0)
    assert red < 0.5 * green and abs(green - blue) < 5


def test_a_library_with_none_of_the_materials_is_no_reason_to_drop_the_palette(tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl another\nKd 0.1 0.1 0.9\n")
    (tmp_path / "m.obj").write_text(f"usemtl m\n{SQUARE.format(*[''] * 4)}f 1/1 2/2 3/3 4/4\n")
    (outcome,) = bm.render(bm.make_job(tmp_path / "m.obj", 1, ABOVE, **SMALL | {"materials": None}))
    assert outcome.facts["materials"] == "palette"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_map_d_is_the_opacity_with_or_without_an_alpha(tmp_path, mode):
    Image.new("RGB", (8, 8), (20, 150, 150)).save(tmp_path / "t.png")
    mask = Image.new("L", (8, 8), 255)
    mask.paste(0, (0, 0, 4, 8))
    picture = (
        Image.merge("RGBA", (Image.new("L", (8, 8), 255),) * 3 + (mask,)) if mode == "RGBA" else mask.convert(mode)
    )
    picture.save(tmp_path / "d.png")
    whole = write(tmp_path, "newmtl m\nKd 1 1 1\nmap_Kd t.png\n")
    (images,) = bm.pictures(bm.make_job(whole, 2, ABOVE, **SMALL))
    (cut,) = bm.pictures(bm.make_job(write(tmp_path, "newmtl m\nmap_Kd t.png\nmap_d d.png\n"), 2, ABOVE, **SMALL))
    assert 0.3 < cut[..., 3].sum() / images[..., 3].sum() < 0.7
