"""Python's calls are the commands: the same names, defaults and errors; paths in whatever form, and light imports."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from tests.pipelines.toy_shards import Toy, write_toy

import enr
from enr.errors import EnrError
from enr.pipelines.cli.main import main
from enr.pipelines.config.data_sets import DatagenConfig
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.front_door import data, learning, viewing
from enr.pipelines.front_door.given import OF_THE_COMMAND

OF_THE_COMMAND_ALONE = {
    "datagen": set(OF_THE_COMMAND["generate"]),
    "train": set(OF_THE_COMMAND["train"]),
    "eval": set(OF_THE_COMMAND["evaluate"]),
    "render": set(OF_THE_COMMAND["novel_views"]),
}
SET = {"steps": 2, "threads": 1, "validations": 1, "frames": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("shards") / "rot.h5", Toy(group="rot"))


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    return enr.train(str(shards), preset="smoke", set=SET, runs=tmp_path_factory.mktemp("runs"), quiet=True)


def options(command: str) -> dict[str, click.Option]:
    """A command's options by their names on the command line."""
    found = main.get_command(click.Context(main), command)
    assert found is not None
    named = [option for option in found.params if isinstance(option, click.Option)]
    return {max(option.opts, key=len).lstrip("-").replace("-", "_"): option for option in named}


def test_every_option_of_datagen_is_a_keyword_with_the_same_default():
    given = options("datagen")
    assert set(given) - OF_THE_COMMAND_ALONE["datagen"] == set(data.DatagenOptions.__annotations__)
    fields = DatagenConfig.model_fields
    assert set(given) == set(fields) - {"meshes"}
    context = click.Context(click.Command("datagen"))
    for name, option in given.items():
        default = option.get_default(context)
        if option.show_default and not option.is_flag:
            said = getattr(DatagenConfig(**{name: default}), name)
            assert said == fields[name].default, name


def test_every_option_of_train_is_a_keyword_with_the_same_default():
    keywords = dict(inspect.signature(enr.train).parameters)
    given = options("train")
    assert set(given) - OF_THE_COMMAND_ALONE["train"] == set(keywords) - {"shards"}
    assert Path(keywords["runs"].default) == given["runs"].default
    assert all(keywords[name].default in (None, False, "runs") for name in set(given) & set(keywords))


def test_every_option_of_eval_is_a_keyword_with_the_same_default():
    given = options("eval")
    of_the_command = {"checkpoint"} | OF_THE_COMMAND_ALONE["eval"]
    assert set(given) - of_the_command == set(learning.EvalOptions.__annotations__)
    defaults = EvalSettings()
    context = click.Context(click.Command("eval"))
    for name in ("sources", "seed", "batch_size", "device"):
        assert given[name].get_default(context) == getattr(defaults, name), name


def test_every_option_of_render_is_a_keyword():
    keywords = set(inspect.signature(viewing.novel_views).parameters)
    assert set(options("render")) - OF_THE_COMMAND_ALONE["render"] == keywords - {"picture"}


def test_every_option_of_report_is_a_keyword_with_the_same_default():
    keywords, given = dict(inspect.signature(enr.report).parameters), options("report")
    assert set(given) == set(keywords) - {"runs"}
    assert (keywords["out"].default, keywords["quick"].default) == (None, False)


def test_the_package_says_what_it_offers():
    assert set(enr.__all__) <= set(dir(enr))
    assert all(getattr(enr, name) is not None for name in enr.__all__)
    with pytest.raises(AttributeError, match="paint"):
        enr.paint  # noqa: B018


def test_importing_it_is_light():
    names = ("torch", "bpy", "h5py", "numpy", "pydantic", "click")
    heavy = f"import sys, enr; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("form", [str, Path, lambda path: [path], lambda path: (str(path), path)])
def test_paths_come_as_text_or_path_one_or_many(shards, form):
    opened = enr.open_shards(form(shards))
    assert len(opened) == 5
    assert [len(opened.split(split)) for split in ("train", "val", "test")] == [3, 1, 1]


