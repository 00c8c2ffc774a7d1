"""Means over scenes, the verdict, the table and the JSON file, from scores made by hand."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from enr.errors import EnrError
from enr.pipelines.evaluation.equivariance import ANGLE_DEG, FEATURES, SEEN
from enr.pipelines.evaluation.floors import BACKGROUND, COPIED_INPUT, MEAN_OF_TARGETS
from enr.pipelines.evaluation.report import (
    FEWER_SOURCES,
    FOREGROUND,
    MODEL,
    PSNR,
    WRONG_POSE,
    GroupReport,
    Report,
    SceneScores,
    mean,
    unmeasured_notes,
)
from enr.pipelines.evaluation.report_files import with_present_names, write_report
from enr.pipelines.evaluation.report_table import format_report, verdict

WHITE = (1.0, 1.0, 1.0)
GREY = (0.5, 0.5, 0.5)
SHEET = Image.new("RGB", (2, 2))


def scored(psnr: float, swapped: float, scene_id: str = "a", chroma=((0.1, 0.1), (0.1, 0.1)), floor=10.0):
    """A scene's scores made by hand."""
    values = {MODEL: psnr, WRONG_POSE: swapped, BACKGROUND: floor, COPIED_INPUT: floor - 1, MEAN_OF_TARGETS: floor + 5}
    scores = {name: {PSNR: value, FOREGROUND: value - 5} for name, value in values.items()}
    return SceneScores(scene_id, 0, 4, scores, 0.5, chroma)


def test_a_group_is_the_mean_of_its_scenes_however_many_views_they_have():
    scenes = (scored(20, 15), replace(scored(30, 16), targets=400))
    group = GroupReport("rot", "test", scenes, 0.0)
    assert group.scores[MODEL][PSNR] == 25
    assert group.pose_gap_db == 9.5
    assert group.lead_db == 15, "above the better of the floors that see no target"


@pytest.mark.parametrize(("alone", "said"), [(19.25, "gains 0.75 dB over"), (20.5, "loses 0.50 dB to")])
def test_the_worth_of_a_second_source_is_said(alone, said):
    scene = scored(20, 15)
    scores = {**scene.scores, FEWER_SOURCES[1]: {PSNR: alone, FOREGROUND: alone - 5}}
    group = GroupReport("rot", "test", (replace(scene, sources=2, scores=scores),), 0.0)
    assert f"Given 2 sources it {said} the first one alone." in format_report(Report((group,), WHITE, {}, ()))


def test_numbers_that_do_not_exist_are_left_out_of_a_mean():
    assert mean([1.0, math.nan, 3.0]) == 2
    assert math.isnan(mean([math.nan])) and math.isnan(mean([]))


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)), min_size=3, max_size=9, unique=True))
def test_chroma_correlation_is_one_for_scaled_and_minus_one_for_inverted_colours(colours):
    spread = np.ptp(np.array(colours), axis=0).min()
    for factor, expected in ((0.3, 1), (-1.0, -1)):
        scenes = tuple(scored(20, 15, str(i), ((factor * a, factor * b), (a, b))) for i, (a, b) in enumerate(colours))
        found = GroupReport("rot", "test", scenes, 0.0).chroma_correlation
        assert found == pytest.approx(expected, abs=1e-3) if spread > 1e-3 else True


@pytest.mark.parametrize(
    ("psnr", "swapped", "words"),
    [
        (14, 11, ["beats the bare background (white) by 4.00 dB", "it uses the pose", "it loses 3.00 dB."]),
        (14, 13.9, ["beats the bare background (white)", "hardly uses the pose", "it loses only 0.10 dB."]),
        (14, 14.46, ["hardly uses the pose", "with a wrong pose it even gains 0.46 dB."]),
        (9, 5, ["does NOT beat the bare background (white): it is 1.00 dB worse", "loses 4.00 dB"]),
        (10, 10.001, ["hardly uses the pose", "loses only 0.00 dB"]),
        (10, 10, ["does NOT beat the bare background (white): they score the same", "loses only 0.00 dB"]),
    ],
)
def test_the_verdict_says_what_the_table_says(psnr, swapped, words):
    text = verdict(GroupReport("rot", "test", (scored(psnr, swapped),), 0.0), WHITE)
    assert all(word in text for word in words)


def hand_report(path: Path, background=WHITE) -> Report:
    nothing = replace(scored(20, 15), silhouette_iou=math.nan)
    return Report((GroupReport("rot", "val", (nothing,), 1.0),), background, {"seed": 7}, ("a word",), path)


