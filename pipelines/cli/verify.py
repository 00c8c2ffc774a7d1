"""`enr verify`: whether shards are whole, and whether their cameras are true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enr.words import count_of

if TYPE_CHECKING:
    from enr.datagen.verify.integrity import Verified
    from enr.datagen.verify.reprojection import Reprojection

SKIPPED_SHOWN = 5
HELP = """
Check SHARDS (.h5 files or folders of them): layout, SHA-256 of each data set, counts, cameras, missing files.

Prints a line for everything that is wrong. Exit status 0 if all is well, 1 if not.
"""


@click.command("verify", help=HELP)
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reproject",
    "meshes",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Project the meshes in this file, folder or zip archive into stored views and compare the "
    "silhouettes; repeatable.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Look at so many views with --reproject, spread over all scenes.",
)
def command(shards: tuple[Path, ...], meshes: tuple[Path, ...], sample: int) -> None:
    """`enr verify`."""
    from enr.datagen.verify.integrity import verify_shards
    from enr.shards.find import find_shards

    files = find_shards(shards)
    verified = verify_shards(files)
    for finding in verified.findings:
        click.echo(finding)
    click.echo(_summary(verified))
    if verified.findings:
        sys.exit(1)
    if meshes:
        sys.exit(_reproject(files, meshes, sample))


def _summary(verified: Verified) -> str:
    shards = count_of(verified.shards, "shard")
    if verified.damaged:
        shards += f" ({verified.damaged} damaged, not counted further)"
    counts = [shards, count_of(verified.scenes, "scene"), count_of(verified.images, "image")]
    if verified.without_hashes:
        counts.append(f"{count_of(verified.without_hashes, 'shard')} without hashes (schema 1)")
    return f"{', '.join(counts)}: {_verdict(len(verified.findings))}"


def _reproject(files: tuple[Path, ...], meshes: tuple[Path, ...], sample: int) -> int:
    """Compare, print, and the exit status."""
    from enr.datagen.verify.reprojection import reproject

    result = reproject(files, meshes, sample)
    for finding in result.findings:
        click.echo(finding)
    for scene_id, reason in list(result.skipped.items())[:SKIPPED_SHOWN]:
        click.echo(f"not compared: {scene_id}: {reason}")
    if len(result.skipped) > SKIPPED_SHOWN:
        click.echo(f"not compared: {count_of(len(result.skipped) - SKIPPED_SHOWN, 'more scene')}")
    click.echo(_reprojection_summary(result))
    return 1 if result.findings else 0


def _reprojection_summary(result: Reprojection) -> str:
    import numpy as np

    if not result.fits:
        return f"no view reprojected: {_verdict(len(result.findings))}"
    iou = [fit.iou for fit in result.fits]
    outline_px = [fit.outline_px for fit in result.fits]
    return (
        f"{count_of(len(iou), 'view')} reprojected: IoU median {np.median(iou):.3f}, lowest {min(iou):.3f}; outlines "
        f"{np.median(outline_px):.2f} px apart in the median, {max(outline_px):.2f} px at most: "
        f"{_verdict(len(result.findings))}"
    )


def _verdict(findings: int) -> str:
    return count_of(findings, "finding") if findings else "all well"
