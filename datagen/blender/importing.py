"""Inside Blender: import a mesh file of any format, Z up, as plain mesh objects. Standard library and bpy only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import mathutils

from enr.camera import Z_UP_FROM_Y_UP
from enr.datagen.blender import own, versions
from enr.datagen.meshes.formats import FORMATS, suffix_of

NOT_FINITE = re.compile(rb"^v[ \t]+(?:\S+[ \t]+){0,2}[+-]?(?:nan|inf)", re.IGNORECASE | re.MULTILINE)
NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
NO_NUMBER = re.compile(
    rb"^v[ \t]+(?:%b[ \t]+){0,2}(?!%b(?:[ \t\r\n\\#]|\Z))([^ \t\r\n\\#][^ \t\r\n]*)" % (NUMBER, NUMBER), re.MULTILINE
)
"""A coordinate of an OBJ file that is not written as a number, such as 0,5."""
TOO_LARGE = re.compile(rb"^v[ \t]+(?:\S+[ \t]+){0,2}\S+[eE]\+?0*(?:39|[4-9]\d|[1-9]\d\d)", re.MULTILINE)
"""A coordinate that single precision does not hold."""
CORNERS = re.compile(rb"^[ \t]*(?:v[ \t]|f[ \t]+([^\n#]*))", re.MULTILINE)
"""The vertices of an OBJ file, and the corners of its faces."""
NOT_FINITE_REASON = "a coordinate of the mesh is not a finite number"
PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception)\b")
REASON_CHARACTERS = 200
SCENE_FORMATS = (".blend", ".abc", ".usd", ".usda", ".usdc", ".usdz")
"""Formats that hold whole scenes: copies of parts, modifiers, hidden objects. What they would render becomes meshes."""
SOLID_TYPES = ("MESH", "CURVE", "SURFACE", "META", "FONT")


class MeshError(Exception):
    """A mesh that cannot be rendered, with the reason in words."""


def import_mesh(path: Path, up_axis: str | None = None) -> list[Any]:
    """Import a mesh file into the empty scene; its mesh objects, Z up.

    Args:
        path: the file.
        up_axis: `Y` or `Z`, the axis that points up in the file; None for its format's.

    Raises:
        MeshError: the format is unknown, or Blender's importer refuses the file or finds no mesh in it.
    """
    suffix = suffix_of(path)
    if suffix == ".obj":
        _check_text(path.read_bytes())
    try:
        if suffix == ".blend":
            _append_scene(path)
        elif not versions.run_importer(path, versions.IMPORTERS.get(suffix, ())):
            raise MeshError(f"Blender {versions.version()} has no importer for {suffix or 'such files'}")
        if suffix in SCENE_FORMATS and suffix != ".blend":
            bpy.context.scene.frame_set(bpy.context.scene.frame_start)  # the importers have set it to the file's first
            _realise(bpy.context.view_layer, _imported())
    except (RuntimeError, OSError) as error:  # how Blender reports errors
        raise MeshError(f"Blender's importer refused the file ({_one_line(error, path)})") from error
    _hold_still()
    meshes = [item for item in _imported() if item.type == "MESH"]
    if not meshes:
        raise MeshError("the file holds no mesh")
    rendered = _rendered(bpy.context.view_layer.layer_collection)
    objects = [item for item in meshes if item.name in rendered]
    names = {item.name for item in objects}
    for item in _imported():
        item.hide_render |= item.name not in names  # lights and cameras that a glTF may bring along, other scenes
    if not objects:
        raise MeshError("the file shows no mesh: all are hidden or outside of its default scene")
    _turn_up(objects, suffix, up_axis)
    return objects


def remove_meshes() -> None:
    """Remove everything that an import left, whether it succeeded or not."""
    remove_objects()
    kept = (bpy.data.materials, bpy.data.meshes, bpy.data.images, bpy.data.node_groups, bpy.data.actions)
    for block in [block for blocks in kept for block in blocks if block.use_fake_user]:
        block.use_fake_user = False
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)


def remove_objects() -> None:
    """Remove the objects and scenes that an import left."""
    for scene in [scene for scene in bpy.data.scenes if not own.is_own(scene)]:
        bpy.data.scenes.remove(scene)
    for item in _imported():
        bpy.data.objects.remove(item, do_unlink=True)


def root_of(item: Any) -> Any:
    """The object that an object hangs on, at the end of its parents."""
    while item.parent is not None:
        item = item.parent
    return item


def _imported() -> list[Any]:
    """All objects that are not the renderer's own."""
    return [item for item in bpy.data.objects if not own.is_own(item)]


def _rendered(branch: Any) -> set[str]:
    """Names of the objects below a layer's collection that a final render shows."""
    if branch.exclude or branch.holdout or branch.indirect_only or branch.collection.hide_render:
        return set()
    here = {item.name for item in branch.collection.objects if not item.hide_render}
    return here.union(*(_rendered(child) for child in branch.children))


def _check_text(text: bytes) -> None:
    """Refuse an OBJ file that Blender would import without a word, but wrongly."""
    if b"\0" in text:
        raise MeshError("the file holds NUL bytes: it is damaged, or not text in UTF-8")
    if NOT_FINITE.search(text) or TOO_LARGE.search(text):  # Blender takes such a coordinate for 0
        raise MeshError(NOT_FINITE_REASON)
    wrong = NO_NUMBER.search(text)
    if wrong:  # Blender reads what stands before a comma, and 0 where that is nothing
        raise MeshError(
            f"a coordinate of the mesh is not written as a number ({wrong[1][:40].decode('utf-8', 'replace')})"
        )
    _check_corners(text)


