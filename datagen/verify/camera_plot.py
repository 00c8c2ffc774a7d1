"""Cameras in space: frusta around the object, and the directions that they look from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enr.camera import Array
from enr.datagen.verify.inspection import Inspected
from enr.errors import EnrError
from enr.files import replacing
from enr.shards import SPLITS

FRUSTA = 150
"""Most frusta in a plot; more hide each other."""
POINTS = 4000
FRUSTUM_DEPTH = 0.25
"""How far a drawn frustum reaches, object units."""
COLOURS = {"train": "tab:blue", "val": "tab:orange", "test": "tab:red"}
OBJECT_GREY = "0.6"


def save_camera_plot(shards: Sequence[Inspected], title: str, path: Path) -> Path:
    """Draw the cameras of some shards: frusta around the object on the left, azimuth and elevation on the right.

    Args:
        shards: at least one.
        title: what stands above.
        path: the PNG to write.

    Raises:
        EnrError: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnrError("matplotlib is not installed; run `pip install -e '.[datagen]'` in the clone of enr.") from error
    figure = Figure(figsize=(13, 6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    space = figure.add_subplot(1, 2, 1, projection="3d")
    _draw_object(space, str(shards[0].meta.config.get("render", {}).get("normalise", "none")))
    _draw_frusta(space, shards)
    _draw_directions(figure.add_subplot(1, 2, 2), shards)
    try:
        with replacing(path) as partial:
            figure.savefig(partial, format="png", dpi=100)
    except OSError as error:
        raise EnrError(f"{path} cannot be written ({error.strerror or error}); give another --out.") from error
    return path


def frustum_lines(world_from_camera: Array, K: Array, size_px: tuple[int, int], depth: float) -> Array:
    """(..., 9, 3) corners of a line that draws a camera: its pyramid, with a mark above the picture's upper edge.

    Args:
        world_from_camera: (..., 4, 4).
        K: (..., 3, 3) in pixels.
        size_px: width and height.
        depth: how far the pyramid reaches, object units.
    """
    width, height = size_px
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    pixels = np.concatenate([corners, np.ones((4, 1))], axis=1)
    rays = pixels @ np.swapaxes(np.linalg.inv(K), -1, -2) * depth
    eye = np.zeros_like(rays[..., :1, :])
    left, right, low_right, low_left = (rays[..., index : index + 1, :] for index in range(4))
    line = np.concatenate([eye, left, right, eye, low_right, right, low_right, low_left, eye], axis=-2)
    tip = (left + right) / 2
    roof = tip - np.array([0, 1 / 3, 0]) * np.linalg.norm(
        right - left, axis=-1, keepdims=True
    )  # up is -y in the camera
    line = np.concatenate([line, left, low_left, left, roof, right], axis=-2)
    return line @ np.swapaxes(world_from_camera[..., :3, :3], -1, -2) + world_from_camera[..., None, :3, 3]


def _draw_frusta(space: Any, shards: Sequence[Inspected]) -> None:
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    total = sum(len(shard.views["K"]) for shard in shards)
    step = max(1, -(-total // FRUSTA))
    places = []
    for shard in shards:
        views = {name: column[::step] for name, column in shard.views.items()}
        lines = frustum_lines(views["world_from_camera"], views["K"], shard.size_px, FRUSTUM_DEPTH)
        colours = [COLOURS[split] for split in views["split"].tolist()]
        space.add_collection3d(Line3DCollection(lines, colors=colours, linewidths=0.7))
        places.append(views["world_from_camera"][:, :3, 3])
    reach = max(0.6, float(np.abs(np.concatenate(places)).max()))
    space.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach), xlabel="X", ylabel="Y", zlabel="Z")
    space.set_box_aspect((1, 1, 1))
    space.set_title(f"{total:,} cameras" + (f", every {step}th drawn" if step > 1 else ""))


def _draw_object(space: Any, normalise: str) -> None:
    """Where the object is: its bounding sphere (`diagonal`), a cube of side 1 (`longest`), or the axes alone."""
    if normalise == "diagonal":
        turn, tilt = np.mgrid[0 : 2 * np.pi : 13j, 0 : np.pi : 7j]
        ball = 0.5 * np.array([np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)])
        space.plot_wireframe(*ball, color=OBJECT_GREY, linewidth=0.5)
    elif normalise == "longest":
        corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
        for start, end in ((a, b) for a in range(8) for b in range(a) if (a ^ b).bit_count() == 1):
            space.plot(*corners[[start, end]].T, color=OBJECT_GREY, linewidth=0.7)
    for axis, colour in zip(0.7 * np.eye(3), ("r", "g", "b"), strict=True):
        space.plot(*np.stack([np.zeros(3), axis]).T, color=colour, linewidth=1.5)


def _draw_directions(plane: Any, shards: Sequence[Inspected]) -> None:
    """Where each camera looks from, on the sphere of directions, by split."""
    views = {name: np.concatenate([shard.views[name] for shard in shards]) for name in ("world_from_camera", "split")}
    backward = -views["world_from_camera"][:, :3, 2]
    azimuth_deg = np.rad2deg(np.arctan2(backward[:, 1], backward[:, 0]))
    elevation_deg = np.rad2deg(np.arcsin(np.clip(backward[:, 2], -1, 1)))
    step = max(1, -(-len(backward) // POINTS))
    for split in SPLITS:
        own = np.flatnonzero(views["split"] == split)
        if len(own):
            shown = own[::step]
            label = f"{split} ({len(own):,})"
            plane.plot(azimuth_deg[shown], elevation_deg[shown], ".", color=COLOURS[split], label=label, markersize=4)
    plane.set(xlim=(-180, 180), ylim=(-90, 90), xticks=range(-180, 181, 60), yticks=range(-90, 91, 30))
    plane.set(xlabel="azimuth of the optical axis (degrees)", ylabel="elevation (degrees)")
    plane.grid(visible=True, linewidth=0.3)
    plane.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(SPLITS), frameon=False)
