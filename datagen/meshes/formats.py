"""The formats of 3D files: which are read, what is up in them, what to say about others. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

UpAxis = Literal["auto", "y", "z"]
UP_AXES: tuple[UpAxis, ...] = get_args(UpAxis)
ARCHIVE_SUFFIX = ".zip"


@dataclass(frozen=True)
class Format:
    """A format that is read.

    Attributes:
        name: as people call it.
        up: the axis that points up in its files; None where each file says it itself, and Blender's importer heeds it.
        coloured: whether its files bring materials along (an OBJ only does with its `.mtl`).
    """

    name: str
    up: Literal["Y", "Z"] | None
    coloured: bool = False


FORMATS = {
    ".obj": Format("Wavefront OBJ", "Y"),
    ".glb": Format("glTF", "Y", coloured=True),
    ".gltf": Format("glTF", "Y", coloured=True),
    ".ply": Format("PLY", "Z"),
    ".stl": Format("STL", "Z"),
    ".off": Format("OFF", "Z"),
    ".fbx": Format("FBX", None, coloured=True),
    ".usd": Format("USD", None, coloured=True),
    ".usda": Format("USD", None, coloured=True),
    ".usdc": Format("USD", None, coloured=True),
    ".usdz": Format("USD", None, coloured=True),
    ".abc": Format("Alembic", None, coloured=True),
    ".blend": Format("Blender", None, coloured=True),
}
MESH_SUFFIXES = tuple(FORMATS)
COLOURED_SUFFIXES = tuple(suffix for suffix, known in FORMATS.items() if known.coloured)
NO_IMPORTER = {
    ".dae": "COLLADA",
    ".3ds": "3D Studio",
    ".3mf": "3MF",
    ".x3d": "X3D",
    ".wrl": "VRML",
    ".x": "DirectX",
    ".max": "3ds Max",
    ".ma": "Maya",
    ".mb": "Maya",
    ".c4d": "Cinema 4D",
    ".lwo": "LightWave",
    ".skp": "SketchUp",
    ".3dm": "Rhino",
    ".ms3d": "MilkShape",
    ".dxf": "DXF",
    ".ifc": "IFC",
    ".step": "STEP",
    ".stp": "STEP",
    ".iges": "IGES",
    ".igs": "IGES",
}
"""3D formats that Blender 5 cannot import, by suffix; a folder's files of these kinds are worth a word to its owner."""

PACKED_ALONE = (".gz", ".bz2", ".xz", ".zst")
PACKED_FOLDERS = (".tar", ".tgz", ".7z", ".rar")


def suffix_of(path: PurePath) -> str:
    """The suffix in lower case, with its dot."""
    return path.suffix.lower()


def is_mesh(path: PurePath) -> bool:
    """Whether a file is of a format that is read, by its name."""
    return suffix_of(path) in FORMATS


def unread_kind(path: PurePath) -> str:
    """What a file is by its name where it is a mesh that is not read: `COLLADA`, `.obj.gz`, `.rar`; else empty."""
    suffix = suffix_of(path)
    inner = suffix_of(path.with_suffix("")) if suffix in PACKED_ALONE else ""
    if suffix in PACKED_FOLDERS or inner in (*FORMATS, *NO_IMPORTER, ".tar"):
        return inner + suffix
    return NO_IMPORTER.get(suffix, "")


def stored_up_axis(path: PurePath, choice: UpAxis = "auto") -> Literal["Y", "Z"] | None:
    """The axis that points up in a file: the user's choice, else its format's; None where the file itself says it."""
    known = FORMATS.get(suffix_of(path))
    by_format = known.up if known else None
    if by_format is None or choice == "auto":
        return by_format
    return "Y" if choice == "y" else "Z"


def why_not_read(path: PurePath) -> str:
    """Why a file is refused by its name alone, and what to do about it."""
    name = unread_kind(path)
    if name.startswith("."):
        return f"{path} is not read: it is packed; unpack it, or give a {ARCHIVE_SUFFIX}."
    if name:
        return f"{path} is not read: Blender 5 has no importer for {name}; convert it to glTF."
    return f"{path} is not of a format that is read; convert it to one of {known_suffixes()}."


def known_suffixes() -> str:
    """The suffixes that are read, for a sentence."""
    return ", ".join((*MESH_SUFFIXES, ARCHIVE_SUFFIX))


def unread_words(paths: Iterable[PurePath]) -> str:
    """One line about files of an `unread_kind`; empty if there are none."""
    count = Counter(unread_kind(path) for path in paths)
    sentences = []
    for is_packed, before, after, advice in (
        (False, "", "of formats that Blender 5 cannot import ", "convert them to glTF"),
        (True, "packed ", "", f"unpack them, or pack them as {ARCHIVE_SUFFIX}"),
    ):
        kinds = [(name, times) for name, times in count.most_common() if name.startswith(".") is is_packed]
        total = sum(times for _, times in kinds)
        if kinds:
            listed = ", ".join(f"{times} {name}" for name, times in kinds)
            sentences.append(f"{total:,} {before}file{'s' if total > 1 else ''} {after}left alone ({listed}); {advice}")
    return "; ".join(sentences)
