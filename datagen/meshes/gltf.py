"""What of a glTF file's JSON is read and changed here; every entry may be missing, and a damaged file holds others."""

from __future__ import annotations

from typing import Any, TypedDict


class GltfNode(TypedDict, total=False):
    """A place in the scene, by a matrix (16 numbers, by columns) or by translation, rotation (x, y, z, w) and scale."""

    matrix: list[float]
    translation: list[float]
    rotation: list[float]
    scale: list[float]
    children: list[int]
    mesh: int
    skin: int
    weights: list[float]


class GltfPrimitive(TypedDict, total=False):
    """A part of a mesh: the numbers of its accessors by name, of its material, and how its vertices are joined."""

    attributes: dict[str, int]
    material: int
    mode: int


class GltfMesh(TypedDict, total=False):
    """Parts, and how far its shape keys are applied."""

    primitives: list[GltfPrimitive]
    weights: list[float]


class GltfAccessor(TypedDict, total=False):
    """A column of numbers: its range, and whether whole numbers stand for shares of it."""

    min: list[float]
    max: list[float]
    normalized: bool


class GltfSurface(TypedDict, total=False):
    """A material's colour (RGBA) and picture."""

    baseColorFactor: list[float]
    baseColorTexture: Any


class GltfMaterial(TypedDict, total=False):
    """A material: its surface, and what its opacity is for."""

    name: str
    alphaMode: str
    pbrMetallicRoughness: GltfSurface


class GltfFile(TypedDict, total=False):
    """A buffer or a picture in a file of its own."""

    uri: str


class GltfScene(TypedDict, total=False):
    """Numbers of the nodes that a scene begins with."""

    nodes: list[int]


class Gltf(TypedDict, total=False):
    """The whole JSON."""

    nodes: list[GltfNode]
    scenes: list[GltfScene]
    meshes: list[GltfMesh]
    accessors: list[GltfAccessor]
    materials: list[GltfMaterial]
    buffers: list[GltfFile]
    images: list[GltfFile]
    extensionsUsed: list[str]
