"""Folders of posed pictures that others made: what they hold, checked.

Both layouts have a folder for each scene, with numbered pictures and a `render_params.json` that names a camera for
each; in `uva` its entries `patch_*` name held-out directions instead of pictures.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enr.datagen.convert.cameras import HeldOutDirections, LayoutName, OrbitCameras, to_cameras
from enr.errors import EnrError
from enr.shards import Split

PARAMS = "render_params.json"
Entry = Mapping[str, object]
"""A picture's camera or a held-out patch, as a file has it: each number is still to be checked."""
PATCH = "patch"
LARGEST = 1e6
"""No angle and no place is beyond this, whatever its unit."""
LONGEST_TURN_RAD = 4 * np.pi
"""An angle beyond two turns was hardly meant in radians."""

SPLIT_WORD = re.compile(r"(?<![a-z])(train|validation|valid|val|test)(?![a-z])")
SPLIT_OF_WORD: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class SceneFolder:
    """What one folder says.

    Attributes:
        path: the folder.
        split: what a folder above it is named after; None where no name says.
        family: its place among the scenes without the split's word: `train/1a6f` and `test/1a6f` are of one family.
        names: the views' names, sorted.
        pictures: the views' pictures.
        absent: names of views that are listed but whose pictures are not there.
        cameras: of the views in `pictures`.
        patches: held-out directions.
    """

    path: Path
    split: Split | None
    family: str
    names: tuple[str, ...]
    pictures: tuple[Path, ...]
    absent: tuple[str, ...]
    cameras: OrbitCameras
    patches: tuple[HeldOutDirections, ...]


def read_folders(root: Path, layout: LayoutName) -> tuple[SceneFolder, ...]:
    """Every scene's folder at or below `root`, sorted by path.

    Raises:
        EnrError: there is none, or one is damaged or of another layout; the message names the file.
    """
    if not root.is_dir():
        raise EnrError(f"{root} is not a folder; give one with a folder of pictures and a {PARAMS} for each scene.")
    files = sorted(find_params(root))
    if not files:
        raise EnrError(
            f"No {PARAMS} in or below {root}; give a folder with a folder of pictures and a {PARAMS} for each scene."
        )
    return tuple(_read_folder(root, file, layout) for file in files)


def find_params(root: Path) -> Iterator[Path]:
    """Every `render_params.json` in or below a folder; links to folders are followed, each folder once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if PARAMS in files and real not in seen:
            yield Path(place, PARAMS)
        seen.add(real)


def _read_folder(root: Path, file: Path, layout: LayoutName) -> SceneFolder:
    folder = file.parent
    split, family = _split_and_family(root, folder)
    params = _read_params(file)
    found = _find_pictures(folder, params)
    listed = sorted(name for name in params if not _is_patch(name))
    here = [name for name in listed if name in found]
    if not here:
        raise EnrError(f"{folder} holds none of the pictures that its {PARAMS} lists; unpack it again.")
    entries = [_numbers(file, name, params[name], layout) for name in here]
    patches = tuple(_patch(file, name, params[name]) for name in sorted(params) if _is_patch(name))
    absent = tuple(name for name in listed if name not in found)
    if layout == "apple" and patches:
        raise EnrError(f"{file} has entries {PATCH}_*, which the layout apple has not; give --from uva.")
    pictures = tuple(found[name] for name in here)
    cameras = to_cameras(np.array(entries), layout)
    return SceneFolder(folder, split, family, tuple(here), pictures, absent, cameras, patches)


def _split_and_family(root: Path, folder: Path) -> tuple[Split | None, str]:
    """The split that the deepest folder above a scene is named after, and the scene's path below without that word."""
    below = folder.relative_to(root).parts
    if not below:
        return None, root.resolve().name
    above = [root.resolve().name, *below[:-1]]
    for place in reversed(range(len(above))):
        words = {SPLIT_OF_WORD[word] for word in SPLIT_WORD.findall(above[place].lower())}
        if len(words) == 1:
            above[place] = SPLIT_WORD.sub("*", above[place].lower())
            return words.pop(), "/".join([*above[1:], below[-1]])
    return None, "/".join(below)


def _is_patch(name: str) -> bool:
    return name.startswith(PATCH)


def _read_params(file: Path) -> dict[str, Entry]:
    try:
        params = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EnrError(f"{file} cannot be read as JSON ({reason}); unpack it again.") from error
    if not isinstance(params, dict) or any(not isinstance(entry, dict) for entry in params.values()):
        raise EnrError(f"{file} is not a table of cameras by picture name; unpack it again.")
    if all(_is_patch(name) for name in params):
        raise EnrError(f"{file} names no picture; unpack it again, or remove the folder.")
    return params


def _find_pictures(folder: Path, params: Mapping[str, Entry]) -> dict[str, Path]:
    """Pictures by the name of their entry: the file's stem, or its last five characters as in the published code.

    Raises:
        EnrError: two pictures go by one name, or a picture has no entry.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        name = path.stem if path.stem in params else path.stem[-5:]
        if name not in params:
            raise EnrError(f"{folder / PARAMS} says nothing of {path.name}; complete it, or remove the picture.")
        if name in found:
            raise EnrError(f"{found[name]} and {path.name} go by the same number {name}; remove one of them.")
        found[name] = path
    return found


def _numbers(file: Path, name: str, entry: Entry, layout: LayoutName) -> list[float]:
    """Azimuth, elevation, x, y, z of one entry, checked to be of the layout."""
    if layout == "apple" and not entry.keys().isdisjoint("xyz"):
        raise EnrError(
            f"{file}: entry {name} has x, y or z, which the layout apple has not (its angles are degrees, uva's "
            "radians); give --from uva."
        )
    if layout == "uva" and not set("xyz") <= entry.keys():
        raise EnrError(f"{file}: entry {name} lacks x, y or z, which the layout uva has; give --from apple.")
    angles = [_number(file, name, entry, key) for key in ("azimuth", "elevation")]
    if layout == "uva" and max(map(abs, angles)) > LONGEST_TURN_RAD:
        raise EnrError(
            f"{file}: entry {name} has angles {angles}; the layout uva has radians, these look like degrees."
        )
    return angles + ([0.0] * 3 if layout == "apple" else [_number(file, name, entry, key) for key in "xyz"])


def _patch(file: Path, name: str, entry: Entry) -> HeldOutDirections:
    azimuth, elevation, half_size = (
        np.rad2deg(_number(file, name, entry, key)) for key in ("azimuth", "elevation", "epsilon")
    )
    return HeldOutDirections(float(azimuth), float(elevation), float(half_size))


def _number(file: Path, name: str, entry: Entry, key: str) -> float:
    value = entry.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST:
        raise EnrError(
            f"{file}: {key} of entry {name} is {repr(value)[:40]}; an angle or a length is expected, unpack it again."
        )
    return float(value)
