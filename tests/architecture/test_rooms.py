"""Who may import whom, read from the import statements (lazy ones too)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

CORE = {
    "enr",
    "enr.camera",
    "enr.checking",
    "enr.compositing",
    "enr.errors",
    "enr.files",
    "enr.shards",
    "enr.shards.checks",
    "enr.shards.config",
    "enr.shards.hashes",
    "enr.shards.hdf5",
    "enr.shards.layout",
    "enr.words",
}
ALLOWED_INSIDE = {
    "enr": CORE,
    "enr.datagen": CORE,
    "enr.model": {"enr", "enr.camera", "enr.checking", "enr.errors", "enr.files"},
}
FRONT_DOOR = "enr.pipelines.front_door."
"""What `import enr` offers; it is named there for editors and type checkers, and imported when it is asked for."""
FORBIDDEN_OUTSIDE = {
    "enr": {"torch", "bpy", "click", "trimesh"},
    "enr.datagen": {"torch", "torchvision", "click", "bpy"},
    "enr.model": {"bpy", "mathutils", "click", "h5py", "trimesh", "tensorboard"},
    "enr.pipelines": {"bpy", "mathutils"},
}
WORKER = "enr.datagen.blender.worker"
BLENDER_SIDE = "enr.datagen.blender"
BLENDER_LIBRARIES = {"bpy", "bmesh", "mathutils", "numpy", "addon_utils"}
BLENDER_CORE = {"enr.camera", "enr.errors"}
"""What of the core Blender's Python loads: the axes and the error, which need NumPy alone."""


def room_of(module: str) -> str:
    """`enr.datagen`, `enr.model`, `enr.pipelines`, or `enr` for the core."""
    room = ".".join(module.split(".")[:2])
    return room if room in ("enr.datagen", "enr.model", "enr.pipelines") else "enr"


def runs_inside_blender(module: str) -> bool:
    """The worker script and the modules that it loads."""
    return module == WORKER or (module + ".").startswith(BLENDER_SIDE + ".")


def imported_names(node: ast.Import | ast.ImportFrom, modules: set[str]) -> Iterator[str]:
    """The modules that one import statement names; `from package import x` names x where x is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    for alias in node.names:
        submodule = f"{base}.{alias.name}"
        yield submodule if submodule in modules else base


def all_imports(tree: ast.Module, modules: set[str]) -> set[str]:
    """Everything that a file imports anywhere."""
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(node, modules)
    }


def is_type_checking(node: ast.stmt) -> bool:
    """An `if TYPE_CHECKING:` block."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def import_time_nodes(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run when the module is imported."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(node):
            continue
        else:
            yield from import_time_nodes([child for child in ast.walk(node) if child in getattr(node, "body", [])])


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """A cycle of the graph, or None (depth-first, colours by membership of `done`)."""
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str] | None:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return None
        for other in sorted(graph.get(module, set())):
            cycle = visit(other, [*trail, module])
            if cycle:
                return cycle
        done.add(module)
        return None

    return next((cycle for module in graph if (cycle := visit(module, []))), None)


def test_imports_are_absolute(sources):
    relative = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_each_room_imports_only_what_it_may(sources):
    modules = {source.module for source in sources}
    trespasses = []
    for source in sources:
        room = room_of(source.module)
        inside = {name for name in all_imports(source.tree, modules) if name.split(".")[0] == "enr"}
        if room in ALLOWED_INSIDE:
            trespasses += [
                f"{source.module} imports {name}"
                for name in inside
                if not (source.module == "enr" and name.startswith(FRONT_DOOR))
                if name not in ALLOWED_INSIDE[room] and not (room != "enr" and (name + ".").startswith(room + "."))
            ]
    assert not trespasses


def test_each_room_keeps_away_from_the_libraries_of_the_others(sources):
    modules = {source.module for source in sources}
    trespasses = [
        f"{source.module} imports {name}"
        for source in sources
        if not runs_inside_blender(source.module)
        for name in all_imports(source.tree, modules)
        if name.split(".")[0] in FORBIDDEN_OUTSIDE[room_of(source.module)]
    ]
    assert not trespasses


def inside_blender(sources) -> dict[str, set[str]]:
    """What is loaded at import by what runs inside Blender, by module: itself and whatever of enr it leads to.

    Imports inside functions of files outside `blender/` count for nothing: Blender's side does not call those.
    """
    modules = {source.module for source in sources}
    imports = {
        source.module: all_imports(source.tree, modules)
        if runs_inside_blender(source.module)
        else {name for node in import_time_nodes(source.tree.body) for name in imported_names(node, modules)}
        for source in sources
    }
    found: dict[str, set[str]] = {}
    waiting = [module for module in imports if runs_inside_blender(module)]
    while waiting:
        module = waiting.pop()
        found[module] = imports[module]
        waiting += [name for name in imports[module] if name in modules and name not in found]
    return found


def test_what_runs_inside_blender_needs_blender_and_numpy_alone(sources):
    allowed = BLENDER_LIBRARIES | set(sys.stdlib_module_names)
    inside = inside_blender(sources)
    trespasses = [
        f"{module} imports {name}"
        for module, names in inside.items()
        for name in names
        if name.split(".")[0] not in allowed and not ((name + ".").startswith("enr.datagen.") or name in BLENDER_CORE)
    ]
    assert "enr.datagen.blender.worker" in inside and "enr.camera" in inside
    assert not trespasses


def test_no_import_cycles(sources):
    modules = {source.module for source in sources}
    graph = {
        source.module: {
            name
            for node in import_time_nodes(source.tree.body)
            for name in imported_names(node, modules)
            if name in modules and name != source.module
        }
        for source in sources
    }
    assert find_cycle(graph) is None


def folder_of(module: str, room: str) -> str:
    """The folder of a room that holds the module, or the module itself where it lies in none."""
    return ".".join(module.split(".")[: len(room.split(".")) + 1])


def folder_graph(sources, room: str) -> dict[str, set[str]]:
    """Which folders of a room, and which files that lie in none, import which, lazily too; the room's face is none."""
    modules = {source.module for source in sources}
    graph: dict[str, set[str]] = {}
    for source in sources:
        if room_of(source.module) == room != source.module:
            here = folder_of(source.module, room)
            inside = {name for name in all_imports(source.tree, modules) if room_of(name) == room != name}
            graph.setdefault(here, set()).update({folder_of(name, room) for name in inside} - {here})
    return graph


@pytest.mark.parametrize(
    ("room", "above", "below"),
    [
        ("enr", "enr.shards", "enr.camera"),
        ("enr.datagen", "enr.datagen.run", "enr.datagen.metadata"),
        ("enr.model", "enr.model.renderer", "enr.model.warp"),
        ("enr.pipelines", "enr.pipelines.training", "enr.pipelines.data"),
    ],
)
def test_no_folder_imports_one_that_imports_it(sources, room, above, below):
    graph = folder_graph(sources, room)
    assert below in graph[above]
    assert find_cycle(graph) is None


def test_the_cycle_finder_finds_cycles():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
