"""Whether stored views show what their meshes look like from the stored cameras: projected against rendered outlines.

For every view of a sample the mesh is projected, without Blender, with the stored camera, intrinsics and
normalisation, and the covered share of each pixel is compared with the stored alpha. Two numbers judge a view:

- `outline_px`: the area in which the two differ, over the length of the projected outline, in pixels: how far the
  outlines lie apart on average. About 0.04 px for a right camera at 16 samples a pixel, whatever the resolution;
  several pixels for a mirrored azimuth or another view's camera.
- `offset_px`: the move right and down, the growth and the turn of the picture (as pixels at the outline) that explain
  the difference best, to first order. Their medians over the views tell a systematic error far below a pixel (a
  principal point that is half a pixel off, another focal length).

A glass surface makes the alpha small, not the silhouette, and a mask knows no shares, so a view is also right if the
pixels that are half covered, or merely touched, agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enr.camera import Array
from enr.datagen.meshes.discovery import MeshSource, find_meshes, mesh_sha256
from enr.datagen.meshes.formats import UpAxis
from enr.datagen.meshes.staging import stage
from enr.datagen.meshes.triangles import load_triangles
from enr.datagen.verify.comparable import why_not_comparable
from enr.datagen.verify.integrity import Finding
from enr.datagen.verify.raster import fine_raster
from enr.errors import EnrError
from enr.shards import ShardMeta, Table, open_shard, read_tables

OUTLINE_PX = 0.2
"""Largest distance of outlines, before what the noise of the samples adds."""
NOISE_PX = 0.4
"""What one sample a pixel adds; it falls with the square root of their number."""
OFFSET_PX = 0.1
"""Largest median of a systematic error."""
GLASS_PX = 0.3
"""Where the shares of pixels fit worse than the touched pixels by this, the object is seen through."""
FIRST_ORDER_PX = 1.0
"""Outlines that lie further apart are another picture, not one that was moved a little."""
OFFSET_VIEWS = 4
"""From so many views on a median says something."""
OPAQUE = 255
FINE_WIDTH = 1024
MOST_FINE, LEAST_FINE = 8, 2
UP_AXIS_OF: dict[str | None, UpAxis] = {None: "auto", "Y": "y", "Z": "z"}
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
        own = list(_fit_shard(part, sources, skipped, findings))
        findings += _judge(part, own)
        fits += own
    if not fits and not findings:
        found = sources.keys() & skipped.keys()
        reason = skipped[min(found)] if found else next(iter(skipped.values()), "no view was sampled")
        advice = "none of the meshes can be compared" if found else "give the folder of the meshes that were rendered"
        raise EnrError(f"No view could be reprojected ({reason}); {advice}.")
    return Reprojection(tuple(fits), tuple(findings), skipped)


def fit_view(alpha: np.ndarray, triangles: Array, world_from_camera: Array, K: Array) -> tuple[float, float, Array]:
    """IoU, distance of the outlines in pixels and offset (4,) in pixels of a picture and projected triangles.

    Args:
        alpha: (height, width) uint8.
        triangles: (m, 3, 3) in the world.
        world_from_camera: (4, 4).
        K: (3, 3) in pixels.
    """
    height, width = alpha.shape
    fine = int(np.clip(FINE_WIDTH // max(width, height), LEAST_FINE, MOST_FINE))
    expected = fine_raster(triangles, world_from_camera, K, (height, width), fine).coverage()
    found = alpha / 255.0
    first, second = found >= 0.5, expected >= 0.5
    iou = float((first & second).sum() / max((first | second).sum(), 1)) if (first | second).any() else 1.0
    shares = _outline_px(found, expected)
    touched = (found > 0).astype(float), (expected > 0).astype(float)
    distance = min(shares, _outline_px(first.astype(float), second.astype(float)), _outline_px(*touched))
    if ((found > 0) & (found < 1)).any() and shares <= distance + GLASS_PX:
        return iou, distance, _offset_px(found, expected)
    # A few samples miss pixels that are hardly touched, so nothing is said of the growth.
    return iou, distance, _offset_px(*touched) * [1, 1, np.nan, 1]


def _outline_px(found: Array, expected: Array) -> float:
    """Area of the difference over the length of the outline; over 1 px where there is no outline."""
    down, right = np.gradient(expected)
    return float(np.abs(found - expected).sum() / max(np.hypot(down, right).sum(), 1.0))


def _offset_px(found: Array, expected: Array) -> Array:
    """(4,) least-squares move right, down, outwards and turn clockwise, in pixels at the outline; NaN without one."""
    down, right = np.gradient(expected)
    weight = np.hypot(down, right)
    if not weight.any():
        return np.full(4, np.nan)
    y, x = np.mgrid[: found.shape[0], : found.shape[1]] + 0.5
    y, x = y - np.average(y, weights=weight), x - np.average(x, weights=weight)
    reach = max(float(np.sqrt(np.average(x**2 + y**2, weights=weight))), 1.0)
    outwards, turned = (right * x + down * y) / reach, (down * x - right * y) / reach
    columns = np.stack([motion.ravel() for motion in (right, down, outwards, turned)], axis=1)
    return np.asarray(np.linalg.lstsq(columns, (expected - found).ravel(), rcond=None)[0])


def _samples(shards: Sequence[Path], sample: int) -> Iterator[_Sample]:
    """Rows of views, spread evenly over all views of all shards."""
    tables = [(path, *read_tables(path)) for path in shards]
    counts = [len(views["scene_id"]) for _, _, views, _ in tables]
    chosen = np.unique(np.linspace(0, sum(counts) - 1, min(sample, sum(counts))).round().astype(int))
    starts = np.cumsum([0, *counts])
    for (path, meta, views, scenes), start, count in zip(tables, starts, counts, strict=False):
        rows = chosen[(chosen >= start) & (chosen < start + count)] - start
        yield _Sample(path, meta, views, scenes, rows.tolist())


def _fit_shard(
    part: _Sample, sources: dict[str, MeshSource], skipped: dict[str, str], findings: list[Finding]
) -> Iterator[ViewFit]:
    """The fit of each sampled view; a scene's mesh is read once."""
    scene_row = {scene_id: row for row, scene_id in enumerate(part.scenes["scene_id"].tolist())}
    loaded, triangles = "", None
    for row in part.rows:
        scene_id = str(part.views["scene_id"][row])
        if scene_id != loaded:
            loaded, triangles = scene_id, _world_triangles(part, scene_row[scene_id], sources, skipped, findings)
        if triangles is None:
            continue
        alpha = _silhouette(part.path, row)
        if alpha is None:
            skipped[scene_id] = "its pictures are opaque (something was rendered behind it) and no mask is stored"
            continue
        camera, K = part.views["world_from_camera"][row], part.views["K"][row]
        yield ViewFit(scene_id, int(part.views["view_index"][row]), *fit_view(alpha, triangles, camera, K))


