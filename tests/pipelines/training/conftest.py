"""What the tests of trainings share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, whatever the machine."""
    torch.set_num_threads(1)
