"""`enr eval` as a user meets it: the plain line, other choices, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.command_line import check_refused, enr
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model.checkpoint import load_model, save_model
from enr.model.renderer import Renderer
from enr.pipelines.evaluation.checkpoint_predictor import find_origin
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.training.runs import create_run, latest_run, write_config

torch.set_num_threads(1)
SIZE_PX = 16


def save_tiny(folder: Path, groups: list[str], size_px: int = SIZE_PX) -> None:
    """A checkpoint of a random renderer."""
    torch.manual_seed(0)
    save_model(folder, Renderer(tiny_config(size_px)), {"group": groups})


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A folder as training leaves it: shards of two groups, an older and a newer run, odd files."""
    folder = tmp_path_factory.mktemp("eval")
    toy = Toy(splits=("train", "val", "test", "test"), views=4, size_px=SIZE_PX)
    shards = [write_toy(folder / "shards" / "rototrans.h5", toy)]
    shards.append(write_toy(folder / "shards" / "rot.h5", Toy(group="rot", splits=("train", "val"), views=4)))
    write_toy(folder / "odd" / "small.h5", Toy(size_px=8, views=3))
    for name in ("older", "tidy"):
        config = {"shards": [str(path) for path in shards], "model": {}, "train": {}}
        run = create_run(folder / "runs", name, config)
        write_config(run)
        for checkpoint in (run.last, run.best):
            save_tiny(checkpoint, ["rot", "rototrans"])
    save_tiny(folder / "odd" / "bare", ["rototrans"])
    (folder / "odd" / "notes.txt").write_text("no checkpoint")
    (folder / "odd" / "cut.h5").write_bytes(shards[0].read_bytes()[:2000])
    return folder


@pytest.fixture
def workplace(template, tmp_path, monkeypatch) -> Path:
    """A copy of the template as the current folder; the runs' shards are the copied ones."""
    folder = tmp_path / "work"
    shutil.copytree(template, folder)
    for config in folder.glob("runs/*/config.yaml"):
        config.write_text(config.read_text().replace(str(template), str(folder)))
    monkeypatch.chdir(folder)
    return folder


def invoke(*arguments: str):
    return enr("eval", *arguments)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def latest(workplace: Path) -> Path:
    return sorted(workplace.glob("runs/*"))[-1]


def test_the_plain_line_takes_the_latest_run_and_writes_into_it(workplace):
    before = files(workplace)
    result = invoke("--psnr")
    assert result.exit_code == 0, result.output
    new = files(workplace) - before
    (folder,) = {path.parent for path in new}
    assert folder.parent == latest(workplace) and folder.name.startswith("eval-")
    assert {path.name for path in new} == {"report.json", "report.html", "rototrans-test.png", "rot-val.png"}
    for path in new:
        assert str(path.relative_to(workplace)) in result.output
    assert "checkpoints/best" in result.output
    assert "rot: there are no test scenes; these are validation scenes" in result.output


def test_an_earlier_page_does_not_stay_beside_newer_numbers(workplace):
    assert invoke("--out", "out", "--groups", "rot").exit_code == 0 and Path("out/report.html").is_file()
    assert invoke("--out", "out", "--groups", "rot", "--ssim", "--no-report").exit_code == 0
    assert not Path("out/report.html").exists()


def test_views_that_are_all_sources_leave_a_way_out(workplace):
    result = invoke("--groups", "rot", "--sources", "4", "--out", "out")
    check_refused(result, "--views 5 or more", "--sources 3 at most", unwritten="out")


def test_the_latest_run_has_a_name(workplace):
    Path("runs").rename("elsewhere")
    assert enr("eval", "--checkpoint", "latest").exit_code == 2
    result = invoke("--checkpoint", "latest", "--runs", "elsewhere", "--groups", "rot", "--out", "out", "--no-report")
    assert result.exit_code == 0, result.output
    assert f"elsewhere/{sorted(Path('elsewhere').iterdir())[-1].name}/checkpoints/best" in result.output


def test_a_checkpoint_whose_replacement_was_cut_off_is_found(workplace):
    checkpoints = latest(workplace) / "checkpoints"
    for name in ("best", "last"):
        if (checkpoints / name).is_dir():
            (checkpoints / name).rename(checkpoints / f".{name}.old")
    assert latest_run() == Path("runs") / latest(workplace).name
    origin = find_origin(EvalSettings())
    assert origin.checkpoint.name == ".best.old"
    assert load_model(origin.checkpoint)


