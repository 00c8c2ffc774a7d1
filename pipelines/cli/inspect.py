"""`enr inspect`: what shards hold, as a table and as pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enr.words import count_of

if TYPE_CHECKING:
    from enr.datagen.verify.inspection import GroupSummary, Inspected, ShardsSummary

FAILURES_SHOWN = 20
FOLDER = "inspect"
HELP = """
Say what SHARDS (.h5 files or folders of them) hold, and draw it.

Writes a contact sheet of the views of each group, one for each flag that occurs and one for each pass, and a plot
of the cameras. Shards that are no longer what was written are named and left out; the exit status is then 1.
"""


@click.command("inspect", help=HELP)
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help=f"Write the pictures to this folder [default: {FOLDER} beside the first shard].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the tables.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Write contact sheets and plots.")
def command(shards: tuple[Path, ...], out: Path | None, as_json: bool, pictures: bool) -> None:
    """`enr inspect`."""
    from enr.datagen.verify.inspection import open_shards, summarise
    from enr.shards.find import find_shards

    files = find_shards(shards)
    inspected, damaged = open_shards(files)
    summary = summarise(inspected, damaged)
    written = _draw(inspected, out or files[0].parent / FOLDER) if pictures else []
    if as_json:
        click.echo(json.dumps({**summary, "pictures": [str(path) for path in written]}, indent=1))
    else:
        click.echo("\n".join([_tables(summary), *map(str, written)]))
    sys.exit(1 if damaged else 0)


def _draw(shards: Sequence[Inspected], out: Path) -> list[Path]:
    """Sheets and plots of each group."""
    from enr.datagen.verify.camera_plot import save_camera_plot
    from enr.datagen.verify.inspection_pictures import save_sheets

    written = []
    for group in sorted({shard.meta.group for shard in shards}):
        own = [shard for shard in shards if shard.meta.group == group]
        written += save_sheets(own, group, out)
        written.append(save_camera_plot(own, f"Cameras of {group}", out / f"{group}-cameras.png"))
    return written


def _tables(summary: ShardsSummary) -> str:
    from tabulate import tabulate

    groups = summary["groups"]
    rows = {group: _rows(facts) for group, facts in groups.items()}
    names = list(next(iter(rows.values())))
    table = tabulate([[name, *(rows[group][name] for group in groups)] for name in names], headers=["", *groups])
    counted = {"shard": summary["shards"], "scene": summary["scenes"], "image": summary["images"]}
    counts = [count_of(number, noun) for noun, number in counted.items()]
    total = ", ".join([*counts, f"{summary['bytes'] / 1e6:,.1f} MB"])
    doubts = [f"left out: {problem}" for problem in summary["damaged"].values()]
    if number := summary["without_seal"]:
        of = count_of(number, "shard")
        doubts.append(f"{of} without a seal over the file; hashes inside, where there are any, hold")
    return "\n".join([total, *doubts, "", table, "", *_failures(summary["failures"])])


def _rows(facts: GroupSummary) -> dict[str, str]:
    """The lines of one group's column."""
    flags = ", ".join(f"{name} {count:,}" for name, count in facts["flags"].items() if count)
    return {
        "shards": str(facts["shards"]),
        "scenes (train, val, test)": ", ".join(f"{count:,}" for count in facts["scenes"].values()),
        "images (train, val, test)": ", ".join(f"{count:,}" for count in facts["images"].values()),
        "size (px)": ", ".join(facts["size_px"]),
        "focal length (px)": _range(facts["focal_px"]),
        "field of view (degrees)": _range(facts["fov_deg"]),
        "background": ", ".join(facts["background"]),
        "materials": ", ".join(f"{name} {count:,}" for name, count in facts["materials"].items()),
        **{name.replace("_", " "): _range(limits) for name, limits in facts["poses"].items()},
        "flags": flags or "none",
        "passes": ", ".join(facts["passes"]) or "none",
        **{f"{name} version": ", ".join(found) for name, found in facts["versions"].items()},
        "seed": ", ".join(facts["seed"]),
    }


def _range(limits: list[float | None]) -> str:
    low, high = limits
    if low is None or high is None:
        return "unknown"
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _failures(failures: dict[str, str]) -> list[str]:
    lines = [f"{count_of(len(failures), 'mesh')} failed" + (":" if failures else "")]
    lines += [f"  {scene_id}: {reason}" for scene_id, reason in list(failures.items())[:FAILURES_SHOWN]]
    if len(failures) > FAILURES_SHOWN:
        lines.append(f"  and {len(failures) - FAILURES_SHOWN} more (--json lists all)")
    return lines
