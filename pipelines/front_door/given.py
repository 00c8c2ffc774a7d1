"""What a caller may hand over: paths as text or `PathLike`, one or many; keywords by their names."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import ParamSpec, TypeVar

from enr.checking import nearest
from enr.errors import EnrError
from enr.pipelines.rendering.camera_paths import PATHS

PathInput = str | os.PathLike[str]
PathsInput = PathInput | Iterable[PathInput]
P = ParamSpec("P")
R = TypeVar("R")
SCALARS: dict[str, tuple[type, str]] = {
    "str": (str, "a text"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "True or False"),
}


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
        EnrError: one of them is none, or there is none.
    """
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        return (one_path(given, what),)
    paths = tuple(one_path(path, what) for path in given)
    if not paths:
        raise EnrError(f"{what} is given as an empty list (did a pattern match nothing?); give at least one path.")
    return paths


OF_THE_COMMAND: Mapping[str, Mapping[str, str]] = {
    "generate": {"dry_run": "is an option of the command alone: `enr datagen --dry-run`."},
    "train": {"no_report": "is an option of the command alone, as only the command writes that page by itself."},
    "evaluate": {"no_report": "is an option of the command alone, as only the command writes that page by itself."},
    "novel_views": {
        **{name: f'is an option of the command alone; give path="{name}".' for name in PATHS},
        "out": "is an option of the command alone; call .save(path) of what it returns.",
        "size_px": "is an option of the command alone; call .save(path, size_px=...) of what it returns.",
    },
}
"""What to say of an option that a command has and its call has not, by call and option."""


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
        if said := OF_THE_COMMAND.get(call.__name__, {}).get(name):
            raise EnrError(f"enr.{call.__name__} has no keyword {name!r}: it {said}")
        if name not in names:
            raise EnrError(f"enr.{call.__name__} has no keyword {name!r}; {nearest(name, names)}")


def check_scalars(given: Mapping[str, object], annotations: Mapping[str, object]) -> None:
    """Refuse values that are not the text, number or flag that their annotation (as written) asks for.

    Raises:
        EnrError: naming the first of them.
    """
    for name, value in given.items():
        written = str(getattr(annotations[name], "__forward_arg__", annotations[name])).split(" | ")
        kinds = [SCALARS[kind] for kind in written if kind in SCALARS]
        if len(kinds) != len(written) - ("None" in written) or (value is None and "None" in written):
            continue
        if not any(isinstance(value, kind) and isinstance(value, bool) == (kind is bool) for kind, _ in kinds):
            raise EnrError(f"{name} is given as {value!r}; give {' or '.join(words for _, words in kinds)}.")


def checked(call: Callable[P, R]) -> Callable[P, R]:
    """A call that answers arguments that it does not have, or of another type, with an `EnrError`."""
    signature = inspect.signature(call)
    annotations = {name: value.annotation for name, value in signature.parameters.items()}
    takes_more = any(value.kind == value.VAR_KEYWORD for value in signature.parameters.values())

    @functools.wraps(call)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        """The call, once its arguments fit."""
        if not takes_more:
            check_keywords(call, kwargs, ())
        try:
            bound = signature.bind(*args, **kwargs).arguments
        except TypeError as problem:
            raise EnrError(f"enr.{call.__name__}: {problem}; help(enr.{call.__name__}) names its arguments.") from None
        check_scalars(bound, annotations)
        return call(*args, **kwargs)

    return answer
