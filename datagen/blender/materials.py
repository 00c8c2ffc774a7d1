"""Inside Blender: the colours of an imported mesh, its own or painted on. Standard library, bpy and NumPy only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from enr.datagen.blender.groups import same_surface
from enr.datagen.blender.obj_libraries import libraries
from enr.datagen.meshes.formats import COLOURED_SUFFIXES

GREY = (0.5, 0.5, 0.5)
COLOURED_BY_VERTEX = (".obj", ".ply")


def choose_materials(path: Path, wanted: str | None) -> str:
    """`original`, `grey` or `palette`: what was asked for, else what the file can offer.

    A file that brings materials along (glTF, FBX, USD, Blender; OBJ with a library that has its materials) keeps them;
    others get the palette.
    """
    if wanted is not None:
        return wanted
    if path.suffix.lower() in COLOURED_SUFFIXES:
        return "original" if bpy.data.materials else "palette"
    if path.suffix.lower() != ".obj":
        return "palette"
    found = libraries(path)
    names = {material.name for material in bpy.data.materials}
    return "original" if found.named or not names.isdisjoint(found.transparency()) else "palette"


def paint(objects: list[Any], path: Path, materials: str, palette: list[list[float]]) -> None:
    """Give the objects' material groups plain colours (`grey`, `palette`), or leave the file's materials.

    Args:
        objects: imported mesh objects.
        path: the file that they come from.
        materials: `original`, `grey` or `palette`.
        palette: linear RGB colours, one for each material group in turn.
    """
    if materials == "original":
        _drop_missing_textures()
        _ignore_unused_alpha(path)
        _show_vertex_colours(objects, path)
        return
    colours = [GREY] if materials == "grey" else palette
    surface = same_surface(_group_corners(objects))
    mattes = [_matte(colour) for colour in colours[: len(set(surface.values()))]]
    for item in objects:
        if not item.data.materials:
            item.data.materials.append(None)
    slots = [slot for item in objects for slot in item.material_slots]
    # All names first: objects may share a mesh and its slots, which are then painted twice.
    for slot, group in [(slot, _group_name(slot)) for slot in slots]:
        slot.material = mattes[surface.get(group, 0) % len(mattes)]


def mesh_facts(objects: list[Any]) -> dict[str, int]:
    """What a mesh file holds: faces, vertices, materials and textures; how many of these have no picture."""
    meshes = {item.data.name: item.data for item in objects}.values()
    materials = {slot.material.name: slot.material for item in objects for slot in item.material_slots if slot.material}
    textures = {
        node.image.name if node.image else f"{name}/{node.name}": node
        for name, material in materials.items()
        for node in _texture_nodes(material)
    }
    return {
        "faces": sum(len(mesh.polygons) for mesh in meshes),
        "vertices": sum(len(mesh.vertices) for mesh in meshes),
        "materials": len(materials),
        "textures": len(textures),
        "textures_missing": sum(not _is_readable(node.image) for node in textures.values()),
    }


def _texture_nodes(material: Any) -> list[Any]:
    """Every node of a material that reads a picture."""
    nodes = material.node_tree.nodes if material.node_tree else []
    return [node for node in nodes if node.type == "TEX_IMAGE"]


def _group_name(slot: Any) -> str:
    return slot.material.name if slot.material else ""


def _group_corners(objects: list[Any]) -> dict[str, NDArray[np.float64]]:
    """By material group, in the order of the slots, the world positions (corners, 3) of its faces' corners."""
    clouds: dict[str, list[NDArray[np.float64]]] = {}
    for item in objects:
        names = [_group_name(slot) for slot in item.material_slots] or [""]
        positions, group_of_corner = _corners(item)
        order = np.argsort(group_of_corner, kind="stable")
        ends = np.searchsorted(group_of_corner[order], np.arange(len(names) + 1))
        for name, start, end in zip(names, ends[:-1], ends[1:], strict=True):
            clouds.setdefault(name, []).append(positions[order[start:end]])
    return {name: np.concatenate(parts) for name, parts in clouds.items()}


