"""Inside Blender: the render engine, set so that nothing costs time or changes pixels unasked."""

from __future__ import annotations

from typing import Any

from enr.datagen import blender_versions


def set_engine(scene: Any, job: dict[str, Any]) -> None:
    """Cycles on the CPU: fixed samples, plain colours, a transparent film, pictures as raw TARGA files."""
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device = "CYCLES", "CPU"
    render.film_transparent, render.dither_intensity = True, 0.0
    render.use_compositing = render.use_sequencer = False
    render.use_border, render.use_crop_to_border, render.use_persistent_data = True, False, True
    render.image_settings.file_format, render.image_settings.color_mode = "TARGA_RAW", "RGBA"
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    cycles.samples = job["samples"]
    cycles.use_adaptive_sampling = cycles.use_denoising = cycles.use_auto_tile = False
    blender_versions.set_known(cycles, use_light_tree=False)
    cycles.pixel_filter_type = "BOX"
    cycles.transparent_max_bounces, cycles.volume_bounces = 8, 0
    cycles.caustics_reflective = cycles.caustics_refractive = False
