"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no failure: the suite's time is bounded as a whole, not for each example.
settings.register_profile("enr", deadline=None)
settings.load_profile("enr")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
