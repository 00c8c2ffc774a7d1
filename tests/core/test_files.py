"""A file is complete, or as it was."""

from __future__ import annotations

import json
import math

import pytest

from enr.files import replacing, write_json


def test_json_without_what_json_does_not_know(tmp_path):
    path = tmp_path / "new/a.json"
    write_json(path, {"a": (1.5, math.nan), "b": {"c": [math.nan]}})
    assert json.loads(path.read_text()) == {"a": [1.5, None], "b": {"c": [None]}}


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), replacing(path) as partial:
        partial.write_text("half")
        raise ValueError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, [math.inf])
    assert path.read_text() == "{}" and list(tmp_path.iterdir()) == [path]
