"""Inside Blender: what is the renderer's own, apart from what a mesh file brings along. Standard library only.

It is kept outside of Blender's data: a file may give its objects and its scene any name and any property.
"""

from __future__ import annotations

from typing import Any

_pointers: set[int] = set()
_settings: dict[str, str] = {}


def keep(block: Any) -> None:
    """Make a scene or an object the renderer's own until it is forgotten."""
    _pointers.add(block.as_pointer())


def forget(block: Any) -> None:
    """Give up what was the renderer's own, before it is removed: its place in memory may be used again."""
    _pointers.discard(block.as_pointer())


def is_own(block: Any) -> bool:
    """Whether a scene or an object is the renderer's own."""
    return block.as_pointer() in _pointers


def has_setting(kind: str, value: str) -> bool:
    """Whether the renderer's scene is set up like this already (`light`, `engine`)."""
    return _settings.get(kind) == value


def note_setting(kind: str, value: str) -> None:
    """Remember how the renderer's scene was set up."""
    _settings[kind] = value
