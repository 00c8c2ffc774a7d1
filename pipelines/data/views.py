"""The views of many shards as one table, and random pairs of them for training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from enr.camera import Group, target_from_source
from enr.errors import EnrError
from enr.pipelines.data.images import Images, ImageSource, common_size, open_images
from enr.shards import VIEW_SHAPES, ShardMeta, Split, open_shard, read_tables
from enr.shards.find import intact_shards

if TYPE_CHECKING:
    from torch import Tensor

FINGERPRINT_VIEWS = 16
"""So many pictures of each shard are part of its fingerprint; reading all of them would take minutes."""

Indices = NDArray[np.int64]
Tables = tuple[ShardMeta, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]
"""Attributes, per-view and per-scene tables of a shard."""


@dataclass(frozen=True)
class Scene:
    """The views of one object and one split in one shard; the held-out views of an object are a scene of their own.

    Attributes:
        scene_id: id of its mesh.
        group: the group that its views were sampled from.
        split: train, val or test.
        first, count: its views are `first` to `first + count - 1` of the view set.
        trained: of held-out views, first and count of the views of the same object that are trained on; else None.
        mesh_sha256: hash of its mesh's content; empty where the shard does not say it.
    """

    scene_id: str
    group: Group
    split: Split
    first: int
    count: int
    trained: tuple[int, int] | None = None
    mesh_sha256: str = ""

    @property
    def is_held_out(self) -> bool:
        """Whether these are held-out views of an object that is trained on."""
        return self.trained is not None

    @property
    def source_indices(self) -> Indices:
        """Indices of the views that a source view is chosen from: those trained on where these are held out."""
        first, count = self.trained or (self.first, self.count)
        return np.arange(first, first + count)

    @property
    def view_indices(self) -> Indices:
        """(count,) indices of its views in the view set."""
        return np.arange(self.first, self.first + self.count)


@dataclass(frozen=True)
class ViewSet:
    """Every view of a list of shards that agree in resolution and schema, numbered from 0.

    Attributes:
        paths: absolute paths of the shards.
        metas: attributes of each shard.
        height_px, width_px: size of every picture.
        views: per-view arrays by the names of `enr.shards.VIEW_SHAPES` (`world_from_camera`, `K`, ...), and `group`,
            `split`, `scene` (index into `all_scenes`) and `shard` (index into `paths`), n rows each.
        all_scenes: every scene, in the order of the views.
        sources: the pictures of each shard.
    """

    paths: tuple[Path, ...]
    metas: tuple[ShardMeta, ...]
    height_px: int
    width_px: int
    views: dict[str, NDArray[Any]]
    all_scenes: tuple[Scene, ...]
    sources: tuple[ImageSource, ...]
    _row: Indices

    @classmethod
    def open(cls, paths: Sequence[Path]) -> ViewSet:
        """Open shards and check that they agree; pictures are read when they are asked for.

        Args:
            paths: .h5 files, or folders of them.

        Raises:
            EnrError: no shard, one that is unreadable or no longer what was written, or shards of different
                resolution, schema, background or splits.
        """
        return cls.read(intact_shards(paths))

    def in_order(self, order: Sequence[int]) -> ViewSet:
        """The same shards in another order: `order` numbers them as `paths` has them."""
        return self.read(tuple(self.paths[number] for number in order))

    @classmethod
    def read(cls, files: tuple[Path, ...]) -> ViewSet:
        """As `open`, of files that `enr.shards.find.intact_shards` gave."""
        height_px, width_px = common_size(files)
        tables = [read_tables(path) for path in files]
        metas = tuple(meta for meta, _, _ in tables)
        _check_background(files, metas)
        scenes = _list_scenes(files, tables)
        _check_splits(scenes)
        _check_distinct(scenes)
        views = _stack_views([views for _, views, _ in tables], scenes)
        row = np.concatenate([np.arange(len(views["K"])) for _, views, _ in tables])
        sources = tuple(open_images(path) for path in files)
        return cls(files, metas, height_px, width_px, views, scenes, sources, row)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def background(self) -> tuple[float, float, float]:
        """What the pictures are composited over: three sRGB numbers in [0, 1]."""
        return self.metas[0].background

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of all shards, sorted, each once."""
        return tuple(sorted({meta.group for meta in self.metas}))

    def fingerprint(self) -> str:
        """A number for the data, wherever the shards lie: views, cameras, splits, background, a sample of pictures."""
        digest = hashlib.sha256(self.views["world_from_camera"].tobytes())
        digest.update(self.views["K"].tobytes())
        digest.update(f"{self.height_px} {self.width_px} {self.background}\n".encode())
        for scene in self.all_scenes:
            digest.update(f"{scene.scene_id} {scene.group} {scene.split} {scene.count}\n".encode())
        digest.update(self.images(self._sampled_views()).tobytes())
        return digest.hexdigest()

    def shard_fingerprints(self) -> list[str]:
        """A number for the data of each shard, wherever it lies and whatever it is called."""
        return [self._shard_fingerprint(number) for number in range(len(self.paths))]

    def _shard_fingerprint(self, number: int) -> str:
        views = np.flatnonzero(self.views["shard"] == number)
        digest = hashlib.sha256(self.metas[number].group.encode())
        for name in ("world_from_camera", "K"):
            digest.update(self.views[name][views].tobytes())
        for name in ("scene_id", "split"):
            digest.update("\n".join(self.views[name][views].tolist()).encode())
        digest.update(self.images(_spread(views)).tobytes())
        return digest.hexdigest()

    def _sampled_views(self) -> Indices:
        """A few views of every shard, evenly spread: enough to tell other materials or another light."""
        shards = self.views["shard"]
        return np.concatenate([_spread(np.flatnonzero(shards == number)) for number in range(len(self.paths))])

    def scenes(self, split: Split | None = None, group: Group | None = None) -> tuple[Scene, ...]:
        """The scenes of a split and a group (of all of them where None)."""
        return tuple(
            scene for scene in self.all_scenes if split in (None, scene.split) and group in (None, scene.group)
        )

    def images(self, indices: ArrayLike, out: Images | None = None) -> Images:
        """Pictures (n, height, width, 4) uint8 RGBA with straight alpha.

        Args:
            indices: (n,) views; or a mask of all views, as NumPy takes them.
            out: where to put them; a new array if None.

        Raises:
            EnrError: the indices are neither whole numbers nor a mask of as many entries as there are views.
        """
        wanted = self._numbers(indices)
        shape = (len(wanted), self.height_px, self.width_px, 4)
        pictures = np.empty(shape, dtype=np.uint8) if out is None else out
        shards, rows = self.views["shard"][wanted].tolist(), self._row[wanted].tolist()
        for slot, (shard, row) in enumerate(zip(shards, rows, strict=True)):
            self.sources[shard].read(row, pictures[slot])
        return pictures

    def expect(self, views: Indices) -> None:
        """Have the system fetch pictures (n,) that will be asked for soon."""
        for shard, row in zip(self.views["shard"][views].tolist(), self._row[views].tolist(), strict=True):
            self.sources[shard].expect(row)

    def distances(self, indices: ArrayLike) -> NDArray[np.float64]:
        """(n,) depth of the object's centre, the world's origin, in the cameras of views (n,), in object units."""
        cameras = self.views["world_from_camera"][np.asarray(indices, dtype=np.int64)]
        return np.asarray(-(cameras[:, :3, 2] * cameras[:, :3, 3]).sum(axis=1))

    def _numbers(self, indices: ArrayLike) -> Indices:
        """Views as whole numbers."""
        wanted = np.asarray(indices)
        if wanted.dtype == np.bool_ and wanted.shape == (len(self),):
            return np.flatnonzero(wanted)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise EnrError(
                f"Views are given as {wanted.dtype} of shape {wanted.shape}; expected whole numbers of shape (n,), or "
                f"a mask of shape ({len(self)},)."
            )
        return wanted.astype(np.int64, copy=False)

    def masks(self, indices: Indices) -> NDArray[np.bool_]:
        """The stored masks (n, height, width) of views (n,) of one shard, which must hold the pass `mask`."""
        wanted = self._numbers(indices)
        shards, rows = self.views["shard"][wanted], self._row[wanted]
        assert (shards == shards[0]).all()
        with open_shard(self.paths[shards[0]]) as file:
            return np.stack([file["mask"][row] for row in rows.tolist()])

    def target_from_source(self, source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
        """The motion (n, 4, 4) from the cameras of views `source` (n,) to those of views `target` (n,)."""
        cameras = self.views["world_from_camera"]
        return target_from_source(cameras[np.asarray(source)], cameras[np.asarray(target)])


def composite(rgba: Tensor, background: Sequence[float] | Tensor) -> Tensor:
    """Pictures over a background, on the device where they are.

    Args:
        rgba: (n, height, width, 4) uint8, straight alpha.
        background: three sRGB numbers in [0, 1]; a tensor on that device spares a copy to it.

    Returns:
        (n, 3, height, width) float32 in [0, 1].

    Raises:
        EnrError: the pictures are of another type or shape.
    """
    import torch

    if rgba.dtype != torch.uint8 or rgba.ndim != 4 or rgba.shape[-1] != 4:
        raise EnrError(
            f"Pictures are given as {rgba.dtype} of shape {tuple(rgba.shape)}; expected torch.uint8 of shape "
            "(n, height, width, 4), as `ViewSet.images` gives them."
        )
    pixels = rgba.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    behind = torch.as_tensor(background, dtype=torch.float32, device=rgba.device).view(1, 3, 1, 1)
    return torch.lerp(behind.expand_as(pixels[:, :3]), pixels[:, :3], pixels[:, 3:])


def repeated_meshes(one: Iterable[Scene], other: Iterable[Scene]) -> list[tuple[str, str]]:
    """Ids of two scenes, one of each, whose meshes are the same under different ids; sorted, each mesh once."""
    ids = {scene.mesh_sha256: scene.scene_id for scene in one if scene.mesh_sha256}
    pairs = {(ids[scene.mesh_sha256], scene.scene_id) for scene in other if scene.mesh_sha256 in ids}
    return sorted(pair for pair in pairs if pair[0] != pair[1])


def _spread(views: Indices) -> Indices:
    """A few of some views, evenly spread."""
    return views[np.linspace(0, len(views) - 1, FINGERPRINT_VIEWS).astype(int)]


def _check_background(files: Sequence[Path], metas: Sequence[ShardMeta]) -> None:
    for path, meta in zip(files, metas, strict=True):
        if meta.background != metas[0].background:
            raise EnrError(
                f"Shards differ in background: {files[0]} has {metas[0].background}, {path} has {meta.background}; "
                "give shards of one background."
            )


def _list_scenes(files: Sequence[Path], tables: Sequence[Tables]) -> tuple[Scene, ...]:
    """Runs of views of one scene and one split: a scene, or the held-out views of one."""
    scenes: list[Scene] = []
    offset = 0
    for path, (meta, views, table) in zip(files, tables, strict=True):
        split_of = dict(zip(table["scene_id"].tolist(), table["split"].tolist(), strict=True))
        hash_of = dict(zip(table["scene_id"].tolist(), table["mesh_sha256"].tolist(), strict=True))
        runs = _runs(views)
        if list(dict.fromkeys(scene_id for scene_id, _, _, _ in runs)) != table["scene_id"].tolist():
            raise EnrError(f"{path}: its views are not in the order of its scenes; make it again with `enr datagen`.")
        for scene_id, split, start, count in runs:
            held_out = split != split_of[scene_id]
            if held_out and split_of[scene_id] != "train":
                raise EnrError(
                    f"{path}: scene {scene_id} is in the split '{split_of[scene_id]}' and has views in '{split}'; "
                    "only views of train scenes can be held out: make it again with `enr datagen`."
                )
            mesh = hash_of[scene_id]
            scene = Scene(scene_id, meta.group, split, offset + start, count, None, mesh if mesh.strip("0") else "")
            scenes.append(_held_out(scene, scenes) if held_out else scene)
        offset += len(views["scene_id"])
    return tuple(scenes)


def _runs(views: dict[str, NDArray[Any]]) -> list[tuple[str, Split, int, int]]:
    """Scene id, split, first row and number of rows of each run of equal scene and split."""
    ids, splits = views["scene_id"].astype(str), views["split"].astype(str)
    changes = (ids[1:] != ids[:-1]) | (splits[1:] != splits[:-1])
    starts = np.flatnonzero(np.concatenate([[True], changes]))
    counts = np.diff(np.append(starts, len(ids)))
    return list(zip(ids[starts].tolist(), splits[starts].tolist(), starts.tolist(), counts.tolist(), strict=True))


def _held_out(scene: Scene, before: Sequence[Scene]) -> Scene:
    """Held-out views, with where the views lie that are trained on: just before them, where there are any."""
    trained = before[-1] if before and before[-1].scene_id == scene.scene_id else scene
    return replace(scene, trained=(trained.first, trained.count))


def _check_distinct(scenes: Sequence[Scene]) -> None:
    """A scene that is given twice would count twice in training and in every mean."""
    seen: set[tuple[str, str, bool]] = set()
    for scene in scenes:
        if (scene.scene_id, scene.group, scene.is_held_out) in seen:
            raise EnrError(
                f"Scene {scene.scene_id} ({scene.group}) is in the given shards twice; "
                "leave out the shards that repeat it, or make one set with more `--views`."
            )
        seen.add((scene.scene_id, scene.group, scene.is_held_out))


def _check_splits(scenes: Sequence[Scene]) -> None:
    """A mesh that is trained on in one shard must not be held out in another, but for held-out views of it."""
    split: dict[str, Split] = {}
    for scene in scenes:
        if not scene.is_held_out and split.setdefault(scene.scene_id, scene.split) != scene.split:
            raise EnrError(
                f"Scene {scene.scene_id} is in the split '{split[scene.scene_id]}' of one shard and "
                f"'{scene.split}' of another; make all shards with the same `enr datagen --split`."
            )


def _stack_views(tables: Sequence[dict[str, Any]], scenes: Sequence[Scene]) -> dict[str, NDArray[Any]]:
    counts = [scene.count for scene in scenes]
    stacked = {name: np.concatenate([table[name] for table in tables]) for name in VIEW_SHAPES}
    stacked["shard"] = np.repeat(np.arange(len(tables)), [len(table["K"]) for table in tables])
    stacked["scene"] = np.repeat(np.arange(len(scenes)), counts)
    stacked["group"] = np.repeat([scene.group for scene in scenes], counts)
    stacked["split"] = np.repeat([scene.split for scene in scenes], counts)
    return stacked
