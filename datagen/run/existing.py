"""What an output folder holds already: finished shards, damaged ones, and those of other settings.

A planned shard of which every mesh failed is no HDF5 file; `<shard>.failed.json` in its place says so, so that it is
neither forgotten nor tried for ever.
"""

from __future__ import annotations

import glob
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from enr import __version__
from enr.datagen import failures
from enr.datagen.failures import Failure
from enr.datagen.plan import GenerateSettings, PlannedShard
from enr.errors import EnrError
from enr.files import PARTIAL_SUFFIX, replacing
from enr.shards import PASS_SHAPES, check_hashes, read_meta
from enr.shards.hashes import is_intact
from enr.shards.layout import FORMAT, READABLE_VERSIONS

FAILED_FORMAT = "enr-failed-shard"
FAILED_SUFFIX = ".failed.json"
TABLE_BYTES = 600
"""About what a view takes in a shard beside its pictures."""


@dataclass(frozen=True)
class Existing:
    """The shards of the group that lie in the output folder.

    Attributes:
        finished: planned ones that are whole and made with the same settings from the same meshes, each with what
            failed in it by scene id; also those of which every mesh failed.
        damaged: planned ones that are no longer what was written, each with what is wrong.
        foreign: files of other settings, meshes or versions, to be removed.
    """

    finished: Mapping[Path, Mapping[str, Failure]]
    damaged: Mapping[Path, str]
    foreign: tuple[Path, ...]


def find_existing(settings: GenerateSettings, shards: Sequence[PlannedShard]) -> Existing:
    """What the output folder holds of some planned shards, and what stands in their way.

    Raises:
        EnrError: it holds shards of this group that were made differently and `overwrite` is off, or a planned name
            is taken by a folder.
    """
    finished: dict[Path, Mapping[str, Failure]] = {}
    damaged: dict[Path, str] = {}
    foreign = _of_other_sizes(settings, shards)
    for shard in shards:
        if shard.path.is_dir():
            raise EnrError(f"{shard.path} is a folder; a shard is to be written there, so give another --out.")
        state = _state(shard)
        if isinstance(state, str):
            damaged[shard.path] = state
        elif isinstance(state, Path):
            foreign.append(state)
        elif state is not None:
            finished[shard.path] = state
    precious = [path for path in foreign if path.suffix != ".json"]
    if precious and not settings.overwrite:
        raise EnrError(
            f"{settings.out} already holds {settings.poses.group} shards made with other settings, meshes or versions "
            f"(such as {precious[0].name}); give another --out, or --overwrite to replace them."
        )
    return Existing(finished, damaged, tuple(foreign))


def failures_on_disk(shard: PlannedShard) -> dict[str, Failure]:
    """What failed in a shard when it was made, by scene id; nothing if it was not made yet."""
    if shard.path.exists():
        return failures.from_config(read_meta(shard.path).config)
    return failures.from_config(read_failed(failed_path(shard.path)).get("config", {}))


def failed_path(shard: Path) -> Path:
    """The file that stands in for a shard of which every mesh failed."""
    return shard.with_suffix(FAILED_SUFFIX)


def write_failed(shard: PlannedShard, config: dict[str, Any]) -> None:
    """Say in a shard's place that every mesh of it failed; complete or absent.

    Raises:
        OSError: it cannot be written.
    """
    path = failed_path(shard.path)
    content = {
        "format": FAILED_FORMAT,
        "enr_version": __version__,
        "blender_version": shard.blender_version,
        "config": config,
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, sort_keys=True, indent=1), encoding="utf-8")


def sweep_partials(shards: Sequence[PlannedShard]) -> None:
    """Remove what an interrupted run left of shards that nobody else makes now."""
    for shard in shards:
        for path in shard.path.parent.glob(f"{glob.escape(shard.path.stem)}.*{PARTIAL_SUFFIX}"):
            path.unlink(missing_ok=True)