def test_an_open_shard_gives_pictures_and_cameras_scene_by_scene(shards):
    scene = enr.open_shards(shards)[0]
    assert scene.rgba.shape == (4, 16, 16, 4)
    assert scene.images.dtype == np.float32
    white = scene.rgba[..., 3] == 0
    assert white.any()
    assert (scene.images[white] == 1).all()
    assert scene.world_from_camera.shape == (4, 4, 4)
    assert scene.K.shape == (4, 3, 3)
    assert enr.open_shards(shards)[scene.scene_id].scene_id == scene.scene_id


def test_a_run_goes_wherever_a_checkpoint_does(run, shards, tmp_path):
    assert Path(run).is_dir()
    report = enr.evaluate(run, ssim=True, out=tmp_path / "report", device="cpu")
    assert set(report.psnr_db) == {"rot"} == set(report.ssim) == set(report.wrong_pose_psnr_db)
    assert set(report.baselines_psnr_db) == {"background", "copied_input", "mean_of_targets"}
    assert report.json_path.is_file()
    assert f"{report.psnr_db['rot']:.2f}" in repr(report)
    assert f"{report.psnr_db['rot']:.2f}" in report.table
    for which in (run, str(run), Path(run) / "checkpoints" / "last"):
        assert enr.load_model(which).config.image_shape == (3, 16, 16)
    again = enr.train(resume=run, max_minutes=0.02, quiet=True) if not run.is_finished else run
    assert again.folder == run.folder


