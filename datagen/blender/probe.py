"""Inside Blender: try one pixel of a look, so that a machine that cannot make it says so. Run as a script.

The argument is the file of a job without a mesh; one JSON line on standard output says what is wrong, or nothing. An
engine that kills the process says it by that.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enr.datagen.messages import Job

ROOM = Path(__file__).resolve().parents[1]


def probe(job: Job) -> str:
    """Render one pixel of nothing as a job wants it; what is wrong, in words, or an empty text."""
    import bpy

    from enr.datagen.blender import backdrop, engine
    from enr.datagen.blender import scene as blender_scene

    try:
        scene = blender_scene.prepare_scene(job)
        backdrop.check_surroundings(scene)
        scene.render.filepath = str(job["out"])
        bpy.ops.render.render(write_still=True)
    except (engine.EngineError, backdrop.SurroundingsError) as error:
        return str(error)
    except RuntimeError as error:
        return " ".join(str(error).split())
    return "" if Path(str(job["out"])).is_file() else "no picture came out"


def main() -> None:
    """Print what is wrong with the job in the file that the last argument names."""
    if "enr" not in sys.modules:
        package = types.ModuleType("enr")
        package.__path__ = [str(ROOM.parent), str(ROOM.parent / "src" / "enr")]  # as the worker has it
        sys.modules["enr"] = package
    job = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    print("\n" + json.dumps({"wrong": probe(job)}), flush=True)
    os._exit(0)  # Blender may crash in its exit handlers; everything of value is out already.


if __name__ == "__main__":
    main()
