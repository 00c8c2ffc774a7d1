"""A shard of noise pictures: what loader and training are measured on where no shards are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from enr.camera import focal_px_from_lens, intrinsics, orbit_camera

SYNTHETIC_SCENES = 64
SYNTHETIC_VIEWS = 50


def write_noise_shard(folder: Path, size_px: int) -> Path:
    """A shard of noise pictures on random orbit cameras, laid out as `enr datagen` does by default."""
    from enr.shards import Shard, ShardMeta, write_shard  # loads h5py

    rng = np.random.default_rng(0)
    count = SYNTHETIC_SCENES * SYNTHETIC_VIEWS
    ids = np.array([f"noise-{number}" for number in range(SYNTHETIC_SCENES)])
    scenes = _noise_scenes(ids)
    azimuth, elevation = rng.uniform(-180, 180, count), rng.uniform(-90, 90, count)
    views = {
        "world_from_camera": orbit_camera(azimuth, elevation),
        "K": np.repeat(intrinsics(focal_px_from_lens(size_px), size_px, size_px)[None], count, axis=0),
        "scene_id": np.repeat(ids, SYNTHETIC_VIEWS),
        "view_index": np.tile(np.arange(SYNTHETIC_VIEWS, dtype=np.int32), SYNTHETIC_SCENES),
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "radius": np.full(count, 2.0),
        "target_point": np.zeros((count, 3)),
        "clipped": np.zeros(count, dtype=bool),
        "roll_deg": np.zeros(count),
        "split": np.repeat(scenes["split"], SYNTHETIC_VIEWS),
        "clipped_share": np.zeros(count, dtype=np.float32),
        "flags": np.zeros(count, dtype=np.uint16),
    }
    images = rng.integers(0, 256, (count, size_px, size_px, 4), dtype=np.uint8)
    meta = ShardMeta("rot", 0, (1.0, 1.0, 1.0), "none", {"made_by": "enr bench"})
    path = folder / "noise.h5"
    write_shard(path, Shard(meta, images, views, scenes))
    return path


def _noise_scenes(ids: Any) -> dict[str, Any]:
    """The scene table of noise: everything is trained on but the last scene, which is for validation."""
    scenes = len(ids)
    return {
        "scene_id": ids,
        "split": np.array(["train"] * (scenes - 1) + ["val"]),
        "mesh_path": np.array(["none"] * scenes),
        "mesh_sha256": np.array(["0" * 64] * scenes),
        "normalise_scale": np.ones(scenes),
        "normalise_offset": np.zeros((scenes, 3)),
        "materials": np.array(["palette"] * scenes),
        "facts": np.array(["{}"] * scenes),
    }
