"""A scene's id alone decides its split; something is always unseen."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enr.datagen.splits import SPLIT_SHARES, assign_splits, hash_position
from enr.errors import EnrError
from enr.shards import SPLITS

id_sets = st.lists(st.text(max_size=8), unique=True, max_size=30)
MANY = [f"{index:032x}" for index in range(20_000)]


def plain(split):
    """Whether no exception for tiny sets was needed."""
    return "train" in split.values() and set(split.values()) != {"train"}


@given(id_sets)
def test_every_scene_gets_one_split_whatever_the_order(ids):
    split = assign_splits(ids)
    assert set(split) == set(ids) and set(split.values()) <= set(SPLITS)
    assert split == assign_splits(ids[::-1])


@given(id_sets, id_sets)
def test_more_scenes_move_none(ids, more):
    few, many = assign_splits(ids), assign_splits(sorted(set(ids) | set(more)))
    positions = {name: hash_position(name) for name in many}
    ordinary = {
        name: "train" if value < 0.86 else "val" if value < 0.98 else "test" for name, value in positions.items()
    }
    for split in (few, many):
        moved = [name for name in split if split[name] != ordinary[name]]
        assert len(moved) <= 1
        assert not moved or len({ordinary[name] == "train" for name in split}) == 1
    assume(plain({name: ordinary[name] for name in few}))
    assert {name: many[name] for name in few} == few


@given(st.lists(st.text(max_size=8), unique=True, min_size=2, max_size=5))
def test_from_two_scenes_on_something_is_unseen_and_something_trained_on(ids):
    split = assign_splits(ids)
    assert "train" in split.values()
    assert {"val", "test"} & set(split.values())


def test_one_scene_is_where_its_hash_puts_it():
    assert {assign_splits([name])[name] for name in MANY[:200]} == set(SPLITS)


@pytest.mark.parametrize("shares", [SPLIT_SHARES, (86, 12, 2), (1, 1, 2)])
def test_shares_are_met(shares):
    split = list(assign_splits(MANY, shares).values())
    for name, share in zip(SPLITS, shares, strict=True):
        assert split.count(name) / len(MANY) == pytest.approx(share / sum(shares), abs=0.01)


def test_shares_are_met_in_collections_picked_by_a_bare_hash():
    picked = [name for name in MANY if hashlib.sha256(name.encode()).digest()[0] < 128]
    split = list(assign_splits(picked).values())
    assert split.count("train") / len(picked) == pytest.approx(0.86, abs=0.015)


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_share_of_everything_is_obeyed(shares):
    assert set(assign_splits(MANY[:50], shares).values()) == {SPLITS[shares.index(1)]}


def test_without_a_share_for_val_the_unseen_scene_is_a_test_scene():
    trained = [name for name in MANY[:50] if hash_position(name) < 0.9][:2]
    assert sorted(assign_splits(trained, (0.9, 0, 0.1)).values()) == ["test", "train"]


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1), (1, 1)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(EnrError, match="train, val, test"):
        assign_splits(["a", "b"], shares)
