"""Join the parts of a data set that several machines made: check that they are one, and describe them as one."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from enr.datagen.failures import from_config
from enr.datagen.metadata.beside import FAILED_SUFFIX, read_failed
from enr.datagen.metadata.card import card_path, write_card
from enr.datagen.metadata.contact_sheet import save_contact_sheet
from enr.datagen.metadata.content import Manifest
from enr.datagen.metadata.manifest import (
    FailedMesh,
    Records,
    build_manifest,
    common_config,
    contents_sha256,
    join_records,
    manifest_path,
    read_manifest,
    records_of,
    write_manifest,
)
from enr.errors import EnrError
from enr.files import replacing
from enr.shards import ShardMeta, read_meta, read_tables
from enr.shards.checks import check_intact
from enr.shards.config import ShardConfig

SHARD_NAME = re.compile(r"(?P<name>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.h5")
LONGEST_LIST = 5


@dataclass(frozen=True)
class Merged:
    """A data set that was joined.

    Attributes:
        name: what its files' names begin with.
        shards: in order, where they lie now.
        manifest, card, contact_sheet: what describes them.
        scenes, images, failures: how many there are.
    """

    name: str
    shards: tuple[Path, ...]
    manifest: Path
    card: Path
    contact_sheet: Path
    scenes: int
    images: int
    failures: int


@dataclass(frozen=True)
class _Parts:
    """What was found of one data set.

    Attributes:
        name: what its files' names begin with.
        shards: in the order of their numbers.
        manifests: of the whole and of the parts.
        empty: the files that stand in for shards of which every mesh failed, by the shards' names.
    """

    name: str
    shards: tuple[Path, ...]
    manifests: tuple[Manifest, ...]
    empty: dict[str, Path]

    def configs(self) -> Iterator[ShardConfig]:
        """Of the shards, those that were not written included."""
        yield from (read_meta(path).config for path in self.shards)
        yield from (failed["config"] for path in self.empty.values() if (failed := read_failed(path)))

    @property
    def records(self) -> Records:
        """What the manifests know; those of other settings, left by an earlier run, know nothing."""
        config = common_config(read_meta(self.shards[0]))
        return join_records(records_of(one) for one in self.manifests if one.get("config", config) == config)


def merge(folders: Sequence[Path], out: Path) -> tuple[Merged, ...]:
    """Join the parts that lie in some folders, a data set for each name; nothing is written before all is checked.

    Args:
        folders: where parts lie, all in one or each in its own.
        out: where the shards go; those that lie there already stay, others are linked (copied where the file system
            cannot).

    Raises:
        EnrError: there are no shards, one is damaged, missing, there twice, or of another data set; or `out` cannot
            be written to.
    """
    found = _find(folders)
    for parts in found:
        _check_complete(parts)
        check_intact(parts.shards, "remove it and run its part again")
        _check_belong_together(parts.shards)
    return tuple(_join(parts, out) for parts in found)


def _find(folders: Sequence[Path]) -> tuple[_Parts, ...]:
    """The shards and manifests in some folders, by the data set's name."""
    places = tuple(dict.fromkeys(Path(folder).resolve() for folder in folders))
    for folder in places:
        if not folder.is_dir():
            raise EnrError(f"{folder} is not a folder; give the folders that parts were written to.")
    shards: dict[str, list[Path]] = defaultdict(list)
    for path in (path for folder in places for path in folder.glob("*.h5")):
        if match := SHARD_NAME.fullmatch(path.name):
            shards[match["name"]].append(path)
    if not shards:
        raise EnrError(f"No shards in {', '.join(map(str, places))}; give the folders that parts were written to.")
    found = []
    for name, paths in sorted(shards.items()):
        # Manifests of parts come last: they know best.
        manifests = [manifest_path(folder, name) for folder in places]
        manifests += [path for folder in places for path in sorted(folder.glob(f"{name}-manifest-part-*-of-*.json"))]
        failed = [path for folder in places for path in folder.glob(f"{name}-*-of-*{FAILED_SUFFIX}")]
        empty = {path.name.removesuffix(FAILED_SUFFIX) + ".h5": path for path in failed if read_failed(path)}
        found.append(
            _Parts(
                name,
                shards=tuple(sorted(paths, key=lambda path: path.name)),
                manifests=tuple(read_manifest(path) for path in manifests if path.exists()),
                empty={shard: path for shard, path in empty.items() if SHARD_NAME.fullmatch(shard)},
            )
        )
    return tuple(found)


