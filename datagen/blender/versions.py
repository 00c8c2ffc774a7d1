"""Inside Blender: everything that differs between its versions (3.4 to 5.0). Standard library, bpy and NumPy only."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import addon_utils
import bpy
import numpy as np

Candidates = tuple[tuple[str, str, dict[str, Any]], ...]
"""Operators that do the same job, the best first: name, add-on that brings it (empty if none), options."""

# The FBX importer of Blender 4.5 and later reads text files too; the add-on before it only binary ones.
# Without `disable_bone_shape`, a skeleton in a glTF brings a mesh of its own for its bones.
# What a glTF says of its scene is none of the renderer's scene's business.
GLTF: Candidates = (
    ("import_scene.gltf", "io_scene_gltf2", {"disable_bone_shape": True, "import_scene_extras": False}),
)
USD: Candidates = (
    (
        "wm.usd_import",
        "",
        {"import_cameras": False, "import_lights": False, "import_materials": True, "create_world_material": False},
    ),
)
IMPORTERS: dict[str, Candidates] = {
    ".obj": (("wm.obj_import", "", {"validate_meshes": False}),),  # `enr.datagen.blender.sheets` does, knowing more
    ".glb": GLTF,
    ".gltf": GLTF,
    ".ply": (("wm.ply_import", "", {}), ("import_mesh.ply", "io_mesh_ply", {})),
    ".stl": (("wm.stl_import", "", {}), ("import_mesh.stl", "io_mesh_stl", {})),
    ".fbx": (("wm.fbx_import", "", {"use_anim": False}), ("import_scene.fbx", "io_scene_fbx", {"use_anim": False})),
    ".usd": USD,
    ".usda": USD,
    ".usdc": USD,
    ".usdz": USD,
    ".abc": (("wm.alembic_import", "", {"as_background_job": False}),),
}


def version() -> str:
    """Blender's version, such as `5.0.1`."""
    return ".".join(str(part) for part in bpy.app.version)


def run_importer(path: Path, candidates: Candidates) -> bool:
    """Import a file by the first operator that this Blender has; False if it has none.

    Options that the operator does not know (older ones know fewer) are left out.

    Raises:
        RuntimeError: the operator failed, with its words.
    """
    for name, add_on, options in candidates:
        operator = _operator(name, add_on)
        if operator is not None:
            known = operator.get_rna_type().properties.keys()
            with _gltf_at_rest() if add_on == "io_scene_gltf2" else nullcontext():
                operator(filepath=str(path), **{key: value for key, value in options.items() if key in known})
            return True
    return False


@contextmanager
def _gltf_at_rest() -> Iterator[None]:
    """Let the glTF importer see no animations: it would put what they move where they start, not where it rests.

    It has no option for that. This is the one place at which all of its versions read the file.
    """
    reader: Any = importlib.import_module("io_scene_gltf2.io.imp.gltf2_io_gltf").glTFImporter
    read = reader.read

    def read_at_rest(importer: Any) -> Any:
        """What the importer reads, without its animations."""
        result = read(importer)
        importer.data.animations = None
        if importer.data.scene is None and len(importer.data.scenes or []) > 1:
            importer.data.scene = 0  # or all of them would stand in one another
        _hide_nodes(importer.data)
        if not _gltf_is_finite(importer):
            raise ImportError("a coordinate of the mesh is not a finite number")  # Blender would take it for 0
        used = importer.data.extensions_used or []
        importer.data.extensions_used = [name for name in used if name != "KHR_animation_pointer"]
        return result

    reader.read = read_at_rest
    try:
        yield
    finally:
        reader.read = read


def _hide_nodes(document: Any) -> None:
    """Take the meshes off the nodes that a glTF hides (KHR_node_visibility), and off all below them."""
    nodes = document.nodes or []
    hidden = {
        number
        for number, node in enumerate(nodes)
        if (node.extensions or {}).get("KHR_node_visibility", {}).get("visible") is False
    }
    waiting = sorted(hidden)
    while waiting:
        node = nodes[waiting.pop()]
        node.mesh = None
        below = set(node.children or []) - hidden
        hidden |= below
        waiting += sorted(below)


def _gltf_is_finite(importer: Any) -> bool:
    """Whether all coordinates of a glTF are finite numbers; those that a compression holds are not looked at."""
    binary: Any = importlib.import_module("io_scene_gltf2.io.imp.gltf2_io_binary").BinaryData
    numbers = {
        primitive.attributes["POSITION"]
        for mesh in importer.data.meshes or []
        for primitive in mesh.primitives
        if "POSITION" in primitive.attributes and not (primitive.extensions or {}).get("KHR_draco_mesh_compression")
    }
    return all(np.isfinite(binary.decode_accessor(importer, number)).all() for number in sorted(numbers))


def _operator(name: str, add_on: str) -> Any:
    """An operator, its add-on enabled where needed; None if this Blender has neither."""
    if add_on == "io_scene_gltf2" and not hasattr(np, "bool"):
        np.bool = bool  # type: ignore[attr-defined]  # Blender 3's add-on wants what NumPy 1.24 took away
    room, _, verb = name.partition(".")
    operator = getattr(getattr(bpy.ops, room), verb)
    for attempt in ("as it is", "with its add-on"):
        try:
            operator.get_rna_type()
            return operator
        except KeyError:
            if attempt == "as it is" and add_on:
                addon_utils.enable(add_on, default_set=False)
    return None


def set_known(owner: Any, **values: Any) -> None:
    """Set the properties that `owner` has in this Blender; others are younger or were given up, and do not matter."""
    for name, value in values.items():
        if hasattr(owner, name):
            setattr(owner, name, value)


def shade_flat(mesh: Any) -> None:
    """Flat shading of all faces, without normals that a file may have stored."""
    stored = mesh.attributes.get("custom_normal")
    if stored is not None:
        mesh.attributes.remove(stored)
    if hasattr(mesh, "shade_flat"):
        mesh.shade_flat()
        return
    set_known(mesh, use_auto_smooth=False)  # before 4.1; stored normals count only with it
    mesh.polygons.foreach_set("use_smooth", np.zeros(len(mesh.polygons), dtype=bool))


def refresh_devices(preferences: Any) -> None:
    """Let the settings of Cycles look for devices."""
    if hasattr(preferences, "refresh_devices"):
        preferences.refresh_devices()
    else:
        preferences.get_devices()