def _corners(item: Any) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """World positions (corners, 3) of an object's face corners, and the material slot (corners,) of each."""
    mesh = item.data
    positions = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", positions)
    vertex_of_corner = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", vertex_of_corner)
    slot_of_face, corners_of_face = np.empty((2, len(mesh.polygons)), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", slot_of_face)
    mesh.polygons.foreach_get("loop_total", corners_of_face)
    matrix = np.array(item.matrix_world, dtype=np.float64)
    world = positions.reshape(-1, 3)[vertex_of_corner] @ matrix[:3, :3].T + matrix[:3, 3]
    return world, np.repeat(slot_of_face, corners_of_face)


def _matte(colour: Any) -> Any:
    material = bpy.data.materials.new("enr-matte")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    diffuse, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
    diffuse.inputs["Color"].default_value = (*colour, 1.0)
    links.new(diffuse.outputs["BSDF"], output.inputs["Surface"])
    return material


def _drop_missing_textures() -> None:
    """Unlink textures whose picture is not there: the material's own colour instead of Blender's purple."""
    for material in bpy.data.materials:
        for node in _texture_nodes(material):
            if not _is_readable(node.image):
                for link in [link for output in node.outputs for link in output.links]:
                    material.node_tree.links.remove(link)


def _is_readable(image: Any) -> bool:
    return image is not None and image.size[0] > 0 and image.size[1] > 0


def add_opacity(objects: list[Any], path: Path) -> None:
    """Give the materials of an OBJ file the opacity that its libraries say by `Tr`, which the importer leaves out."""
    if path.suffix.lower() != ".obj":
        return
    transparency = libraries(path).transparency()
    for material in {slot.material for item in objects for slot in item.material_slots if slot.material}:
        value = transparency.get(material.name)
        principled = _principled(material)
        if value is not None and principled is not None and not principled.inputs["Alpha"].is_linked:
            principled.inputs["Alpha"].default_value = min(max(1 - value, 0.0), 1.0)
        _take_brightness_for_alpha(material, principled)


def _take_brightness_for_alpha(material: Any, principled: Any) -> None:
    """Let a picture of `map_d` that has no alpha be the opacity by its brightness; the importer takes it for opaque.

    One that is the colour as well stays opaque.
    """
    links: Any = principled.inputs["Alpha"].links if principled is not None else ()
    node = links[0].from_node if links else None
    if node is None or node.type != "TEX_IMAGE" or not _is_readable(node.image) or node.image.depth in (16, 32):
        return
    others = [other for other in _texture_nodes(material) if other != node and other.image == node.image]
    if links[0].from_socket.name == "Alpha" and not others and not node.outputs["Color"].is_linked:
        node.image.colorspace_settings.name = "Non-Color"
        material.node_tree.links.new(node.outputs["Color"], principled.inputs["Alpha"])


def _show_vertex_colours(objects: list[Any], path: Path) -> None:
    """Multiply plain colours by those of the vertices, which Blender's importers read and do not show.

    In OBJ and PLY these are the colours of the surface; elsewhere they are where there is no material.
    """
    suffix = path.suffix.lower()
    if suffix == ".blend":  # shows them where a material asks for them
        return
    for mesh in {item.data.name: item.data for item in objects if len(item.data.color_attributes)}.values():
        layer = mesh.color_attributes[max(mesh.color_attributes.render_color_index, 0)].name
        if not mesh.materials:
            mesh.materials.append(None)
        for index, material in enumerate(mesh.materials):
            if material is None or suffix in COLOURED_BY_VERTEX:
                # A copy: other meshes, which may have no colours, can share the material.
                mesh.materials[index] = _vertex_coloured(_white() if material is None else material.copy(), layer)


def _vertex_coloured(material: Any, layer: str) -> Any:
    """A material whose plain colour is multiplied by a mesh's colours; one with a texture is left as it is."""
    principled = _principled(material)
    if principled is not None and not principled.inputs["Base Color"].is_linked:
        base, tree = principled.inputs["Base Color"], material.node_tree
        colours, product = tree.nodes.new("ShaderNodeVertexColor"), tree.nodes.new("ShaderNodeVectorMath")
        colours.layer_name, product.operation = layer, "MULTIPLY"
        product.inputs[1].default_value = base.default_value[:3]
        tree.links.new(colours.outputs["Color"], product.inputs[0])
        tree.links.new(product.outputs["Vector"], base)
    return material


def _white() -> Any:
    material = bpy.data.materials.new("enr-white")
    material.use_nodes = True
    principled = _principled(material)
    principled.inputs["Base Color"].default_value = (1, 1, 1, 1)
    principled.inputs["Roughness"].default_value = 1.0
    return material


def _principled(material: Any) -> Any:
    nodes = material.node_tree.nodes if material.node_tree else ()
    return next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)


def _ignore_unused_alpha(path: Path) -> None:
    """Let the colour of a texture be what it is where nothing asks for its alpha, also where that is none.

    Blender takes colours times alpha then. A Blender file was made with that in sight.
    """
    for material in bpy.data.materials if path.suffix.lower() != ".blend" else ():
        for node in _texture_nodes(material):
            unasked = _is_readable(node.image) and not node.outputs["Alpha"].is_linked
            if unasked and node.image.channels == 4 and node.image.alpha_mode in ("STRAIGHT", "PREMUL"):
                node.image.alpha_mode = "CHANNEL_PACKED"
