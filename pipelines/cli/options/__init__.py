"""The options of `enr datagen`, a file for each theme: what the user may say, and the settings that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Decorator = Callable[[Any], Any]


def add_options(*themes: tuple[Decorator, ...]) -> Decorator:
    """A decorator that adds the themes' options to a click command, in their order."""

    def decorate(command: Any) -> Any:
        for option in reversed([option for theme in themes for option in theme]):
            command = option(command)
        return command

    return decorate
