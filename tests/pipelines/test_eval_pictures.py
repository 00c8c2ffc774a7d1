from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enr.pipelines.eval_pictures import MAX_SCENES, choose_ranks


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
