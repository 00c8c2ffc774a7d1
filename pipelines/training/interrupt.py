"""Ctrl-C and SIGTERM as a wish that a loop can ask for; a second one ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopWish:
    """While it is entered, the first signal is only noted; the second one acts as it always does."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Tell the user through `say` that the signal was heard."""
        self.is_wished = False
        self._say = say
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopWish:
        # Only the main thread may set handlers; elsewhere the caller has its own way to stop.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.is_wished = True
        self._restore()
        self._say("Stopping after this step and saving; once more to stop at once.")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
