"""Small meshes for tests that really render, and the rendering itself."""

import base64
import json
from pathlib import Path

import numpy as np
import trimesh

from enr.datagen.cameras.poses import sample_poses
from enr.datagen.jobs import render_job
from enr.datagen.meshes.discovery import MeshSource
from enr.datagen.meshes.staging import stage
from enr.datagen.settings import PoolSettings, PoseSettings, RenderSettings
from enr.datagen.workers.pool import render_all
from enr.datagen.workers.worker import RenderedMesh

PATCH = ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1))
"""A square that faces the camera of the group `trans`."""


def corner_blocks() -> trimesh.Trimesh:
    """A lopsided heap of boxes (Z up): no symmetry, so that a mirrored or turned picture shows."""
    boxes = [((1.0, 0.5, 0.2), (0, 0, 0)), ((0.2, 0.2, 0.8), (0.4, 0.15, 0.5)), ((0.1, 0.3, 0.1), (-0.5, -0.3, 0.2))]
    parts = []
    for extents, centre in boxes:
        part = trimesh.creation.box(extents)
        part.apply_translation(centre)
        parts.append(part)
    return trimesh.util.concatenate(parts)


def write_obj(path: Path, vertices, faces, header: str = "") -> Path:
    """An OBJ file of Z-up vertices: (x, y, z) is stored as (x, z, -y), as that format has Y up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(f"v {x} {z} {-y}" for x, y, z in vertices)]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_gltf_cubes(path: Path, materials: list[str], nodes: list[dict]) -> None:
    """A glTF file of one unit cube for each material, placed by nodes that may share it."""
    cube = trimesh.creation.box()
    positions, corners = cube.vertices.astype("<f4"), cube.faces.astype("<u4")
    data = base64.b64encode(positions.tobytes() + corners.tobytes()).decode()
    views = [(0, positions.nbytes, 34962), (positions.nbytes, corners.nbytes, 34963)]
    count = {"componentType": 5126, "type": "VEC3", "count": 8, "min": [-0.5] * 3, "max": [0.5] * 3}
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": nodes,
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": number}]}
            for number in range(len(materials))
        ],
        "materials": [{"name": name} for name in materials],
        "buffers": [{"byteLength": views[1][0] + views[1][1], "uri": f"data:application/octet-stream;base64,{data}"}],
        "bufferViews": [{"buffer": 0, "byteOffset": o, "byteLength": n, "target": t} for o, n, t in views],
        "accessors": [
            {"bufferView": 0, **count},
            {"bufferView": 1, "componentType": 5125, "type": "SCALAR", "count": corners.size},
        ],
    }
    path.write_text(json.dumps(content))


def make_job(path: Path, views: int = 6, poses: PoseSettings | None = None, **render) -> dict:
    """A render job for a mesh file; the scene's id is its stem, so copies of a mesh want the same file name."""
    size = {"width_px": 48, "height_px": 48, "focal_px": 60.0, "samples": 8}
    settings = RenderSettings(**{**size, **render})
    poses = poses or PoseSettings("rototrans")
    source = MeshSource(path.stem, path)
    staged = stage(source, path.parent, settings.up_axis)
    return render_job(settings, source, sample_poses(poses, settings.seed, path.stem, views), staged)


def render(*jobs: dict) -> list[RenderedMesh]:
    """The outcomes of some jobs in their order, from one Blender."""
    outcomes = list(render_all(jobs, PoolSettings(workers=1)))
    assert [outcome.job for outcome in outcomes] == list(jobs)
    return outcomes


def pictures(*jobs: dict) -> list[np.ndarray]:
    """RGBA (views, height, width, 4) int of some jobs, all of which must succeed."""
    outcomes = render(*jobs)
    assert not [outcome.reason for outcome in outcomes if outcome.reason]
    return [outcome.images.astype(int) for outcome in outcomes if outcome.images is not None]
