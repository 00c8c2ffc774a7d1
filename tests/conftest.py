"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: the suite's time is bounded as a whole, not for each example.
settings.register_profile("enr", deadline=None)
settings.load_profile("enr")
