"""What is left to do in an output folder: of what was planned, all that is not there, whole and made the same way."""

from __future__ import annotations

import glob
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from enr import __version__
from enr.datagen import failures
from enr.datagen.failures import Failure
from enr.datagen.metadata.beside import FAILED_SUFFIX, read_failed
from enr.datagen.plan import PlannedScene, PlannedShard
from enr.datagen.settings import GenerateSettings
from enr.errors import EnrError
from enr.files import PARTIAL_SUFFIX
from enr.shards import PASS_SHAPES, check_hashes, read_meta
from enr.shards.config import ShardConfig
from enr.shards.hashes import is_intact
from enr.shards.layout import FORMAT, READABLE_VERSIONS

TABLE_BYTES = 600
"""About what a view takes in a shard beside its pictures."""


@dataclass(frozen=True)
class ShardWork:
    """What is to be done for one shard.

    Attributes:
        shard: the shard.
        scenes: those to render, all of them or the failed ones.
        keeps: whether the other scenes are taken from the shard as it lies on the disk.
    """

    shard: PlannedShard
    scenes: tuple[PlannedScene, ...]
    keeps: bool = False


@dataclass(frozen=True)
class Work:
    """What is to be done in an output folder.

    Attributes:
        shards: those to make, or of which failed meshes are tried again, in order.
        damaged: planned shards that are no longer what was written, each with what is wrong.
        foreign: files of other settings, meshes or versions, to be removed before the first shard is written.
    """

    shards: tuple[ShardWork, ...] = ()
    damaged: Mapping[Path, str] = field(default_factory=dict)
    foreign: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Existing:
    """The shards of the group that lie in the output folder: `finished` ones each with what failed in it."""

    finished: Mapping[Path, Mapping[str, Failure]]
    damaged: Mapping[Path, str]
    foreign: tuple[Path, ...]


def find_work(settings: GenerateSettings, shards: Sequence[PlannedShard]) -> Work:
    """What is missing of some planned shards, or with `overwrite` all, or with `retry_failed` what failed in them.

    What an interrupted run left half-written is removed; the caller keeps others from making the same shards.

    Raises:
        EnrError: the folder holds shards of this group that were made differently and `overwrite` is off, a planned
            name is taken by a folder, there is no room for what is to be written, or nothing
            is there of which something could be tried again.
    """
    existing = _find_existing(settings, shards)
    if settings.retry_failed and not (existing.finished or existing.damaged or existing.foreign):
        raise EnrError(f"{settings.out} holds no shard of this data set, so nothing failed; leave --retry-failed out.")
    for shard in shards:
        for path in shard.path.parent.glob(f"{glob.escape(shard.path.stem)}.*{PARTIAL_SUFFIX}"):
            path.unlink(missing_ok=True)
    if settings.retry_failed:
        chosen = tuple(item for shard in shards if (item := _retried(settings, shard, existing)).scenes)
    else:
        missing = [shard for shard in shards if settings.overwrite or shard.path not in existing.finished]
        chosen = tuple(ShardWork(shard, shard.scenes) for shard in missing)
        _check_room(settings, missing, existing.foreign)
    return Work(chosen, existing.damaged, existing.foreign)


def _retried(settings: GenerateSettings, shard: PlannedShard, existing: _Existing) -> ShardWork:
    """The scenes of a shard that failed and are to be tried again."""
    failed = existing.finished.get(shard.path, {})
    again = {scene_id for scene_id, failure in failed.items() if failure.is_transient or settings.retry_bad}
    return ShardWork(shard, tuple(scene for scene in shard.scenes if scene.source.scene_id in again), keeps=True)


def _find_existing(settings: GenerateSettings, shards: Sequence[PlannedShard]) -> _Existing:
    """What the output folder holds of some planned shards, and what stands in their way."""
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
    return _Existing(finished, damaged, tuple(foreign))


def _check_room(settings: GenerateSettings, shards: Sequence[PlannedShard], replaced: Sequence[Path]) -> None:
    """Refuse to start what the disk cannot hold; `replaced` goes first. Nobody knows the size of compressed ones."""
    if not shards or settings.compression != "none":
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
        path = shard.path.with_suffix(FAILED_SUFFIX)
        content = read_failed(path) if path.exists() else None
        if not content:
            return None
        versions = (content["enr_version"], content["blender_version"])
        return failures.from_config(content["config"]) if _is_same(shard, content["config"], versions) else path
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


def _is_of_another_version(path: Path) -> bool:
    """Whether a file is a whole HDF5 file of another schema or of no schema of enr: not damaged, but not ours."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["format"] != FORMAT or int(file.attrs["schema_version"]) not in READABLE_VERSIONS
    except Exception:  # not even that can be read
        return False


def _is_same(shard: PlannedShard, config: ShardConfig, versions: tuple[str, str]) -> bool:
    """Whether a shard made with `config` is the planned one, but for meshes that could not be read then or now."""
    stored = {key: value for key, value in config.items() if key not in ("failures", "meshes")}
    planned = {key: value for key, value in shard.config.items() if key != "meshes"}
    if stored != planned or versions != (__version__, shard.blender_version):
        return False
    meshes, wanted = config.get("meshes", []), shard.config["meshes"]
    for then, now in zip(meshes, wanted, strict=False):
        is_unread = "" in (then["sha256"], now["sha256"])
        if ({**then, "sha256": ""} != {**now, "sha256": ""}) if is_unread else then != now:
            return False
    return len(meshes) == len(wanted)
