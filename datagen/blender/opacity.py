"""Inside Blender: how much of the light a material stops, read from its nodes. Standard library, bpy and NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Sampler = Callable[[Integers, Floats], Floats]
"""Opacities (n,) at points that lie in triangles with the face corners (n, 3) of a mesh, by their weights (n, 3)."""
Opacity = float | Sampler
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "ADD": np.add,
    "SUBTRACT": np.subtract,
    "MULTIPLY": np.multiply,
    "LESS_THAN": lambda a, b: np.asarray(a < b, dtype=np.float64),
    "GREATER_THAN": lambda a, b: np.asarray(a > b, dtype=np.float64),
    "MINIMUM": np.minimum,
    "MAXIMUM": np.maximum,
    "ROUND": lambda a, _: np.floor(a + 0.5),
}


class OpacityReader:
    """Reads the opacity of materials on one mesh; what nodes it does not know is opaque."""

    def __init__(self, mesh: Any, pictures: dict[str, Floats]) -> None:
        """Take an evaluated mesh, and the alpha channels that were read so far by the picture's name."""
        self._mesh = mesh
        self._pictures = pictures

    def of(self, material: Any) -> Opacity:
        """A material's opacity: a number, or a function where it differs from place to place."""
        if material is None or material.node_tree is None:
            return 1.0
        outputs = [node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL"]
        active = next((node for node in outputs if node.is_active_output), None)
        return self._shader(active.inputs["Surface"]) if active is not None else 1.0

    def _shader(self, socket: Any) -> Opacity:
        if not socket.is_linked:
            return 1.0
        node = socket.links[0].from_node
        if node.type == "BSDF_PRINCIPLED":
            return self._value(node.inputs["Alpha"])
        if node.type == "BSDF_TRANSPARENT":
            return 0.0
        if node.type == "MIX_SHADER":
            first, second = self._shader(node.inputs[1]), self._shader(node.inputs[2])
            share = self._value(node.inputs[0], is_direct=False)
            return _joined(lambda s, a, b: (1 - s) * a + s * b, share, first, second)
        return self._shader(node.inputs[0]) if node.type == "REROUTE" else 1.0

    def _value(self, socket: Any, is_direct: bool = True) -> Opacity:
        """A number's socket. `is_direct`: nothing lies between it and the material's opacity."""
        if not socket.is_linked:
            return float(socket.default_value)
        link = socket.links[0]
        node, output = link.from_node, link.from_socket
        if node.type == "REROUTE":
            return self._value(node.inputs[0], is_direct)
        if node.type == "VALUE":
            return float(output.default_value)
        if node.type == "MATH" and node.operation in ARITHMETIC:
            inputs = [self._value(each, is_direct=False) for each in node.inputs[:2]]
            result = _joined(ARITHMETIC[node.operation], *inputs)
            return _joined(lambda value: np.clip(value, 0, 1), result) if node.use_clamp else result
        if node.type == "TEX_IMAGE" and output.name == "Alpha" and node.image is not None:
            return self._texture(node, is_smooth=not is_direct and node.interpolation != "Closest")
        if node.type in ("VERTEX_COLOR", "ATTRIBUTE") and output.name == "Alpha":
            return self._vertex_alpha(node.layer_name if node.type == "VERTEX_COLOR" else node.attribute_name)
        return 1.0

    def _texture(self, node: Any, is_smooth: bool) -> Sampler:
        """A picture's alpha: of the nearest texel where that is the opacity, between four where more is made of it.

        A threshold runs between texels, as in the picture; but the hole of a texel that is clear ends with it.
        """
        if node.image.name not in self._pictures:
            self._pictures[node.image.name] = _read_alpha(node.image)
        picture, uv = self._pictures[node.image.name], self._coordinates(node)

        def sample(corners: Integers, weights: Floats) -> Floats:
            places = (weights[..., None] * uv[corners]).sum(axis=1) * picture.shape[::-1]
            if not is_smooth:
                return _texels(picture, np.floor(places), node_extension)
            low = np.floor(places - 0.5)
            share = places - 0.5 - low
            sides = [np.where(step, share, 1 - share).prod(axis=1) for step in STEPS]
            parts = [_texels(picture, low + step, node_extension) for step in STEPS]
            return np.sum([side * part for side, part in zip(sides, parts, strict=True)], axis=0)

        node_extension = str(node.extension)
        return sample

    def _coordinates(self, node: Any) -> Floats:
        """Texture coordinates (corners, 2) that a picture's node reads; zero where the mesh has none."""
        layers, name, moves = self._mesh.uv_layers, "", []
        source = node.inputs["Vector"]
        while source.is_linked and source.links[0].from_node.type in ("MAPPING", "REROUTE"):
            before = source.links[0].from_node
            moves += [before] if before.type == "MAPPING" else []
            source = before.inputs[0]
        if source.is_linked and source.links[0].from_node.type == "UVMAP":
            name = source.links[0].from_node.uv_map
        layer = layers.get(name) or next((layer for layer in layers if layer.active_render), layers.active)
        uv = np.zeros(2 * len(self._mesh.loops), dtype=np.float32)
        if layer is not None:
            layer.data.foreach_get("uv", uv)
        places = uv.reshape(-1, 2).astype(np.float64)
        for mapping in reversed(moves):
            turn = mapping.inputs["Rotation"].default_value[2]
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            places = places * mapping.inputs["Scale"].default_value[:2] @ rotation.T
            if mapping.vector_type == "POINT":
                places += mapping.inputs["Location"].default_value[:2]
        return places

    def _vertex_alpha(self, name: str) -> Opacity:
        """The alpha of the mesh's colours of a name, 1 where there are none."""
        layers = self._mesh.color_attributes
        index = layers.render_color_index
        layer = layers.get(name) if name else layers[index] if 0 <= index < len(layers) else None
        if layer is None:
            return 1.0
        colours = np.empty(4 * len(layer.data), dtype=np.float32)
        layer.data.foreach_get("color", colours)
        alpha = colours[3::4].astype(np.float64)
        if layer.domain == "POINT":
            vertices = np.empty(len(self._mesh.loops), dtype=np.int32)
            self._mesh.loops.foreach_get("vertex_index", vertices)
            alpha = alpha[vertices]
        return lambda corners, weights: (weights * alpha[corners]).sum(axis=1)


STEPS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])


