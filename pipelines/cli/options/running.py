"""How the work is done and where its result goes; of no consequence for the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enr.errors import EnrError
from enr.pipelines.cli.options.meshes import blender_executable
from enr.pipelines.cli.options.pictures import picture_size

if TYPE_CHECKING:
    from enr.datagen.settings import PoolSettings

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
    click.option(
        "--resume", is_flag=True, help="Go on with what is missing or damaged, as running the same command again does."
    ),
    click.option(
        "--retry-failed",
        is_flag=True,
        help="Render only meshes of finished shards that failed for a reason that may pass (time, memory, a crash).",
    ),
    click.option("--retry-bad", is_flag=True, help="Render only the meshes that failed for any reason."),
    click.option("--overwrite", is_flag=True, help="Make everything again; shards of other settings are replaced."),
    click.option("--workers", type=click.IntRange(1), help="Blender processes [default: one for each core]."),
    click.option(
        "--workers-per-device",
        type=click.IntRange(1),
        help="Blender processes for each graphics card, with --device cuda, optix, hip or metal [default: 1].",
    ),
    click.option(
        "--mesh-timeout",
        type=click.FloatRange(0, min_open=True),
        help="Seconds before a mesh is given up [default: by views, picture size and samples].",
    ),
    click.option(
        "--mesh-memory",
        type=click.FloatRange(0, min_open=True),
        default=2048,
        show_default=True,
        help="MB of memory that a Blender process may hold before its mesh is given up.",
    ),
)


def pool_settings(options: dict[str, Any]) -> PoolSettings:
    """The workers' settings; the time limit for a mesh follows from how much there is to render.

    Raises:
        EnrError: processes of the CPU are counted where cards compute, or the other way round.
    """
    from enr.datagen.settings import PoolSettings
    from enr.datagen.workers.pool import default_workers

    on_cpu = options["device"] == "cpu" or options["engine"] != "cycles"
    if options["workers"] and not on_cpu and not options["scheduler"]:
        raise EnrError(
            f"--workers counts processes on the CPU; with --device {options['device']} each graphics card has one: "
            "leave --workers out, or give --workers-per-device."
        )
    if options["workers_per_device"] and on_cpu:
        raise EnrError("--workers-per-device is for --device cuda, optix, hip or metal; on the CPU give --workers.")
    width_px, height_px = picture_size(options["resolution"])
    paths = width_px * height_px * options["samples"]
    patience_s = SECONDS_A_MESH + options["views"] * (SECONDS_A_VIEW + SECONDS_A_PATH * paths)
    return PoolSettings(
        workers=options["workers"] or default_workers(),
        workers_per_device=options["workers_per_device"] or 1,
        mesh_timeout_s=options["mesh_timeout"] or patience_s,
        mesh_memory_mb=options["mesh_memory"],
        blender=blender_executable(options),
    )


def check_again(options: dict[str, Any]) -> None:
    """Refuse to do two of: go on, retry what failed, make everything again; or one of them without doing anything.

    Raises:
        EnrError: more than one of them was asked for, or a dry run with what it does not listen to.
    """
    chosen = [name for name in ("resume", "retry_failed", "retry_bad", "overwrite") if options[name]]
    if len(chosen) > 1:
        raise EnrError(f"{_flags(chosen, ' and ')} exclude each other; give one of them.")
    unheard = [name for name in ("resume", "retry_failed", "retry_bad", "scheduler") if options[name]]
    if options["dry_run"] and unheard:
        raise EnrError(
            f"--dry-run says what all of it would take on this machine, from the start; leave {_flags(unheard)} out."
        )


def _flags(names: list[str], between: str = ", ") -> str:
    return between.join(f"--{name.replace('_', '-')}" for name in names)


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
