"""The demo leaves what it names, keeps to its time, and says it where nothing was learned."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs enr[train]")
pytest.importorskip("trimesh", reason="needs enr[datagen]")
if importlib.util.find_spec("bpy") is None:
    pytest.skip("needs enr[datagen]", allow_module_level=True)

from tests.command_line import enr

from enr.errors import EnrError
from enr.model.checkpoint import read_metadata
from enr.pipelines import demo
from enr.pipelines.demo import LEARNED_DB, DemoResult, DemoSettings, run_demo
from enr.pipelines.evaluation.floors import FLOORS
from enr.pipelines.evaluation.report import MODEL, PSNR, WRONG_POSE, GroupReport, Report, SceneScores

TINY = DemoSettings(
    chairs=5,
    views=3,
    size_px=16,
    minutes=0.6,
    train_minutes=0.02,
    assignments=(
        "steps=1",
        "threads=1",
        "channels_2d=[8,8,8]",
        "strides_2d=[1,2,2]",
        "num_channels_inv_projection=[32]",
    ),
    show_progress=False,
)


def group_report(model_db: float, swapped_db: float, floor_db: float) -> GroupReport:
    scores = {
        MODEL: {PSNR: model_db},
        WRONG_POSE: {PSNR: swapped_db},
        **{floor: {PSNR: floor_db} for floor in FLOORS},
    }
    scene = SceneScores("chair", 0, 1, scores, 0.5, ((0.0, 0.0), (0.0, 0.0)))
    return GroupReport("rototrans", "test", (scene,), 0.0)


def result_of(*groups: GroupReport, validations_db: tuple[float, ...] = (), held_out: int = 10) -> DemoResult:
    facts = {"checkpoint_metadata": {"data": {"scenes": {"rototrans": {"train": 80, "val": held_out}}}}}
    report = Report(groups, (1.0, 1.0, 1.0), facts, (), Path("report.json"))
    return DemoResult(report, Path("sheet.png"), Path("progress.gif"), (), 60.0, validations_db)


@given(model=st.floats(5, 40), swapped_loss=st.floats(-5, 10), lead=st.floats(-5, 10))
def test_learned_means_a_lead_and_a_price_for_the_wrong_pose(model, swapped_loss, lead):
    group = group_report(model, model - swapped_loss, model - lead)
    margin = min(swapped_loss, lead) - LEARNED_DB
    if abs(margin) > 1e-6:
        assert result_of(group).has_learned == (margin > 0)


def test_every_group_has_to_be_learned():
    good, bad = group_report(20, 16, 15), group_report(20, 19.5, 15)
    assert result_of(good, good).has_learned
    assert not result_of(good, bad).has_learned


@pytest.mark.parametrize(
    ("validations_db", "learned"),
    [
        ((), True),
        ((15.0, 17.0, 18.0), True),
        ((15.0, 18.0, 17.9), True),
        ((18.0, 17.0), False),
        ((15, 18, 17.5), False),
    ],
)
def test_a_model_whose_validations_fall_is_not_said_to_have_learned(validations_db, learned):
    result = result_of(group_report(20, 16, 15), validations_db=validations_db)
    assert result.has_learned == learned
    (said,) = result.verdict
    assert said == "The model learned to use the pose (1.0 minutes in all)." if learned else "validations fell" in said
    assert learned or f"from {max(validations_db):.2f} to {validations_db[-1]:.2f} dB" in said


@pytest.mark.parametrize(("held_out", "is_said"), [(0, True), (7, True), (8, False)])
def test_validation_scenes_too_few_to_choose_by_are_said(held_out, is_said):
    words = result_of(group_report(20, 16, 15), held_out=held_out).verdict
    assert ("too few to choose a checkpoint by" in words[0]) == is_said
    assert words[-1].startswith("The model learned")


@given(spent=st.floats(0, 20))
def test_the_training_leaves_time_for_the_evaluation(spent):
    settings = DemoSettings()
    minutes = demo.training_minutes(settings, spent)
    assert demo.LEAST_TRAINING_MINUTES <= minutes <= settings.train_minutes
    if minutes > demo.LEAST_TRAINING_MINUTES:
        assert spent + minutes + demo.EVALUATION_MINUTES <= settings.minutes + 1e-9


def test_the_demo_keeps_to_six_minutes_by_its_settings():
    # What is not bounded: writing the shapes, starting processes, and an evaluation slower than expected.
    assert DemoSettings().minutes <= 5


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[DemoSettings, DemoResult, list[str]]:
    """A demo of one training step, which teaches nothing."""
    folder, said = tmp_path_factory.mktemp("demo"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "LEAST_TRAINING_MINUTES", 0.01)
        settings = dataclasses.replace(TINY, folder=folder / "enr-demo")
        return settings, run_demo(settings, said.append), said


def test_it_leaves_what_it_names(tiny):
    _, result, said = tiny
    paths = [result.contact_sheet, result.gif, *result.pictures, result.report.json_path]
    assert len(result.pictures) == 1
    assert all(path.stat().st_size > 100 for path in paths)
    assert any("copy of the input view" in line for line in said)


def test_it_ends_with_the_page_about_it(tiny, monkeypatch):
    settings, result, _ = tiny
    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: result)
    page = settings.folder / "report.html"
    assert f"Report: {page}" in enr("demo", "--out", settings.folder).output
    assert "Turn it" in page.read_text(encoding="utf-8")


def test_the_model_that_comes_with_enr_is_measured_on_chairs_that_it_never_saw(tiny):
    _, result, _ = tiny
    assert result.shipped is not None
    known = set(read_metadata(Path(result.shipped.facts["checkpoint"]))["data"]["trained_scene_ids"])
    own, other = ({scene.scene_id for scene in report.groups[0].scenes} for report in (result.report, result.shipped))
    assert other and other <= own and not other & known
    assert any("neither was trained on" in line for line in result.verdict)


def test_a_copy_without_that_model_does_without_it(tiny, tmp_path, monkeypatch):
    settings, result, _ = tiny
    monkeypatch.setattr("enr.model.shipped.FOLDER", tmp_path)
    assert demo.evaluate_shipped(settings, result.report) is None


def test_it_measures_chairs_that_were_not_trained_on(tiny):
    _, result, _ = tiny
    (group,) = result.report.groups
    assert group.group == "rototrans"
    assert group.split in ("val", "test")


def test_a_model_that_did_not_learn_is_told_so(tiny):
    _, result, _ = tiny
    assert not result.has_learned
    assert "did NOT learn" in result.verdict[-1]
    assert result.validations_db, "they are read from what the training wrote"


def test_a_second_demo_makes_the_same_data_anew(tiny):
    settings, result, _ = tiny
    before = result.contact_sheet.read_bytes()
    summary = demo.make_data(settings)
    assert summary.images_made == summary.images
    assert summary.contact_sheet == result.contact_sheet
    assert summary.contact_sheet.read_bytes() == before


def test_a_demo_in_a_working_folder_leaves_the_data_there_alone(tmp_path):
    mine = [tmp_path / "shards/rototrans-00000-of-00001.h5", tmp_path / "meshes/mine.obj"]
    for path in mine:
        path.parent.mkdir()
        path.write_text("precious")
    summary = demo.make_data(dataclasses.replace(TINY, chairs=2, views=1, folder=tmp_path))
    assert summary.scenes == 2
    assert [path.read_text() for path in mine] == ["precious"] * 2


def test_without_a_picture_it_ends_in_one_sentence(tiny, monkeypatch):
    settings, _, _ = tiny
    nothing = dataclasses.replace(demo.make_data(settings), scenes=0, failures={"chair": "Blender crashed"})
    monkeypatch.setattr(demo, "generate", lambda *_, **__: nothing)
    with pytest.raises(EnrError, match=r"Blender crashed.*enr doctor"):
        demo.make_data(settings)


@pytest.mark.parametrize("out", ["taken", "taken/deeper"])
def test_a_file_in_the_way_ends_in_one_sentence(tmp_path, out):
    (tmp_path / "taken").write_text("precious")
    result = enr("demo", "--out", str(tmp_path / out))
    assert result.exit_code == 2
    assert result.output.startswith("Error: --out") and result.output.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "precious"


def test_a_signal_during_the_training_ends_the_demo(tiny, monkeypatch):
    settings, _, _ = tiny
    monkeypatch.setattr(demo, "make_data", lambda _: summary)
    monkeypatch.setattr(demo, "evaluate", lambda _: pytest.fail("went on to the evaluation"))
    stopped = SimpleNamespace(step=1, images_per_s=1.0, is_finished=False, run=SimpleNamespace(folder="runs/x"))
    monkeypatch.setattr(demo, "train", lambda *_, **__: stopped)
    summary = SimpleNamespace(images=1, seconds=1.0, contact_sheet=Path("sheet.png"), shards=())
    with pytest.raises(EnrError, match="stopped during its training"):
        run_demo(settings, lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_ends_well_within_six_minutes(tmp_path):
    started = time.monotonic()
    code = "from enr.pipelines.cli.main import main; main(['demo'])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - started < 360
    named = [
        line.split(": ", 1)[1] for line in result.stdout.splitlines() if line.startswith(("Contact", "GIF", "JSON"))
    ]
    assert len(named) == 3
    assert all((tmp_path / path).is_file() for path in named)
