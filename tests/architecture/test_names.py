"""No two files and no two public classes of the package bear one name for different things."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

SAME_ROLE = {
    "__init__.py": "the face of its folder",
    "checks.py": "what its own folder refuses",
    "config.py": "what its own folder is told: the renderer's entries, an experiment's file",
    "settings.py": "what a run of its room is told",
    "compositing.py": "the core's blending in NumPy and its twin in torch",
    "scene.py": "Blender's word for what it renders, and the field's word for what the model encodes",
}
"""Names that several files share, and why."""
COMMANDS = "pipelines/cli"
"""A file here bears its command's name, and so may the file that does what the command asks for."""
INSIDE_BLENDER = "datagen/blender"
"""A file here may bear the name of the file outside that plans what it does: backdrop, lens, worker."""


def with_others(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Of pairs of a name and its place: the names that stand in several places, with these."""
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return {name: sorted(found) for name, found in places.items() if len(found) > 1}


def public_classes(sources) -> Iterator[tuple[str, str]]:
    for source in sources:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, source.module


def files(sources, root) -> Iterator[tuple[str, str]]:
    """Of each file its name and its path; of a command's or of Blender's side only where no other may share it."""
    for source in sources:
        path = PurePosixPath(source.path.relative_to(root).as_posix())
        if path.name not in SAME_ROLE and str(path.parent) not in (COMMANDS, INSIDE_BLENDER):
            yield path.name, str(path)


def test_a_class_has_its_name_for_itself(sources):
    assert with_others(public_classes(sources)) == {}


def test_a_file_has_its_name_for_itself(sources, root):
    assert with_others(files(sources, root)) == {}


def test_shared_names_are_still_shared(sources):
    """An exception that nothing needs any more is taken out of the list."""
    shared = with_others((source.path.name, str(source.path)) for source in sources)
    assert set(SAME_ROLE) <= set(shared)


def test_two_of_a_name_are_found():
    assert with_others([("Scene", "b"), ("Shard", "a"), ("Scene", "a")]) == {"Scene": ["a", "b"]}
