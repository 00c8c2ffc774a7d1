"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from enr.words import count_of


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "mesh", "0 meshes"), (1, "mesh", "1 mesh"), (2687, "mesh", "2,687 meshes"), (2, "box", "2 boxes")],
)
def test_plurals(number, noun, words):
    assert count_of(number, noun) == words
