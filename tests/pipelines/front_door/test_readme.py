"""Every Python line of the README runs, in its order, on built-in shapes and at a small size."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from enr.datagen.shapes.catalogue import write_shapes

pytest.importorskip("bpy")
SMALLER = {
    "views=50, resolution=32": "views=4, resolution=16, samples=2, split=(60, 20, 20)",
    "views=50": "views=3, resolution=16, samples=2, split=(60, 20, 20), out='first'",
    "max_minutes=30": "max_minutes=0.02, preset='smoke'",
    'preset="small-32", max_minutes=5, set={"threads": 1}': 'preset="smoke", max_minutes=0.02, set={"threads": 1}',
}


def programs(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def smaller(program: str) -> str:
    for said, small in SMALLER.items():
        program = program.replace(said, small)
    return program


def test_no_program_but_the_first_is_longer_than_three_lines(root):
    for program in programs((root / "README.md").read_text(encoding="utf-8")):
        lines = [line for line in program.splitlines() if line and not line.startswith("import ")]
        assert len(lines) <= 3, program


def test_the_programs_run(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Enough meshes for the hash of their names to give each split one.
    write_shapes(tmp_path / "shapenet/chairs", 12, 5)
    picture = np.full((60, 80, 3), 230, np.uint8)
    picture[15:45, 30:50] = (120, 60, 20)
    Image.fromarray(picture).save("chair.jpg")
    names: dict[str, object] = {}
    ran = programs((root / "README.md").read_text(encoding="utf-8"))
    assert len(ran) >= 7
    for program in ran:
        exec(compile(smaller(program), "README.md", "exec"), names)
    assert (tmp_path / "view.png").is_file()
    assert (tmp_path / "orbit.gif").is_file()
    assert names["view"].shape == (1, 3, 16, 16)
    assert "test" in {scene.split for scene in names["enr"].open_shards("shards")}
    assert "nan" not in capsys.readouterr().out
