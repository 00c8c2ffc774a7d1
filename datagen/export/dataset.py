"""Shards in the layouts that other projects read. What each layout means stands in `enr.datagen.export.layouts`."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from enr import __version__
from enr.datagen.export.layouts import FOLDER_LAYOUTS, LAYOUTS, ExportedViews, Layout
from enr.datagen.export.webdataset import TarWriter
from enr.errors import EnrError
from enr.files import replacing_folder, write_text
from enr.shards import PASS_SHAPES, Table, open_shard, read_tables
from enr.shards.checks import check_intact

ABOUT = "about.json"
LONGEST_NAME, LONGEST_KEY = 200, 75
"""Characters of a scene's name: of 255 in a file system, with what a folder is called while it is made; of 100 in a tar
file, with the view and the suffix."""
FETCH_AGAIN = "make it again with the command of its dataset card, or copy it again, before it goes elsewhere"


@dataclass(frozen=True)
class Exported:
    """What was written: scenes (of each group), images, and where."""

    scenes: int
    images: int
    out: Path


@dataclass(frozen=True)
class _Source:
    """One scene in its shard: `rows` of the per-view tables."""

    path: Path
    rows: slice
    scene: ExportedViews


def export(
    shards: Sequence[Path], layout: Layout, out: Path, overwrite: bool = False, progress: bool = False
) -> Exported:
    """Write every view of some shards in another project's layout.

    All scenes are looked at before anything is written; a scene's folder (a tar file) is complete or absent.

    Args:
        shards: shard files.
        layout: `nerf`, `srn`, `apple` or `webdataset`.
        out: the folder; made if absent.
        overwrite: write into a folder that is not empty, replacing the scenes that are written again.
        progress: show a bar on standard error.

    Raises:
        EnrError: a shard cannot be read or is damaged, the layout has no place for a scene's cameras, or the folder is
            not empty or cannot be written to.
    """
    if layout not in LAYOUTS:
        raise EnrError(f"The layout is {layout!r}; give one of {', '.join(LAYOUTS)}.")
    check_intact(shards, FETCH_AGAIN)
    sources = list(_sources(shards, LONGEST_NAME if layout in FOLDER_LAYOUTS else LONGEST_KEY))
    folders = FOLDER_LAYOUTS.get(layout)
    if folders:
        for source in sources:
            folders.check(source.scene)
    if out.exists() and not out.is_dir():
        raise EnrError(f"{out} is a file; give a folder as --out.")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise EnrError(f"{out} is not empty; give another --out, or --overwrite to replace what is written again.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        bar = tqdm(sources, unit=" scenes", disable=not progress)
        if folders:
            for source in bar:
                for folder, views in folders.folders(_with_pictures(source)):
                    with replacing_folder(out / folder) as partial:
                        folders.write(partial, views)
        else:
            _write_tars(bar, out)
        _write_about(out, layout, shards)
    except OSError as error:
        raise EnrError(
            f"{out} cannot be written to ({error.strerror or error}); make room or give another --out."
        ) from error
    return Exported(len(sources), sum(len(source.scene) for source in sources), out)


def _sources(shards: Sequence[Path], longest: int) -> Iterator[_Source]:
    """Every scene of every shard, without its pictures, under names unique in its group and not over `longest`."""
    tables = [(path, *read_tables(path)) for path in shards]
    ids = [(meta.group, scene_id) for _, meta, _, scenes in tables for scene_id in scenes["scene_id"].tolist()]
    times = Counter((group, _safe(scene_id)) for group, scene_id in ids)
    for path, meta, views, _ in tables:
        ids_of_views = views["scene_id"]
        edges = [0, *(np.flatnonzero(ids_of_views[1:] != ids_of_views[:-1]) + 1).tolist(), len(ids_of_views)]
        for start, stop in itertools.pairwise(edges):
            if start == stop:
                continue
            scene_id, rows = str(ids_of_views[start]), slice(start, stop)
            name = _safe(scene_id)
            if times[meta.group, name] > 1 or len(name) > longest:
                name = name[: longest - 9] + "-" + hashlib.sha256(scene_id.encode()).hexdigest()[:8]
            own: Table = {column: values[rows] for column, values in views.items()}
            yield _Source(path, rows, ExportedViews(meta, scene_id, name, own))


def _safe(scene_id: str) -> str:
    """The id as a name of a folder and of tar members: letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", scene_id)


def _with_pictures(source: _Source) -> ExportedViews:
    with open_shard(source.path) as file:
        images = file["images"][source.rows]
        passes = {name: file[name][source.rows] for name in PASS_SHAPES if name in file}
    return source.scene.with_pictures(images, passes)


def _write_tars(sources: tqdm[Any], out: Path) -> None:
    """Samples into one series of tar files for each group and split."""
    with contextlib.ExitStack() as stack:
        writers: dict[str, TarWriter] = {}
        for source in sources:
            scene = _with_pictures(source)
            for split in scene.splits:
                series = f"{scene.meta.group}-{split}"
                if series not in writers:
                    writers[series] = stack.enter_context(TarWriter(out, series))
                writers[series].add(scene.of_split(split))


def _write_about(out: Path, layout: Layout, shards: Sequence[Path]) -> None:
    """What the folder is, for whoever finds it."""
    metas = [read_tables(path)[0] for path in shards]
    about = {
        "made_by": f"enr {__version__}",
        "layout": layout,
        "axes_and_units": LAYOUTS[layout],
        "shards": [path.name for path in shards],
        "background": list(metas[0].background),
        "blender_version": sorted({meta.blender_version for meta in metas}),
        "poses": {meta.group: meta.config.get("poses") for meta in metas},
        "render": metas[0].config.get("render"),
    }
    write_text(out / ABOUT, json.dumps(about, indent=1) + "\n")
