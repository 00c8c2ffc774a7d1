"""The tables' arithmetic, on evaluations whose numbers are known."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs enr[train]")
pytest.importorskip("trimesh", reason="needs enr[datagen]")

from tests.pipelines.experiments.reproduce_content import CONTENT

from enr.pipelines.experiments.config import at_scale, merged
from enr.pipelines.experiments.experiment_plan import Plan, ReproduceSettings
from enr.pipelines.experiments.table import TableSection, format_section, make_sections, spread, write_table

FINITE = st.floats(-100, 100)


@dataclass(frozen=True)
class Given:
    """An evaluation: the model's PSNR and that of its floors."""

    model: float
    background: float = 15.0
    copied_input: float = 14.0
    mean_of_targets: float = 18.0

    def scores(self) -> dict[str, dict[str, float]]:
        floors = {
            "background": self.background,
            "copied_input": self.copied_input,
            "mean_of_targets": self.mean_of_targets,
        }
        return {
            name: {"psnr_db": db, "psnr_foreground_db": db - 7, "ssim": db / 100}
            for name, db in {"model": self.model, "wrong_pose": self.model - 2, **floors}.items()
        }


def write_report(folder: Path, name: str, scores: dict, sources: int = 1, group: str = "rot") -> None:
    part = {
        "group": group,
        "split": "test",
        "scenes": 7,
        "scores": scores,
        "pose_gap_db": 2.0,
        "silhouette_iou": 0.5,
        "chroma_correlation": None,
        "per_scene": [{"sources": sources}],
    }
    place = folder / "evals" / name / "unseen"
    place.mkdir(parents=True)
    (place / "report.json").write_text(
        json.dumps({"results": [part], "notes": ["rot: it is dark.", "trans: it is near."]})
    )


def write_done(folder: Path, name: str, **entries) -> None:
    place = folder / "runs" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "done.json").write_text(json.dumps({"minutes": 1.5, "steps": 300, "diverged": "", **entries}))


def plan_in(folder: Path, change: dict | None = None) -> Plan:
    settings = ReproduceSettings("boxes", out=folder)
    return Plan(settings, at_scale(merged(CONTENT, change or {}), "tiny"), 5, (), ())


def section_of(folder: Path, given_db: dict[str, Given], change: dict | None = None) -> TableSection:
    for name, entry in given_db.items():
        write_report(folder, name, entry.scores())
        write_done(folder, name)
    (section,) = make_sections(plan_in(folder, change))
    return section


def cells(section: TableSection) -> dict[str, dict[str, str]]:
    """The table by row and column."""
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in format_section(section).splitlines()
        if line.startswith("|")
    ]
    headers, _, *rows = lines
    return {row[0]: dict(zip(headers[1:], row[1:], strict=True)) for row in rows}


@given(st.lists(FINITE | st.just(math.nan), max_size=6))
def test_spread_is_that_of_a_sample_and_leaves_out_what_is_not_there(values):
    mean, deviation = spread(values)
    kept = [value for value in values if not math.isnan(value)]
    assert math.isnan(mean) == (not kept) and math.isnan(deviation) == (len(kept) < 2)
    if kept:
        assert mean == pytest.approx(np.mean(kept), abs=1e-9)
    if len(kept) > 1:
        assert deviation == pytest.approx(np.std(kept, ddof=1), abs=1e-9)


def test_a_row_is_the_mean_over_its_seeds(tmp_path):
    section = section_of(tmp_path, {"slow-seed0": Given(20.0), "slow-seed1": Given(22.0), "tuned-seed0": Given(19.0)})
    rows = cells(section)
    assert rows["slowly"]["PSNR dB"] == "21.00 ± 1.41"
    assert rows["slowly"]["foreground dB"] == "14.00 ± 1.41"
    assert rows["tuned"]["PSNR dB"] == "19.00"
    assert rows["slowly"]["over trivial baselines dB"] == "+6.00 ± 1.41"
    assert rows["tuned"]["over the mean of the targets dB"] == "+1.00"
    assert rows["tuned"]["wrong-pose loss dB"] == "2.00"
    assert (rows["tuned"]["minutes"], rows["tuned"]["steps"]) == ("1.5", "300")


