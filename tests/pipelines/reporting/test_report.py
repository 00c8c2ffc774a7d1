"""`enr report`: one page that needs nothing else, whose numbers are those of the evaluation, whatever is missing."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tests.command_line import check_refused, enr
from tests.pipelines.reporting.page import Page
from tests.pipelines.toy_shards import Toy, write_toy

import enr as package
from enr.pipelines.reporting import write
from enr.pipelines.reporting.charts import Line, make_chart
from enr.pipelines.reporting.gather import gather
from enr.pipelines.reporting.studio import ranks_of
from enr.pipelines.training.runs import open_run

SET = [word for entry in ("steps=3", "validations=2", "frames=2", "threads=1") for word in ("--set", entry)]
TRUSTED = {"data:,"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with shards, a run that was evaluated in two ways, and one that never was; no report yet."""
    folder = tmp_path_factory.mktemp("reporting")
    toy = Toy(splits=("train", "train", "val", "test", "test", "test"), views=5)
    write_toy(folder / "shards" / "rototrans.h5", toy)
    for name in ("measured", "fresh"):
        done = enr(
            "train",
            folder / "shards",
            "--preset",
            "smoke",
            *SET,
            "--runs",
            folder / "runs",
            "--name",
            name,
            "--quiet",
            "--no-report",
        )
        assert done.exit_code == 0, done.output
    (run,) = (folder / "runs").glob("*-measured")
    for options in ((), ("--sources", 2)):
        done = enr("eval", "--checkpoint", run, "--ssim", "--equivariance", "--no-report", *options)
        assert done.exit_code == 0, done.output
    assert not list(folder.rglob("*.html"))
    return folder


@pytest.fixture(scope="module")
def measured(place) -> Path:
    return next((place / "runs").glob("*-measured"))


@pytest.fixture(scope="module")
def fresh(place) -> Path:
    return next((place / "runs").glob("*-fresh"))


@pytest.fixture(scope="module")
def page(measured) -> Page:
    done = enr("report", measured)
    assert done.exit_code == 0, done.output
    assert f"Report: {measured / 'report.html'}" in done.output
    return Page((measured / "report.html").read_text(encoding="utf-8"))


def plain_evaluation(run: Path) -> dict:
    """The content of the evaluation from one input view."""
    found = [json.loads(path.read_text()) for path in run.glob("eval-*/report.json")]
    return next(one for one in found if one["sources"] == 1)


