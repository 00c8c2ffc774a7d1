"""`enr pack`: a run becomes a folder that is a checkpoint, and its card says what was measured."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import check_refused, enr
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model import Renderer, load_model, read_metadata, save_model
from enr.pipelines import packing
from enr.pipelines.packing import COLUMNS
from enr.pipelines.training.runs import create_run, write_config
from enr.shards import read_shard

SPLITS = ("train", "test", "test", "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run and its evaluation, as an experiment leaves them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("packing")
    shard = write_toy(folder / "shards" / "rototrans.h5", Toy(splits=SPLITS))
    run = create_run(folder / "runs" / "a-seed0", "a", {"shards": [str(shard)], "model": {}, "train": {}})
    write_config(run)
    data = {"shards": [{"path": str(shard), "group": "rototrans", "views": 16}], "trained_scene_ids": ["car-0-0003"]}
    metadata = {"group": ["rototrans"], "data": data, "step": 1234, "elapsed_s": 7200.0}
    save_model(run.best, Renderer(tiny_config(16)), metadata)
    done = {"command": f"enr train {shard} --preset tiny", "device": "an abacus", "machine": {"cores": 3}}
    (run.folder.parent / "done.json").write_text(json.dumps(done))
    (folder / "command.json").write_text(json.dumps({"command": f"enr reproduce mine --out {folder}"}))
    out = folder / "evals" / "a-seed0" / "unseen"
    assert enr("eval", "--checkpoint", str(run.folder), str(shard), "--ssim", "--out", str(out)).exit_code == 0
    return run.folder


def test_the_folder_is_a_checkpoint_and_its_card_says_what_was_measured(trained, tmp_path):
    said = enr("pack", str(trained), str(tmp_path / "mine"))
    assert said.exit_code == 0, said.output
    assert load_model(tmp_path / "mine").config == tiny_config(16)
    assert read_metadata(tmp_path / "mine")["data"]["shards"][0]["path"] == "rototrans.h5"
    card = (tmp_path / "mine" / "README.md").read_text()
    report = json.loads(next(trained.parents[2].glob("evals/*/*/report.json")).read_text())
    (part,) = report["results"]
    assert len(COLUMNS) == 5
    for candidate in COLUMNS:
        assert f"| {part['scores'][candidate]['psnr_db']:.2f} " in card
    worst = min(part["per_scene"], key=lambda scene: scene["scores"]["model"]["psnr_db"])
    assert f"- the worst scenes: {worst['scene_id']} (" in card
    for words in (
        "an abacus; 3 cores",
        "`enr train rototrans.h5 --preset tiny`",
        "enr reproduce mine",
        "after 2.0 hours",
    ):
        assert words in card
    assert "step 1,234" in card and "car 1" in card
    assert str(trained.parents[2]) not in card + (tmp_path / "mine" / "config.json").read_text()


def test_kinds_have_rows_of_their_own(trained, tmp_path):
    """Ids of built-in shapes say their kind; a kind's row is the mean over its scenes."""
    path = next(trained.parents[2].glob("evals/*/*/report.json"))
    report = json.loads(path.read_text())
    for scene, name in zip(report["results"][0]["per_scene"], ("car-0-0001", "mug-0-0002", "mug-0-0007"), strict=True):
        scene["scene_id"] = name
    (tmp_path / "report.json").write_text(json.dumps(report))
    said = enr("pack", str(trained), str(tmp_path / "mine"), "--report", str(tmp_path / "report.json"))
    assert said.exit_code == 0, said.output
    rows = re.findall(r"^\| (all|car|mug) +\| (\d) +\| ([\d.]+)", (tmp_path / "mine" / "README.md").read_text(), re.M)
    car, *mugs = (scene["scores"]["model"]["psnr_db"] for scene in report["results"][0]["per_scene"])
    means = {"all": (car + sum(mugs)) / 3, "car": car, "mug": sum(mugs) / 2}
    assert [(name, int(count)) for name, count, _ in rows] == [("all", 3), ("car", 1), ("mug", 2)]
    assert all(float(value) == pytest.approx(means[name], abs=0.006) for name, _, value in rows)


