"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from enr.words import count_of, wrapped


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "mesh", "0 meshes"), (1, "mesh", "1 mesh"), (2687, "mesh", "2,687 meshes"), (2, "box", "2 boxes")],
)
def test_plurals(number, noun, words):
    assert count_of(number, noun) == words


def test_prose_is_wrapped_between_words_and_lines_stay_apart():
    text = wrapped("left out (--split train --split val) of /a/very/long/path/that-has-hyphens\nnext", 20)
    assert text.splitlines() == [
        "left out (--split",
        "train --split val)",
        "of",
        "/a/very/long/path/that-has-hyphens",
        "next",
    ]
