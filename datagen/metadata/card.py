"""The dataset card: what a manifest says, for people, in Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enr.datagen.metadata.content import Manifest
from enr.files import write_text
from enr.shards import SPLITS
from enr.shards.config import RenderConfig
from enr.words import count_of

LONGEST_LIST = 20
GROUP_WORDS = {
    "rot": "the camera orbits the object's centre",
    "trans": "the camera keeps its direction and moves sideways, up, down, to and fro",
    "rototrans": "the camera orbits a displaced point, so direction and position both vary",
}
FLAG_WORDS = {
    "blank": "nothing is to be seen",
    "clipped": "the object touches the picture's border",
    "camera_inside": "the camera is inside the mesh",
    "flat_colour": "the object is one flat colour",
    "duplicate": "equal to another view of the mesh",
    "purple": "Blender's colour for missing textures",
    "unlike_mesh": "not the faces that were counted and placed",
}
READING = """```python
from pathlib import Path
from enr.shards import read_shard

shard = read_shard(Path("{name}"))
rgba = shard.images                                # (views, height, width, 4) uint8
alpha = rgba[..., 3:] / 255
over_white = rgba[..., :3] / 255 * alpha + 1 - alpha
cameras = shard.views["world_from_camera"]         # (views, 4, 4)
```"""
AXES = """World: right-handed, Z up, object units. Camera: OpenCV axes (x right, y down, z forward), `world_from_camera`
is 4 x 4. `K` is in pixels; the centre of the top-left pixel is (0.5, 0.5). Angles are in degrees. A vertex of the Z-up
mesh becomes `scale * (vertex + offset)` in the world."""
PART_OPTION = re.compile(r"\s--part(=|\s+)\S+")
SHOWN_ELSEWHERE = ("group", "passes", "width_px", "height_px", "focal_px", "materials")
UNSET: tuple[Any, ...] = (None, (), [], "")
SHOWN_IF_NOT_ZERO = ("look_at_jitter", "roll_deg", "centre_px", "focal_share", "hdri_background")
Row = Sequence[object]


def card_path(folder: Path, name: str) -> Path:
    """`<folder>/rototrans-card.md`."""
    return folder / f"{name}-card.md"


def write_card(path: Path, manifest: Manifest) -> Path:
    """Write the card of a manifest that names at least one shard, complete or not at all; returns `path`."""
    write_text(path, card(manifest))
    return path


def card(manifest: Manifest) -> str:
    """The card's text."""
    commands = list(dict.fromkeys(PART_OPTION.sub("", run["command"]) for run in manifest["runs"] if run["command"]))
    first = next((shard["name"] for shard in manifest["shards"] if shard["scenes"]), "")
    again = "The manifest's `config` holds every setting"
    again = "```sh\n" + "\n".join(commands) + f"\n```\n\n{again}, defaults included." if commands else f"{again}."
    sections = (
        ("", _summary(manifest)),
        ("How the pictures were made", _pictures(manifest)),
        ("Axes and units", AXES),
        ("Splits", _splits(manifest)),
        ("Views worth a look", _flags(manifest)),
        ("Failed meshes", _failures(manifest)),
        (
            "How to read it",
            READING.format(name=first),
        ),
        ("How to make it again", again),
        ("Licence", _licence(manifest)),
    )
    blocks = [f"## {title}\n\n{text}" if title else text for title, text in sections]
    title = f"# {manifest['name']}: posed pictures of {count_of(manifest['counts']['scenes'], 'mesh')}"
    return "\n\n".join([title, *blocks, ""])


def _summary(manifest: Manifest) -> str:
    counts, (width_px, height_px) = manifest["counts"], manifest["picture_px"]
    return (
        f"{count_of(counts['images'], 'picture')} of {width_px} x {height_px} px in "
        f"{count_of(counts['shards'], 'HDF5 shard')} ({_size(counts['bytes'])}), made by enr "
        f"{manifest['versions']['enr']} with Blender {manifest['versions']['blender']}. Every mesh, with its file, "
        f"hash, split, flags and times, is listed in `{manifest['name']}-manifest.json`."
    )