def test_a_model_goes_to_no_device_that_is_not_there(run, tmp_path):
    with pytest.raises(EnrError, match="gpu"):
        enr.load_model(run, device="gpu")
    Image.fromarray(np.full((16, 16, 4), 255, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(EnrError, match="gpu"):
        enr.novel_views(tmp_path / "a.png", checkpoint=run, device="gpu")


def test_saved_views_do_not_replace_what_they_were_made_from(run, tmp_path):
    picture = tmp_path / "a.png"
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[4:12, 4:12, :3] = 60
    Image.fromarray(pixels).save(picture)
    before = picture.read_bytes()
    views = enr.novel_views(picture, checkpoint=run, azimuth_deg=10)
    (tmp_path / "link.png").symlink_to(picture)
    for name in ("a.png", "link.png"):
        with pytest.raises(EnrError, match="would be replaced by what is rendered; give another path="):
            views.save(tmp_path / name)
    assert picture.read_bytes() == before
    assert views.save(tmp_path / "b.png").is_file()


def test_the_same_seed_trains_the_same_weights_from_python_and_from_the_shell(run, shards, tmp_path):
    words = [f"--set={key}={value}" for key, value in SET.items()]
    line = ["train", str(shards), "--preset", "smoke", *words, "--runs", str(tmp_path), "--quiet"]
    main(line, standalone_mode=False)
    (folder,) = tmp_path.iterdir()
    ours, theirs = enr.load_model(run).state_dict(), enr.load_model(folder).state_dict()
    assert all((ours[key] == theirs[key]).all() for key in ours)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: enr.generate("nowhere.obj"), ["nowhere.obj"]),
        (lambda _: enr.generate("nowhere.obj", vews=3), ["vews", "views"]),
        (lambda _: enr.generate("nowhere.obj", views="many"), ["--views", "many"]),
        (lambda _: enr.generate(3), ["meshes", "3", "path"]),
        (lambda _: enr.generate(""), ["meshes", "empty"]),
        (lambda shards: enr.train(shards, preset="smal-32"), ["smal-32", "small-32"]),
        (lambda shards: enr.train(shards, set="threads=1"), ["set", "table"]),
        (lambda shards: enr.train(shards, max_minutes=-1), ["--max-minutes", "-1"]),
        (lambda _: enr.train("nowhere"), ["nowhere"]),
        (lambda shards: enr.train([shards, 7]), ["shards", "7"]),
        (lambda shards: enr.evaluate("nowhere", shards), ["nowhere", "does not exist"]),
        (lambda _: enr.evaluate(split="tset"), ["split", "tset", "test"]),
        (lambda _: enr.evaluate(sim=True), ["sim", "ssim"]),
        (lambda _: enr.evaluate(sources=0), ["sources", "0"]),
        (lambda _: enr.evaluate(seed=-1), ["--seed is -1", "at least 0"]),
        (lambda _: enr.evaluate(max_scenes=0), ["--max-scenes is 0", "at least 1"]),
        (lambda _: enr.train([]), ["shards", "an empty list"]),
        (lambda _: enr.evaluate("nowhere", shards=[]), ["shards", "an empty list"]),
        (lambda _: enr.report([]), ["runs", "an empty list"]),
        (lambda _: enr.generate([]), ["meshes", "an empty list"]),
        (lambda _: enr.open_shards(()), ["shards", "an empty list"]),
        (lambda shards: enr.train(shards, batch_size="big"), ["--batch-size is 'big'; ", "a whole number or 'auto'."]),
        (lambda _: enr.generate("a.obj", elevation_deg=(0,)), ["--elevation-deg is (0,); give two numbers."]),
        (lambda _: enr.generate("a.obj", elevation_deg=30), ["--elevation-deg is 30; give two numbers."]),
        (lambda _: enr.generate("a.obj", elevation_deg=(0, 1, 2)), ["--elevation-deg is (0, 1, 2); give two numbers."]),
        (lambda _: enr.generate("a.obj", split=(50, 50)), ["--split is (50, 50); give three numbers."]),
        (lambda _: enr.generate("a.obj", part=3), ["--part is 3; give two whole numbers."]),
        (lambda _: enr.generate("a.obj", dry_run=True), ["of the command alone", "enr datagen --dry-run"]),
        (lambda shards: enr.train(shards, no_report=True), ["no_report", "of the command alone"]),
        (lambda _: enr.evaluate(no_report=True), ["no_report", "of the command alone"]),
        (lambda _: enr.novel_views("a.png", orbit=True), ["of the command alone", 'path="orbit"']),
        (lambda _: enr.novel_views("a.png", out="b.png"), ["of the command alone", ".save(path)"]),
        (lambda shards: enr.train(shards, prset="small-32"), ["prset", "did you mean preset"]),
        (lambda shards: enr.train(shards, preset=4), ["preset", "4", "a text"]),
        (lambda shards: enr.train(shards, "small-32"), ["enr.train", "positional"]),
        (lambda shards: enr.train(shards, name=["a"]), ["name", "a text"]),
        (lambda shards: enr.train(shards, quiet="no"), ["quiet", "True or False"]),
        (lambda shards: enr.train(shards, set={1: 1}), ["set", "keys"]),
        (lambda _: enr.generate(), ["enr.generate", "meshes"]),
        (lambda _: enr.evaluate(seed="x"), ["seed", "'x'", "a whole number"]),
        (lambda _: enr.evaluate(device=0), ["device", "0", "a text"]),
        (lambda _: enr.evaluate(groups=3), ["groups", "3", "rototrans"]),
        (lambda _: enr.novel_views("a.png", azimut_deg=4), ["azimut_deg", "azimuth_deg"]),
        (lambda _: enr.novel_views("a.png", azimuth_deg="left"), ["azimuth_deg", "left", "a number"]),
        (lambda shards: enr.open_shards(shards).split("tset"), ["tset", "test"]),
        (lambda _: enr.novel_views("a.png", translate=3), ["translate", "3", "three numbers"]),
        (lambda _: enr.open_shards(shard="a"), ["shard", "shards"]),
        (lambda _: enr.load_model(7), ["7", "path"]),
        (lambda _: enr.load_model("nowhere"), ["nowhere"]),
        (lambda _: enr.open_shards("nowhere"), ["nowhere"]),
        (lambda shards: enr.open_shards(shards)["box"], ["box", "such as"]),
        (lambda _: enr.train(), ["No shards were given and there is no folder shards/"]),
        (lambda _: enr.train(resume=True), ["runs"]),
        (lambda shards: enr.train(shards, init="latest"), ["runs"]),
        (lambda shards: enr.train(shards, set={"loss": 3}), ["loss is a section", "loss.l1="]),
        (lambda _: enr.novel_views("a.png", path="orbitt"), ["did you mean orbit?", "dolly"]),
        (lambda _: enr.novel_views("a.png", path="circle.json"), ["circle.json"]),
        (lambda _: enr.novel_views("a.png", path="orbit", azimuth_deg=4), ["beside a path"]),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(shards, tmp_path, monkeypatch, call, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnrError) as refused:
        call(shards)
    assert all(word in str(refused.value) for word in words), refused.value
    assert not list(tmp_path.iterdir())
