"""Which scenes are trained on: a hash of the scene's id decides, so that adding meshes moves none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from enr.errors import EnrError
from enr.shards import SPLITS, Split

SPLIT_SHARES = (0.86, 0.12, 0.02)
"""train, val, test: the shares of the roto-translation report (2306, 331 and 50 chairs)."""
SALT = b"enr split\n"


def assign_splits(scene_ids: Sequence[str], shares: tuple[float, float, float] = SPLIT_SHARES) -> dict[str, Split]:
    """The split of each scene.

    A scene's id alone decides, so more scenes never move one. One exception keeps tiny sets usable: where no scene
    of two or more falls to the unseen splits (or none to train), the one nearest to that side moves over.

    Args:
        scene_ids: distinct ids.
        shares: of train, val and test; any non-negative numbers, such as (0.86, 0.12, 0.02) or (86, 12, 2).

    Raises:
        EnrError: the shares are negative, not finite or all zero.
    """
    if len(shares) != 3 or not all(math.isfinite(share) and share >= 0 for share in shares) or sum(shares) <= 0:
        raise EnrError(
            f"The split shares {tuple(shares)} are not usable; "
            f"give three non-negative numbers for {', '.join(SPLITS)}, such as 0.86 0.12 0.02."
        )
    train, val, _ = (share / sum(shares) for share in shares)
    position = {scene_id: hash_position(scene_id) for scene_id in scene_ids}
    ends: tuple[tuple[Split, float], ...] = (("train", train), ("val", train + val), ("test", math.inf))
    split = {scene_id: next(name for name, end in ends if value < end) for scene_id, value in position.items()}
    if len(split) < 2 or not 0 < train < 1:
        return split
    if all(name == "train" for name in split.values()):
        split[max(position, key=position.__getitem__)] = "val" if val > 0 else "test"
    elif all(name != "train" for name in split.values()):
        split[min(position, key=position.__getitem__)] = "train"
    return split


def hash_position(scene_id: str) -> float:
    """A number in [0, 1) that depends on the id alone, spread evenly over ids.

    Salted, because a collection may itself have been picked by a bare hash of its ids: that of real ShapeNet subsets
    lies below 0.7 throughout, which would leave nothing unseen.
    """
    digest = hashlib.sha256(SALT + scene_id.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
