"""What is rendered, and by which Blender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

OPTIONS = (
    click.option(
        "--max-meshes",
        type=click.IntRange(1),
        help="At most so many of the meshes, drawn by a hash of their ids [default: all].",
    ),
    click.option(
        "--up-axis",
        type=click.Choice(["auto", "y", "z"]),
        default="auto",
        show_default=True,
        help="What points up in OBJ, glTF (auto: y), PLY, STL and OFF (auto: z); other formats say it themselves.",
    ),
    click.option(
        "--blender",
        metavar="PATH",
        help="An installed Blender's executable (3.4 or later) for the workers [default: the bpy package].",
    ),
)


def blender_executable(options: dict[str, Any]) -> Path | None:
    """The installed Blender to use; None for the bpy package.

    Raises:
        EnrError: there is none at that path, or one that is too old.
    """
    from enr.datagen.workers.installed_blender import find_blender

    return find_blender(options["blender"]) if options["blender"] else None


def left_alone(options: dict[str, Any]) -> str:
    """One line about the given folders' files of formats that are not read; empty if there are none."""
    from enr.datagen.meshes.discovery import unread_files
    from enr.datagen.meshes.formats import unread_words

    return unread_words(unread_files(options["meshes"]))
