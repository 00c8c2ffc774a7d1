"""What a checkpoint learns about its data from the shards' own description."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.pipelines.toy_shards import Toy, make_toy

from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.prepare import camera_of, describe_data, resolve_config
from enr.shards import write_shard

CUBE = float(np.sqrt(3) / 2)


def view_set(folder: Path, *configs: dict) -> ViewSet:
    for number, config in enumerate(configs):
        shard = make_toy(Toy(group="rot", prefix=f"box{number}", splits=("train", "val")))
        write_shard(folder / f"{number}.h5", replace(shard, meta=replace(shard.meta, config=config)))
    return ViewSet.open([folder])


@pytest.mark.parametrize(
    ("config", "reach"),
    [
        ({}, 0.5),
        ({"render": {"normalise": "diagonal"}}, 0.5),
        ({"render": {"normalise": "longest"}}, CUBE),
        ({"converted": {"from": "apple"}}, CUBE),
        ({"converted": {"from": "uva"}}, 0.5),
    ],
)
def test_the_depth_range_holds_objects_of_either_normalisation(tmp_path, config, reach):
    camera = camera_of(view_set(tmp_path, config))
    assert (camera["near"], camera["far"]) == pytest.approx((2 - reach, 2 + reach))


def test_how_the_pictures_were_made_is_told_once_and_without_the_meshes(tmp_path):
    one = {"render": {"normalise": "longest"}, "poses": {"group": "rot"}}
    other = {"converted": {"from": "uva"}}
    told = describe_data(view_set(tmp_path, {**one, "meshes": ["a"]}, {**one, "meshes": ["b"]}, other))
    assert told["made_with"] == [one, other]


@pytest.mark.parametrize(
    ("groups", "is_aimed"),
    [(["rot"], False), (["trans"], False), (["rototrans"], True), (["rot", "trans"], True), (["rot", "rot"], False)],
)
def test_cameras_are_aimed_where_they_look_past_objects_from_several_sides(tmp_path, groups, is_aimed):
    for number, group in enumerate(groups):
        shard = make_toy(Toy(group=group, prefix=f"box{number}", splits=("train", "val")))
        write_shard(tmp_path / f"{number}.h5", shard)
    views = ViewSet.open([tmp_path])
    travelling = ["depth_range=travelling"]
    assert resolve_config(views, "smoke", travelling)[0].model.reaim == is_aimed
    assert resolve_config(views, "smoke", [*travelling, f"reaim={not is_aimed}"])[0].model.reaim != is_aimed
    assert not resolve_config(views, "smoke", [])[0].model.reaim, "its range stands still"
