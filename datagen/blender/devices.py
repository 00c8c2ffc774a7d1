"""Inside Blender: which devices Cycles can use. Run as a script; one JSON line on standard output."""

from __future__ import annotations

import json
import os
from typing import Any

import bpy


def cycles_devices() -> list[dict[str, str]]:
    """Name and kind (CPU, CUDA, OPTIX, HIP, METAL, ONEAPI) of every device that Cycles finds."""
    bpy.ops.preferences.addon_enable(module="cycles")
    preferences: Any = bpy.context.preferences.addons["cycles"].preferences
    preferences.refresh_devices()
    return [{"name": device.name, "kind": device.type} for device in preferences.devices]


def main() -> None:
    """Print Blender's version and its devices."""
    version = ".".join(str(part) for part in bpy.app.version)
    print("\n" + json.dumps({"version": version, "devices": cycles_devices()}), flush=True)
    os._exit(0)  # Blender may crash in its exit handlers; everything of value is out already.


if __name__ == "__main__":
    main()
