"""What is wrong with a picture, by name, and what becomes of a mesh that has such a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from enr.datagen.failures import FLAGGED
from enr.datagen.messages import Answer
from enr.datagen.settings import OnBad
from enr.datagen.workers.worker import RenderedMesh
from enr.errors import EnrError
from enr.shards import FLAGS

VISIBLE = 128
"""Pixels of at least this alpha belong to the object."""
FEW_PIXELS = 16
"""Less than this is too little to judge colours by."""
FLAT_RANGE = 2
PURPLE_GREEN = 0.3
PURPLE_DIFFERENCE = 0.06
PURPLE_SHARE = 0.05
"""A pixel is purple where green is below this share of red and blue, which differ by less than that share; a picture
where at least this share of its object is."""
NAMED_VIEWS = 5

Pictures = NDArray[np.uint8]
Marks = NDArray[np.bool_]


def view_flags(images: Pictures, facts: Answer) -> NDArray[np.uint16]:
    """The bits (views,) of a scene's views, the names of `enr.shards.FLAGS` from the lowest.

    Args:
        images: (views, height, width, 4) uint8 RGBA, straight alpha.
        facts: the worker's answer; `clipped`, `clipped_share`, `camera_inside` and `unlike_mesh` (views each), and
            `materials`.
    """
    nothing = np.zeros(len(images), dtype=bool)
    colours = [image[image[..., 3] >= VISIBLE][:, :3] for image in images]
    own_materials = facts.get("materials") == "original"
    blank = ~images[..., 3].any(axis=(1, 2)) | (clipped_shares(facts, len(images)) >= 1)
    marks = {
        "blank": blank,
        "clipped": np.array(facts["clipped"], dtype=bool),
        "camera_inside": np.array(facts.get("camera_inside", nothing), dtype=bool),
        "flat_colour": np.array([is_flat(pixels) for pixels in colours]),
        "duplicate": duplicates(images) & ~blank,
        "purple": np.array([is_purple(pixels) for pixels in colours]) if own_materials else nothing,
    }
    marks["unlike_mesh"] = np.array(facts.get("unlike_mesh", nothing), dtype=bool)
    bits = [marks[name].astype(np.uint16) << bit for bit, name in enumerate(FLAGS)]
    return np.bitwise_or.reduce(bits).astype(np.uint16)


def clipped_shares(facts: Answer, views: int) -> NDArray[np.float32]:
    """Share (views,) of the surface beyond the border, NaN where the worker did not measure it."""
    return np.array(facts.get("clipped_share", [np.nan] * views), dtype=np.float32)


def is_flat(colours: Pictures) -> bool:
    """Whether all visible pixels (n, 3) of the object have one colour, up to rounding."""
    if len(colours) < FEW_PIXELS or np.ptp(colours[:FEW_PIXELS], axis=0).max() > FLAT_RANGE:
        return False  # nearly every picture ends here
    return int(np.ptp(colours, axis=0).max()) <= FLAT_RANGE


def is_purple(colours: Pictures) -> bool:
    """Whether a part of the visible pixels (n, 3) has the purple in which Blender shows a missing texture.

    Of materials from files only: a palette may hold such a colour.
    """
    candidates = colours[colours[:, 1] <= PURPLE_GREEN * 255]
    if len(colours) < FEW_PIXELS or len(candidates) < PURPLE_SHARE * len(colours):
        return False
    red, green, blue = candidates.T.astype(np.float64)
    strong = np.minimum(red, blue)
    purple = (green <= PURPLE_GREEN * strong) & (np.abs(red - blue) <= PURPLE_DIFFERENCE * strong) & (strong > 0)
    return int(purple.sum()) >= PURPLE_SHARE * len(colours)


def duplicates(images: Pictures) -> Marks:
    """Which pictures (views,) have the same pixels as an earlier one."""
    seen: set[bytes] = set()
    marks = np.zeros(len(images), dtype=bool)
    for index, image in enumerate(images):
        pixels = image.tobytes()
        marks[index] = pixels in seen
        seen.add(pixels)
    return marks


def judge(on_bad: OnBad, rendered: RenderedMesh) -> RenderedMesh:
    """What was rendered as the policy has it: as it is, or a failure that names the flags.

    Raises:
        EnrError: the policy is `fail` and a view is bad.
    """
    if on_bad.policy == "keep" or rendered.images is None:
        return rendered
    reason = bad_reason(view_flags(rendered.images, rendered.facts), on_bad.flags)
    if not reason:
        return rendered
    if on_bad.policy == "fail":
        raise EnrError(
            f"{rendered.job['scene_id']} is {reason}; mend or leave out the mesh, choose other cameras, "
            "or let --on-bad skip or keep it."
        )
    return replace(rendered, images=None, passes={}, reason=reason, kind=FLAGGED)


def bad_reason(flags: NDArray[np.uint16], bad: Iterable[str]) -> str:
    """`flagged: blank (views 3, 7), purple (view 9)`, or "" where no view (views,) is bad."""
    found = []
    for name in sorted(bad, key=FLAGS.index):
        views = np.flatnonzero(flags >> FLAGS.index(name) & 1).tolist()
        if views:
            named = ", ".join(map(str, views[:NAMED_VIEWS])) + (", ..." if len(views) > NAMED_VIEWS else "")
            found.append(f"{name} (view{'s' if len(views) > 1 else ''} {named})")
    return f"flagged: {', '.join(found)}" if found else ""


def count_flags(flags: NDArray[np.uint16]) -> dict[str, int]:
    """Number of views (views,) by flag, those that occur."""
    counts = {name: int((flags >> bit & 1).sum()) for bit, name in enumerate(FLAGS)}
    return {name: count for name, count in counts.items() if count}
