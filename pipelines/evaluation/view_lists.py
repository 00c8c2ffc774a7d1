"""The benchmark's lists as plain text, for those who render or measure with other software: splits, and views.

Everything in them is a pure function of the meshes' ids and of seed 0, so that `enr datagen` makes the same views of
the same meshes anywhere; `docs/benchmark.md` describes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enr.datagen.cameras.hold_out import HoldOut
from enr.datagen.cameras.poses import Poses, PoseSettings, sample_poses
from enr.datagen.meshes.discovery import MeshSource, draw_meshes
from enr.datagen.splits import assign_splits
from enr.files import replacing
from enr.shards import SPLITS

SEED = 0
VIEWS = 16
"""Of each unseen mesh: view 0 is the source, the others are the targets."""
FEW_MESHES = (1, 2, 5, 10)
PATCHES = 3
PATCH_SIZES_DEG = (2.865, 15.0)
TRAINED_VIEWS = 1000
"""Of the few meshes together; the held-out views of each are numbered after its trained ones."""
HELD_OUT_VIEWS = 30
HEADER = "azimuth_deg,elevation_deg,x,y,z"


@dataclass(frozen=True)
class Lists:
    """The texts of the list files by their names."""

    texts: dict[str, str]

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write every list into a folder, which is made if missing; earlier ones are replaced."""
        for name, text in self.texts.items():
            with replacing(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
        return tuple(folder / name for name in self.texts)


def benchmark_lists(scene_ids: Sequence[str], name: str) -> Lists:
    """The lists of a collection of meshes.

    Args:
        scene_ids: ids of its meshes, such as ShapeNet's.
        name: what the files begin with, such as `chairs`.
    """
    splits = assign_splits(scene_ids)
    texts = {
        f"{name}-{split}.txt": "".join(f"{scene_id}\n" for scene_id in sorted(splits) if splits[scene_id] == split)
        for split in SPLITS
    }
    rows = [f"scene_id,view,{HEADER}"]
    for scene_id in sorted(key for key in splits if splits[key] == "test"):
        # `rot` takes the angles alone, `trans` the point looked at alone, `rototrans` both.
        poses = sample_poses(PoseSettings("rototrans"), SEED, scene_id, VIEWS)
        rows += [f"{scene_id},{view},{numbers}" for view, numbers in enumerate(_numbers(poses))]
    texts[f"{name}-unseen-views.csv"] = "\n".join(rows) + "\n"
    texts[f"{name}-held-out-views.csv"] = _held_out_views(scene_ids)
    return Lists(texts)


def draw_ids(scene_ids: Sequence[str], count: int) -> tuple[str, ...]:
    """The ids that `enr datagen --max-meshes` draws."""
    sources = [MeshSource(scene_id, Path()) for scene_id in sorted(scene_ids)]
    return tuple(source.scene_id for source in draw_meshes(sources, count))


def _held_out_views(scene_ids: Sequence[str]) -> str:
    """The source and the held-out views of each number of few meshes, for both sizes of the patches."""
    rows = [f"patch_size_deg,meshes,scene_id,view,role,{HEADER}"]
    for size_deg in PATCH_SIZES_DEG:
        settings = PoseSettings("rototrans", hold_out=HoldOut(PATCHES, size_deg, HELD_OUT_VIEWS))
        for meshes in FEW_MESHES:
            first = TRAINED_VIEWS // meshes
            views = [0, *range(first, first + HELD_OUT_VIEWS)]
            for scene_id in sorted(draw_ids(scene_ids, meshes)):
                # The views themselves are the same in every number of meshes.
                poses = sample_poses(settings, SEED, scene_id, len(views))
                for view, numbers in zip(views, _numbers(poses), strict=True):
                    role = "target" if view else "source"
                    rows.append(f"{size_deg:g},{meshes},{scene_id},{view},{role},{numbers}")
    return "\n".join(rows) + "\n"


def _numbers(poses: Poses) -> Iterator[str]:
    """Azimuth, elevation and the point looked at of each view, to nine places."""
    for row in np.column_stack([poses.azimuth_deg, poses.elevation_deg, poses.target_point]):
        yield ",".join(f"{number:.9f}" for number in row)
