"""Whether stored views show what their meshes look like from the stored cameras: projected against rendered outlines.

For every view of a sample the mesh is projected, without Blender, with the stored camera, intrinsics and
normalisation, and the covered share of each pixel is compared with the stored alpha. Two numbers judge a view:

- `outline_px`: the area in which the two differ, over the length of the projected outline, in pixels: how far the
  outlines lie apart on average. About 0.04 px for a right camera at 16 samples a pixel, whatever the resolution;
  several pixels for a mirrored azimuth or another view's camera.
- `offset_px`: the move right and down, the growth and the turn of the picture (as pixels at the outline) that explain
  the difference best, to first order. Their medians over the views tell a systematic error far below a pixel (a
  principal point that is half a pixel off, another focal length).

A view that does not fit is a wrong camera where another camera explains it, or where other views show that the mesh
can be compared. Where no view fits and no camera explains that, the scene is wrong as a whole: meshes whose triangles
are known not to tell their pictures were left out before. Where some views fit and others only lack or add something,
the mesh is not compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enr.camera import Array
from enr.datagen.meshes.discovery import MeshSource, find_meshes, mesh_sha256
from enr.datagen.meshes.formats import UpAxis
from enr.datagen.meshes.staging import stage
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.verify.comparable import why_not_comparable
from enr.datagen.verify.fit import Fit, Picture, fit
from enr.datagen.verify.integrity import Finding
from enr.datagen.verify.other_cameras import explanation
from enr.errors import EnrError
from enr.shards import ShardMeta, Table, open_shard, read_tables

OUTLINE_PX = 0.2
"""Largest distance of outlines, before what the noise of the samples adds."""
NOISE_PX = 0.4
"""What one sample a pixel adds; it falls with the square root of their number."""
THIN_PX, MOST_PX = 1.0, 0.6
"""A mesh of so much noise for one sample is hardly ever as wide as a pixel; a larger limit lets wrong cameras pass."""
OFFSET_PX = 0.1
"""Largest median of a systematic error."""
FIRST_ORDER_PX = 1.0
"""Outlines that lie further apart are another picture, not one that was moved a little."""
OFFSET_VIEWS = 4
"""From so many views on a median says something."""
OPAQUE = 255
EXPLAINED = 2
"""Views of a scene for which other cameras are tried."""
MOST_OTHERS = 48
UP_AXIS_OF: dict[str | None, UpAxis] = {None: "auto", "Y": "y", "Z": "z"}
LOOK = "look at them (`enr inspect`)"
OFFSETS = ("right", "down", "outwards", "turned clockwise")


@dataclass(frozen=True)
class ViewFit:
    """How well the mesh's projection fits one stored picture.

    Attributes:
        scene_id, view_index: which view.
        iou: intersection over union of the silhouettes (pixels of which half is covered; 1 if both are empty).
        outline_px: mean distance of the outlines in pixels.
        offset_px: (4,) how the picture lies relative to the projection: right, down, outwards, turned.
    """

    scene_id: str
    view_index: int
    iou: float
    outline_px: float
    offset_px: Array


@dataclass(frozen=True)
class Reprojection:
    """The views of some shards against the meshes.

    Attributes:
        fits: the views that were compared.
        findings: what is wrong.
        skipped: meshes that could not be compared, with reasons.
    """

    fits: tuple[ViewFit, ...]
    findings: tuple[Finding, ...]
    skipped: dict[str, str]


@dataclass(frozen=True)
class _Sample:
    """The sampled views of one shard."""

    path: Path
    meta: ShardMeta
    views: Table
    scenes: Table
    rows: list[int]

    def by_scene(self) -> dict[str, list[int]]:
        """The rows of each scene that has some."""
        rows: dict[str, list[int]] = {}
        for row in self.rows:
            rows.setdefault(str(self.views["scene_id"][row]), []).append(row)
        return rows


class _AnotherMesh(Exception):
    """The file is not the mesh that was rendered."""


def reproject(shards: Sequence[Path], meshes: Sequence[Path], sample: int) -> Reprojection:
    """Compare a sample of stored views with the projections of their meshes.

    Args:
        shards: shard files.
        meshes: files, folders or archives that hold the meshes; found by scene id.
        sample: how many views, spread evenly over all shards and scenes.

    Raises:
        EnrError: a shard cannot be read, or there are no meshes, or none of the scenes is among them.
    """
    sources = {source.scene_id: source for source in find_meshes(meshes)}
    fits: list[ViewFit] = []
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    for part in _samples(shards, sample):
        own: list[ViewFit] = []
        for scene_id, rows in part.by_scene().items():
            try:
                pictures = _pictures(part, rows, sources.get(scene_id))
                compared = {row: fit(picture) for row, picture in pictures.items()}
                findings += _judge_scene(part, pictures, compared)
            except _AnotherMesh as error:
                findings.append(Finding(part.path, str(error)))
            except (EnrError, OSError) as error:
                skipped[scene_id] = str(error)
            else:
                index = part.views["view_index"]
                own += [
                    ViewFit(scene_id, int(index[row]), one.iou, one.outline_px, one.offset_px)
                    for row, one in compared.items()
                ]
        findings += _judge_offsets(part.path, [one.offset_px for one in own if one.outline_px <= FIRST_ORDER_PX])
        fits += own
    if not fits and not findings:
        found = sources.keys() & skipped.keys()
        reason = skipped[min(found)] if found else next(iter(skipped.values()), "no view was sampled")
        advice = "none of the meshes can be compared" if found else "give the folder of the meshes that were rendered"
        raise EnrError(f"No view could be reprojected ({reason}); {advice}.")
    return Reprojection(tuple(fits), tuple(findings), skipped)


def _samples(shards: Sequence[Path], sample: int) -> Iterator[_Sample]:
    """Rows of views, spread evenly over all views of all shards."""
    tables = [(path, *read_tables(path)) for path in shards]
    counts = [len(views["scene_id"]) for _, _, views, _ in tables]
    chosen = np.unique(np.linspace(0, sum(counts) - 1, min(sample, sum(counts))).round().astype(int))
    starts = np.cumsum([0, *counts])
    for (path, meta, views, scenes), start, count in zip(tables, starts, counts, strict=False):
        rows = chosen[(chosen >= start) & (chosen < start + count)] - start
        yield _Sample(path, meta, views, scenes, rows.tolist())


def _pictures(part: _Sample, rows: Sequence[int], source: MeshSource | None) -> dict[int, Picture]:
    """The sampled views of a scene, by row.

    Raises:
        EnrError: they cannot be compared; the reason.
        OSError: the mesh cannot be read.
        _AnotherMesh: the mesh has changed.
    """
    scene_id = str(part.views["scene_id"][rows[0]])
    if source is None:
        raise EnrError(f"no mesh of the id {scene_id} among those given")
    scene = part.scenes["scene_id"].tolist().index(scene_id)
    if mesh_sha256(source) != part.scenes["mesh_sha256"][scene]:
        raise _AnotherMesh(f"scene {scene_id}: {source.place} is not the mesh that was rendered")
    vertices, faces = _load(source, part.meta, str(part.scenes["materials"][scene]))
    world = part.scenes["normalise_scale"][scene] * (vertices + part.scenes["normalise_offset"][scene])
    cameras, K = part.views["world_from_camera"], part.views["K"]
    with open_shard(part.path) as file:
        alphas = {row: alpha for row in rows if (alpha := _silhouette(file, row)) is not None}
    if not alphas:
        raise EnrError("its pictures are opaque (something was rendered behind it) and no mask is stored")
    return {row: Picture(alpha, world[faces], cameras[row], K[row]) for row, alpha in alphas.items()}


def _silhouette(file: Any, row: int) -> np.ndarray | None:
    """(height, width) uint8: a view's alpha; its mask where the picture has no hole in it; None without one."""
    alpha = file["images"][row, ..., 3]
    if (alpha < OPAQUE).any():
        return np.asarray(alpha)
    return np.asarray(file["mask"][row].astype(np.uint8) * OPAQUE) if "mask" in file else None


