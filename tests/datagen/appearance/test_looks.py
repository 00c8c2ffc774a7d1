"""Light, backgrounds and engines: laws of the light, pictures of known colours, and machines that cannot."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.command_line import enr
from tests.datagen import blender_meshes as bm

from enr.datagen.appearance.backdrop import over, put_behind, read_backdrop
from enr.datagen.appearance.lighting import LIGHTINGS, Lamp, Lighting, Sun
from enr.datagen.appearance.look import Look, PictureFile
from enr.datagen.settings import PoseSettings
from enr.datagen.workers import engines
from enr.datagen.workers.engines import check_look
from enr.errors import EnrError
from enr.shards import open_shard, read_shard

FRONT = PoseSettings("trans", box=((0, 0), (0, 0), (0, 0)))
GREY = 0.5
"""Linear; what `--materials grey` paints."""


def linear(values):
    values = np.asarray(values) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lit_job(path, light: Lighting, **options):
    """A job with a light that has no name."""
    return bm.make_job(path, materials="grey", **options) | {
        "lighting": json.loads(json.dumps(dataclasses.asdict(light)))
    }


def solid(outcome):
    """Linear colours (pixels, 3) of the pixels that the object covers wholly."""
    return linear(outcome.images[outcome.images[..., 3] == 255][:, :3])


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    mesh = bm.trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    return bm.write_obj(tmp_path_factory.mktemp("ball") / "ball.obj", mesh.vertices, mesh.faces)


def patch_turned(folder, name, normal):
    """A square around the origin with a normal towards the camera's side, as an OBJ file."""
    x = np.array(normal) / np.linalg.norm(normal)
    y = np.cross([0, 0, 1], x)
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    corners = [0.5 * (a * y + b * z) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return bm.write_obj(folder / f"{name}.obj", corners, [(0, 1, 2, 3)])


def test_ambient_light_shows_a_convex_body_in_its_own_colour(ball):
    dim, bright = bm.render(*(lit_job(ball, Lighting(level), views=2, samples=64) for level in (0.5, 1.0)))
    np.testing.assert_allclose(solid(bright), GREY, atol=0.01)
    np.testing.assert_allclose(solid(dim), GREY / 2, atol=0.01)


def test_a_matte_surface_shows_the_cosine_law_of_suns_and_lamps(tmp_path):
    """Radiance is albedo / pi times the irradiance, which falls with the cosine; a lamp is one sun from its place."""
    towards = np.array([2.0, 0.5, 1.5])
    sun = Lighting(0.0, (Sun(tuple(towards), 2.0),), bounces=0)
    lamp = Lighting(0.0, lamps=(Lamp(tuple(20 * towards), 2.0),), bounces=0)
    normals = ([1, 0, 0], [1, 0.5, 0.2], [1, -0.6, 0.1])
    paths = [patch_turned(tmp_path, f"patch{n}", normal) for n, normal in enumerate(normals)]
    jobs = [lit_job(p, light, views=1, poses=FRONT, normalise="none") for p in paths for light in (sun, lamp)]
    outcomes = bm.render(*jobs)
    for normal, by_sun, by_lamp in zip(normals, outcomes[::2], outcomes[1::2], strict=True):
        cosine = np.dot(normal, towards) / np.linalg.norm(normal) / np.linalg.norm(towards)
        expected = GREY / np.pi * 2.0 * cosine
        np.testing.assert_allclose(solid(by_sun), expected, rtol=0.03)
        np.testing.assert_allclose(solid(by_lamp), expected, rtol=0.05)


def test_srn_light_leaves_black_what_it_does_not_reach(tmp_path, ball):
    place = np.array(LIGHTINGS["srn"].lamps[0].position)
    away = patch_turned(tmp_path, "away", [0.2, 1, -1])
    facing = patch_turned(tmp_path, "facing", place)
    dark, bright, round_one = bm.render(
        *(
            bm.make_job(p, 1, FRONT, materials="grey", look=Look(lighting="srn"), normalise="none")
            for p in (away, facing, ball)
        )
    )
    assert not solid(dark).any()
    np.testing.assert_allclose(solid(bright), GREY / np.pi * LIGHTINGS["srn"].lamps[0].strength, rtol=0.1)
    assert 0.2 < (solid(round_one) == 0).all(axis=1).mean() < 0.8


def test_the_reports_suns_light_both_sides_alike(tmp_path):
    """The slip of the published script corrected: the second sun shines from exactly where the first one does not."""
    first, second = LIGHTINGS["report"].suns
    np.testing.assert_array_equal(first.direction, -np.array(second.direction))
    path = patch_turned(tmp_path, "patch", [1, 0.2, 0.1])
    both = PoseSettings("rot", azimuth_deg=(0, 360), elevation_deg=(0, 1))
    job = bm.make_job(path, 8, both, materials="grey", look=Look(lighting="report"), samples=64)
    (outcome,) = bm.render(job)
    levels = solid(outcome)
    assert levels.min() > 0.01
    assert np.ptp(levels) < 0.03 * levels.mean() + 0.004


def test_studio_light_leaves_white_its_shape_and_nothing_black(tmp_path):
    blocks = bm.corner_blocks()
    path = bm.write_obj(tmp_path / "b.obj", blocks.vertices, blocks.faces, "mtllib b.mtl\nusemtl white")
    (tmp_path / "b.mtl").write_text("newmtl white\nKd 1 1 1\n")
    (outcome,) = bm.render(bm.make_job(path, 12, look=Look(lighting="studio"), samples=32))
    levels = outcome.images[outcome.images[..., 3] == 255][:, :3]
    assert levels.min() > 90
    assert (levels == 255).mean() < 0.02


@pytest.fixture
def surroundings(tmp_path) -> PictureFile:
    """A picture whose red grows to the right and whose green grows downwards."""
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(64) * 4, np.arange(32)[:, None] * 8
    Image.fromarray(pixels).save(tmp_path / "around.png")
    return PictureFile.open(tmp_path / "around.png")


def test_a_grey_hdri_is_ambient_light(tmp_path, ball):
    Image.new("RGB", (16, 8), (188, 188, 188)).save(tmp_path / "grey.png")
    look = Look(hdri=PictureFile.open(tmp_path / "grey.png"), hdri_background=True)
    (outcome,) = bm.render(bm.make_job(ball, 2, materials="grey", look=look, samples=64))
    np.testing.assert_allclose(solid(outcome), GREY * linear(188), atol=0.01)
    images, passes = put_behind(look, outcome.images, outcome.passes)
    assert (images[..., 3] == 255).all() and set(passes) == {"mask"}
    np.testing.assert_array_equal(passes["mask"], outcome.images[..., 3] > 0)
    assert (images[~passes["mask"]][:, :3] == 188).all()


WORLD_OF_CYCLES = """
import json, sys
import bpy, mathutils
import numpy as np
from enr.datagen.blender import backdrop as blender_backdrop
from enr.datagen.blender import lens as blender_lens
from enr.datagen.blender import scene as blender_scene

job = json.loads(sys.stdin.read())
scene = blender_scene.prepare_scene(job)
ours = blender_backdrop.view_backdrops(scene, job).astype(int)
scene.render.film_transparent, scene.render.use_border, scene.cycles.samples = False, False, 256
worst = []
for number, view in enumerate(job["views"]):
    K, camera = blender_lens.view_lens(job, view), np.array(view["world_from_camera"])
    blender_lens.set_lens(scene, K)
    scene.camera.matrix_world = mathutils.Matrix((camera @ blender_scene.OPENCV_FROM_BLENDER).tolist())
    scene.render.filepath = job["out"]
    bpy.ops.render.render(write_still=True)
    theirs = blender_scene.read_targa(blender_scene.Path(job["out"]), job["width_px"], job["height_px"])[..., :3]
    worst.append(float(np.quantile(np.abs(ours[number] - theirs), 0.95)))
print("\\n" + json.dumps(worst))
"""


def test_the_surroundings_behind_the_object_are_those_that_cycles_shows(tmp_path, ball, surroundings):
    job = bm.make_job(ball, 4, look=Look(hdri=surroundings, hdri_background=True), width_px=40, height_px=24)
    job |= {"out": str(tmp_path / "out.tga"), "threads": 1}
    done = subprocess.run(
        [sys.executable, "-c", WORLD_OF_CYCLES], input=json.dumps(job), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert max(json.loads(done.stdout.splitlines()[-1])) <= 3


def test_a_picture_of_one_colour_behind_is_that_colour(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 5, 7, 4), dtype=np.uint8)
    alpha = images[..., 3:] / 255
    expected = alpha * images[..., :3] + (1 - alpha) * [10, 20, 30]
    Image.new("RGB", (31, 17), (10, 20, 30)).save(tmp_path / "plain.png")
    look = Look(backdrop=PictureFile.open(tmp_path / "plain.png"))
    assert look.stored_passes == ("mask",)
    baked, _ = put_behind(look, images, {})
    np.testing.assert_allclose(baked[..., :3], expected, atol=0.5)
    assert (baked[..., 3] == 255).all()
    np.testing.assert_array_equal(put_behind(Look(), images, {})[0], images)
    np.testing.assert_array_equal(over(images, np.zeros((2, 5, 7, 3), dtype=np.uint8))[..., 3], 255)


def test_a_picture_behind_fills_the_frame_from_its_middle(tmp_path):
    pixels = np.zeros((30, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 200
    Image.fromarray(pixels).save(tmp_path / "bands.png")
    file = PictureFile.open(tmp_path / "bands.png")
    assert read_backdrop(file, 10, 10).shape == (10, 10, 3)
    assert read_backdrop(file, 10, 10)[:, 1:-1].min() > 150
    assert read_backdrop(file, 30, 10)[:, 0].max() < 50
    (tmp_path / "bands.png").write_bytes(b"something else")
    with pytest.raises(EnrError, match="changed while it was in use"):
        read_backdrop(file, 11, 10)


CANNOT = {
    "abort": ("import os; os.abort()", "SIGABRT"),
    "silent": ("print('nothing')", "status 0"),
    "words": ("raise SystemExit('no EGL display')", "no EGL display"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_an_engine_that_kills_its_process_is_refused_in_one_sentence(tmp_path, monkeypatch, name):
    script, words = CANNOT[name]
    probe = tmp_path / "probe.py"
    probe.write_text(script)
    monkeypatch.setattr(engines, "PROBE", probe)
    with pytest.raises(EnrError, match=f"--engine eevee does not work on this machine .*{words}.*--engine cycles"):
        check_look(Look(engine="eevee"))


def test_what_cannot_be_is_refused_without_asking(monkeypatch):
    monkeypatch.setattr(engines, "PROBE", Path("/nowhere"))
    check_look(Look())
    with pytest.raises(EnrError, match="for the engine cycles alone"):
        check_look(Look(engine="workbench", device="cuda"))


@pytest.mark.skipif(sys.platform == "darwin", reason="Metal is there on a Mac")
def test_a_device_that_is_not_there_and_an_hdri_that_is_none(tmp_path):
    with pytest.raises(EnrError, match=r"--device metal does not work on this machine .*--device cpu runs anywhere"):
        check_look(Look(device="metal"))
    (tmp_path / "broken.hdr").write_text("no picture")
    with pytest.raises(EnrError, match=r"--hdri .*broken.hdr does not work .* give an equirectangular picture"):
        check_look(Look(hdri=PictureFile.open(tmp_path / "broken.hdr")))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["workbench", "eevee"])
def test_other_engines_render_the_same_shape_or_say_why_not(tmp_path, engine):
    look = Look(engine=engine, passes=("depth",))
    try:
        check_look(look)
    except EnrError as error:
        assert f"--engine {engine} does not work on this machine" in str(error)
        return
    blocks = bm.corner_blocks()
    path = bm.write_obj(tmp_path / "blocks.obj", blocks.vertices, blocks.faces)
    other, cycles = bm.render(*(bm.make_job(path, 4, look=each) for each in (look, Look(passes=("depth",)))))
    np.testing.assert_array_equal(other.passes["depth"], cycles.passes["depth"])
    assert np.abs(other.images[..., 3].astype(int) - cycles.images[..., 3]).mean() < 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = bm.corner_blocks()
    bm.write_obj(tmp_path / "m/blocks.obj", blocks.vertices, blocks.faces)
    Image.new("RGB", (9, 9), "navy").save(tmp_path / "sky.png")
    return tmp_path


LINE = ["datagen", "m", "--views", "3", "--resolution", "24x16", "--samples", "2", "--workers", "1"]


def test_every_option_of_the_look_reaches_the_shard(folder):
    result = enr(*LINE, "--lighting", "srn", "--background", "sky.png", "--depth", "--normals", "world")
    assert result.exit_code == 0, result.output
    path = next((folder / "shards").glob("*.h5"))
    shard = read_shard(path)
    assert set(shard.passes) == {"depth", "normals", "mask"} and shard.normals_space == "world"
    with open_shard(path) as file:
        assert file["normals"].attrs["space"] == "world"
    assert (shard.images[..., 3] == 255).all()
    assert (shard.images[~shard.passes["mask"]] == (0, 0, 128, 255)).all()
    look = shard.meta.config["render"]["look"]
    assert (look["lighting"], look["passes"], look["engine"]) == ("srn", ["depth", "normals"], "cycles")
    assert look["backdrop"] == PictureFile.open(folder / "sky.png").sha256
    facts = json.loads(shard.scenes["facts"][0])
    assert (facts["faces"], facts["vertices"], facts["textures_missing"]) == (36, 24, 0)
    (folder / "sky.png").rename(folder / "moved.png")
    again = enr(*LINE, "--lighting", "srn", "--background", "moved.png", "--depth", "--normals", "world")
    assert "nothing to do" in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--hdri-background",), "give --hdri FILE too"),
        (("--hdri", "sky.png", "--lighting", "srn"), "leave --lighting srn out"),
        (("--hdri", "sky.png", "--hdri-background", "--background", "sky.png"), "give one of them"),
        (("--hdri", "none.hdr"), "none.hdr cannot be read"),
        (("--background", "m/blocks.png"), "blocks.png cannot be read"),
        (("--background", "purplish"), "transparent, or a picture file"),
        (("--engine", "eevee", "--device", "cuda"), "for the engine cycles alone"),
    ],
)
def test_contradictions_are_one_sentence_and_nothing_is_made(folder, arguments, words):
    result = enr(*LINE, *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert not list(folder.glob("shards/*.h5"))
