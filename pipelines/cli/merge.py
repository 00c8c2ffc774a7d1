"""`enr merge`: parts of a data set to one."""

from __future__ import annotations

from pathlib import Path

import click

from enr.words import count_of

HELP = """
Join the parts in FOLDERS that `enr datagen --part` made: check them, write one manifest, card, contact sheet.

Shards that lie in --out already stay where they are; others are linked there, or copied.
"""


@click.command("merge", help=HELP)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the whole to this folder [default: the parts' folder, if it is one].",
)
def command(folders: tuple[Path, ...], out: Path | None) -> None:
    """`enr merge`."""
    from enr.datagen.metadata.merge import merge
    from enr.errors import EnrError

    if out is None and len(folders) > 1:
        raise EnrError("--out is missing; with parts in several folders, give the folder of the whole.")
    for merged in merge(folders, out or folders[0]):
        click.echo(
            f"{merged.name}: {count_of(merged.images, 'image')} of {count_of(merged.scenes, 'mesh')} in "
            f"{count_of(len(merged.shards), 'shard')}; {count_of(merged.failures, 'mesh')} failed\n"
            f"{merged.manifest}\n{merged.card}\n{merged.contact_sheet}"
        )
