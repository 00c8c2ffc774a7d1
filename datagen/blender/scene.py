"""Inside Blender: one Cycles scene (light, film, camera) and the pictures of one mesh. Standard library, bpy, NumPy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray

from enr.camera import OPENCV_FROM_BLENDER, project
from enr.datagen.blender import agreement, backdrop, copies, engine, importing, lens, light, own, sheets
from enr.datagen.blender import materials as blender_materials
from enr.datagen.blender import mesh as blender_mesh
from enr.datagen.blender import passes as blender_passes
from enr.datagen.blender.checks import ViewChecks
from enr.datagen.blender.importing import MeshError
from enr.datagen.blender.versions import version
from enr.datagen.meshes.far import COARSEST, is_flattened, step_share, too_far_words
from enr.datagen.meshes.triangles import normalisation
from enr.datagen.messages import Answer, Job, LightingMessage
from enr.errors import EnrError

NEAR_PLANE = 1e-3
FAR_PLANE = 1e6
MARGIN_PX = 0.25


def warm_up(threads: int) -> None:
    """Render one pixel of the empty scene, so that Blender starts its threads now and not in the first job."""
    dark: LightingMessage = {
        "ambient": 0.0,
        "suns": (),
        "lamps": (),
        "shadows": False,
        "bounces": 0,
        "highlights": False,
        "hdri": "",
    }
    job: Job = {"threads": threads, "width_px": 1, "height_px": 1, "focal_px": 1.0, "samples": 1, "lighting": dark}
    prepare_scene(job)
    bpy.ops.render.render()


def render_mesh(job: Job) -> Answer:
    """Render all views of a job's mesh into one .npy of RGBA (views, height, width, 4) uint8, straight alpha.

    Returns:
        what the parent has to know: normalisation, materials used, clipped views, seconds spent by kind.

    Raises:
        MeshError: the mesh cannot be rendered; the reason.
    """
    clock = Clock()
    scene = prepare_scene(job)
    before = own.Before(scene)
    try:
        with clock.measure("import"):
            path = Path(job["mesh"])
            objects = importing.import_mesh(path, job["up_axis"])
            before.restore_settings()
        with clock.measure("prepare"):
            facts, mesh, vertices = prepare_mesh(objects, path, job)
        images, clipped = _render_views(scene, vertices, job, clock)
        if not images[..., 3].any():
            raise MeshError(blender_mesh.NOTHING_VISIBLE)
        with clock.measure("passes"):
            passes, hits = blender_passes.save_passes(objects, images, job)
            passes += backdrop.save_surroundings(scene, job)
        with clock.measure("check"):
            facts |= ViewChecks(objects, vertices).facts(job, clipped)
            if mesh is not None:
                facts["unlike_mesh"] = agreement.unlike_mesh(mesh, images[..., 3], hits, job)
        with clock.measure("write"):
            np.save(job["out"], images)
    finally:
        with clock.measure("clean"):
            importing.remove_objects()
            before.restore_settings()
            before.remove_new()
    return {**facts, "passes": passes, "clipped": clipped, "blender_version": version(), "timings": clock.seconds}


class Clock:
    """Adds up seconds by kind of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Count the time spent inside under `kind`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - started


def prepare_scene(job: Job) -> Any:
    """The scene with its light and camera, made on first use, set to a job's picture size, lens and samples."""
    scene = bpy.context.scene
    if not own.is_own(scene):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        own.mark(scene)
        camera = bpy.data.objects.new("enr-camera", bpy.data.cameras.new("enr-camera"))
        own.mark(camera)
        camera.data.clip_start, camera.data.clip_end = NEAR_PLANE, FAR_PLANE
        scene.collection.objects.link(camera)
        scene.camera = camera
    engine.set_engine(scene, job)
    light.set_light(scene, job)
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = job["width_px"], job["height_px"], 100
    render.threads_mode, render.threads = "FIXED", job["threads"]
    lens.set_lens(scene, lens.job_lens(job))
    return scene


