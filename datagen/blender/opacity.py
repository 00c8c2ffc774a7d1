"""Inside Blender: how opaque a material is at some points, worked out from its nodes. Standard library, bpy and NumPy.

Follows what importers build and people draw: alpha of textures, of vertices and of factors, cut-offs, mixes with a
transparent shader, groups. A node that is not known here makes its material opaque.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Path = tuple[Any, ...]
"""The group nodes that a node lies in, the outermost first."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])

MATH: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "ADD": lambda a, b, c: a + b,
    "SUBTRACT": lambda a, b, c: a - b,
    "MULTIPLY": lambda a, b, c: a * b,
    "DIVIDE": lambda a, b, c: np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b)),
    "MULTIPLY_ADD": lambda a, b, c: a * b + c,
    "LESS_THAN": lambda a, b, c: (a < b).astype(np.float64),
    "GREATER_THAN": lambda a, b, c: (a > b).astype(np.float64),
    "MINIMUM": lambda a, b, c: np.minimum(a, b),
    "MAXIMUM": lambda a, b, c: np.maximum(a, b),
    "POWER": lambda a, b, c: np.where(a >= 0, np.abs(a) ** b, 0.0),
    "ABSOLUTE": lambda a, b, c: np.abs(a),
    "ROUND": lambda a, b, c: np.floor(a + 0.5),
    "FLOOR": lambda a, b, c: np.floor(a),
    "CEIL": lambda a, b, c: np.ceil(a),
    "SIGN": lambda a, b, c: np.sign(a),
    "SQRT": lambda a, b, c: np.sqrt(np.maximum(a, 0)),
}
BLENDS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "MIX": lambda a, b: b,
    "MULTIPLY": lambda a, b: a * b,
    "ADD": lambda a, b: a + b,
    "SUBTRACT": lambda a, b: a - b,
    "DARKEN": np.minimum,
    "LIGHTEN": np.maximum,
}


class UnknownNodeError(Exception):
    """A node whose value is not known here."""


@dataclass(frozen=True)
class Places:
    """Points on the triangles of one object's mesh.

    Attributes:
        mesh: as it is rendered.
        loops: (n, 3) the corners, in the mesh, of the triangle that each point lies on.
        weights: (n, 3) how much of each corner it is.
    """

    mesh: Any
    loops: NDArray[np.int32]
    weights: Floats

    def uv(self, name: str) -> Floats:
        """Texture coordinates (n, 2) of a layer, of the one that is rendered where no name is given."""
        layers = self.mesh.uv_layers
        layer = layers.get(name) or next((layer for layer in layers if layer.active_render), layers.active)
        if layer is None:
            return np.zeros((len(self.loops), 2))
        return self._between(_read(layer.data, "uv", 2)[self.loops])

    def colour(self, name: str) -> Floats:
        """A colour attribute (n, 4), of the one that is rendered where no name is given."""
        colours = self.mesh.color_attributes
        name = name or (colours.render_color_index >= 0 and colours[colours.render_color_index].name) or ""
        attribute = colours.get(name)
        if attribute is None:
            raise UnknownNodeError(name)
        values = _read(attribute.data, "color", 4)
        if attribute.domain == "CORNER":
            return self._between(values[self.loops])
        vertices = np.empty(len(self.mesh.loops), dtype=np.int32)
        self.mesh.loops.foreach_get("vertex_index", vertices)
        return self._between(values[vertices[self.loops]])

    def _between(self, values: Floats) -> Floats:
        return (self.weights[..., None] * values).sum(axis=1)