def _check_complete(parts: _Parts) -> None:
    """Every number of the set is there, once."""
    counts = {str(_number(path)[1]): path for path in parts.shards}
    if len(counts) > 1:
        one, other = list(counts.values())[:2]
        raise EnrError(f"{one.name} and {other.name} are of two data sets; give the folders of one.")
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in parts.shards:
        by_name[path.name].append(path)
    twice = next((paths for paths in by_name.values() if len(paths) > 1), None)
    if twice:
        raise EnrError(f"{twice[0].name} is in {twice[0].parent} and in {twice[1].parent}; leave one of them out.")
    count = _number(parts.shards[0])[1]
    known = {*by_name, *parts.records.empty_shards, *parts.empty}
    missing = [i for i in range(count) if f"{parts.name}-{i:05d}-of-{count:05d}.h5" not in known]
    if missing:
        advice = "give the folders of all parts, or run what did not finish again"
        counts_of_parts = {manifest["part"]["of"] for manifest in parts.manifests if manifest["part"]}
        if len(counts_of_parts) == 1:
            of = counts_of_parts.pop()
            own = sorted({index % of + 1 for index in missing})
            advice = f"run {'part' if len(own) == 1 else 'parts'} {_listed(own)} of {of} again, or give their folders"
        raise EnrError(
            f"{len(missing)} of {count} {parts.name} shards are missing (numbers {_listed(missing)}); {advice}."
        )


def _check_belong_together(shards: Sequence[Path]) -> None:
    """All shards were made with the same settings and versions, and no scene is in two of them."""
    first = read_meta(shards[0])
    owner: dict[str, Path] = {}
    for path in shards:
        meta, _, scenes = read_tables(path)
        other = next(iter(_differences(first, meta)), None)
        if other:
            raise EnrError(
                f"{shards[0].name} and {path.name} were made with another {other}; give parts of one data set."
            )
        for scene_id in scenes["scene_id"].tolist():
            if owner.setdefault(scene_id, path) != path:
                raise EnrError(
                    f"The scene {scene_id} is in {owner[scene_id].name} and in {path.name}; make both again."
                )


def _differences(one: ShardMeta, other: ShardMeta) -> Iterator[str]:
    """What must not differ between shards of a data set, but does."""
    for name in ("group", "seed", "background", "blender_version", "enr_version", "schema_version"):
        if getattr(one, name) != getattr(other, name):
            yield name.replace("_", " ")
    mine, its = common_config(one), common_config(other)
    for name in sorted({*mine, *its}):
        if mine.get(name) != its.get(name):
            yield f"setting `{name}`"


def _join(parts: _Parts, out: Path) -> Merged:
    """Put the shards into place and describe them."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        shards = tuple(_place(path, out) for path in parts.shards)
        for path in parts.empty.values():
            _place(path, out)
        records = replace(parts.records, failures=_failures(parts))
        empty = {*records.empty_shards, *parts.empty} - {path.name for path in shards}
        manifest = build_manifest(parts.name, shards, replace(records, empty_shards=tuple(sorted(empty))))
        return Merged(
            name=parts.name,
            shards=shards,
            manifest=write_manifest(manifest_path(out, parts.name), manifest),
            card=write_card(card_path(out, parts.name), manifest),
            contact_sheet=save_contact_sheet(shards, out / f"{parts.name}-contact-sheet.png"),
            scenes=manifest["counts"]["scenes"],
            images=manifest["counts"]["images"],
            failures=manifest["counts"]["failures"],
        )
    except OSError as error:
        raise EnrError(f"{out} cannot be written to ({error.strerror or error}); give another --out.") from error


def _contents(shard: Path) -> str:
    return contents_sha256(shard) or hashlib.sha256(shard.read_bytes()).hexdigest()


def _place(shard: Path, out: Path) -> Path:
    """The file's path in `out`, where it lies already or is linked or copied to; nothing half-written."""
    target = out / shard.name
    if shard.parent == out.resolve():
        return target
    if target.exists():
        is_same = filecmp.cmp(target, shard) if shard.suffix != ".h5" else _contents(target) == _contents(shard)
        if not is_same:
            raise EnrError(f"{target} is there already and differs from {shard}; give another --out.")
        return target
    with replacing(target) as partial:
        try:
            os.link(shard, partial)
        except OSError:
            shutil.copyfile(shard, partial)
    return target


def _failures(parts: _Parts) -> tuple[FailedMesh, ...]:
    """What failed, by the shards themselves; where the meshes lie is told by the manifests alone."""
    places = {failure.scene_id: failure.mesh_path for failure in parts.records.failures}
    failures = []
    for config in parts.configs():
        meshes = {mesh["scene_id"]: mesh for mesh in config.get("meshes", ())}
        for scene_id, failure in from_config(config).items():
            mesh = meshes.get(scene_id, {"scene_id": scene_id, "sha256": "", "split": ""})
            place = places.get(scene_id, "")
            failures.append(FailedMesh(scene_id, place, mesh["sha256"], mesh["split"], failure.reason, failure.kind))
    return tuple(failures)


def _number(shard: Path) -> tuple[int, int]:
    """A shard's number and how many there are, by its name."""
    match = SHARD_NAME.fullmatch(shard.name)
    assert match is not None
    return int(match["index"]), int(match["count"])


def _listed(numbers: Sequence[int]) -> str:
    """The first few numbers."""
    more = "" if len(numbers) <= LONGEST_LIST else ", ..."
    return ", ".join(map(str, numbers[:LONGEST_LIST])) + more