def test_refusals_are_sentences_and_write_nothing(trained, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "other.json").write_text("{}")
    bare = tmp_path / "bare"
    save_model(bare, Renderer(tiny_config(16)), {})
    packed = tmp_path / "packed"
    assert enr("pack", str(trained), str(packed)).exit_code == 0
    for arguments, words in (
        ((tmp_path / "nowhere", tmp_path / "out"), "does not exist"),
        ((bare, tmp_path / "out"), "No evaluation of"),
        ((trained, tmp_path / "file"), "is a file; give a folder"),
        ((trained, packed), "holds model.safetensors and config.json and README.md already"),
        ((trained, tmp_path / "out", "--report", tmp_path / "other.json"), "is not an evaluation"),
    ):
        said = enr("pack", *map(str, arguments))
        assert said.exit_code == 2 and words in said.output and said.output.count("\n") == 1
    for number, content in enumerate((b"\x89PNG\xff", b'{"format": "enr-eval", "results": [1]}',
                                      b'{"format": "enr-eval", "results": [{}]}', b"[" * 100_000)):  # fmt: skip
        (tmp_path / f"junk-{number}.json").write_bytes(content)
        said = enr("pack", str(trained), str(tmp_path / "out"), "--report", str(tmp_path / f"junk-{number}.json"))
        assert said.exit_code == 2 and "evaluation" in said.output and said.output.count("\n") == 1
    said = enr("pack", str(trained), str(tmp_path / "file" / "below"))
    assert said.exit_code == 2 and "is a file" in said.output
    assert not (tmp_path / "out").exists()
    assert enr("pack", str(trained), str(packed), "--overwrite").exit_code == 0


@pytest.mark.parametrize("name", ["runs/a-seed0/done.json", "command.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x89PNG\xff", b"[" * 100_000])
def test_records_of_an_experiment_that_are_damaged_are_named(trained, tmp_path, name, content):
    root = shutil.copytree(trained.parent.parent.parent, tmp_path / "copy")
    (root / name).write_bytes(content)
    run = root / "runs" / "a-seed0" / trained.name
    shutil.copytree(root / "evals" / "a-seed0" / "unseen", run / "eval")
    said = enr("pack", str(run), str(tmp_path / "out"))
    assert said.exit_code == 2 and f"{name} is damaged" in said.output.replace(str(root) + "/", "")
    assert said.output.count("\n") == 1 and not (tmp_path / "out").exists()


def test_built_in_shapes_come_with_examples_and_other_objects_with_none(trained, tmp_path, monkeypatch):
    """Of the middle one of each kind a whole view from about 25 degrees above, as the shard holds it."""
    assert enr("pack", str(trained), str(tmp_path / "boxes")).exit_code == 0
    assert not (tmp_path / "boxes" / "examples").exists()
    shard = write_toy(tmp_path / "mugs.h5", Toy(splits=SPLITS, prefix="mug-0"))
    run = create_run(tmp_path / "mugs", "mugs", {"shards": [str(shard)], "model": {}, "train": {}})
    write_config(run)
    save_model(run.best, Renderer(tiny_config(16)), {"group": ["rototrans"]})
    assert enr("eval", "--checkpoint", str(run.folder), str(shard), "--out", str(run.folder / "eval")).exit_code == 0
    monkeypatch.chdir(tmp_path)  # a path with as few folders as the README's
    assert enr("pack", str(run.folder.relative_to(tmp_path)), "packed").exit_code == 0
    (example,) = (tmp_path / "packed" / "examples").iterdir()
    report = json.loads((run.folder / "eval" / "report.json").read_text())
    ordered = sorted(report["results"][0]["per_scene"], key=lambda scene: scene["scores"]["model"]["psnr_db"])
    views = read_shard(shard)
    found = []
    for number in np.flatnonzero(views.views["scene_id"] == ordered[1]["scene_id"]):
        alpha, world_from_camera = views.images[number][..., 3], views.views["world_from_camera"][number]
        is_cut = bool(np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]]).any())
        elevation_deg = np.rad2deg(np.arcsin(-world_from_camera[2, 2]))
        found.append((is_cut, abs(elevation_deg - 25.0), number))
    assert example.name == "mug.png"
    assert np.array_equal(np.asarray(Image.open(example)), views.images[min(found)[-1]])
    assert len({elevation for _, elevation, _ in found}) > 1


