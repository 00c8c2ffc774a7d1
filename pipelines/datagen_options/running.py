"""How the work is done and where its result goes; of no consequence for the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError
from enr.pipelines.datagen_options.pictures import picture_size

if TYPE_CHECKING:
    from enr.datagen.pool import PoolSettings

SECONDS_A_MESH = 120.0
SECONDS_A_VIEW = 2.0
SECONDS_A_PATH = 2e-5

OPTIONS = (
    click.option(
        "--split",
        type=(float, float, float),
        default=(86.0, 12.0, 2.0),
        show_default=True,
        metavar="TRAIN VAL TEST",
        help="Shares of the meshes; which goes where is decided by a hash of its id.",
    ),
    click.option("--out", type=click.Path(path_type=Path), default=Path("shards"), show_default=True, help="Folder."),
    click.option(
        "--compression", type=click.Choice(["none", "gzip"]), default="none", show_default=True, help="Of the pictures."
    ),
    click.option("--overwrite", is_flag=True, help="Replace shards of the same group made with other settings."),
    click.option("--workers", type=click.IntRange(1), help="Blender processes [default: one for each core]."),
    click.option(
        "--mesh-timeout",
        type=click.FloatRange(0, min_open=True),
        help="Seconds before a mesh is given up [default: by views, picture size and samples].",
    ),
)


def pool_settings(options: dict[str, Any]) -> PoolSettings:
    """The workers' settings; the time limit for a mesh follows from how much there is to render."""
    from enr.datagen.pool import PoolSettings, default_workers

    width_px, height_px = picture_size(options["resolution"])
    paths = width_px * height_px * options["samples"]
    patience_s = SECONDS_A_MESH + options["views"] * (SECONDS_A_VIEW + SECONDS_A_PATH * paths)
    return PoolSettings(
        workers=options["workers"] or default_workers(), mesh_timeout_s=options["mesh_timeout"] or patience_s
    )


def split_shares(options: dict[str, Any]) -> tuple[float, float, float]:
    """Shares of train, val and test that sum to 1.

    Raises:
        EnrError: a share is negative, or all are zero.
    """
    shares = options["split"]
    total = sum(shares)
    if min(shares) < 0 or not total > 0:
        raise EnrError(f"--split got {shares}; give three shares that are not negative, such as 86 12 2.")
    return shares[0] / total, shares[1] / total, shares[2] / total