def _check_corners(text: bytes) -> None:
    """Refuse an OBJ file of which Blender would leave out faces: those of vertices that do not stand before them."""
    count = 0
    for line in CORNERS.finditer(re.sub(rb"\\\r?\n", b" ", text)):
        if line[1] is None:
            count += 1
            continue
        for corner in line[1].split():
            written = corner.partition(b"/")[0]
            try:
                is_there = 0 < int(written) <= count or -count <= int(written) < 0
            except ValueError:
                is_there = False
            if not is_there:
                name = written[:40].decode("utf-8", "replace")
                raise MeshError(f"a face names vertex {name}, which is none of the {count:,} before it")


def _turn_up(objects: list[Any], suffix: str, up_axis: str | None) -> None:
    """Undo what the importer did for its format's axis where the file's is another."""
    by_format = FORMATS[suffix].up
    if up_axis is None or by_format is None or up_axis == by_format:
        return
    bpy.context.view_layer.update()  # before that, new objects do not know their place
    z_up_from_y_up = mathutils.Matrix(Z_UP_FROM_Y_UP.tolist())
    turn = z_up_from_y_up if up_axis == "Y" else z_up_from_y_up.inverted()
    for name in sorted({root_of(item).name for item in objects}):
        root = bpy.data.objects[name]
        root.matrix_world = turn @ root.matrix_world


def _hold_still() -> None:
    """Drop all animation, which would undo the normalisation of what it moves when a picture sets the frame."""
    trees = [material.node_tree for material in bpy.data.materials if material.node_tree]
    kinds = (bpy.data.objects, bpy.data.shape_keys, bpy.data.materials, bpy.data.meshes, bpy.data.armatures)
    for block in [*(block for blocks in kinds for block in blocks), *bpy.data.node_groups, *trees]:
        block.animation_data_clear()


def _append_scene(path: Path) -> None:
    """The first scene of a Blender file (all loose objects of one without scenes), as meshes in the current scene."""
    with bpy.data.libraries.load(str(path), link=False) as (inside, wanted):
        if inside.scenes:
            wanted.scenes = inside.scenes[:1]
        else:
            wanted.objects = list(inside.objects)
    scenes = [scene for scene in bpy.data.scenes if not own.is_own(scene)]
    scene = scenes[0] if scenes else bpy.data.scenes.new("loose objects")
    if not scenes:
        for item in _imported():
            scene.collection.objects.link(item)
    layer = next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])
    _show_what_renders(scene, layer)
    _realise(layer, _imported())
    trees = [material.node_tree for material in bpy.data.materials if material.node_tree]
    if any(block.animation_data for block in [*bpy.data.materials, *trees, *bpy.data.node_groups]):
        bpy.context.scene.frame_set(scene.frame_current)  # materials that change with time have that frame's values
    bpy.data.scenes.remove(scene)


def _show_what_renders(scene: Any, layer: Any) -> None:
    """Let the viewport's visibility and quality, which `_realise` sees, be those of a final render."""
    for collection in scene.collection.children_recursive:
        collection.hide_viewport = collection.hide_render
    for branch in _branches(layer.layer_collection):
        branch.hide_viewport = False
    for item in _imported():
        item.hide_viewport = item.hide_render
        for modifier in item.modifiers:
            modifier.show_viewport = modifier.show_render
            if modifier.type in ("SUBSURF", "MULTIRES"):
                modifier.levels = modifier.render_levels
    for item in scene.objects:
        if item.name in layer.objects:
            item.hide_set(False, view_layer=layer)


def _branches(collection: Any) -> Iterator[Any]:
    yield collection
    for child in collection.children:
        yield from _branches(child)


def _realise(layer: Any, originals: list[Any]) -> None:
    """Make plain mesh objects of what a view layer shows of `originals`, copies of parts included; remove these.

    Modifiers are applied; curves, text and metaballs become meshes where they have faces.
    """
    layer.update()
    made = []
    for instance in layer.depsgraph.object_instances:
        source = instance.object
        if source.type in SOLID_TYPES and instance.show_self and _is_seen(source.original):
            mesh = bpy.data.meshes.new_from_object(source, depsgraph=layer.depsgraph)
            if mesh is not None:
                made.append((mesh, instance.matrix_world.copy()))
    for item in originals:
        bpy.data.objects.remove(item, do_unlink=True)
    for mesh, matrix in made:
        item = bpy.data.objects.new(mesh.name, mesh)
        item.matrix_world = matrix
        bpy.context.scene.collection.objects.link(item)


def _is_seen(item: Any) -> bool:
    """Whether a camera sees an object as itself, which is not the renderer's own."""
    unseen = ("is_holdout", "is_shadow_catcher")
    return not own.is_own(item) and item.visible_camera and not any(getattr(item, name, False) for name in unseen)


def _one_line(error: Exception, path: Path) -> str:
    """What an importer said, in one line; of a Python traceback only its end."""
    text = str(error).removeprefix("Error:").replace(str(path), path.name)
    if "Traceback" in text:
        raised = [line for line in text.splitlines() if PYTHON_ERROR.match(line)]
        text = raised[-1] if raised else text.splitlines()[-1]
    return " ".join(text.split())[:REASON_CHARACTERS]
