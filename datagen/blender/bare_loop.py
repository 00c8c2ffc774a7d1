"""Inside Blender: the bare loop that `enr bench datagen` compares with. Import, place the camera, render the frame.

Run with a JSON file of render jobs and the time at which it was started; one JSON line on standard output. Scene,
light and samples are the real worker's, so that the pictures show the same; what makes that worker fast is left out
(border, data kept between pictures), and so is what makes it useful: nothing is read back, checked or kept.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import bpy
import mathutils
import numpy as np

from enr.camera import OPENCV_FROM_BLENDER
from enr.datagen.blender import importing
from enr.datagen.blender import scene as blender_scene
from enr.datagen.blender.scene import Clock
from enr.datagen.messages import Job


def render_plainly(job: Job, clock: Clock) -> int:
    """Render every view of a job's mesh; the number of pictures.

    Normalising and painting are counted under `prepare`: a plain loop would not need them, but the pictures must show
    the same thing.
    """
    with clock.measure("import"):
        scene = blender_scene.prepare_scene(job)
        scene.render.use_border = scene.render.use_persistent_data = False
        objects = importing.import_mesh(Path(job["mesh"]), job["up_axis"])
    with clock.measure("prepare"):
        blender_scene.prepare_mesh(objects, Path(job["mesh"]), job)
    scene.render.image_settings.file_format = job.get("file_format", "TARGA_RAW")
    for number, view in enumerate(job["views"]):
        scene.render.filepath = job["out"].format(view=number)
        with clock.measure("place"):
            camera = np.array(view["world_from_camera"]) @ OPENCV_FROM_BLENDER
            scene.camera.matrix_world = mathutils.Matrix(camera.tolist())
            scene.cycles.seed = view["seed"]
        with clock.measure("render"):
            bpy.ops.render.render(write_still=True)
    importing.remove_meshes()
    return len(job["views"])


def main() -> None:
    """Render the jobs in the file that the first argument names; meshes that cannot be rendered count for nothing."""
    jobs, started = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), float(sys.argv[2])
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    clock, images = Clock(), 0
    for job in jobs:
        try:
            images += render_plainly(job, clock)
        except importing.MeshError:
            importing.remove_meshes()
    answer = {
        "images": images,
        "timings": clock.seconds,
        "seconds": time.time() - started,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    protocol.write(json.dumps(answer) + "\n")
    protocol.flush()
    os._exit(0)  # Blender may crash in its exit handlers; everything of value is out already.


if __name__ == "__main__":
    main()