@dataclass
class Opacity:
    """The opacity of one material.

    Attributes:
        material: a material, or None.
        constant: the same everywhere; None where it depends on the place.
    """

    material: Any
    _pictures: dict[str, Floats] = field(default_factory=dict)

    @cached_property
    def constant(self) -> float | None:
        """The same everywhere, or None."""
        try:
            return float(np.clip(self._shader(self._output(), None, ()), 0, 1))
        except _PlaceNeededError:
            return None
        except (UnknownNodeError, RecursionError):
            return 1.0

    def at(self, places: Places) -> Floats:
        """Opacity (n,) in [0, 1] at some points."""
        count = len(places.loops)
        try:
            return np.broadcast_to(np.clip(self._shader(self._output(), places, ()), 0, 1), count)
        except (UnknownNodeError, RecursionError):
            return np.ones(count)

    def _output(self) -> Any:
        tree = self.material.node_tree if self.material is not None and self.material.use_nodes else None
        node = tree.get_output_node("CYCLES") if tree is not None else None
        if node is None:
            raise UnknownNodeError("no output")
        return node.inputs["Surface"]

    def _shader(self, socket: Any, places: Places | None, path: Path) -> Any:
        """Opacity of what is linked to a shader's input."""
        if not socket.is_linked:
            return 1.0
        node, origin, path = _source(socket, path)
        match node.type:
            case "BSDF_PRINCIPLED":
                return self._alpha(node.inputs["Alpha"], places, path)
            case "BSDF_TRANSPARENT":
                return 1 - self._number(node.inputs["Color"], places, path)
            case "HOLDOUT":
                return 0.0
            case "MIX_SHADER":
                share = np.clip(self._number(node.inputs[0], places, path), 0, 1)
                first, second = (self._shader(node.inputs[index], places, path) for index in (1, 2))
                return (1 - share) * first + share * second
            case "ADD_SHADER":
                first, second = (self._shader(node.inputs[index], places, path) for index in (0, 1))
                return np.maximum(first + second - 1, 0)
            case "GROUP":
                return self._shader(_inside(node, origin), places, (*path, node))
        return 1.0

    def _alpha(self, socket: Any, places: Places | None, path: Path) -> Any:
        """The alpha of a shader. A texture's own cuts out whole texels, however the picture blends them."""
        if socket.is_linked:
            node, origin, inner = _source(socket, path)
            if node.type == "TEX_IMAGE" and origin.name == "Alpha":
                return self._picture(node, "Alpha", places, inner, is_closest=True)[:, 0]
        return self._number(socket, places, path)

    def _number(self, socket: Any, places: Places | None, path: Path) -> Any:
        """What is linked to an input, or stands in it, as one number a point."""
        value = np.asarray(self._value(socket, places, path), dtype=np.float64)
        if value.ndim and value.shape[-1] in (3, 4) and socket.type != "VALUE_LIST":
            return value[..., :3] @ LUMINANCE
        return value[..., 0] if value.ndim == 2 else value

    def _value(self, socket: Any, places: Places | None, path: Path) -> Any:
        if not socket.is_linked:
            value = socket.default_value
            return value if isinstance(value, (int, float)) else np.array(value)
        node, origin, path = _source(socket, path)
        match node.type:
            case "TEX_IMAGE":
                return self._picture(node, origin.name, places, path)
            case "VALUE" | "RGB":
                value = node.outputs[0].default_value
                return value if isinstance(value, float) else np.array(value)
            case "MATH":
                numbers = [self._number(item, places, path) for item in node.inputs]
                return _clamped(_known(MATH, node.operation)(*numbers), node.use_clamp)
            case "MIX" | "MIX_RGB":
                return self._mix(node, places, path)
            case "VERTEX_COLOR" | "ATTRIBUTE":
                name = node.layer_name if node.type == "VERTEX_COLOR" else node.attribute_name
                colour = _needed(places).colour(name)
                return colour[:, 3:] if origin.name == "Alpha" else colour[:, :3]
            case "SEPARATE_COLOR" | "SEPRGB":
                colour = self._value(node.inputs[0], places, path)
                return colour[..., list(node.outputs).index(origin)][..., None]
            case "INVERT":
                share, colour = (self._value(item, places, path) for item in node.inputs)
                return share * (1 - colour) + (1 - share) * colour
            case "CLAMP":
                value, low, high = (self._number(item, places, path) for item in node.inputs[:3])
                return np.clip(value, low, high)[..., None]
            case "RGBTOBW":
                return self._number(node.inputs[0], places, path)[..., None]
            case "LIGHT_PATH":
                return 1.0 if origin.name == "Is Camera Ray" else 0.0
            case "GROUP":
                return self._value(_inside(node, origin), places, (*path, node))
            case "UVMAP" | "TEX_COORD" | "MAPPING":
                return self._uv(socket, "", places, path)
        raise UnknownNodeError(node.type)

    def _mix(self, node: Any, places: Places | None, path: Path) -> Any:
        """A mix of two numbers or colours by a share."""
        if node.type == "MIX_RGB":
            inputs, is_clamped = list(node.inputs), node.use_clamp
        else:
            kind = {"FLOAT": "VALUE", "RGBA": "RGBA", "VECTOR": "VECTOR"}.get(node.data_type, "")
            inputs = [item for item in node.inputs if item.enabled]
            if not kind or len(inputs) != 3:
                raise UnknownNodeError(node.data_type)
            is_clamped = node.data_type == "RGBA" and node.clamp_result
        share = np.clip(self._number(inputs[0], places, path), 0, 1)
        if node.type == "MIX" and node.data_type == "FLOAT":
            first, second = (self._number(item, places, path) for item in inputs[1:])
            return (1 - share) * first + share * second
        first, second = (self._colour(item, places, path) for item in inputs[1:])
        blended = _known(BLENDS, node.blend_type)(first, second)
        share = np.asarray(share)[..., None]
        return _clamped((1 - share) * first + share * blended, is_clamped)

    def _colour(self, socket: Any, places: Places | None, path: Path) -> Floats:
        """What is linked to an input, or stands in it, as three numbers a point."""
        value = np.asarray(self._value(socket, places, path), dtype=np.float64)
        return (
            value[..., :3] if value.ndim and value.shape[-1] >= 3 else np.repeat(np.atleast_1d(value)[..., :1], 3, -1)
        )

    def _picture(self, node: Any, output: str, places: Places | None, path: Path, is_closest: bool = False) -> Floats:
        """Alpha (n, 1) or linear colour (n, 3) of a texture, between texels as it is rendered."""
        image = node.image
        if image is None or not image.size[0] or node.projection != "FLAT":
            raise UnknownNodeError("texture")
        uv = self._uv(node.inputs["Vector"], "", _needed(places), path)
        key = f"{image.name}/{output}"
        if key not in self._pictures:
            self._pictures[key] = _read_picture(image, output)
        return _look_up(self._pictures[key], uv, is_closest or node.interpolation == "Closest", node.extension)

    def _uv(self, socket: Any, name: str, places: Places | None, path: Path) -> Floats:
        """Texture coordinates (n, 2) that are linked to an input."""
        if not socket.is_linked:
            return _needed(places).uv(name)
        node, origin, path = _source(socket, path)
        if node.type == "UVMAP":
            return _needed(places).uv(node.uv_map)
        if node.type == "TEX_COORD" and origin.name == "UV":
            return _needed(places).uv("")
        if node.type == "MAPPING" and node.vector_type == "POINT":
            uv = self._uv(node.inputs["Vector"], name, places, path)
            move, turn, scale = (np.array(node.inputs[key].default_value) for key in ("Location", "Rotation", "Scale"))
            if turn[:2].any() or any(item.is_linked for item in node.inputs[1:]):
                raise UnknownNodeError("mapping")
            sine, cosine = np.sin(turn[2]), np.cos(turn[2])
            return (uv * scale[:2]) @ np.array([[cosine, sine], [-sine, cosine]]) + move[:2]
        if node.type == "GROUP":
            return self._uv(_inside(node, origin), name, places, (*path, node))
        raise UnknownNodeError(node.type)


