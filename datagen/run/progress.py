"""How far a run is: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Any

from tqdm import tqdm

LINE_SECONDS = 60.0
BAR_SECONDS = 0.2


class Progress:
    """Counts images on standard error; says nothing if it is not `shown`."""

    def __init__(self, images: int, shown: bool) -> None:
        self._total, self._done = images, 0
        self._started = self._said_at = time.monotonic()
        on_terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        if shown and on_terminal:
            self._bar = tqdm(total=images, unit=" images", smoothing=0.05, mininterval=BAR_SECONDS)
        self._is_log = shown and not on_terminal
        if images:
            self._say_in_log(f"{images:,} images to make; Blender is started")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, images: int) -> None:
        """Count finished images."""
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
        elif self._is_log and time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self.say(self._line())

    def drop(self, images: int, why: str) -> None:
        """Images that will not come, and why."""
        self._total -= images
        if self._bar is not None:
            self._bar.total = self._total
        self.say(why)

    def say(self, words: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(words, file=sys.stderr)
        else:
            self._say_in_log(words)

    def _say_in_log(self, words: str) -> None:
        if self._is_log:
            print(words, file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = self._done / (time.monotonic() - self._started)
        left = timedelta(seconds=round((self._total - self._done) / rate)) if rate else "unknown time"
        return f"{self._done:,} of {self._total:,} images, {rate:.1f} images/s, {left} left"