def _pictures(manifest: Manifest) -> str:
    config = manifest["config"]
    poses, render = config.get("poses", {}), config.get("render", {})
    rows: list[Row] = [
        ("group", f"`{manifest['group']}`: {GROUP_WORDS[manifest['group']]}"),
        ("colour", "RGBA, 8 bits, straight alpha, sRGB, without a background"),
        ("other pictures", ", ".join(manifest["passes"]) or "none"),
        ("background that readers put behind it", f"{_plain(manifest['background'])} (sRGB in 0..1)"),
        ("materials", _counted(manifest["counts"]["materials"])),
        ("meshes with missing textures", manifest["counts"]["meshes_with_missing_textures"]),
        ("meshes with colours that are not shown", manifest["counts"]["meshes_with_hidden_colours"]),
        *_lens(render),
        *_rows({**poses, **render}),
    ]
    return _table(("what", "value"), rows)


def _rows(settings: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each setting that is set, those inside others included."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _rows(value)
        elif name not in SHOWN_ELSEWHERE and _is_heard(name, value, settings):
            for suffix, unit in (("_px", ", px"), ("_deg", ", degrees")):  # the unit stands apart
                if name.endswith(suffix):
                    name = name.removesuffix(suffix) + unit
            yield name.replace("_", " "), _plain(value)


def _is_heard(name: str, value: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a setting is set, and the others leave it something to say."""
    if name in SHOWN_IF_NOT_ZERO:
        return bool(np.any(value))
    if name == "rings_deg":
        return settings.get("sphere") == "rings"
    if name == "normals_space":
        return "normals" in settings.get("passes", ())
    return value not in UNSET


def _lens(render: RenderConfig) -> list[Row]:
    if "focal_px" not in render:
        return []
    field_of_view_deg = math.degrees(2 * math.atan(render["width_px"] / 2 / render["focal_px"]))
    return [("lens", f"focal length {render['focal_px']:g} px, {field_of_view_deg:.1f} degrees across the width")]


def _splits(manifest: Manifest) -> str:
    counts = manifest["counts"]
    rows = [(name, f"{counts['scenes_by_split'][name]:,}", f"{counts['images_by_split'][name]:,}") for name in SPLITS]
    text = "A hash of a mesh's id decides its split, so more meshes move none."
    if counts["scenes_by_split"]["train"] and any(len(mesh["views"]) > 1 for mesh in manifest["meshes"]):
        text += " Some views of trained meshes are held out as `test`."
    return f"{text}\n\n{_table(('split', 'meshes', 'pictures'), rows)}"


def _flags(manifest: Manifest) -> str:
    counts = manifest["counts"]
    rows = [
        (f"`{name}`", FLAG_WORDS.get(name, ""), f"{count:,}", f"{count / max(counts['images'], 1):.1%}")
        for name, count in counts["images_by_flag"].items()
    ]
    return _table(("flag", "meaning", "pictures", "share"), rows)


def _failures(manifest: Manifest) -> str:
    failures = manifest["failures"]
    if not failures:
        return "None."
    kinds = _counted(manifest["counts"]["failure_kinds"])
    rows = [(f"`{item['scene_id']}`", item["kind"], item["reason"]) for item in failures[:LONGEST_LIST]]
    rest = len(failures) - len(rows)
    more = f"\n\n{rest:,} more are listed in the manifest." if rest else ""
    return f"{len(failures):,} ({kinds}).\n\n{_table(('mesh', 'kind', 'reason'), rows)}{more}"


def _licence(manifest: Manifest) -> str:
    known = {name: count for name, count in manifest["counts"]["licences"].items() if name != "unknown"}
    unknown = manifest["counts"]["licences"].get("unknown", 0)
    said = f"Stated beside or in the mesh files: {_counted(known)}. " if known else ""
    return (
        f"{said}Nothing is said of {unknown:,} of {count_of(manifest['counts']['scenes'], 'mesh')}. The pictures are "
        "derived from the meshes, whose terms bind them too (ShapeNet: research, not commercial)."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _plain(value: Any) -> str:
    """A setting's value without brackets and quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, list | tuple) for item in value)
        return ("; " if nested else ", ").join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A table cell: one line, no bar."""
    return " ".join(str(value).split()).replace("|", "\\|")
