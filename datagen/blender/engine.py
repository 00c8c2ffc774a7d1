"""Inside Blender: the render engine, set so that nothing costs time or changes pixels unasked."""

from __future__ import annotations

from typing import Any

import bpy

from enr.datagen.blender import own, versions
from enr.datagen.messages import Job

ENGINES = {
    "cycles": ("CYCLES",),
    "eevee": ("BLENDER_EEVEE_NEXT", "BLENDER_EEVEE"),
    "workbench": ("BLENDER_WORKBENCH",),
}
"""Blender's names of the engines, the best first; not every Blender knows each."""
ENGINE = f"{own.KEY}-engine"
"""The scene's property that holds the engine it is set to."""
WORKBENCH_SAMPLES = (("32", 32), ("16", 16), ("11", 11), ("8", 8), ("5", 5), ("FXAA", 1))


class EngineError(Exception):
    """What this Blender or this machine cannot do, in words."""


def set_engine(scene: Any, job: Job) -> None:
    """A job's engine: fixed samples, plain colours, a transparent film, pictures as raw TARGA files.

    Nothing is touched where the last job wanted the same: every touched setting may cost the next picture time.

    Raises:
        EngineError: the engine or the device is not there.
    """
    render, engine = scene.render, job.get("engine", "cycles")
    wanted = f"{engine} {job.get('device', 'cpu')} {job['samples']}"
    if scene.get(ENGINE) == wanted:
        return
    _choose_engine(render, engine)
    render.film_transparent, render.dither_intensity = True, 0.0
    render.use_compositing = render.use_sequencer = False
    render.use_border, render.use_crop_to_border, render.use_persistent_data = True, False, True
    render.image_settings.file_format, render.image_settings.color_mode = "TARGA_RAW", "RGBA"
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    if engine == "cycles":
        _set_cycles(scene.cycles, job["samples"])
        _choose_device(scene, job.get("device", "cpu"))
    elif engine == "eevee":
        scene.eevee.taa_render_samples = job["samples"]
    else:
        # Flat studio light and the materials' colours; the job's light means nothing to this engine.
        scene.display.shading.light, scene.display.shading.color_type = "STUDIO", "TEXTURE"
        samples = max(job["samples"], 1)
        scene.display.render_aa = next(name for name, count in WORKBENCH_SAMPLES if count <= samples)
    scene[ENGINE] = wanted


def _choose_engine(render: Any, engine: str) -> None:
    for name in ENGINES[engine]:
        try:
            render.engine = name
            return
        except TypeError:  # how Blender refuses a value that it does not know
            continue
    raise EngineError(f"Blender {versions.version()} has no engine {engine}")


def _set_cycles(cycles: Any, samples: int) -> None:
    cycles.samples = samples
    cycles.use_adaptive_sampling = cycles.use_denoising = cycles.use_auto_tile = False
    versions.set_known(cycles, use_light_tree=False)
    cycles.pixel_filter_type = "BOX"
    cycles.transparent_max_bounces, cycles.volume_bounces = 8, 0
    cycles.caustics_reflective = cycles.caustics_refractive = False


def _choose_device(scene: Any, device: str) -> None:
    """Let Cycles compute on all devices of a kind, and on no others."""
    scene.cycles.device = "CPU"
    if device != "cpu":
        preferences: Any = bpy.context.preferences.addons["cycles"].preferences
        kind = device.upper()
        try:
            preferences.compute_device_type = kind
        except TypeError as error:
            raise EngineError(f"this Blender's Cycles was built without {kind}") from error
        versions.refresh_devices(preferences)
        for item in preferences.devices:
            item.use = item.type == kind
        if not any(item.use for item in preferences.devices):
            raise EngineError(f"Cycles finds no {kind} device")
        scene.cycles.device = "GPU"