def test_reports_of_the_first_version_make_the_same_rows(tmp_path):
    names = {"wrong_pose": "swapped_pose", "copied_input": "copy_source", "mean_of_targets": "mean_target"}
    rows = []
    for folder, former in (("present", {}), ("former", names)):
        scores = {former.get(name, name): values for name, values in Given(20.0).scores().items()}
        write_report(tmp_path / folder, "slow-seed0", scores)
        (section,) = make_sections(plan_in(tmp_path / folder))
        rows.append(cells(section))
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("minutes", "said"), [(0.04, "0.04"), (0.5, "0.50"), (1.0, "1.0"), (90.26, "90.3")])
def test_minutes_below_one_have_two_digits(tmp_path, minutes, said):
    write_report(tmp_path, "slow-seed0", Given(20.0).scores())
    write_done(tmp_path, "slow-seed0", minutes=minutes)
    (section,) = make_sections(plan_in(tmp_path))
    assert cells(section)["slowly"]["minutes"] == said


def test_the_better_blind_floor_counts(tmp_path):
    rows = cells(section_of(tmp_path, {"slow-seed0": Given(20.0, background=12.0, copied_input=17.5)}))
    assert rows["slowly"]["over trivial baselines dB"] == "+2.50"


def test_a_model_below_a_floor_has_a_minus(tmp_path):
    assert cells(section_of(tmp_path, {"slow-seed0": Given(14.0)}))["slowly"]["over trivial baselines dB"] == "-1.00"


def test_floors_of_one_data_set_are_a_number_and_of_several_a_range(tmp_path):
    same = {"slow-seed0": Given(20.0), "tuned-seed0": Given(21.0)}
    assert cells(section_of(tmp_path / "same", same))["bare background"]["PSNR dB"] == "15.00"
    different = {"slow-seed0": Given(20.0, background=9.5), "tuned-seed0": Given(21.0, background=12.0)}
    assert cells(section_of(tmp_path / "different", different))["bare background"]["PSNR dB"] == "9.50 to 12.00"


def test_a_column_that_nobody_has_is_left_out(tmp_path):
    assert "chroma corr." not in cells(section_of(tmp_path, {"slow-seed0": Given(20.0)}))["slowly"]


def test_what_is_not_measured_yet_is_a_dash_and_what_diverged_is_said(tmp_path):
    write_done(tmp_path, "slow-seed1", diverged="The training diverged.")
    rows = cells(section_of(tmp_path, {"slow-seed0": Given(20.0)}))
    assert rows["slowly"]["PSNR dB"] == "20.00 (1 diverged)"
    assert rows["tuned"]["PSNR dB"] == "-"


def test_each_group_is_a_table_with_the_rows_that_are_measured_on_it(tmp_path):
    change = {
        "sets": {"aside": {"datagen": {"group": "trans"}}},
        "variants": {"tuned": {"init": "", "sets": ["aside"]}},
    }
    write_report(tmp_path, "slow-seed0", Given(20.0).scores())
    write_report(tmp_path, "tuned-seed0", Given(21.0).scores(), group="trans")
    sections = make_sections(plan_in(tmp_path, change))
    assert [(section.group, [row.label for row in section.rows]) for section in sections] == [
        ("rot", ["slowly"]),
        ("trans", ["tuned"]),
    ]


def test_what_an_evaluation_had_to_say_about_a_group_stands_under_its_table(tmp_path):
    section = section_of(tmp_path, {"slow-seed0": Given(20.0), "slow-seed1": Given(22.0)})
    assert section.notes == ("rot: it is dark.",)
    assert format_section(section).endswith("|\n\nNote: rot: it is dark.")


def test_several_sources_are_a_row_each(tmp_path):
    scores = {**Given(22.0).scores(), "one_source": Given(20.0).scores()["model"]}
    write_report(tmp_path, "slow-seed0", scores, sources=2)
    (section,) = make_sections(plan_in(tmp_path, {"variants": {"tuned": None}}))
    rows = cells(section)
    assert list(rows)[:2] == ["slowly; given 1 source", "slowly; given 2 sources"]
    assert rows["slowly; given 1 source"]["over the mean of the targets dB"] == "+2.00"
    assert rows["slowly; given 1 source"]["silhouette IoU"] == "-"
    assert rows["slowly; given 2 sources"]["silhouette IoU"] == "0.500"


def test_the_json_holds_what_the_table_rounds(tmp_path):
    section_of(tmp_path, {"slow-seed0": Given(20.12345), "slow-seed1": Given(21.0)})
    assert write_table(plan_in(tmp_path)) == tmp_path / "table.md"
    (table,) = json.loads((tmp_path / "table.json").read_text())["tables"]
    assert table["rows"][0]["by_seed"]["psnr_db"] == [20.12345, 21.0]
    assert table["rows"][0]["mean"]["psnr_db"] == pytest.approx((20.12345 + 21) / 2)
    assert table["rows"][0]["mean"]["chroma_correlation"] is None


def test_before_the_first_evaluation_there_is_no_table(tmp_path):
    assert write_table(plan_in(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
