"""Inside Blender: what is the renderer's own, so that nothing of one mesh reaches the next. Standard library, bpy only.

A file may bring objects, materials, worlds, scenes and custom properties of any name, and importers set up the scene
they import into. What is the renderer's own is therefore marked with a name that no file can know, and everything else
is put back or removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any

import bpy

KEY = f"enr-{secrets.token_hex(8)}"
"""The custom property of the renderer's own; another in every process."""
SETTINGS = (
    "", "render", "render.image_settings", "unit_settings", "view_settings", "display_settings", "cycles", "eevee",
    "sequencer_colorspace_settings",
)  # fmt: skip
"""Parts of a scene that decide how it is rendered."""
PLAIN = ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM")
LIBRARY_KINDS = ("window_managers", "workspaces", "screens", "brushes", "palettes", "linestyles")
"""What belongs to Blender's own surface: no file of a mesh adds to it, and no picture shows it."""


def mark(item: Any) -> None:
    """Make an object or a scene the renderer's own."""
    item[KEY] = True


def is_own(item: Any) -> bool:
    """Whether an object or a scene is the renderer's own."""
    return KEY in item


class Before:
    """A scene as it was before an import: the values of its settings, and which data there were.

    Args:
        scene: the renderer's own.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._values = list(_values(scene))
        self._properties = set(scene.keys())
        self._pointers = {item.as_pointer() for item in _everything()}

    def restore_settings(self) -> None:
        """Take back what an importer did to the scene: units, frames, camera, world, colour management, properties."""
        for owner, name, value in self._values:
            if getattr(owner, name) != value:
                setattr(owner, name, value)
        for name in set(self._scene.keys()) - self._properties:
            del self._scene[name]

    def remove_new(self) -> None:
        """Remove all data that were not there.

        Cycles keeps its pictures from one render to the next, and knows those that lie in no file of their own by
        their address alone: the next mesh's picture at the same address would be shown as this one.
        """
        new = [item for item in _everything() if item.as_pointer() not in self._pointers]
        if any(isinstance(item, bpy.types.Image) and (item.packed_file or item.source != "FILE") for item in new):
            self._scene.render.use_persistent_data = False  # ends what it keeps
            self._scene.render.use_persistent_data = True
        if new:
            bpy.data.batch_remove(new)


def _everything() -> Iterator[Any]:
    """All data blocks that a mesh file may bring."""
    for prop in bpy.data.bl_rna.properties:
        if prop.type == "COLLECTION" and prop.identifier not in LIBRARY_KINDS:
            yield from getattr(bpy.data, prop.identifier)


def _values(scene: Any) -> Iterable[tuple[Any, str, Any]]:
    """Owner, name and value of all settings of a scene that can be set."""
    for path in SETTINGS:
        owner = scene.path_resolve(path) if path else scene
        for prop in owner.bl_rna.properties:
            if not prop.is_readonly and prop.type in PLAIN and not getattr(prop, "is_array", False):
                yield owner, prop.identifier, getattr(owner, prop.identifier)
    yield from ((scene, name, getattr(scene, name)) for name in ("camera", "world"))
