"""Inside Blender: the light that a job asks for. Standard library, bpy and mathutils only."""

from __future__ import annotations

import json
import math
from typing import Any

import bpy
import mathutils


def set_light(scene: Any, job: dict[str, Any]) -> None:
    """Give the scene the job's light (`enr.datagen.lighting.Lighting` as a dict), unless it has it already."""
    lighting = job["lighting"]
    wanted = json.dumps(lighting, sort_keys=True)
    if scene.get("enr-light") == wanted:
        return
    _remove_suns()
    _set_world(scene, lighting)
    for sun in lighting["suns"]:
        _add_sun(scene, sun, lighting)
    _set_bounces(scene.cycles, lighting["bounces"])
    scene["enr-light"] = wanted


def _remove_suns() -> None:
    for item in [item for item in bpy.data.objects if "enr" in item and item.type == "LIGHT"]:
        bpy.data.objects.remove(item, do_unlink=True)


def _set_world(scene: Any, lighting: dict[str, Any]) -> None:
    """Even white light from everywhere."""
    world = bpy.data.worlds.new("enr-world")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1, 1, 1, 1)
    background.inputs["Strength"].default_value = lighting["ambient"]
    scene.world = world


def _add_sun(scene: Any, sun: dict[str, Any], lighting: dict[str, Any]) -> None:
    light = bpy.data.lights.new("enr-sun", "SUN")
    light.energy, light.angle = sun["strength"], math.radians(sun["angle_deg"])
    item = bpy.data.objects.new("enr-sun", light)
    item["enr"] = True
    item.visible_glossy = lighting["highlights"]
    _cast_shadows(light, lighting["shadows"])
    item.matrix_world = mathutils.Vector(sun["direction"]).to_track_quat("Z", "Y").to_matrix().to_4x4()
    scene.collection.objects.link(item)


def _cast_shadows(light: Any, wanted: bool) -> None:
    """Blender had a setting for each engine before it had one for all."""
    light.use_shadow = wanted
    if hasattr(light.cycles, "cast_shadow"):
        light.cycles.cast_shadow = wanted


def _set_bounces(cycles: Any, bounces: int) -> None:
    cycles.max_bounces, cycles.transmission_bounces = bounces, min(bounces, 2)
    cycles.diffuse_bounces = cycles.glossy_bounces = min(bounces, 1)