def _load(source: MeshSource, meta: ShardMeta, materials: str) -> tuple[Array, np.ndarray]:
    """Vertices and faces of a mesh, from its archive too, with the up axis that the shard was made with.

    Raises:
        EnrError: it cannot be read, or is not rendered as its triangles are.
    """
    up_axis = meta.config.get("render", {}).get("up_axis", "auto")
    with tempfile.TemporaryDirectory(prefix="enr-reproject-") as scratch:
        staged = stage(source, Path(scratch), up_axis)
        reason = why_not_comparable(staged.path, materials)
        if reason:
            raise EnrError(f"{reason}; look at its pictures (`enr inspect`)")
        vertices, faces = load_triangles(staged.path, UP_AXIS_OF[staged.up_axis])
        return vertices + staged.offset, faces


def _judge_scene(part: _Sample, pictures: dict[int, Picture], fits: dict[int, Fit]) -> Iterator[Finding]:
    """The views of a scene that do not show its mesh.

    Raises:
        EnrError: some of its pictures have more, or less, than its triangles, and no camera explains that.
    """
    limits = {row: outline_limit_px(part.meta, fit.noise_px) for row, fit in fits.items()}
    if np.median([fit.noise_px for fit in fits.values()]) > THIN_PX and min(limits.values()) > MOST_PX:
        raise EnrError("it is thinner than a pixel, of which few samples say little; render more samples or pixels")
    wrong = sorted((row for row in fits if fits[row].outline_px > limits[row]), key=lambda row: -fits[row].outline_px)
    if not wrong:
        return
    reasons = {row: explanation(pictures[row], _cameras(part, row), limits[row]) for row in wrong[:EXPLAINED]}
    others_fit = len(wrong) < len(fits)
    explained, worst = any(reasons.values()), fits[wrong[0]]
    if not explained and not (others_fit and _is_another(worst, limits[wrong[0]])):
        shown = _shown_words(int(part.views["view_index"][wrong[0]]), worst)
        if others_fit:
            raise EnrError(f"its pictures show {shown}, and no other camera explains that; {LOOK}")
        words = "neither its cameras nor its mesh explain its pictures"
        yield Finding(part.path, f"scene {part.views['scene_id'][wrong[0]]}: {words}, which show {shown}; {LOOK}")
        return
    for row in sorted(wrong):
        reason = reasons.get(row) or ("other views fit" if others_fit else "as those of other views are")
        yield Finding(
            part.path,
            f"view {part.views['view_index'][row]} of scene {part.views['scene_id'][row]} does not show its mesh: "
            f"outlines {fits[row].outline_px:.2f} px apart (IoU {fits[row].iou:.3f}), at most {limits[row]:.2f} px "
            f"expected; its camera is wrong ({reason})",
        )


