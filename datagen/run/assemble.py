"""From what the workers rendered to a shard's tables: the one place that knows where each column comes from.

A scene's rows are a block of their own, made from its outcome or taken out of a shard, so that a shard can be put
together from scenes rendered now and scenes stored before.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enr.datagen.appearance.backdrop import put_behind
from enr.datagen.cameras.lens import view_intrinsics
from enr.datagen.cameras.poses import Poses, sample_poses, view_columns
from enr.datagen.flags import clipped_shares, view_flags
from enr.datagen.meshes.licences import find_licence
from enr.datagen.plan import GenerateSettings, PlannedScene
from enr.datagen.workers.pool import Outcome
from enr.shards import Shard, ShardMeta

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


def scene_poses(settings: GenerateSettings, scene_id: str) -> Poses:
    """The poses of a scene's views, from (seed, scene, view) alone."""
    return sample_poses(settings.poses, settings.render.seed, scene_id, settings.views)


def block_of_outcome(settings: GenerateSettings, scene: PlannedScene, outcome: Outcome) -> SceneBlock:
    """The rows of a scene that was rendered; `outcome` holds images."""
    assert outcome.images is not None
    images, passes = put_behind(settings.render.look, outcome.images, outcome.passes)
    return SceneBlock(images, _view_table(settings, scene, outcome), _scene_table(scene, outcome), passes)


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
    settings: GenerateSettings, blocks: Sequence[SceneBlock], config: dict[str, Any], blender_version: str
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


def _view_table(settings: GenerateSettings, scene: PlannedScene, outcome: Outcome) -> Table:
    """The per-view columns of one scene (see `enr.shards.VIEW_SHAPES`)."""
    assert outcome.images is not None
    scene_id, views, render = scene.source.scene_id, settings.views, settings.render
    poses = scene_poses(settings, scene_id)
    return {
        **view_columns(poses, scene.split),
        "K": view_intrinsics(render.lens, render.seed, scene_id, poses),
        "scene_id": np.array([scene_id] * views),
        "clipped": np.array(outcome.facts["clipped"], dtype=bool),
        "clipped_share": clipped_shares(outcome.facts, views),
        "flags": view_flags(outcome.images, outcome.facts),
    }


def _scene_table(scene: PlannedScene, outcome: Outcome) -> Table:
    """The per-scene columns (see `enr.shards.SCENE_SHAPES`), one row."""
    facts = outcome.facts
    row = {
        "scene_id": scene.source.scene_id,
        "split": scene.split,
        "mesh_path": str(scene.source.place),
        "mesh_sha256": scene.sha256,
        "normalise_scale": facts["normalise_scale"],
        "normalise_offset": facts["normalise_offset"],
        "materials": facts["materials"],
        "facts": json.dumps({**facts.get("mesh", {}), "licence": find_licence(scene.source)}, sort_keys=True),
    }
    return {name: np.array([value]) for name, value in row.items()}