def test_the_json_holds_every_number_and_null_for_none(tmp_path):
    report = write_report(hand_report(Path()), [SHEET], tmp_path / "new", Path())
    assert report.json_path == tmp_path / "new" / "report.json"
    read = json.loads(report.json_path.read_text())
    assert read["seed"] == 7 and read["notes"] == ["a word"]
    (group,) = read["results"]
    assert group["scores"][MODEL] == group["per_scene"][0]["scores"][MODEL] == {PSNR: 20, FOREGROUND: 15}
    assert group["silhouette_iou"] is None
    assert sorted(report.json_path.parent.iterdir()) == [report.json_path, *report.pictures]
    assert group["picture"] == "rot-val.png"


def test_without_a_named_folder_each_report_has_a_new_one(tmp_path):
    reports = [write_report(hand_report(Path()), [SHEET], None, tmp_path / "run") for _ in range(2)]
    folders = {report.json_path.parent for report in reports}
    assert len(folders) == 2 and all(folder.parent == tmp_path / "run" for folder in folders)


class FullDisk:
    """A picture that the disk has no room for."""

    def save(self, path, format):
        path.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("out", [None, "there/new"])
def test_on_a_full_disk_nothing_half_written_stays(tmp_path, out):
    folder = None if out is None else tmp_path / out
    with pytest.raises(EnrError, match=r"could not be written to .*No space left.*--out"):
        write_report(hand_report(Path()), [FullDisk()], folder, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_report_stays_whole_where_the_new_one_cannot_be_written(tmp_path):
    write_report(hand_report(Path()), [SHEET], tmp_path, Path())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(EnrError, match="No space left"):
        write_report(hand_report(Path(), background=GREY), [FullDisk()], tmp_path, Path())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_not_measured_everywhere_is_named():
    whole = scored(20, 15)
    assert unmeasured_notes(GroupReport("rot", "val", (whole, whole), 1.0)) == [], "nor is what is measured nowhere"
    nothing = {**whole.scores, MEAN_OF_TARGETS: {PSNR: math.nan, FOREGROUND: math.nan}}
    parts = replace(whole, silhouette_iou=math.nan, unmeasured={"chroma": 3}, scores=nothing)
    oracle, silhouette, chroma = unmeasured_notes(GroupReport("rot", "val", (whole, parts, whole), 1.0))
    assert oracle.startswith("rot val: the mean of the targets is measured in 2 of 3 scenes")
    assert silhouette.startswith("rot val: silhouette IoU is measured in 2 of 3 scenes")
    assert chroma == "rot val: chroma leaves out 3 target views with nothing to measure."


def test_pairs_that_are_in_no_mean_of_equivariance_are_named():
    measures = {ANGLE_DEG: np.ones(4), SEEN: np.ones(4), FEATURES: np.array([1.0, np.nan, 1.0, 1.0])}
    (note,) = unmeasured_notes(GroupReport("rot", "val", (replace(scored(20, 15), equivariance=measures),), 1.0))
    assert note.startswith("rot val: equivariance leaves 1 pair out of feature_error")


def test_the_oracle_is_called_one(tmp_path):
    text = " ".join(format_report(hand_report(tmp_path / "a.json")).split())
    assert "mean of the targets" in text and "shown to no model" in text
    assert "ntrained" not in text


def test_the_table_names_the_background_and_defines_its_numbers(tmp_path):
    text = format_report(hand_report(tmp_path / "a.json", background=(0.0, 0.5, 1.0)))
    assert "bare background (red 0, green 0.5, blue 1)" in text and "white" not in text
    for words in ("per picture", "mean over scenes", "true alpha is above 0", "Wrong-pose control", "Note: a word"):
        assert words in text
    assert "bare background (white)" in format_report(hand_report(tmp_path / "a.json"))


def test_reports_of_the_first_version_are_read_with_the_present_names(tmp_path):
    report = write_report(hand_report(Path()), [SHEET], tmp_path, Path())
    text = report.json_path.read_text()
    present = json.loads(text)
    for name, new in (("swapped_pose", WRONG_POSE), ("copy_source", COPIED_INPUT), ("mean_target", MEAN_OF_TARGETS)):
        assert f'"{new}"' in text
        text = text.replace(f'"{new}"', f'"{name}"')
    former = json.loads(text)
    assert former != present
    assert with_present_names(former) == with_present_names(present) == present
    assert with_present_names({}) == {"results": []}
