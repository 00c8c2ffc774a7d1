"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from enr.words import count_of, splits_in_words, wrapped


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "mesh", "0 meshes"), (1, "mesh", "1 mesh"), (2687, "mesh", "2,687 meshes"), (2, "box", "2 boxes")],
)
def test_plurals(number, noun, words):
    assert count_of(number, noun) == words


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((4, 1, 1), "meshes by split: 4 train, 1 val, 1 test"),
        ((4, 1, 0), "1 val, 0 test; --split gives test a larger share, or more meshes do"),
        ((4, 0, 0), "0 val, 0 test; --split gives val and test a larger share, or more meshes do"),
    ],
)
def test_a_split_without_meshes_is_said_with_what_gives_it_some(counts, words):
    said = splits_in_words(dict(zip(("train", "val", "test"), counts, strict=True)), "--split gives")
    assert said.endswith(words)


def test_prose_is_wrapped_between_words_and_lines_stay_apart():
    text = wrapped("left out (--split train --split val) of /a/very/long/path/that-has-hyphens\nnext", 20)
    assert text.splitlines() == [
        "left out (--split",
        "train --split val)",
        "of",
        "/a/very/long/path/that-has-hyphens",
        "next",
    ]