def test_a_run_may_lie_in_the_working_folder(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    said = enr("pack", "mine", "packed")
    assert said.exit_code == 2 and "No evaluation of" in said.output


@pytest.mark.parametrize("name", ["README.md", "config.json", "examples"])
def test_what_is_in_the_folder_is_not_written_over(trained, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    said = enr("pack", str(trained), str(tmp_path / "mine"))
    assert said.exit_code == 2 and f"holds {name} already" in said.output
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["mine"]


def test_a_full_disk_is_said_and_leaves_nothing(trained, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "save_packed", refuse)
    said = enr("pack", str(trained), str(tmp_path / "out"))
    assert said.exit_code == 2 and "No space left on device" in said.output
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of the run with its evaluation inside, as `enr eval` leaves it; the first run is still there."""
    run = shutil.copytree(trained, tmp_path / "copied")
    shutil.copytree(next(trained.parents[2].glob("evals/*/*")), run / "eval-1")
    return run


def test_a_copied_run_has_its_evaluations(copied, tmp_path):
    said = enr("pack", str(copied), str(tmp_path / "packed"))
    assert said.exit_code == 0, said.output
    (copied / "eval-1" / "report.json").write_text("junk")
    said = enr("pack", str(copied), str(tmp_path / "again"))
    assert said.exit_code == 2 and "No evaluation of" in said.output


def test_an_evaluation_of_other_weights_is_refused(copied, tmp_path):
    """Of an earlier step, of another training; given or found."""
    metadata = read_metadata(copied / "checkpoints" / "best")
    report = copied / "eval-1" / "report.json"
    for changed, words in (
        ({"step": 2345}, "measured step 1234, the weights are of step 2345; measure again with `enr eval --checkpoint"),
        ({"elapsed_s": 60.0}, "the weights of another training"),
        ({"group": ["rot"]}, "the weights of another training"),
    ):
        save_model(copied / "checkpoints" / "best", Renderer(tiny_config(16)), {**metadata, **changed})
        for options in ((), ("--report", str(report))):
            said = enr("pack", str(copied), str(tmp_path / "packed"), *options)
            assert said.exit_code == 2 and words in said.output and said.output.count("\n") == 1
    assert not (tmp_path / "packed").exists()


def test_the_plain_evaluation_is_taken_before_a_newer_one_of_another_kind(copied, tmp_path):
    report = json.loads((copied / "eval-1" / "report.json").read_text())
    newer = {**report, "sources": 2, "time": "2999-01-01", "notes": ["of two"]}
    (copied / "eval-2").mkdir()
    (copied / "eval-2" / "report.json").write_text(json.dumps(newer))
    assert enr("pack", str(copied), str(tmp_path / "packed")).exit_code == 0
    assert "of two" not in (tmp_path / "packed" / "README.md").read_text()


def test_the_command_of_the_card_trains_it_again(copied, tmp_path):
    train = {"steps": 200, "max_minutes": 5.0, "seed": 3, "warmup_steps": 50, "loss": {"l1": 0.5, "ssim": 0.1}}
    train |= {"threads": 7}
    metadata = {"preset": "small-32", "train": train, "step": 1234, "elapsed_s": 301.0}
    save_model(copied / "checkpoints" / "best", Renderer(tiny_config(16)), metadata)
    assert enr("eval", "--checkpoint", str(copied), "--out", str(copied / "eval-2")).exit_code == 0
    assert enr("pack", str(copied), str(tmp_path / "packed")).exit_code == 0
    card = (tmp_path / "packed" / "README.md").read_text()
    assert (
        "`enr train SHARDS --preset small-32 --max-minutes 5 --set steps=200 --set loss.ssim=0.1 --set seed=3`" in card
    )
    assert "step 1,234, after 5 minutes" in card


def test_a_model_that_went_on_from_another_says_so(copied, tmp_path):
    """From scratch the command would train another one."""
    started = {"checkpoint": "/somewhere/else", "step": 4321, "groups": ["rot"]}
    metadata = {"preset": "small-32", "train": {"seed": 3}, "step": 1234, "initialised_from": started}
    save_model(copied / "checkpoints" / "best", Renderer(tiny_config(16)), metadata)
    assert enr("eval", "--checkpoint", str(copied), "--out", str(copied / "eval-2")).exit_code == 0
    assert enr("pack", str(copied), str(tmp_path / "packed")).exit_code == 0
    card = (tmp_path / "packed" / "README.md").read_text()
    assert "`enr train SHARDS --init CHECKPOINT --preset small-32 --set seed=3`" in card
    assert "- CHECKPOINT: an earlier training on rot, step 4,321\n" in card and "/somewhere" not in card


@pytest.mark.parametrize("place", ["checkpoints/best", "checkpoints", ".", "packed", "..", "../.."])
def test_a_run_is_never_written_into(trained, tmp_path, place):
    """Neither its checkpoints, nor its folder, nor a folder that holds it."""
    root = shutil.copytree(trained.parents[2], tmp_path / "copy")
    run = root / trained.relative_to(trained.parents[2])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    check_refused(enr("pack", trained, run / place, "--overwrite"), "run")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors"])
def test_only_a_packed_model_is_replaced(trained, tmp_path, name):
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text("my own")
    check_refused(enr("pack", trained, out, "--overwrite"), name, "no model that `enr pack` wrote")
    assert [path.read_text() for path in out.iterdir()] == ["my own"]
