"""The benchmark's page: its code writes the pictures that `enr eval` takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs enr[train]")

from tests.command_line import enr
from tests.pipelines.toy_shards import Toy, write_toy

from enr.pipelines.evaluation.report_files import with_present_names

PAGE = Path(__file__).parents[3] / "docs" / "benchmark.md"


def test_the_page_s_code_writes_what_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shards").mkdir()
    write_toy(Path("shards/trans-00000-of-00001.h5"), Toy(group="trans"))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    motions = []

    def copy_of_source(rgba, target_from_source):
        motions.append(target_from_source)
        return rgba

    exec(code, {"predict": copy_of_source})
    assert len(motions) == 3 and all(motion.shape == (4, 4) for motion in motions)
    Path("mine/trans/unasked.png").write_text("Nobody looks at this.")
    words = ["eval", "shards/trans-00000-of-00001.h5", "--predictions", "mine", "--ssim", "--out", "result"]
    result = enr(*words)
    assert result.exit_code == 0, result.output
    scores = json.loads(Path("result/report.json").read_text())["results"][0]["scores"]
    assert scores["model"]["psnr_db"] == pytest.approx(scores["copied_input"]["psnr_db"], abs=0.05)


@pytest.mark.parametrize("path", sorted(PAGE.with_suffix("").glob("*.json")), ids=lambda path: path.stem)
def test_a_row_says_what_its_report_says(path):
    report = with_present_names(json.loads(path.read_text(encoding="utf-8")))
    assert report["format"] == "enr-eval"
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"(benchmark/{path.name})" in line]
    (result,) = report["results"]
    model, other_pose = result["scores"]["model"], result["scores"]["wrong_pose"]
    silhouettes = f"{result['silhouette_iou']:.2f} | {result['chroma_correlation']:.2f}"
    numbers = f"{model['psnr_db']:.2f} | {model['psnr_foreground_db']:.2f} | {model['ssim']:.3f} | {silhouettes}"
    assert f"| {numbers} | {other_pose['psnr_db']:.2f} |" in row
    each = [scene["scores"]["model"]["psnr_db"] for scene in result["per_scene"]]
    assert sum(each) / len(each) == pytest.approx(model["psnr_db"], abs=1e-3)
    ids = PAGE.with_suffix("").joinpath("chairs-test.txt").read_text(encoding="utf-8").split()
    assert {scene["scene_id"] for scene in result["per_scene"]} == set(ids)