class _PlaceNeededError(Exception):
    """A value that depends on the place was asked for without one."""


def _needed(places: Places | None) -> Places:
    if places is None:
        raise _PlaceNeededError
    return places


def _known(table: dict[str, Any], name: str) -> Any:
    if name not in table:
        raise UnknownNodeError(name)
    return table[name]


def _clamped(value: Floats, wanted: bool) -> Floats:
    return np.clip(value, 0, 1) if wanted else value


def _source(socket: Any, path: Path) -> tuple[Any, Any, Path]:
    """The node and output that a linked input takes its value from, past reroutes and out of groups, and its path."""
    link = socket.links[0]
    node, origin = link.from_node, link.from_socket
    while node.type == "REROUTE" or (node.type == "GROUP_INPUT" and path):
        if node.type == "REROUTE":
            outer = node.inputs[0]
        else:
            outer, path = path[-1].inputs[list(node.outputs).index(origin)], path[:-1]
        if not outer.is_linked:
            return _Constant(outer), outer, path
        node, origin = outer.links[0].from_node, outer.links[0].from_socket
    return node, origin, path


class _Constant:
    """A value that stands in an input, as if a node gave it."""

    def __init__(self, socket: Any) -> None:
        self.type, self.outputs = "VALUE", [socket]


def _inside(group: Any, origin: Any) -> Any:
    """The input, inside a group, of one of its outputs."""
    for node in group.node_tree.nodes if group.node_tree else ():
        if node.type == "GROUP_OUTPUT" and node.is_active_output:
            return node.inputs[list(group.outputs).index(origin)]
    raise UnknownNodeError("empty group")


def _read(data: Any, name: str, width: int) -> Floats:
    values = np.empty(len(data) * width, dtype=np.float32)
    data.foreach_get(name, values)
    return values.reshape(-1, width).astype(np.float64)


def _read_picture(image: Any, output: str) -> Floats:
    """Alpha (height, width, 1) or linear colours (height, width, 3) of a picture, the first row lowest."""
    width, height = image.size
    pixels = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, image.channels)
    if output == "Alpha":
        has_alpha = image.channels == 4 and image.alpha_mode != "NONE"
        return pixels[..., 3:].copy() if has_alpha else np.ones((height, width, 1), dtype=np.float32)
    colours = pixels[..., :3] if image.channels >= 3 else pixels[..., :1].repeat(3, axis=2)
    if image.colorspace_settings.name != "sRGB" or image.is_float:
        return colours.copy()
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def _look_up(picture: Floats, uv: Floats, is_closest: bool, extension: str) -> Floats:
    """Values (n, k) of a picture (height, width, k) at texture coordinates (n, 2)."""
    size = np.array([picture.shape[1], picture.shape[0]])
    place = uv * size - (0.0 if is_closest else 0.5)
    low = np.floor(place).astype(np.int64)
    share = np.zeros_like(place) if is_closest else place - low
    total = np.zeros((len(uv), picture.shape[2]))
    for step in ((0, 0),) if is_closest else ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.prod(np.where(step, share, 1 - share), axis=1)
        column, row = _texel(low + step, size, extension).T
        values = picture[row, column]
        if extension == "CLIP":
            values = values * ((low + step >= 0) & (low + step < size)).all(axis=1)[:, None]
        total += weight[:, None] * values
    return total


def _texel(index: NDArray[np.int64], size: NDArray[np.int64], extension: str) -> NDArray[np.int64]:
    """The texels (n, 2) inside a picture that stand for some that may lie outside."""
    if extension == "REPEAT":
        return index % size
    if extension == "MIRROR":
        turned = index % (2 * size)
        return np.minimum(turned, 2 * size - 1 - turned)
    return np.clip(index, 0, size - 1)
