"""`enr convert`: posed pictures that others made, to shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from enr.pipelines.cli.sections import given
from enr.words import count_of

if TYPE_CHECKING:
    from enr.datagen.convert.conversion import Converted

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@click.command(
    "convert",
    help="Turn the posed pictures of FOLDER, which others made, into shards in this project's conventions.",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "layout",
    type=click.Choice(["apple", "uva"]),
    required=True,
    help="Read the layout `apple`, of the published implementation (angles in degrees, a camera that "
    "circles), or `uva`, of the report that added translations (radians, objects that move, patch_* "
    "entries).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("shards"),
    show_default=True,
    help="Write the shards to this folder.",
)
@click.option(
    "--split",
    type=click.Choice(["folders", "hash", "train", "val", "test"]),
    default="folders",
    show_default=True,
    help="Split the scenes by the train, val and test folders (`folders`; by the hash where there are "
    "none), always by a hash of the scene's id, or put all in one split.",
)
@click.option(
    "--radius",
    type=float,
    default=2.0,
    show_default=True,
    help="Place the cameras so far from the point looked at, in object units (2.0 for the chairs, 1.3 for SRN's cars).",
)
@click.option(
    "--focal-px",
    type=float,
    help="Take this focal length, in pixels of the pictures in FOLDER [default: 131.25 (apple) or 177.78 "
    "(uva) at 128 px, in proportion to the width].",
)
@click.option(
    "--resolution", help="Shrink the pictures to N or WIDTHxHEIGHT pixels, by area [default: they stay as they are]."
)
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip"]),
    default="none",
    show_default=True,
    help="Compress the pictures in the shards.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier conversion in the same folder.")
def command(**_: object) -> None:
    """`enr convert`."""
    from enr.datagen.convert.conversion import convert
    from enr.pipelines.config.data_sets import ConvertConfig
    from enr.pipelines.generation.settings import convert_settings

    try:
        converted = convert(convert_settings(ConvertConfig(**given())), progress=True)
    except KeyboardInterrupt:
        click.echo("Stopped; nothing was written.", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(_report(converted))


def _report(converted: Converted) -> str:
    """The outcome in a few lines."""
    width_px, height_px = converted.size_px
    scenes = sum(converted.scenes.values())
    parts = [f"{count} {group} {split}" for (group, split), count in sorted(converted.scenes.items())]
    hashed = (
        f"no folder names a split of {count_of(converted.hashed, 'scene')}: divided by a hash of the scene's id; "
        "--split test puts all of them into test, where `enr eval` measures them"
    )
    return "\n".join(
        [
            f"{count_of(converted.images, 'picture')} of {width_px}x{height_px} px of {count_of(scenes, 'scene')} "
            f"in {count_of(len(converted.shards), 'shard')}",
            f"scenes: {', '.join(parts)}",
            *([hashed] if converted.hashed else []),
            f"{converted.clipped / converted.images:.1%} of the views are clipped by the picture's border",
            f"shards in {converted.shards[0].parent}, contact sheet {', '.join(map(str, converted.contact_sheets))}",
        ]
    )
