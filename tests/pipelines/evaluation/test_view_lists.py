"""The benchmark's stored lists are what the code makes, and say what `enr datagen` renders."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from enr.camera import GROUPS, orbit_camera
from enr.datagen.cameras.hold_out import HoldOut
from enr.datagen.cameras.poses import held_out_patches, sample_poses
from enr.datagen.settings import PoseSettings
from enr.pipelines.evaluation.view_lists import (
    FEW_MESHES,
    HELD_OUT_VIEWS,
    PATCH_SIZES_DEG,
    PATCHES,
    SEED,
    TRAINED_VIEWS,
    VIEWS,
    benchmark_lists,
    draw_ids,
)
from enr.shards import SPLITS

STORED = Path(__file__).parents[3] / "docs" / "benchmark"
CHAIRS = 2687
SOME = 5
"""So many scenes of a list are compared with the sampler, which takes its time."""


def stored_ids(split: str) -> list[str]:
    return (STORED / f"chairs-{split}.txt").read_text().split()


def all_ids() -> list[str]:
    return [scene_id for split in SPLITS for scene_id in stored_ids(split)]


def rows(name: str) -> list[dict[str, str]]:
    with (STORED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def cameras(listed: list[dict[str, str]], group: str) -> np.ndarray:
    """(views, 4, 4), as `docs/benchmark.md` tells others to make them."""
    turns, moves = group != "trans", group != "rot"
    point = np.array([[float(row[axis]) for axis in "xyz"] for row in listed])
    angles = ([float(row[name]) * turns for row in listed] for name in ("azimuth_deg", "elevation_deg"))
    return orbit_camera(*angles, radius=2.0, target=point * moves)


def test_the_stored_lists_are_what_the_code_makes(tmp_path):
    ids = all_ids()
    assert len(ids) == len(set(ids)) == CHAIRS
    written = benchmark_lists(ids, "chairs").write(tmp_path)
    assert {path.name for path in written} == {path.name for path in STORED.iterdir() if path.suffix != ".json"}
    for path in written:
        assert path.read_bytes() == (STORED / path.name).read_bytes(), path.name


@pytest.mark.parametrize("group", GROUPS)
def test_listed_views_of_unseen_meshes_are_those_that_datagen_renders(group):
    listed = rows("chairs-unseen-views.csv")
    ids = list(dict.fromkeys(row["scene_id"] for row in listed))
    assert ids == stored_ids("test")
    for scene_id in ids[:SOME]:
        views = [row for row in listed if row["scene_id"] == scene_id]
        assert [int(row["view"]) for row in views] == list(range(VIEWS))
        rendered = sample_poses(PoseSettings(group), SEED, scene_id, 50).world_from_camera[:VIEWS]
        assert cameras(views, group) == pytest.approx(rendered, abs=1e-8)


@pytest.mark.parametrize("size_deg", PATCH_SIZES_DEG)
def test_listed_held_out_views_lie_in_the_patches_and_their_source_does_not(size_deg):
    listed = [row for row in rows("chairs-held-out-views.csv") if float(row["patch_size_deg"]) == size_deg]
    settings = PoseSettings("rototrans", hold_out=HoldOut(PATCHES, size_deg, HELD_OUT_VIEWS))
    patches = held_out_patches(settings, SEED)
    for row in listed:
        direction = float(row["azimuth_deg"]), float(row["elevation_deg"])
        assert any(patch.contains(direction) for patch in patches) == (row["role"] == "target")
    for scene_id in list(dict.fromkeys(row["scene_id"] for row in listed))[:SOME]:
        views = [row for row in listed if row["scene_id"] == scene_id and row["meshes"] == "10"]
        numbers = [int(row["view"]) for row in views]
        assert numbers == [0, *range(100, 130)]
        rendered = sample_poses(settings, SEED, scene_id, 130).world_from_camera
        assert cameras(views, "rototrans") == pytest.approx(rendered[numbers], abs=1e-8)


def test_held_out_views_are_the_same_whatever_the_number_of_meshes_but_for_their_numbers():
    seen: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows("chairs-held-out-views.csv"):
        seen.setdefault((row["patch_size_deg"], row["scene_id"], row["meshes"]), []).append(row)
    assert len(seen) == len(PATCH_SIZES_DEG) * sum(FEW_MESHES)
    for (size_deg, scene_id, meshes), views in seen.items():
        first = TRAINED_VIEWS // int(meshes)
        assert [int(row["view"]) for row in views] == [0, *range(first, first + HELD_OUT_VIEWS)]
        ten = seen[size_deg, scene_id, "10"]
        assert [row["x"] for row in views] == [row["x"] for row in ten]


@pytest.mark.parametrize("count", FEW_MESHES)
def test_the_few_meshes_are_those_that_datagen_draws(count):
    listed = {row["scene_id"] for row in rows("chairs-held-out-views.csv") if int(row["meshes"]) == count}
    assert len(listed) == count
    assert listed == set(draw_ids(all_ids(), count))
