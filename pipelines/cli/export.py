"""`enr export`: shards in other projects' layouts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from enr.words import count_of

HELP = """
Write SHARDS (.h5 files or folders of them) in the layout of another project, the same cameras in its axes.
"""


@click.command("export", help=HELP)
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    type=click.Choice(["nerf", "srn", "apple", "webdataset"]),
    required=True,
    help="Write the layout of NeRF (transforms.json), SRN (rgb/, pose/, intrinsics.txt), Apple "
    "(render_params.json) or WebDataset (tar files).",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Write to this folder, which is empty or absent."
)
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty, replacing scenes of that name.")
def command(shards: tuple[Path, ...], layout: Any, out: Path, overwrite: bool) -> None:
    """`enr export`."""
    from enr.datagen.export.dataset import export
    from enr.shards.find import find_shards

    done = export(find_shards(shards), layout, out, overwrite, progress=sys.stderr.isatty())
    click.echo(f"{count_of(done.images, 'image')} of {count_of(done.scenes, 'scene')} in {done.out}, layout {layout}")
