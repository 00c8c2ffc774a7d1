"""The page about the model says what is so."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "model.md").read_text()


def test_the_example_runs_and_gives_the_shapes_it_names() -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["scene"].shape) == (2, 16 + 3 + 1, 16, 16, 16)  # type: ignore[attr-defined]
    assert tuple(names["pictures"].shape) == (2, 3, 64, 64)  # type: ignore[attr-defined]
