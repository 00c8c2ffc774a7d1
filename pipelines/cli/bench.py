"""`enr bench`: how fast each part is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

PARTS = ("datagen", "loader", "train", "render")
HELP = """
Measure PART (all by default) and print JSON: rates, where the time goes, peak memory.

datagen: images/s, what a picture's time goes into, and how much faster that is than an upper-bound loop in Blender
and than a new Blender for each mesh, on the same meshes. loader: pairs/s of views from warm files.
train: images/s of whole training steps. render: frames/s of one scene seen from moving cameras.
"""


@click.command("bench", help=HELP)
@click.argument("part", type=click.Choice(["all", *PARTS]), default="all")
@click.option("--meshes", multiple=True, type=click.Path(path_type=Path), help="Files or folders [default: built in].")
@click.option("--count", type=click.IntRange(1), help="Only the first so many meshes, by their ids [default: all].")
@click.option("--scaling", is_flag=True, help="Measure datagen with one worker, too.")
@click.option(
    "--check-pairs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Measure datagen so many times with and without its checks of each mesh.",
)
@click.option("--shards", multiple=True, type=click.Path(path_type=Path), help="For loader and train [default: noise].")
@click.option("--views", type=click.IntRange(2), default=50, show_default=True, help="Pictures of each mesh.")
@click.option(
    "--resolution", type=click.IntRange(8, 4096), default=64, show_default=True, help="Picture size in pixels."
)
@click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Paths for each pixel.")
@click.option("--workers", type=click.IntRange(1), help="Blender processes [default: one for each core].")
@click.option("--preset", default="small-64", show_default=True, help="Model that is trained and rendered with.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Pairs of views a batch.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Per figure.")
@click.option("--json", "as_json", is_flag=True, help="JSON on one line [default: indented].")
def command(part: str, as_json: bool, **options: Any) -> None:
    """`enr bench`."""
    from enr.datagen.workers.pool import default_workers
    from enr.pipelines.speed.benchmark import BenchSettings, run_benchmark

    settings = BenchSettings(
        meshes=options["meshes"],
        count=options["count"],
        scaling=options["scaling"],
        check_pairs=options["check_pairs"],
        shards=options["shards"],
        views=options["views"],
        resolution_px=options["resolution"],
        samples=options["samples"],
        workers=options["workers"] or default_workers(),
        preset=options["preset"],
        batch_size=options["batch_size"],
        seconds=options["seconds"],
    )
    results = run_benchmark(PARTS if part == "all" else (part,), settings)  # type: ignore[arg-type]
    click.echo(json.dumps(results, indent=None if as_json else 2))
