"""From rendered scenes to a shard on the disk: the one place that knows where each column comes from.

A scene's rows are a block of their own, made from what was rendered or taken out of a shard, so that a shard can be put
together from scenes rendered now and scenes stored before.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen import failures
from enr.datagen.appearance.backdrop import put_behind
from enr.datagen.cameras.lens import view_intrinsics
from enr.datagen.cameras.poses import sample_poses, view_columns
from enr.datagen.failures import BAD_MESH, ERROR, UNREADABLE, Failure
from enr.datagen.flags import clipped_shares, view_flags
from enr.datagen.meshes.licences import find_licence
from enr.datagen.metadata.beside import failed_path, failures_on_disk, note_times, write_failed
from enr.datagen.metadata.card import card_path
from enr.datagen.metadata.manifest import MeshTimes, manifest_path
from enr.datagen.plan import PlannedScene
from enr.datagen.run.work import ShardWork
from enr.datagen.settings import GenerateSettings
from enr.datagen.workers.worker import RenderedMesh
from enr.errors import EnrError
from enr.shards import Shard, ShardMeta, read_shard, write_shard
from enr.shards.config import ShardConfig

Table = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SceneBlock:
    """The rows of one scene.

    Attributes:
        images: (views, height, width, 4) uint8.
        views: per-view columns (see `enr.shards.VIEW_SHAPES`).
        scene: per-scene columns (see `enr.shards.SCENE_SHAPES`), one row.
        passes: optional pictures (see `enr.shards.PASS_SHAPES`).
    """

    images: NDArray[np.uint8]
    views: Table
    scene: Table
    passes: Table = field(default_factory=dict)


class Publisher:
    """Writes shards; what they replace goes just before the first of them, so that two data sets never lie mixed."""

    def __init__(self, settings: GenerateSettings, foreign: Sequence[Path]) -> None:
        self._settings = settings
        self._foreign = list(foreign)

    def publish(
        self, item: ShardWork, rendered: Sequence[RenderedMesh], times: Mapping[str, MeshTimes]
    ) -> dict[str, Failure]:
        """Write a shard from what its scenes became, and from those that it keeps.

        Args:
            item: the shard and the scenes that were rendered for it.
            rendered: of these scenes, in their order.
            times: what each of them took, by id.

        Returns:
            what failed of them, by scene id.

        Raises:
            EnrError: it cannot be written, or what it keeps cannot be read.
        """
        became = list(zip(item.scenes, rendered, strict=True))
        failed = {scene.source.scene_id: _failure(scene, one) for scene, one in became if one.images is None}
        try:
            if self._foreign:  # with what describes them
                group, out = self._settings.poses.group, self._settings.out
                self._foreign += [manifest_path(out, group, self._settings.part), card_path(out, group)]
            while self._foreign:
                self._foreign.pop().unlink(missing_ok=True)  # another part may have been quicker
            note_times(item.shard.path, times)
            self._write(item, became, failed)
        except OSError as error:
            raise EnrError(
                f"{item.shard.path} cannot be written ({error.strerror or error}); make room and run the same command "
                "again, finished shards are kept."
            ) from error
        return failed

    def _write(
        self, item: ShardWork, became: Sequence[tuple[PlannedScene, RenderedMesh]], failed: Mapping[str, Failure]
    ) -> None:
        shard, stored = item.shard, None
        made = [(scene, one) for scene, one in became if one.images is not None]
        if item.keeps:
            tried = {scene.source.scene_id for scene in item.scenes}
            before = failures_on_disk(shard.path).items()
            failed = {**{scene_id: failure for scene_id, failure in before if scene_id not in tried}, **failed}
        config: ShardConfig = {**shard.config, "failures": failures.to_config(failed)}
        blocks = {scene.source.scene_id: block_of(self._settings, scene, one) for scene, one in made}
        if item.keeps and shard.path.exists():
            stored = read_shard(shard.path)
            # Of a kept scene, the hash of the file that it was made of.
            pairs = zip(shard.config["meshes"], stored.meta.config["meshes"], strict=True)
            config["meshes"] = [now if now["scene_id"] in blocks else then for now, then in pairs]
            blocks |= blocks_of_shard(stored)
        if not blocks:
            write_failed(shard.path, config, shard.blender_version)
            shard.path.unlink(missing_ok=True)
            return
        in_order = [blocks[scene.source.scene_id] for scene in shard.scenes if scene.source.scene_id in blocks]
        versions = {one.facts["blender_version"] for _, one in made}
        version = stored.meta.blender_version if stored else versions.pop()
        write_shard(shard.path, join_blocks(self._settings, in_order, config, version), self._settings.compression)
        failed_path(shard.path).unlink(missing_ok=True)


def _failure(scene: PlannedScene, rendered: RenderedMesh) -> Failure:
    """Why a scene failed; a mesh whose file cannot be read at the moment is not called a bad one."""
    kind = rendered.kind or ERROR
    if kind == BAD_MESH:
        try:
            if scene.source.path.is_file():  # a pipe would never end
                scene.source.path.open("rb").close()
            else:
                kind = UNREADABLE
        except OSError:
            kind = UNREADABLE
    return Failure(kind, rendered.reason)


def block_of(settings: GenerateSettings, scene: PlannedScene, rendered: RenderedMesh) -> SceneBlock:
    """The rows of a scene that was rendered; `rendered` holds images."""
    assert rendered.images is not None
    scene_id, views, render, facts = scene.source.scene_id, settings.views, settings.render, rendered.facts
    poses = sample_poses(settings.poses, render.seed, scene_id, views)
    view_table = {
        **view_columns(poses, scene.split),
        "K": view_intrinsics(render.lens, render.seed, scene_id, poses),
        "scene_id": np.array([scene_id] * views),
        "clipped": np.array(facts["clipped"], dtype=bool),
        "clipped_share": clipped_shares(facts, views),
        "flags": view_flags(rendered.images, facts),
    }
    scene_row = {
        "scene_id": scene_id,
        "split": scene.split,
        "mesh_path": str(scene.source.place),
        "mesh_sha256": scene.sha256,
        "normalise_scale": facts["normalise_scale"],
        "normalise_offset": facts["normalise_offset"],
        "materials": facts["materials"],
        "facts": json.dumps({**facts.get("mesh", {}), "licence": find_licence(scene.source)}, sort_keys=True),
    }
    scene_table = {name: np.array([value]) for name, value in scene_row.items()}
    images, passes = put_behind(render.look, rendered.images, rendered.passes)
    return SceneBlock(images, view_table, scene_table, passes)


def blocks_of_shard(shard: Shard) -> dict[str, SceneBlock]:
    """The rows of every scene that a shard holds, by scene id."""
    scene_of_view = shard.views["scene_id"]
    edges = [0, *(np.flatnonzero(scene_of_view[1:] != scene_of_view[:-1]) + 1).tolist(), len(scene_of_view)]
    row_of_scene = {scene_id: row for row, scene_id in enumerate(shard.scenes["scene_id"].tolist())}
    blocks = {}
    for start, stop in itertools.pairwise(edges):
        row = row_of_scene[str(scene_of_view[start])]
        blocks[str(scene_of_view[start])] = SceneBlock(
            shard.images[start:stop],
            {name: column[start:stop] for name, column in shard.views.items()},
            {name: column[row : row + 1] for name, column in shard.scenes.items()},
            {name: pictures[start:stop] for name, pictures in shard.passes.items()},
        )
    return blocks


def join_blocks(
    settings: GenerateSettings, blocks: Sequence[SceneBlock], config: ShardConfig, blender_version: str
) -> Shard:
    """A shard of some scenes' rows, in the order given; `config` says all that makes them again."""
    meta = ShardMeta(
        group=settings.poses.group,
        seed=settings.render.seed,
        background=settings.background,
        blender_version=blender_version,
        config=config,
    )
    return Shard(
        meta=meta,
        images=np.concatenate([block.images for block in blocks]),
        views=_stack(block.views for block in blocks),
        scenes=_stack(block.scene for block in blocks),
        passes=_stack(block.passes for block in blocks),
        normals_space=settings.render.look.normals_space,
    )


def _stack(tables: Iterable[Table]) -> Table:
    """Tables with the same columns, below each other."""
    rows = list(tables)
    return {name: np.concatenate([table[name] for table in rows]) for name in rows[0]}
