"""Inside Blender: what its importers leave out of the materials of plain formats. Standard library and bpy only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

COLOURED_BY_VERTEX = (".obj", ".ply")
UNUSED_ALPHA = (".obj", ".fbx")


def complete_materials(objects: list[Any], path: Path) -> None:
    """Give a file's materials what Blender's importer has not: colours under a texture's alpha, `Tr`, vertex colours.

    Args:
        objects: the imported mesh objects.
        path: the file that they come from.
    """
    suffix = path.suffix.lower()
    if suffix in UNUSED_ALPHA:
        _show_colours_under_alpha()
    if suffix == ".obj":
        for name, opacity in _opacities_by_tr(path).items():
            principled = _principled(bpy.data.materials.get(name))
            if principled is not None and not principled.inputs["Alpha"].is_linked:
                principled.inputs["Alpha"].default_value = opacity
    if suffix in COLOURED_BY_VERTEX:
        for mesh in {item.data.name: item.data for item in objects}.values():
            if mesh.color_attributes:
                _show_vertex_colours(mesh, mesh.color_attributes[0].name)


def _show_colours_under_alpha() -> None:
    """Let a texture whose alpha no material uses keep its colours where that is 0, which Blender makes black."""
    nodes = [node for material in bpy.data.materials if material.node_tree for node in material.node_tree.nodes]
    textures = [node for node in nodes if node.type == "TEX_IMAGE" and node.image is not None]
    used = {node.image.name for node in textures if node.outputs["Alpha"].is_linked}
    for image in {node.image.name: node.image for node in textures}.values():
        if image.name not in used:
            image.alpha_mode = "CHANNEL_PACKED"


def _opacities_by_tr(path: Path) -> dict[str, float]:
    """By material, 1 - `Tr` of the libraries that an OBJ names, where no `d` says it too."""
    found, dissolved = {}, set()
    for library in _libraries(path):
        name = ""
        for line in library.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, rest = line.strip().partition(" ")
            if key == "newmtl":
                name = rest.strip()
            elif key == "d":
                dissolved.add(name)
            elif key == "Tr":
                try:
                    found[name] = min(max(1 - float(rest.split()[0]), 0.0), 1.0)
                except (ValueError, IndexError):
                    continue
    return {name: opacity for name, opacity in found.items() if name not in dissolved}


def _libraries(path: Path) -> list[Path]:
    """The material libraries beside an OBJ that it names."""
    named = []
    with path.open("rb") as handle:
        for line in handle:
            if line.startswith(b"mtllib"):
                name = line[6:].strip().decode("utf-8", "replace").replace("\\", "/")
                named.append(path.parent / name)
    return [library for library in named if library.is_file()]


def _show_vertex_colours(mesh: Any, layer: str) -> None:
    """Multiply the plain colours of a mesh's materials by those of its vertices; textures are left as they are."""
    if not mesh.materials:
        mesh.materials.append(None)
    for index, material in enumerate(mesh.materials):
        # A copy: other meshes, which may have no colours, can share the material.
        coloured = _white() if material is None else material.copy()
        principled = _principled(coloured)
        if principled is None or principled.inputs["Base Color"].is_linked:
            continue
        base, tree = principled.inputs["Base Color"], coloured.node_tree
        colours, product = tree.nodes.new("ShaderNodeVertexColor"), tree.nodes.new("ShaderNodeVectorMath")
        colours.layer_name, product.operation = layer, "MULTIPLY"
        product.inputs[1].default_value = base.default_value[:3]
        tree.links.new(colours.outputs["Color"], product.inputs[0])
        tree.links.new(product.outputs["Vector"], base)
        mesh.materials[index] = coloured


def _white() -> Any:
    material = bpy.data.materials.new("enr-white")
    material.use_nodes = True
    principled = _principled(material)
    principled.inputs["Base Color"].default_value = (1, 1, 1, 1)
    principled.inputs["Roughness"].default_value = 1.0
    return material


def _principled(material: Any) -> Any:
    nodes = material.node_tree.nodes if material is not None and material.node_tree else ()
    return next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