def _joined(function: Callable[..., Any], *inputs: Opacity) -> Opacity:
    """A function of opacities; a number where all of them are."""
    if all(isinstance(value, float) for value in inputs):
        return float(function(*inputs))

    def sample(corners: Integers, weights: Floats) -> Floats:
        values = [np.full(len(corners), v) if isinstance(v, float) else v(corners, weights) for v in inputs]
        return np.asarray(function(*values), dtype=np.float64)

    return sample


def _texels(picture: Floats, places: Floats, extension: str) -> Floats:
    """Alpha (n,) of texels (n, 2), column and row, beyond the border as the picture goes on there."""
    size = np.array(picture.shape[::-1])
    index = places.astype(np.int64)
    if extension == "MIRROR":
        index = index % (2 * size)
        index = np.minimum(index, 2 * size - 1 - index)
    inside = ((index >= 0) & (index < size)).all(axis=1)
    index = np.clip(index, 0, size - 1) if extension in ("EXTEND", "CLIP") else index % size
    alpha = picture[index[:, 1], index[:, 0]]
    return np.where(inside, alpha, 0.0) if extension == "CLIP" else alpha


def _read_alpha(image: Any) -> Floats:
    """The alpha channel (height, width) of a picture, the first row lowest; 1 where its alpha means nothing."""
    width, height = image.size
    if image.channels != 4 or image.alpha_mode == "NONE" or not width * height:
        return np.ones((max(height, 1), max(width, 1)))
    pixels = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(height, width, 4)[..., 3].astype(np.float64)
