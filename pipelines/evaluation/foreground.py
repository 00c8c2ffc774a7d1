"""Where the object is in a picture: its alpha, or, where something stands behind it, the mask that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from enr.pipelines.data.views import Indices, ViewSet
from enr.shards import open_shard

SAMPLED_VIEWS = 16
"""So many pictures of a shard, evenly spread, tell whether its pictures are opaque."""


@dataclass(frozen=True)
class Opaque:
    """The shards of a view set whose pictures are opaque: they stand on a picture, not on a colour.

    Attributes:
        masked: numbers of those that store a mask.
        bare: numbers of those that do not: their foreground is not known.
    """

    masked: frozenset[int] = frozenset()
    bare: frozenset[int] = frozenset()

    @property
    def shards(self) -> frozenset[int]:
        """Numbers of all of them."""
        return self.masked | self.bare


NOTHING_OPAQUE = Opaque()


def find_opaque(view_set: ViewSet) -> Opaque:
    """Look at some pictures of every shard."""
    masked: set[int] = set()
    bare: set[int] = set()
    for number, path in enumerate(view_set.paths):
        views = np.flatnonzero(view_set.views["shard"] == number)
        sampled = views[np.linspace(0, len(views) - 1, min(SAMPLED_VIEWS, len(views))).astype(int)]
        if (view_set.images(sampled)[..., 3] == 255).all():
            with open_shard(path) as file:
                (masked if "mask" in file else bare).add(number)
    return Opaque(frozenset(masked), frozenset(bare))


def foreground_alpha(view_set: ViewSet, opaque: Opaque, indices: Indices, alpha: Tensor) -> Tensor:
    """How much of each pixel is the object, 0 to 255.

    Args:
        view_set: the data.
        opaque: what `find_opaque` found.
        indices: (n,) views of one shard.
        alpha: (n, height, width) uint8 of their pictures.

    Returns:
        (n, height, width) uint8: alpha; of an opaque shard its mask, or zeros where it stores none.
    """
    shard = int(view_set.views["shard"][indices[0]])
    if shard in opaque.masked:
        return torch.from_numpy(view_set.masks(indices)).to(alpha) * 255
    return torch.zeros_like(alpha) if shard in opaque.bare else alpha


def opaque_notes(view_set: ViewSet, opaque: Opaque, shards: Sequence[int]) -> list[str]:
    """What there is to say about opaque pictures among those of some shards."""
    notes = []
    if not opaque.masked.isdisjoint(shards):
        notes.append(
            "the pictures are opaque: foreground and chroma are measured in their stored masks; there is no "
            "silhouette IoU, since a prediction's silhouette is what departs from a background of one colour."
        )
    bare = sorted(opaque.bare & set(shards))
    if bare:
        notes.append(
            f"{view_set.paths[bare[0]].name} holds opaque pictures and no mask, so where the object is in them is "
            "unknown: no foreground, silhouette IoU or chroma; give shards with masks (`enr datagen --mask`)."
        )
    return notes