def check_room(settings: GenerateSettings, shards: Sequence[PlannedShard], replaced: Sequence[Path]) -> None:
    """Refuse to start what the disk cannot hold.

    Args:
        settings: those of the run.
        shards: to be written.
        replaced: files that go before the first of them is written.

    Raises:
        EnrError: there is not enough room for the shards; not said of compressed ones, whose size is not known.
    """
    if settings.compression != "none":
        return
    needed = sum(len(shard.scenes) for shard in shards) * settings.views * view_bytes(settings)
    free = shutil.disk_usage(settings.out).free + sum(path.stat().st_size for path in replaced if path.exists())
    if needed > free:
        raise EnrError(
            f"{settings.out} has room for {_size(free)}, the shards to be made take about {_size(needed)}; make room, "
            "or give another --out, fewer meshes or --views."
        )


def view_bytes(settings: GenerateSettings) -> int:
    """What a view takes on the disk without compression, about."""
    render = settings.render
    shapes = [PASS_SHAPES[name] for name in render.look.stored_passes]
    a_pixel = 4 + sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in shapes)
    return int(render.width_px * render.height_px * a_pixel + TABLE_BYTES)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count > 1e8 else f"{count / 1e6:.1f} MB"


def _of_other_sizes(settings: GenerateSettings, shards: Sequence[PlannedShard]) -> list[Path]:
    """Shards of the group in sets of another number of shards; those of the same one may be another part's affair."""
    if not shards:
        return []
    size = shards[0].path.stem.rpartition("-of-")[2]
    names = f"{settings.poses.group}-*-of-*"
    found = [*settings.out.glob(f"{names}.h5"), *settings.out.glob(f"{names}{FAILED_SUFFIX}")]
    return sorted(path for path in found if path.name.split(".")[0].rpartition("-of-")[2] != size)


def _state(shard: PlannedShard) -> Mapping[str, Failure] | Path | str | None:
    """What failed in a planned shard that is finished, the path of a foreign one, words for damage, or None."""
    if not shard.path.exists():
        return _state_of_failed(shard)
    try:
        if is_intact(shard.path) is False:  # asked first: HDF5 can crash on a damaged file
            return "it is not what was written (SHA-256)"
        wrong = check_hashes(shard.path)
        if wrong:
            return f"{', '.join(wrong)} no longer what was written (SHA-256)"
        if _is_of_another_version(shard.path):
            return shard.path
        meta = read_meta(shard.path)
    except Exception as error:  # damaged HDF5 fails in many ways
        return shard.path if _is_of_another_version(shard.path) else " ".join(str(error).split())[:200]
    versions = (meta.enr_version, meta.blender_version)
    return failures.from_config(meta.config) if _is_same(shard, meta.config, versions) else shard.path


def _state_of_failed(shard: PlannedShard) -> Mapping[str, Failure] | Path | None:
    path = failed_path(shard.path)
    content = read_failed(path)
    if not content:
        return None
    versions = (content["enr_version"], content["blender_version"])
    return failures.from_config(content["config"]) if _is_same(shard, content["config"], versions) else path


def read_failed(path: Path) -> dict[str, Any]:
    """The content of a file made by `write_failed`; nothing if it is not there or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"] == FAILED_FORMAT and {"enr_version", "blender_version", "config"} <= content.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(content) if known else {}


def _is_of_another_version(path: Path) -> bool:
    """Whether a file is a whole HDF5 file of another schema or of no schema of enr: not damaged, but not ours."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["format"] != FORMAT or int(file.attrs["schema_version"]) not in READABLE_VERSIONS
    except Exception:  # not even that can be read
        return False


def _is_same(shard: PlannedShard, config: Mapping[str, Any], versions: tuple[str, str]) -> bool:
    """Whether a shard made with `config` is the planned one, but for meshes that could not be read then or now."""
    stored = {key: value for key, value in config.items() if key not in ("failures", "meshes")}
    planned = {key: value for key, value in shard.config.items() if key != "meshes"}
    if stored != planned or versions != (__version__, shard.blender_version):
        return False
    meshes, wanted = config.get("meshes", []), shard.config["meshes"]
    return len(meshes) == len(wanted) and all(map(_is_same_mesh, meshes, wanted))


def _is_same_mesh(stored: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    unread = "" in (stored["sha256"], planned["sha256"])
    return {**stored, "sha256": ""} == {**planned, "sha256": ""} if unread else stored == planned