def prepare_mesh(
    objects: list[Any], path: Path, job: Job
) -> tuple[Answer, agreement.Placed | None, NDArray[np.float64]]:
    """Normalise, shade and paint; the facts to report, the faces that count and their vertices (n, 3) in the world.

    The faces are None for a job without `checks`.
    """
    materials = blender_materials.choose_materials(path, job["materials"])
    if materials == "original":
        blender_materials.add_opacity(objects, path)
    sheets.clean(objects, both_sides=materials == "original")
    copies.drop_copies(objects, own_materials=materials == "original")
    taken_off = np.array(job.get("taken_off", 0.0))
    parts = blender_mesh.counted_parts(objects, own_materials=materials == "original", taken_off=taken_off)
    vertices = np.concatenate([part.vertices() for part in parts])
    try:
        scale, offset = normalisation(vertices, job["normalise"])
    except EnrError as error:
        raise MeshError("all points of the mesh coincide") from error
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if step_share(low, high) > COARSEST or is_flattened(low + taken_off, high + taken_off):
        raise MeshError(too_far_words(low + taken_off, high + taken_off))
    mesh = agreement.placed(parts, scale, offset) if job.get("checks", True) else None
    blender_mesh.apply_normalisation(objects, scale, offset)
    blender_mesh.shade_flat(objects)
    held = blender_materials.mesh_facts(objects) | ({"colours_hidden": 1} if job.get("colours_hidden") else {})
    sheets.part(objects)
    blender_materials.paint(objects, path, materials, job["palette"])
    facts: Answer = {
        "normalise_scale": scale,
        "normalise_offset": (offset - taken_off).tolist(),
        "materials": materials,
        "mesh": held,
    }
    return facts, mesh, scale * (vertices + offset)


def _render_views(
    scene: Any, vertices: NDArray[np.float64], job: Job, clock: Clock
) -> tuple[NDArray[np.uint8], list[bool]]:
    """RGBA (views, height, width, 4) and, per view, whether the object reaches over the picture's border."""
    width, height = job["width_px"], job["height_px"]
    images = np.zeros((len(job["views"]), height, width, 4), dtype=np.uint8)
    clipped = []
    picture = Path(job["out"]).with_suffix(".tga")
    for image, view in zip(images, job["views"], strict=True):
        with clock.measure("place"):
            world_from_camera = np.array(view["world_from_camera"])
            K = lens.view_lens(job, view)
            lens.set_lens(scene, K)
            box = _pixel_box(vertices, world_from_camera, K)
            clipped.append(bool(box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height))
            seen = _set_border(scene.render, box, width, height)
            scene.camera.matrix_world = mathutils.Matrix((world_from_camera @ OPENCV_FROM_BLENDER).tolist())
            scene.cycles.seed = view["seed"]
        if not seen:
            continue
        with clock.measure("render"):
            scene.render.filepath = str(picture)
            bpy.ops.render.render(write_still=True)
        with clock.measure("read"):
            image[:] = read_targa(picture, width, height)
    picture.unlink(missing_ok=True)
    return images, clipped


def _pixel_box(
    vertices: NDArray[np.float64], world_from_camera: NDArray[np.float64], K: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in pixels around the projected vertices; endless where one is beside the camera."""
    pixels, depth = project(vertices, world_from_camera, K)
    if depth.min() <= NEAR_PLANE:
        return (-np.inf, -np.inf, np.inf, np.inf)
    (left, top), (right, bottom) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    return left, top, right, bottom


def _set_border(render: Any, box: tuple[float, float, float, float], width: int, height: int) -> bool:
    """Render only the pixels around `box`, with a margin for rounding; False if it lies outside the picture."""
    sides = np.array(box) + MARGIN_PX * np.array([-1, -1, 1, 1])
    limits = np.array([width, height, width, height])
    left, top, right, bottom = np.clip([*np.floor(sides[:2]), *np.ceil(sides[2:])], 0, limits).astype(int).tolist()
    # Blender counts from below and cuts off fractions in single precision: aim between the pixels' edges.
    render.border_min_x, render.border_max_x = (left + 0.25) / width, min((right + 0.25) / width, 1)
    render.border_min_y = (height - bottom + 0.25) / height
    render.border_max_y = min((height - top + 0.25) / height, 1)
    return right > left and bottom > top


def read_targa(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """RGBA (height, width, 4) uint8 of an uncompressed 32-bit TARGA file (18 bytes of header, BGRA).

    Raises:
        OSError: the file is not there or has another size.
    """
    data = path.read_bytes()
    pixels = np.frombuffer(data, dtype=np.uint8, offset=18 + data[0], count=width * height * 4)
    bgra = pixels.reshape(height, width, 4)
    top_down = bool(data[17] & 0x20)
    rgba = bgra[..., [2, 1, 0, 3]]
    return rgba if top_down else rgba[::-1]
