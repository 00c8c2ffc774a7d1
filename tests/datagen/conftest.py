"""What the tests of data generation share: workers without Blender, and meshes and settings for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trimesh
from tests.datagen import blender_meshes as bm

from enr.datagen import generate
from enr.datagen.settings import GenerateSettings, RenderSettings
from enr.datagen.workers import worker

HERE = Path(__file__).parent
FAKE_WORKER = HERE / "fake_worker.py"
SMALL = RenderSettings(width_px=8, height_px=8, focal_px=11.0)
"""Pictures of 8 x 8 pixels."""


def fake_blender(patch: pytest.MonkeyPatch) -> None:
    """Let workers speak the protocol without Blender (see fake_worker.py)."""
    patch.setattr(worker, "WORKER", FAKE_WORKER)
    patch.setattr(generate, "blender_version", lambda blender: "5.0.1")


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers without Blender, for one test."""
    fake_blender(monkeypatch)


@pytest.fixture(scope="session")
def blocks() -> trimesh.Trimesh:
    """Corner blocks, whose pictures tell each axis from the others."""
    return bm.corner_blocks()


def write_mesh(folder: Path, name: str) -> Path:
    """A triangle whose first bytes, and with them the fake worker's pictures, depend on its name."""
    path = folder / f"{name}.obj"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#{sum(name.encode()):x}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return path


def small_set(meshes: Path, views: int, per_shard: int, **changes: object) -> GenerateSettings:
    """Pictures of 8 x 8 pixels of some meshes, `per_shard` meshes to a shard, beside the folder of the meshes."""
    known = {"render": SMALL, "out": meshes.parent / "shards", "shard_bytes": per_shard * views * 8 * 8 * 4}
    return GenerateSettings(meshes=(meshes,), views=views, **{**known, **changes})


def shard_bytes(folder: Path) -> dict[str, bytes]:
    """The shards in a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}