def _silhouette(path: Path, row: int) -> np.ndarray | None:
    """(height, width) uint8: a view's alpha; its mask where the picture has no hole in it; None without one."""
    with open_shard(path) as file:
        alpha = file["images"][row, ..., 3]
        if (alpha < OPAQUE).any():
            return np.asarray(alpha)
        return file["mask"][row].astype(np.uint8) * OPAQUE if "mask" in file else None


def _world_triangles(
    part: _Sample, row: int, sources: dict[str, MeshSource], skipped: dict[str, str], findings: list[Finding]
) -> Array | None:
    """A scene's mesh in the world, (m, 3, 3); None if it cannot be compared, which is noted."""
    scene_id = str(part.scenes["scene_id"][row])
    source = sources.get(scene_id)
    if source is None:
        skipped[scene_id] = f"no mesh of the id {scene_id} among those given"
        return None
    try:
        if mesh_sha256(source) != part.scenes["mesh_sha256"][row]:
            findings.append(Finding(part.path, f"scene {scene_id}: {source.place} is not the mesh that was rendered"))
            return None
        vertices, faces = _load(source, part.meta, str(part.scenes["materials"][row]))
    except (EnrError, OSError) as error:
        skipped[scene_id] = str(error)
        return None
    world = part.scenes["normalise_scale"][row] * (vertices + part.scenes["normalise_offset"][row])
    return np.asarray(world[faces])


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


def _judge(part: _Sample, fits: Sequence[ViewFit]) -> Iterator[Finding]:
    """Views that do not show their mesh, then what all views of the shard have in common."""
    limit_px = outline_limit_px(part.meta)
    for fit in fits:
        if fit.outline_px > limit_px:
            yield Finding(
                part.path,
                f"view {fit.view_index} of scene {fit.scene_id} does not show its mesh: outlines {fit.outline_px:.2f} "
                f"px apart (IoU {fit.iou:.3f}), at most {limit_px:.2f} px expected; its camera or mesh is another",
            )
    yield from _judge_offsets(part.path, [fit.offset_px for fit in fits if fit.outline_px <= FIRST_ORDER_PX])


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


def outline_limit_px(meta: ShardMeta) -> float:
    """Largest distance of outlines that the noise of a shard's pictures explains, in pixels."""
    samples = meta.config.get("render", {}).get("samples", 1)
    return OUTLINE_PX + NOISE_PX / float(np.sqrt(max(samples, 1)))