def test_table_and_json_agree(workplace):
    result = invoke("--psnr", "--ssim", "--out", "out")
    report = json.loads(Path("out/report.json").read_text())
    assert report["format"] == "enr-eval" and report["checkpoint_metadata"]["group"] == ["rot", "rototrans"]
    assert [(part["group"], part["split"], part["scenes"]) for part in report["results"]] == [
        ("rot", "val", 1),
        ("rototrans", "test", 2),
    ]
    for part in report["results"]:
        assert len(part["per_scene"]) == part["scenes"]
        for scores in part["scores"].values():
            for name, digits in (("psnr_db", 2), ("psnr_foreground_db", 2), ("ssim", 3)):
                assert f"{scores[name]:.{digits}f}" in result.output
    assert " ".join(report["definition"].split()) in " ".join(result.output.split())


def test_nothing_below_a_table_is_wider_than_a_terminal(workplace):
    output = invoke("--ssim", "--equivariance", "--untrained", "--out", "out").output
    assert [line for line in output.splitlines() if len(line) > 80 and not line.startswith("Checkpoint")] == []


def test_the_picture_shows_every_scene_twice_and_every_target(workplace):
    invoke("--groups", "rototrans", "--out", "out")
    with Image.open("out/rototrans-test.png") as picture:
        width, height = picture.size
    assert width > 4 * 128 and height > 2 * 2 * 128


def test_without_ssim_none_is_measured(workplace):
    assert "SSIM" not in invoke("--psnr", "--out", "out").output
    assert "ssim" not in json.loads(Path("out/report.json").read_text())["results"][0]["scores"]["model"]


