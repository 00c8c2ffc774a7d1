"""The judge of cameras: what silhouettes leave of a cube, seen from cameras that did not carve it.

Wrong cameras carve the object itself away, so that the hull no longer covers the other silhouettes.
"""

from __future__ import annotations

import numpy as np

from enr.camera import project

SIDE = 1.2
CELLS = 64
EVERY = 2


def cell_centres(cells: int = CELLS) -> np.ndarray:
    """(cells³, 3) centres of the cells of a cube around the origin."""
    along = (np.arange(cells) + 0.5) / cells * SIDE - SIDE / 2
    return np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)


def carve(masks: np.ndarray, cameras: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Centres (n, 3) of the cells that no silhouette contradicts; a cell beyond a picture's border is not judged.

    Args:
        masks: (views, height, width) bool silhouettes.
        cameras: (views, 4, 4) `world_from_camera`.
        K: (views, 3, 3).
    """
    left = cell_centres()
    for mask, camera, lens in zip(masks, cameras, K, strict=True):
        row, column, inside = _pixels(left, camera, lens, mask.shape)
        kept = ~inside
        kept[inside] = mask[row, column]
        left = left[kept]
    return left


def cover(points: np.ndarray, camera: np.ndarray, K: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(height, width) bool: the pixels that cells around points (n, 3) cover, each cell drawn as 2x2x2 points."""
    quarter = SIDE / CELLS / 4
    corners = np.stack(np.meshgrid(*[(-quarter, quarter)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    row, column, _ = _pixels((points + corners).reshape(-1, 3), camera, K, shape)
    covered = np.zeros(shape, dtype=bool)
    covered[row, column] = True
    return covered


def _pixels(
    points: np.ndarray, camera: np.ndarray, K: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the points within the picture, and (n,) which those are."""
    pixels, depth = project(points, camera, K)
    column, row = np.floor(np.nan_to_num(pixels, nan=-1.0)).T
    inside = (depth > 0) & (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    return row[inside].astype(int), column[inside].astype(int), inside


def hull_iou(masks: np.ndarray, cameras: np.ndarray, K: np.ndarray) -> float:
    """Mean IoU of the hull carved from every second view with the silhouettes of the others; 0 where it is gone."""
    hull = carve(masks[::EVERY], cameras[::EVERY], K[::EVERY])
    others = np.arange(len(masks))
    overlaps = []
    for view in others[others % EVERY != 0]:
        seen = cover(hull, cameras[view], K[view], masks[view].shape)
        either = (seen | masks[view]).sum()
        overlaps.append((seen & masks[view]).sum() / either if either else 1.0)
    return float(np.mean(overlaps))
