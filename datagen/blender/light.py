"""Inside Blender: the light that a job asks for. Standard library, bpy and mathutils only."""

from __future__ import annotations

import json
import math
from typing import Any

import bpy
import mathutils

from enr.datagen.blender import own
from enr.datagen.messages import Job, LightingMessage

SURROUNDINGS_MAP_PX = 128
LIGHT = f"{own.KEY}-light"
"""The scene's property that holds the light it has."""


def set_light(scene: Any, job: Job) -> None:
    """Give the scene the job's light (`…appearance.lighting.Lighting` as a dict), unless it has it already."""
    lighting = job["lighting"]
    wanted = json.dumps(lighting, sort_keys=True)
    if scene.get(LIGHT) == wanted:
        return
    for item in [item for item in bpy.data.objects if own.is_own(item) and item.type == "LIGHT"]:
        bpy.data.objects.remove(item, do_unlink=True)
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)
    _set_world(scene, lighting)
    for sun in lighting["suns"]:
        item = _add_light(scene, "SUN", sun["strength"], lighting)
        item.data.angle = math.radians(sun["angle_deg"])
        item.matrix_world = mathutils.Vector(sun["direction"]).to_track_quat("Z", "Y").to_matrix().to_4x4()
    for lamp in lighting["lamps"]:
        position = mathutils.Vector(lamp["position"])
        item = _add_light(scene, "POINT", lamp["strength"] * 4 * math.pi * position.length_squared, lighting)
        item.data.shadow_soft_size = 0.0
        item.matrix_world = mathutils.Matrix.Translation(position)
    bounces = lighting["bounces"]
    scene.cycles.max_bounces, scene.cycles.transmission_bounces = bounces, min(bounces, 2)
    scene.cycles.diffuse_bounces = scene.cycles.glossy_bounces = min(bounces, 1)
    scene[LIGHT] = wanted


def _set_world(scene: Any, lighting: LightingMessage) -> None:
    """Light from everywhere: white, or a picture of the surroundings."""
    world = bpy.data.worlds.new("enr-world")
    world.use_nodes = True
    nodes = world.node_tree.nodes
    background = nodes["Background"]
    background.inputs["Color"].default_value = (1, 1, 1, 1)
    background.inputs["Strength"].default_value = lighting["ambient"]
    if lighting["hdri"]:
        surroundings = nodes.new("ShaderNodeTexEnvironment")
        surroundings.image = bpy.data.images.load(lighting["hdri"], check_existing=True)
        # Where bright light comes from is worked out anew for each picture: 2 s at the size that Cycles would choose.
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", SURROUNDINGS_MAP_PX
        world.node_tree.links.new(surroundings.outputs["Color"], background.inputs["Color"])
    scene.world = world


def _add_light(scene: Any, kind: str, energy: float, lighting: LightingMessage) -> Any:
    light = bpy.data.lights.new("enr-light", kind)
    light.energy = energy
    item = bpy.data.objects.new("enr-light", light)
    own.mark(item)
    item.visible_glossy = lighting["highlights"]
    light.use_shadow = lighting["shadows"]
    if hasattr(light.cycles, "cast_shadow"):  # Blender had a setting for each engine before it had one for all
        light.cycles.cast_shadow = lighting["shadows"]
    scene.collection.objects.link(item)
    return item