def test_the_untrained_model_is_measured_where_asked_for(workplace):
    result = invoke("--untrained", "--groups", "rototrans", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "untrained model" in result.output and "random weights" in result.output
    (part,) = json.loads(Path("out/report.json").read_text())["results"]
    assert 0 < part["scores"]["untrained"]["psnr_db"] < 60


def test_equivariance_is_measured_where_asked_for(workplace):
    result = invoke("--equivariance", "--groups", "rototrans", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "T z(x1) beside z(x2)" in result.output and "Algebra, relative errors" in result.output
    (part,) = json.loads(Path("out/report.json").read_text())["results"]
    found = part["equivariance"]
    assert found["all"]["pairs"] == 6 and sum(one["pairs"] for one in found["by_distance"]) == 6
    means = [scene["equivariance"]["picture_psnr_db"] for scene in part["per_scene"]]
    assert found["all"]["picture_psnr_db"] == pytest.approx(sum(means) / 2)
    assert f"{found['all']['feature_error']:.2f}" in result.output
    assert "quivariance" not in invoke("--groups", "rototrans", "--out", "plain").output
    assert json.loads(Path("plain/report.json").read_text())["results"][0]["equivariance"] is None


def test_what_the_source_does_not_show_is_said(workplace):
    result = invoke("--groups", "rot", "--out", "out")
    unseen = json.loads(Path("out/report.json").read_text())["results"][0]["unseen"]
    assert unseen["beyond_picture"] == 0 and unseen["beyond_volume"] == 0 and unseen["source_clipped"] == 0
    assert "Unseen: 0.0% of what the targets show" in result.output


def test_the_same_line_gives_the_same_numbers(workplace):
    numbers = []
    for out in ("one", "two"):
        invoke("--out", out)
        results = json.loads((Path(out) / "report.json").read_text())["results"]
        numbers.append([(part["scores"], part["per_scene"]) for part in results])
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("checkpoint", ["run", "folder", "file"])
def test_a_checkpoint_of_a_run_brings_its_shards(workplace, checkpoint):
    run = min(workplace.glob("runs/*"))
    named = {"run": run, "folder": run / "checkpoints/last", "file": run / "checkpoints/last/model.safetensors"}
    result = invoke("--checkpoint", str(named[checkpoint]))
    assert result.exit_code == 0, result.output
    assert len(list(run.glob("eval-*/report.json"))) == 1


def test_a_checkpoint_without_a_run_takes_the_shards_it_is_given(workplace):
    result = invoke("--checkpoint", "odd/bare", "shards/rototrans.h5", "--source", "2", "--split", "val", "--out", "o")
    assert result.exit_code == 0, result.output
    report = json.loads(Path("o/report.json").read_text())
    assert report["source_view"] == 2 and report["shards"] == [str(workplace / "shards/rototrans.h5")]
    assert [part["split"] for part in report["results"]] == ["val"]


def test_any_group_measures_what_was_never_learned(workplace):
    result = invoke("--checkpoint", "odd/bare", "shards/rot.h5", "--any-group", "--out", "o")
    assert result.exit_code == 0, result.output


REFUSALS = {
    "no checkpoint there": (["--checkpoint", "nowhere"], "nowhere does not exist"),
    "not a checkpoint": (["--checkpoint", "odd/notes.txt", "shards"], "odd/notes.txt is no checkpoint"),
    "a folder without one": (["--checkpoint", "odd", "shards"], "odd lacks"),
    "no shards known": (["--checkpoint", "odd/bare"], "name them: enr eval shards"),
    "another image size": (["odd/small.h5"], "pictures of 16x16 px, the shards hold 8x8 px"),
    "shards of two sizes": (["odd/small.h5", "shards"], "differ in resolution"),
    "not a shard": (["odd/notes.txt"], "odd/notes.txt is not a readable HDF5 file"),
    "a truncated shard": (["odd/cut.h5"], "odd/cut.h5 is not a readable HDF5 file"),
    "a missing shard": (["odd/none.h5"], "odd/none.h5 is not a file"),
    "a source out of range": (["--source", "4"], "no view 4 (its views are 0 to 3)"),
    "the protocol on other data": (["--protocol", "apple"], "--protocol apple needs 251"),
    "the protocol with another source": (["--protocol", "apple", "--source", "1"], "contradict each other"),
    "a group not learned": (["--checkpoint", "odd/bare", "shards"], "never saw rot;"),
    "a group not there": (["--groups", "trans"], "and no trans"),
    "a split not there": (["--split", "test"], "no test scene of rot"),
    "a folder below a file": (["--out", "odd/small.h5/x"], "odd/small.h5 is a file"),
    "a device without numbers": (["--device", "meta"], "The device 'meta' cannot be used"),
    "no such device": (["--device", "abacus"], "The device 'abacus' cannot be used"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_bad_input_gets_one_sentence_and_leaves_nothing(workplace, arguments, words):
    before = files(workplace)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert files(workplace) == before


def test_no_earlier_run_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("--psnr")
    assert result.exit_code == 2 and "No earlier run in runs/" in result.output
    assert not files(tmp_path)


def test_a_run_whose_shards_are_gone_is_said(workplace):
    shutil.rmtree(workplace / "shards")
    result = invoke("--psnr")
    assert result.exit_code == 2 and "rototrans.h5, which is no longer there" in result.output


def test_ssim_of_pictures_smaller_than_its_window_is_refused_and_leaves_nothing(workplace):
    save_tiny(workplace / "odd" / "tiny", ["rototrans"], size_px=8)
    before = files(workplace)
    result = invoke("--checkpoint", "odd/tiny", "odd/small.h5", "--ssim")
    assert result.exit_code == 2 and "at least 11x11 px" in result.output
    assert files(workplace) == before


def test_predictions_that_are_no_numbers_are_refused_and_leave_nothing(workplace, monkeypatch):
    before, folders = files(workplace), {path for path in workplace.rglob("*") if path.is_dir()}
    nowhere = torch.full((3, 3, SIZE_PX, SIZE_PX), torch.nan)
    monkeypatch.setattr(Renderer, "generate_from_sources", lambda *_, **__: nowhere)
    result = invoke("--psnr")
    assert result.exit_code == 2 and "hold values that are no numbers" in result.output
    assert files(workplace) == before
    assert {path for path in workplace.rglob("*") if path.is_dir()} == folders


def test_a_measure_that_is_no_number_is_refused_and_not_left_out_of_the_mean(workplace, monkeypatch):
    before = files(workplace)
    monkeypatch.setattr("enr.pipelines.metrics.ssim", lambda one, two: torch.tensor([0.5, torch.nan, 0.5]))
    result = invoke("--ssim", "--groups", "rototrans", "--out", "out")
    assert result.exit_code == 2 and result.output.startswith("Error: ssim of scene box-002 is no number")
    assert files(workplace) == before


def test_a_report_that_cannot_be_written_is_one_sentence(workplace, monkeypatch):
    before = files(workplace)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enr.pipelines.evaluation.report_files.write_json", full)
    for out in ([], ["--out", "new/folder"]):
        result = invoke("--groups", "rototrans", *out)
        assert result.exit_code == 2 and result.output.startswith("Error: The report could not be written to ")
        assert result.output.count("\n") == 1 and "No space left on device" in result.output
    assert files(workplace) == before
    assert not Path("new").exists() and not list(workplace.glob("runs/*/eval-*"))


def test_scenes_of_other_splits_are_counted_where_the_shards_are_not_the_runs(workplace):
    write_toy(workplace / "other.h5", Toy(splits=("train", "train", "val", "test"), prefix="other"))
    said = invoke("other.h5", "--out", "a").output
    assert "3 scenes of other splits were left out (--split train --split val)." in said
    assert "left out" not in invoke("other.h5", "--split", "test", "--out", "b").output
    assert "left out" not in invoke("--out", "c").output