def _is_another(fit: Fit, limit_px: float) -> bool:
    """Whether a picture has both more and less than the triangles: not the mesh cut out, nor with something added."""
    return min(fit.excess_px, fit.missing_px) > limit_px


def _shown_words(view: int, fit: Fit) -> str:
    shown = "more" if fit.excess_px > fit.missing_px else "less"
    return f"{shown} than its triangles (view {view}: outlines {fit.outline_px:.2f} px apart, IoU {fit.iou:.3f})"


def _cameras(part: _Sample, own: int) -> dict[str, Array]:
    """The cameras of other views, those of the same scene first, by words."""
    scene_id, index = part.views["scene_id"], part.views["view_index"]
    order = np.argsort(scene_id != scene_id[own], kind="stable").tolist()
    return {
        f"it is that of view {index[row]} of scene {scene_id[row]}": part.views["world_from_camera"][row]
        for row in order[: MOST_OTHERS + 1]
        if row != own
    }


def _judge_offsets(path: Path, offsets: Sequence[Array]) -> Iterator[Finding]:
    columns = [column[np.isfinite(column)] for column in np.reshape(offsets, (-1, len(OFFSETS))).T]
    median = [float(np.median(column)) if len(column) >= OFFSET_VIEWS else 0.0 for column in columns]
    if max(map(abs, median)) > OFFSET_PX:
        where = ", ".join(f"{value:+.2f} px {name}" for value, name in zip(median, OFFSETS, strict=True))
        yield Finding(
            path,
            f"the pictures lie beside the projected meshes ({where}; medians of {len(offsets)} views, at most "
            f"{OFFSET_PX} px expected); K or the cameras are slightly wrong",
        )


def outline_limit_px(meta: ShardMeta, noise_px: float) -> float:
    """Largest distance of outlines that the noise of a shard's pictures explains, in pixels."""
    samples = meta.config.get("render", {}).get("samples", 1)
    return OUTLINE_PX + max(NOISE_PX, noise_px) / float(np.sqrt(max(samples, 1)))
