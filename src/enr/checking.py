"""How a configuration is checked: bounds and choices stand on the fields, a refusal is one sentence that names the key.

Values may be given as text, as a command line and YAML's `1e-4` do: they are read as the field's type, or refused, in
the same way wherever they come from.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import pydantic.dataclasses
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

from enr.errors import EnrError

T = TypeVar("T")
Table = Mapping[str, object]
"""Entries of a section as they were given, before they are checked."""

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Torch takes no larger seed."""

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)
BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "below"),
}
NOT_SO_MANY = ("missing", "tuple_type", "too_long", "too_short")
"""Refusals of a tuple that has not as many parts as its type."""

NUMERALS = {2: "two", 3: "three", 4: "four", 6: "six"}
KINDS = {
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "numbers_type": "a list of numbers",
    "string_type": "a text",
}


def checked(section: str = "", names: Mapping[str, str] | None = None) -> Callable[[type[T]], type[T]]:
    """A decorator of a frozen dataclass: its fields are checked whenever one is made.

    Args:
        section: what a refusal calls it, such as `train` in `train.steps is 0; it must be at least 1.`; empty where
            the fields are a command's options: `--seeds is 0; it must be at least 1.`
        names: of options whose fields have another name.
    """

    def decorate(kind: type[T]) -> type[T]:
        """The class, checked."""
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if _is_number(hints[field.name]):
                field.type = Annotated[hints[field.name], BeforeValidator(_no_truth)]
        made: Any = pydantic.dataclasses.dataclass(frozen=True, config=CHECKED)(kind)
        make = made.__init__

        fields = [field.name for field in dataclasses.fields(made)]

        def __init__(self: T, *given: object, **values: object) -> None:
            try:
                make(self, **dict(zip(fields, given, strict=False)), **values)
            except ValidationError as error:
                said = refusal(error, kind, section)
                raise EnrError(said if section else of_option(said, names)) from error

        made.__init__ = __init__
        return made

    return decorate


def _is_number(hint: Any) -> bool:
    """Whether an entry is a number (or may be one, but neither true nor false)."""
    kinds = [entry for entry in (hint, *typing.get_args(hint)) if isinstance(entry, type)]
    inside = [_is_number(entry) for entry in typing.get_args(hint) if typing.get_origin(entry) is Annotated]
    return bool not in kinds and (int in kinds or float in kinds or any(inside))


def _no_truth(value: object) -> object:
    """Refuse true and false, which Python counts as 1 and 0, also in a list."""
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    if isinstance(value, list | tuple) and any(isinstance(part, bool) for part in value):
        raise PydanticCustomError("numbers_type", "numbers")
    return value


def validated(kind: type[T], values: Table, section: str) -> T:
    """The entries of a section as an object.

    Args:
        kind: its class.
        values: its entries; values may be text.
        section: what a refusal calls it.

    Raises:
        EnrError: an entry is unknown or does not fit; the message names it.
    """
    known = typing.get_type_hints(kind)
    for key in values:
        if key not in known:
            raise EnrError(f"The {section} configuration has no entry {key!r}; {nearest(str(key), known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        raise EnrError(refusal(error, kind, section)) from error


def refusal(error: ValidationError, kind: type, section: str) -> str:
    """The first thing that does not fit, in one sentence."""
    found, *others = error.errors()
    place = ".".join([section, *(str(part) for part in found["loc"] if str(part) != "__root__")]).strip(".")
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        *path, key = found["loc"]
        inside = _kind_at(kind, path)
        kinds = [entry for entry in (*typing.get_args(inside), inside) if isinstance(entry, type)]
        known = [name for entry in kinds for name in typing.get_type_hints(entry)]
        return f"{place.rpartition('.')[0]} has no entry {key!r}; {nearest(str(key), known)}"
    entries = [part for part in found["loc"] if isinstance(part, str)]
    if found["type"] in NOT_SO_MANY and (expected := _so_many(_kind_at(kind, entries))):
        return f"{'.'.join([section, *entries]).strip('.')} is {found['input']!r}; give {expected}."
    if found["type"] in ("missing", "missing_argument"):
        return f"{place} is missing; give it."
    words = [other["ctx"]["expected"] for other in others if other["type"] == "literal_error" and _beside(other, found)]
    expected = " or ".join([_expected(found).rstrip("."), *words])
    return f"{place} is {found['input']!r}; {expected}."


def _so_many(kind: Any) -> str:
    """What a tuple of so many numbers, or an optional one, is in words; empty for anything else."""
    for entry in (kind, *typing.get_args(kind)):
        parts = typing.get_args(entry) if typing.get_origin(entry) is tuple else ()
        if parts and Ellipsis not in parts:
            return f"{NUMERALS.get(len(parts), str(len(parts)))} {'whole ' * (parts[0] is int)}numbers"
    return ""


def _beside(other: ErrorDetails, found: ErrorDetails) -> bool:
    """Whether both say what one and the same entry might have been."""
    return other["loc"][:-1] == found["loc"][:-1] != ()


def of_option(said: str, names: Mapping[str, str] | None = None) -> str:
    """A refusal of an entry as one of the option of its name, or of the name that `names` has for it."""
    place, between, words = said.partition(" ")
    entry, *_ = place.split(".")
    return f"{option((names or {}).get(entry, entry))}{between}{words}"


def option(name: str) -> str:
    """An entry's name as an option: `max_meshes` is `--max-meshes`."""
    return f"--{name.replace('_', '-')}"


def options(names: Sequence[str], between: str = ", ") -> str:
    """Several of them."""
    return between.join(map(option, names))


def _expected(found: ErrorDetails) -> str:
    context = found.get("ctx", {})
    if found["type"] in BOUNDS:
        name, words = BOUNDS[found["type"]]
        limit = "2**63" if context[name] == 2**63 else f"{context[name]:g}"
        return f"it must be {words} {limit}."
    if found["type"] == "literal_error":
        return f"give one of {str(context['expected']).replace(' or ', ', ')}."
    if found["type"] in KINDS:
        return f"it must be {KINDS[found['type']]}."
    reason = found["msg"].removeprefix("Value error, ")
    return f"{reason[:1].lower()}{reason[1:].rstrip('.')}; give a value that fits."


def _kind_at(kind: Any, path: Iterable[int | str]) -> Any:
    """The class of an entry inside a class, through mappings and optional entries."""
    for part in path:
        inside = [*typing.get_args(kind), kind]
        kind = next((entry for entry in inside if isinstance(entry, type) and hasattr(entry, "__annotations__")), kind)
        if typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        elif isinstance(part, str):
            kind = typing.get_type_hints(kind).get(part, kind)
    return kind


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown key: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
