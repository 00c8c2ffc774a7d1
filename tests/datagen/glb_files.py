"""Small .glb files, put together byte by byte: what no exporter would write, and others do."""

import json
import struct
from pathlib import Path

import numpy as np
import trimesh

SQUARE = {
    "POSITION": np.array([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], dtype="<f4"),
    "TEXCOORD_0": np.array([(0, 1), (1, 1), (1, 0), (0, 0)], dtype="<f4"),
    "indices": np.array([0, 1, 2, 0, 2, 3], dtype="<u4"),
}
"""A unit square in the plane z = 0 of the file."""
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


def box(extents=(1.0, 0.6, 0.3), centre=(0.0, 0.0, 0.0)) -> dict:
    """A box as arrays of a primitive."""
    mesh = trimesh.creation.box(extents)
    return {"POSITION": (mesh.vertices + centre).astype("<f4"), "indices": mesh.faces.ravel().astype("<u4")}


def colour(red: float, green: float, blue: float, alpha: float = 1.0, **more) -> dict:
    """A matte material."""
    pbr = {"baseColorFactor": [red, green, blue, alpha], "metallicFactor": 0} | more.pop("pbr", {})
    return {"pbrMetallicRoughness": pbr, **more}


def write_glb(
    path: Path, meshes: list[dict], nodes: list[dict], *, animation=None, png: bytes = b"", **content
) -> Path:
    """A .glb file; its default scene shows all nodes unless `content` says otherwise.

    Args:
        path: the file.
        meshes: arrays of attributes and `indices`, and a `mode` that is not triangles, each with the material of its
            own number if there is one.
        nodes: as glTF has them.
        animation: (node, path, times (n,), values (n, k)), if there is one.
        png: a picture, texture 0.
        content: what else stands in the file.
    """
    data, views, accessors = b"", [], []

    def store(raw: bytes) -> int:
        nonlocal data
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw)})
        data += raw + b"\0" * (-len(raw) % 4)
        return len(views) - 1

    def accessor(values) -> int:
        values = np.asarray(values)
        width = values.shape[1] if values.ndim == 2 else 1
        kind = {"f": 5126, "u": 5125}[values.dtype.kind]
        entry = {"bufferView": store(values.tobytes()), "componentType": kind, "count": len(values)}
        low, high = values.min(axis=0), values.max(axis=0)
        accessors.append(
            entry | {"type": TYPES[width], "min": np.atleast_1d(low).tolist(), "max": np.atleast_1d(high).tolist()}
        )
        return len(accessors) - 1

    content = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}]} | content
    content |= {"nodes": nodes, "meshes": []}
    for number, mesh in enumerate(meshes):
        attributes = {name: values for name, values in mesh.items() if name not in ("indices", "mode")}
        primitive = {"attributes": {name: accessor(values) for name, values in attributes.items()}}
        primitive |= {"indices": accessor(mesh["indices"]), "mode": mesh.get("mode", 4)}
        if number < len(content.get("materials", [])):
            primitive["material"] = number
        content["meshes"].append({"primitives": [primitive]})
    if animation is not None:
        node, target, times, values = animation
        sampler = {"input": accessor(np.array(times, "<f4")), "output": accessor(np.array(values, "<f4"))}
        channel = {"sampler": 0, "target": {"node": node, "path": target}}
        content["animations"] = [{"samplers": [sampler], "channels": [channel]}]
    if png:
        content |= {"images": [{"bufferView": store(png), "mimeType": "image/png"}], "textures": [{"source": 0}]}
    content |= {"bufferViews": views, "accessors": accessors, "buffers": [{"byteLength": len(data)}]}
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path
