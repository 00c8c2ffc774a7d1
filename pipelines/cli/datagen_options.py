"""The options of `enr datagen`, section by section. What they may be stands in `enr.pipelines.config.data_sets`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from enr import camera

BOX = tuple(bound for axis in camera.BOX for bound in axis)
FILE = click.Path(path_type=Path)
NUMBER: Mapping[str, Any] = {"type": float, "show_default": True}
RANGE: Mapping[str, Any] = {"type": (float, float), "show_default": True, "metavar": "MIN MAX"}


def choice(*names: str) -> Mapping[str, Any]:
    """An option that is one of these words."""
    return {"type": click.Choice(names)}


SECTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Meshes": {
        "--max-meshes": {
            "type": int,
            "help": "Take at most so many of the meshes, drawn by a hash of their ids [default: all].",
        },
        "--up-axis": {
            **choice("auto", "y", "z"),
            "default": "auto",
            "show_default": True,
            "help": "Say what points up in OBJ, glTF (auto: y), PLY, STL and OFF (auto: z); other formats say it "
            "themselves.",
        },
        "--blender": {
            "metavar": "PATH",
            "help": "Render with an installed Blender's executable (3.4 or later) [default: the bpy package].",
        },
    },
    "Cameras": {
        "--group": {
            **choice(*camera.GROUPS),
            "help": "Move the camera by rotations, translations or both [default: rototrans; with --poses what its "
            "cameras are].",
        },
        "--views": {
            "type": int,
            "help": "Render so many pictures of each mesh [default: 50; 251 on the spiral; with --poses all of its "
            "cameras].",
        },
        "--radius": {
            **NUMBER,
            "default": camera.RADIUS,
            "help": "Keep the cameras so far from the point looked at, in object units.",
        },
        "--box": {
            "type": (float,) * 6,
            "default": BOX,
            "show_default": True,
            "metavar": "X0 X1 Y0 Y1 Z0 Z1",
            "help": "Draw the points looked at from this box, where the group translates.",
        },
        "--elevation-deg": {
            **RANGE,
            "default": camera.ELEVATION_DEG,
            "help": "Draw the cameras' elevations from this range.",
        },
        "--azimuth-deg": {
            **RANGE,
            "default": camera.AZIMUTH_DEG,
            "help": "Draw the cameras' azimuths from this range.",
        },
        "--sphere": {
            **choice("angles", "area", "rings", "spiral"),
            "default": "angles",
            "show_default": True,
            "help": "Draw elevations uniformly in the angle or on the sphere's area; or place cameras on rings, or on "
            "the paper's test spiral.",
        },
        "--rings-deg": {
            "default": "-30,0,30",
            "show_default": True,
            "metavar": "E,E,...",
            "help": "Lay the rings at these elevations.",
        },
        "--look-at-jitter": {
            **NUMBER,
            "default": 0.0,
            "help": "Displace the point looked at with this standard deviation, object units (group rototrans).",
        },
        "--roll-deg": {**RANGE, "default": (0.0, 0.0), "help": "Turn cameras about their own axis within this range."},
        "--poses": {
            "type": FILE,
            "help": "Render the cameras of a file: NeRF transforms.json, render_params.json in degrees, or enr's own "
            "JSON.",
        },
    },
    "Held-out views": {
        "--hold-out-patches": {
            "type": int,
            "default": 0,
            "show_default": True,
            "help": "Keep training views out of so many patches of directions, seeded, the same for all meshes.",
        },
        "--patch-size-deg": {
            **NUMBER,
            "default": 2.9,
            "help": "Let a patch reach so far from its centre in azimuth and elevation.",
        },
        "--hold-out-views": {
            "type": int,
            "default": 10,
            "show_default": True,
            "help": "Render so many test views of each mesh from the patches, beside its --views.",
        },
    },
    "Lens": {
        "--focal-px": {"type": float, "help": "Set the focal length in pixels [default: 50 mm]."},
        "--focal-mm": {"type": float, "help": "Set the focal length on a sensor that is 36 mm wide."},
        "--fov-deg": {"type": float, "help": "Set the field of view from the left border to the right."},
        "--focal-jitter": {
            **NUMBER,
            "default": 0.0,
            "metavar": "SHARE",
            "help": "Let each view's focal length differ by up to this share of it.",
        },
        "--centre-jitter-px": {
            **NUMBER,
            "default": 0.0,
            "help": "Move each view's principal point by up to so many pixels along both axes.",
        },
    },
    "Pictures": {
        "--resolution": {
            "metavar": "N|WxH",
            "help": "Set the picture size in pixels [default: 64; with --poses the size that it names].",
        },
        "--samples": {
            "type": int,
            "default": 16,
            "show_default": True,
            "help": "Trace so many light paths for each pixel.",
        },
        "--normalise": {
            **choice("diagonal", "longest", "none"),
            "default": "diagonal",
            "show_default": True,
            "help": "Scale each mesh so that its box's diagonal or its longest side is 1, or not at all.",
        },
        "--materials": {
            **choice("original", "grey", "palette"),
            "help": "Take the file's own materials, one grey, or seeded colours [default: the file's where it brings "
            "some, else palette].",
        },
        "--lighting": {
            **choice("default", "report", "srn", "studio"),
            "default": "default",
            "show_default": True,
            "help": "Light with an even light and two suns; the report's two suns; the paper's one lamp, black where "
            "unlit; or soft and even.",
        },
        "--hdri": {"type": FILE, "help": "Light with an equirectangular picture instead."},
        "--hdri-background": {"is_flag": True, "help": "Show that picture behind the object, too."},
        "--background": {
            "default": "white",
            "show_default": True,
            "help": "Say what is behind the object: a colour's name, #RRGGBB, R,G,B in 0..1, transparent, or a picture "
            "file (which makes the pictures opaque).",
        },
        "--depth": {"is_flag": True, "help": "Store depth along the optical axis, infinite where nothing is."},
        "--normals": {**choice("camera", "world"), "help": "Store normals, in these axes."},
        "--mask": {"is_flag": True, "help": "Store where the object is."},
        "--engine": {
            **choice("cycles", "eevee", "workbench"),
            "default": "cycles",
            "show_default": True,
            "help": "Choose Blender's renderer; all but cycles need a graphics card.",
        },
        "--device": {
            **choice("cpu", "cuda", "optix", "hip", "metal"),
            "default": "cpu",
            "show_default": True,
            "help": "Choose what cycles computes on.",
        },
        "--seed": {
            "type": int,
            "default": 0,
            "show_default": True,
            "help": "Draw poses, colours and noise from this seed.",
        },
    },
    "Bad views": {
        "--on-bad": {
            **choice("keep", "skip", "fail"),
            "default": "keep",
            "show_default": True,
            "help": "Flag bad views and keep them, make their mesh a named failure, or end the run with status 2.",
        },
        "--bad": {
            **choice("blank", "camera_inside", "flat_colour", "duplicate", "purple", "unlike_mesh"),
            "multiple": True,
            "help": "Name a flag that counts as bad; may be given several times [default: all of these].",
        },
    },
    "Output": {
        "--out": {"type": FILE, "default": Path("shards"), "show_default": True, "help": "Write into this folder."},
        "--split": {
            "type": (float, float, float),
            "default": (86.0, 12.0, 2.0),
            "show_default": True,
            "metavar": "TRAIN VAL TEST",
            "help": "Give each split this share of the meshes; which goes where is decided by a hash of its id.",
        },
        "--compression": {
            **choice("none", "gzip"),
            "default": "none",
            "show_default": True,
            "help": "Compress the pictures in the shards.",
        },
        "--overwrite": {
            "is_flag": True,
            "help": "Make everything again; shards of other settings are replaced.",
        },
    },
    "Going on": {
        "--resume": {
            "is_flag": True,
            "help": "Go on with what is missing or damaged, as running the same command again does.",
        },
        "--retry-failed": {
            "is_flag": True,
            "help": "Render only meshes of finished shards that failed for a reason that may pass (time, memory, a "
            "crash).",
        },
        "--retry-bad": {"is_flag": True, "help": "Render only the meshes that failed for any reason."},
    },
    "Machines": {
        "--workers": {"type": int, "help": "Run so many Blender processes [default: one for each core]."},
        "--workers-per-device": {
            "type": int,
            "help": "Run so many Blender processes on each graphics card, with --device cuda, optix, hip or metal "
            "[default: 1].",
        },
        "--mesh-timeout": {
            "type": float,
            "help": "Give a mesh up after so many seconds [default: by views, picture size and samples].",
        },
        "--mesh-memory": {
            **NUMBER,
            "default": 2048.0,
            "help": "Give a mesh up when its Blender process holds more than so many MB of memory.",
        },
        "--part": {
            "metavar": "I/N",
            "help": "Make only part I of N, from 1, as one job of an array; `enr merge` joins the parts.",
        },
        "--scheduler": {
            "metavar": "ADDRESS",
            "help": "Render on a Dask cluster: its scheduler's address, or the path of its scheduler file.",
        },
        "--dry-run": {
            "is_flag": True,
            "help": "Time a few meshes and say how many images, hours and gigabytes it will be.",
        },
    },
}