def test_it_is_one_file_that_loads_nothing(measured, page):
    text = (measured / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|\bfetch\(|XMLHttpRequest|url\(", re.sub(r"base64,[^\"]*", "", text))
    addresses = [value for _, given in page.tags for name, value in given.items() if name in ("src", "href", "srcset")]
    assert addresses and all(value.startswith("data:image/") or value in TRUSTED for value in addresses)
    policy = next(given["content"] for given in page.all("meta") if given.get("http-equiv"))
    assert "default-src 'none'" in policy and not {"script", "link"} & {
        tag for tag, given in page.tags if given.get("src", "").startswith("http")
    }


def test_every_tag_is_closed_and_every_picture_has_words(page):
    assert page.open == []
    assert len(page.all("img")) > 20 and all(given["alt"] for given in page.all("img"))
    drawn = [given for given in page.all("svg") if given.get("role") == "img"]
    assert drawn and all(len(given["aria-label"]) > 20 for given in drawn)


def test_every_picture_can_be_read(page):
    for given in page.all("img"):
        content = base64.b64decode(given["src"].partition("base64,")[2])
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (int(given.get("width", image.width)), int(given.get("height", image.height)))


def test_its_scores_are_those_of_the_evaluation(measured, page):
    (result,) = plain_evaluation(measured)["results"]
    named = {"model": "model", "copy_source": "copy of the input view", "mean_target": "mean of the targets (oracle)"}
    named |= {
        "copied_input": named["copy_source"],
        "mean_of_targets": named["mean_target"],
        "background": "bare background (white)",
    }
    named |= {"swapped_pose": "wrong-pose control", "wrong_pose": "wrong-pose control"}
    for candidate, scores in result["scores"].items():
        psnr, lead, foreground, ssim = page.row(named[candidate])
        assert psnr == f"{scores['psnr_db']:.2f}"
        assert foreground == f"{scores['psnr_foreground_db']:.2f}"
        assert ssim == f"{scores['ssim']:.3f}"
        if candidate != "model":
            assert float(lead) == pytest.approx(result["scores"]["model"]["psnr_db"] - scores["psnr_db"], abs=0.0051)
    assert f"{result['pose_gap_db']:.2f} dB" in page.text


def test_other_evaluations_of_the_run_are_named(page):
    assert page.row("2 input views")[0] == "rototrans, test"


def test_the_page_says_which_step_was_measured_and_when_the_weights_are_of_another(measured, page, tmp_path):
    step = plain_evaluation(measured)["checkpoint_metadata"]["step"]
    assert f"Measured: step {step}." in page.text and "the weights are of" not in page.text
    resumed = shutil.copytree(measured, tmp_path / "resumed")
    description = resumed / "checkpoints" / "best" / "model.json"
    content = json.loads(description.read_text())
    content["metadata"]["step"] = 23
    description.write_text(json.dumps(content))
    (reported,) = gather([resumed])
    assert reported.evaluation["sources"] == 1 and reported.notes[0] == f"Measured: step {step}."
    assert f"measured step {step}, the weights are of step 23; `enr eval --checkpoint {resumed}`" in reported.notes[1]
    for folder in resumed.glob("eval-*"):
        (reported,) = gather([folder])
        assert reported.notes[0].endswith("2 input views." if reported.evaluation["sources"] == 2 else f"{step}.")


def test_the_newest_evaluation_is_so_in_any_zone(measured, tmp_path):
    moved = shutil.copytree(measured, tmp_path / "moved")
    for name, time in (("later", "2030-01-01T01:00:00-08:00"), ("earlier", "2030-01-01T08:00:00+00:00")):
        (moved / name).mkdir()
        content = {**plain_evaluation(measured), "time": time, "notes": [name]}
        (moved / name / "report.json").write_text(json.dumps(content))
    assert gather([moved])[0].evaluation["notes"] == ["later"]


def test_what_the_run_learned_comes_before_what_it_was_only_measured_on(measured, tmp_path):
    """And a newer evaluation of another group takes no one's place."""
    moved = shutil.copytree(measured, tmp_path / "other-group")
    (moved / "foreign").mkdir()
    plain = plain_evaluation(measured)
    foreign = [{**result, "group": "trans"} for result in plain["results"]]
    content = {**plain, "time": "2030-01-01T08:00:00+00:00", "results": foreign}
    (moved / "foreign" / "report.json").write_text(json.dumps(content))
    (reported,) = gather([moved])
    groups = [[result["group"] for result in one["results"]] for one in reported.evaluations]
    assert groups[0] == [result["group"] for result in plain["results"]] != ["trans"] and ["trans"] in groups[1:]


@pytest.mark.parametrize("content", [b"\x89PNG\xff", b'{"format": "enr-eval", "results": [1]}',
                                     b'{"format": "enr-eval", "results": [{}]}', b"[" * 100_000])  # fmt: skip
def test_a_broken_evaluation_is_refused_and_in_a_run_left_out(measured, tmp_path, content):
    broken = shutil.copytree(measured, tmp_path / "broken")
    (broken / "eval-broken").mkdir()
    (broken / "eval-broken" / "report.json").write_bytes(content)
    check_refused(enr("report", broken / "eval-broken"), "evaluation")
    assert gather([broken])[0].evaluation == gather([measured])[0].evaluation


def test_best_median_and_worst_are_the_evaluations(measured, page):
    (result,) = plain_evaluation(measured)["results"]
    ranked = sorted(result["per_scene"], key=lambda scene: -scene["scores"]["model"]["psnr_db"])
    for rank, scene in zip(("best", "median", "worst"), ranked, strict=True):
        assert f"{rank}: {scene['scores']['model']['psnr_db']:.2f} dB {scene['scene_id']}" in " ".join(
            page.text.split()
        )


def test_what_it_renders_scores_as_the_evaluation_does(measured):
    """The pictures in the page are those that were measured: the same views, motions and background."""
    (reported,) = gather([measured])
    gallery = write.paint(reported, write.FULL)
    (result,) = reported.results
    means = [scene["scores"]["model"]["psnr_db"] for scene in result["per_scene"]]
    assert gallery.measured["psnr_db"].mean() == pytest.approx(sum(means) / len(means), abs=1e-3)
    everything = result["by_motion"]["all"]
    assert everything["pairs"] == len(gallery.measured["psnr_db"])
    for name, values in gallery.measured.items():
        assert values.mean() == pytest.approx(everything[name], abs=1e-3)


def test_an_object_turns_in_every_direction(page):
    turns = [given for given in page.all("div") if given.get("class") == "turn"]
    assert len(turns) == 3
    for given in turns:
        assert given["tabindex"] == "0" and given["role"] == "slider" and given["aria-label"]
        assert int(given["data-columns"]) == 24 and len(given["data-rows"].split()) > 1


def test_sections_name_what_was_measured(page):
    for words in ("Training", "As it learned", "What it was trained on", "Equivariance", "Timings"):
        assert words in page.text
    assert page.row("scenes")[0] == "2 train, 1 val, 3 test"
    assert page.row("steps")[0] == "3"


def test_runs_stand_side_by_side(measured, fresh, tmp_path):
    out = tmp_path / "both.html"
    assert enr("report", measured, fresh, "--out", out).exit_code == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert page.open == [] and "2 runs side by side" in page.text
    assert all(run.name in page.text for run in (measured, fresh))
    turned = [given["data-link"] for given in page.all("div") if given.get("class") == "turn"]
    assert len(turned) == 6 and len(set(turned)) == 3  # the same objects, so that they can be compared


def test_evaluations_of_one_run_stand_side_by_side(measured):
    folders = sorted(measured.glob("eval-*"))
    columns = gather(folders)
    assert [column.name for column in columns] == [str(folder) for folder in folders]
    assert sorted(column.evaluation["sources"] for column in columns) == [1, 2]


def test_a_run_without_an_evaluation_says_how_to_get_one(fresh, tmp_path):
    out = tmp_path / "fresh.html"
    assert enr("report", fresh, "--out", out, "--quick").exit_code == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert f"enr eval --checkpoint {fresh}" in page.text and "Scores beside" not in page.text
    assert "Best, median and worst" in page.text and "Training" in page.text


def test_without_shards_the_rest_is_shown(measured, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(measured, moved)
    config = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(config.replace("rototrans.h5", "gone.h5"))
    assert enr("report", moved).exit_code == 0
    page = Page((moved / "report.html").read_text(encoding="utf-8"))
    assert "gone.h5 is no longer there" in page.text
    assert page.row("model") and "Turn it" not in page.text


def test_an_evaluation_finds_its_checkpoint_when_all_has_moved(measured, tmp_path):
    """The JSON file names it as it was typed, relative to a folder that is another one now."""
    moved = tmp_path / "elsewhere" / "runs" / "moved"
    shutil.copytree(measured, moved)
    for file in moved.glob("eval-*/report.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "checkpoint": "runs/gone/checkpoints/best"}))
        (reported,) = gather([file.parent])
        assert (reported.checkpoint, reported.run.folder) == (moved / "checkpoints" / "best", moved)
        file.write_text(json.dumps({**content, "checkpoint": "runs/moved/checkpoints/last"}))
        assert gather([file.parent])[0].checkpoint == moved / "checkpoints" / "last"


def test_an_evaluation_of_a_bare_checkpoint_has_a_page(place, measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(open_run(measured).best, "bare")
    done = enr("eval", place / "shards", "--checkpoint", "bare", "--out", "scored")
    assert done.exit_code == 0 and "Report: scored/report.html" in done.output
    page = Page(Path("scored/report.html").read_text(encoding="utf-8"))
    assert page.row("model") and "Turn it" in page.text and "While it learned" not in page.text


def test_a_training_ends_with_its_page(place, tmp_path):
    done = enr("train", place / "shards", "--preset", "smoke", *SET, "--runs", tmp_path, "--quiet")
    (run,) = tmp_path.iterdir()
    assert done.exit_code == 0 and f"Report: {run / 'report.html'}" in done.output
    assert Page((run / "report.html").read_text(encoding="utf-8")).open == []


def test_python_writes_the_same_page(measured, tmp_path):
    out = package.report(measured, out=tmp_path / "page.html", quick=True)
    assert Page(out.read_text(encoding="utf-8")).row("model")
    with pytest.raises(package.EnrError, match="neither a run nor an evaluation"):
        package.report([tmp_path])


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "report.json").write_text('{"format": "else"}')
    check_refused(enr("report", tmp_path), "is not an evaluation", unwritten=tmp_path / "report.html")
    check_refused(enr("report", tmp_path / "none"), "neither a run nor an evaluation")
    check_refused(enr("report", tmp_path / "report.json"), "is not an evaluation")


def test_a_damaged_animation_is_named(measured, tmp_path):
    (shutil.copytree(measured, tmp_path / "run") / "progress.gif").write_bytes(b"GIF89a")
    check_refused(enr("report", tmp_path / "run", "--out", tmp_path / "page"), "progress.gif", "remove it")


def test_where_it_may_not_be_written_is_said(measured, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    check_refused(enr("report", measured, "--out", blocked / "page.html"), "is a file")
    check_refused(enr("report", measured, "--out", tmp_path), "is a folder")
    monkeypatch.setattr(os, "access", lambda _, mode, **__: mode == os.R_OK)
    check_refused(
        enr("report", measured, "--out", tmp_path / "page.html"), "read-only", unwritten=tmp_path / "page.html"
    )


def test_a_full_disk_leaves_the_page_before(measured, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("before")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.files, "write_text", refuse)
    check_refused(enr("report", measured, "--out", out, "--quick"), "No space left on device")
    assert out.read_text() == "before"


def test_a_report_that_cannot_be_written_fails_no_evaluation(measured, tmp_path):
    said: list[str] = []
    write.report_at_end(write.ReportSettings((measured,), tmp_path), said.append)
    assert len(said) == 1 and said[0].startswith("No report was written:")


def test_names_with_markup_stay_text(measured, tmp_path):
    odd = tmp_path / "<img src=x onerror=alert(1)>"
    shutil.copytree(measured, odd)
    assert enr("report", odd, "--out", tmp_path / "page.html", "--quick").exit_code == 0
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert odd.name in page.text and not [given for given in page.all("img") if "onerror" in given]


@pytest.mark.parametrize(("count", "ranks"), [(1, ["best"]), (2, ["best", "worst"]), (7, ["best", "median", "worst"])])
def test_ranks_of_few_scenes(count, ranks):
    assert [rank for rank, _ in ranks_of(count)] == ranks
    assert [place for _, place in ranks_of(count)] == sorted({0, count // 2, count - 1})[: len(ranks)] or count == 2


def test_a_chart_scales_its_points_and_leaves_out_what_is_no_number():
    chart = make_chart("t", ("x", "y"), [Line("a", [0, 5, 10, 3], [1.0, float("nan"), 3.0, None])])
    low, high = chart.drawn(chart.lines[0])
    assert (low[0], high[0]) == (chart.axes[0].start, chart.axes[0].end)
    assert low[1] > high[1]  # upwards
    assert [text for _, text in chart.axes[0].ticks] == ["0", "2", "4", "6", "8", "10"]
    assert "a: y 1.00 at 0, 3.00 at 10 (x)" in chart.description
    assert make_chart("t", ("x", "y"), [Line("a", [1], [None])]) is None


def test_what_lies_above_a_charts_top_is_marked():
    line = Line("a", [0, 5, 10], [9.0, 2.0, 1.0])
    assert make_chart("t", ("x", "y"), [line]).cut(line) == []
    chart = make_chart("t", ("x", "y"), [line], top=2.0)
    assert chart.cut(line) == [chart.axes[0].start]
    assert all(chart.axes[1].end <= y <= chart.axes[1].start for _, y in chart.drawn(line))


def test_a_short_trainings_loss_is_shown_whole():
    run = SimpleNamespace(
        name="run",
        lines=lambda kind: (
            [{"elapsed_s": 60.0 * n, "loss": 1 / n, "psnr_db": 9.0} for n in (1, 2, 3, 4)] if kind == "train" else []
        ),
    )
    loss = write._curves([run])[-1]
    assert loss.title == "Training loss"
    assert loss.axes[1].high >= 1
