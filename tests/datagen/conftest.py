from pathlib import Path

import pytest

from enr.datagen import plan
from enr.datagen.workers import pool

HERE = Path(__file__).parent


@pytest.fixture
def fake_worker(monkeypatch):
    """Workers that speak the protocol without Blender (see fake_worker.py)."""
    monkeypatch.setattr(pool, "WORKER", HERE / "fake_worker.py")
    monkeypatch.setattr(plan, "blender_version", lambda blender: "5.0.1")
