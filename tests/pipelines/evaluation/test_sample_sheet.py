"""The picture of an evaluation shows the best, the median and the worst scene, under the right heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from enr.pipelines.evaluation.sample_sheet import (
    MAX_SCENES,
    MAX_TARGETS,
    choose_ranks,
    column_heads,
    draw_samples,
    take_sample,
)


@given(st.lists(st.floats(5, 40), min_size=1, max_size=40))
def test_the_best_the_median_and_the_worst_are_shown_in_this_order(psnr_db):
    ranks = choose_ranks(psnr_db)
    shown = [psnr_db[index] for _, index in ranks]
    assert shown == sorted(shown, reverse=True)
    assert len({index for _, index in ranks}) == len(ranks) == min(MAX_SCENES, len(psnr_db))
    named = {name: psnr_db[index] for name, index in ranks}
    assert named["best"] == max(psnr_db)
    if len(psnr_db) > 1:
        assert named["worst"] == min(psnr_db)
    if len(psnr_db) % 2 and len(psnr_db) > 1:
        assert named["median"] == np.median(psnr_db)


def sample_of(scene_id: str, views: range, sources: int):
    pictures = torch.rand(len(views), 3, 8, 8)
    return take_sample(("best", scene_id), views, torch.rand(sources, 3, 8, 8), (pictures, pictures))


def test_columns_are_headed_by_the_views_numbers_where_all_scenes_share_them():
    alike = [sample_of(name, range(2, 6), 2) for name in "ab"]
    assert column_heads(alike) == ["source", "2nd source", "view 2", "view 3", "view 4", "view 5"]
    other = [sample_of("a", range(1, 4), 1), sample_of("b", range(2, 5), 1)]
    assert column_heads(other) == ["source", "target 1", "target 2", "target 3"]
    many = sample_of("a", range(1, 251), 1)
    assert len(column_heads([many])) == 1 + MAX_TARGETS
    assert many.views[0] == 1 and many.views[-1] == 250


@pytest.mark.parametrize("sources", [1, 2])
def test_sources_stand_beside_the_truths_and_nothing_below_them(monkeypatch, sources):
    drawn = {}
    monkeypatch.setattr("enr.pipelines.evaluation.sample_sheet.image_grid", lambda *grid: drawn.update(grid=grid))
    draw_samples([sample_of("procedural-2026-chair-00017", range(3), sources)])
    rows, labels, heads, _ = drawn["grid"]
    assert len(rows[0]) == len(rows[1]) == len(heads) == sources + 3
    assert all(picture is not None for picture in rows[0])
    assert [picture is None for picture in rows[1]] == [True] * sources + [False] * 3
    assert labels[0].startswith("best\n…") and "00017\n" in labels[0], "ids of one kind differ at their end"
