"""What a run and its workers tell each other, as JSON: a line for each mesh there, and a line back."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class JobView(TypedDict, total=False):
    """One view of a job.

    Attributes:
        world_from_camera: (4, 4) rows of the OpenCV camera, object units.
        K: (3, 3) rows of the intrinsics in pixels; without it, the job's lens.
        seed: of the path tracer's noise.
    """

    world_from_camera: list[list[float]]
    K: list[list[float]]
    seed: int


class SunMessage(TypedDict):
    """See `enr.datagen.appearance.lighting.Sun`."""

    direction: tuple[float, float, float]
    strength: float
    angle_deg: float


class LampMessage(TypedDict):
    """See `enr.datagen.appearance.lighting.Lamp`."""

    position: tuple[float, float, float]
    strength: float


class LightingMessage(TypedDict):
    """See `enr.datagen.appearance.lighting.Lighting`."""

    ambient: float
    suns: tuple[SunMessage, ...]
    lamps: tuple[LampMessage, ...]
    shadows: bool
    bounces: int
    highlights: bool
    hdri: str


class Job(TypedDict, total=False):
    """What is to be rendered of one mesh.

    Attributes:
        job: its number in its worker.
        job_kind: what a measurement of speed calls it.
        scene_id: of the mesh.
        mesh: the file to import.
        staged_in: the folder of a copy that is removed afterwards.
        refused, refused_kind: why the mesh is not given to Blender, in words and as a kind of failure.
        checks: whether the pictures are compared with a projection of the mesh.
        up_axis: of the file.
        taken_off: (3,) what was subtracted from its vertices, in the file's units.
        width_px, height_px: of the pictures.
        focal_px: of views without intrinsics of their own.
        samples: paths for each pixel.
        threads: of Blender.
        normalise: `diagonal`, `longest` or `none`.
        materials: `original`, `grey`, `palette`, or None for what the file can offer.
        palette: linear RGB colours.
        colours_hidden: whether the file holds colours that its materials do not show.
        lighting: see `enr.datagen.appearance.lighting.Lighting`.
        surroundings: whether what is behind the object is saved, too.
        passes: names of the pictures beside the colour.
        normals_space: `camera` or `world`.
        engine, device: see `enr.datagen.appearance.look.Look`.
        views: one after the other.
        out: the file of the pictures.
        file_format: of the upper-bound loop's pictures.
    """

    job: int
    job_kind: str
    scene_id: str
    mesh: str
    staged_in: str
    refused: str
    refused_kind: str
    checks: bool
    up_axis: Any
    taken_off: list[float]
    width_px: int
    height_px: int
    focal_px: float
    samples: int
    threads: int
    normalise: Literal["diagonal", "longest", "none"]
    materials: str | None
    palette: Any
    colours_hidden: bool
    lighting: LightingMessage
    surroundings: bool
    passes: list[str]
    normals_space: Literal["camera", "world"]
    engine: str
    device: str
    views: list[JobView]
    out: str
    file_format: str


class Answer(TypedDict, total=False):
    """What a worker says: its greeting, or what became of a job.

    Attributes:
        ready: True in a greeting.
        blender_version: of the worker.
        job: the number of the job that is answered.
        ok: whether there are pictures.
        bad_mesh: whether the mesh cannot be rendered, so that no second try helps.
        reason: why there are none.
        mesh: facts of the file.
        materials: `original`, `grey` or `palette`: what was used.
        normalise_scale, normalise_offset: a point p of the file became scale (p + offset).
        passes: names of the pictures that were saved beside the colour.
        clipped: (views,) whether the object reaches over the border.
        clipped_share: (views,) share of its surface that does.
        camera_inside: (views,) whether the camera is in the object's box.
        unlike_mesh: (views,) whether the picture differs from a projection of the mesh.
        timings: seconds by kind of work.
        seconds: in all.
        memory_mb, peak_memory_mb: of the worker, after the job and at most.
        images: pictures that an upper-bound loop made.
    """

    ready: bool
    blender_version: str
    job: int
    ok: bool
    bad_mesh: bool
    reason: str
    mesh: Any
    materials: str
    normalise_scale: float
    normalise_offset: list[float]
    passes: list[str]
    clipped: list[bool]
    clipped_share: list[float]
    camera_inside: list[bool]
    unlike_mesh: list[bool]
    timings: dict[str, float]
    seconds: float
    memory_mb: float
    peak_memory_mb: float
    images: int
