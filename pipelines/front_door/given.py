"""What a caller may hand over: paths as text or `PathLike`, one or many; keywords by their names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from enr.errors import EnrError
from enr.pipelines.config.checking import nearest

PathInput = str | os.PathLike[str]
PathsInput = PathInput | Iterable[PathInput]


def one_path(given: object, what: str) -> Path:
    """A path.

    Raises:
        EnrError: it is none.
    """
    if isinstance(given, bytes) or not isinstance(given, str | os.PathLike):
        raise EnrError(f"{what} is given as {given!r}; give a path, as text or as a pathlib.Path.")
    if not str(given):
        raise EnrError(f"{what} is given as an empty text; give a path.")
    return Path(given)


def many_paths(given: object, what: str) -> tuple[Path, ...]:
    """The paths of one path or of several.

    Raises:
        EnrError: one of them is none.
    """
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        return (one_path(given, what),)
    return tuple(one_path(path, what) for path in given)


def check_keywords(call: Callable[..., object], given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that a call does not have.

    Raises:
        EnrError: with the nearest one that it has.
    """
    names = [
        *known,
        *(name for name, value in inspect.signature(call).parameters.items() if value.kind != value.VAR_KEYWORD),
    ]
    for name in given:
        if name not in names:
            raise EnrError(f"enr.{call.__name__} has no keyword {name!r}; {nearest(name, names)}")
