"""Whether the plain way's pictures are those in the shards, up to the noise of path tracing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.compositing import blend
from enr.pipelines.speed.loops import picture_path
from enr.shards import read_shard

Images = NDArray[np.uint8]


def compare_pictures(shards: Sequence[Path], plain: Path, noisy: Mapping[str, Images]) -> dict[str, object]:
    """Differences of the shards' pictures from the plain way's, beside those from renders with another seed.

    Args:
        shards: what `enr datagen` made.
        plain: the folder of the plain way's PNGs.
        noisy: by scene id, the same views (views, height, width, 4) with other noise; these scenes are compared.

    Returns:
        means over pictures and pixels of absolute differences over white, in levels of 255, ready for JSON.
    """
    stored = _scenes_of(shards)
    apart, noise = [], []
    for scene_id in sorted(set(stored) & set(noisy)):
        for view, image in enumerate(stored[scene_id]):
            with Image.open(picture_path(plain, scene_id, view)) as png:
                apart.append(difference(image, np.asarray(png.convert("RGBA"))))
            noise.append(difference(image, noisy[scene_id][view]))
    differs, noise_level = float(np.mean(apart)), float(np.mean(noise))
    return {
        "pictures": len(apart),
        "mean_absolute_difference": differs,
        "of_another_noise_seed": noise_level,
        "identical_share": float(np.mean(np.array(apart) == 0)),
        "equal_within_noise": differs <= noise_level,
    }


def difference(one: Images, other: Images) -> float:
    """Mean absolute difference, in levels of 255, of two RGBA pictures (height, width, 4) over white."""
    return float(np.abs(blend(one) - blend(other)).mean())


def _scenes_of(shards: Sequence[Path]) -> dict[str, Images]:
    """By scene id, the pictures in order of their views."""
    scenes: dict[str, Images] = {}
    for path in shards:
        shard = read_shard(path)
        ids = shard.views["scene_id"].astype(str)
        for scene_id in dict.fromkeys(ids.tolist()):
            scenes[scene_id] = shard.images[ids == scene_id]
    return scenes
